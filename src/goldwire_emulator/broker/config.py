"""Reads and checks the `Config.json` of Microsoft's Event Hubs and Service Bus emulators.

Both formats are taken, also together in one file: `UserConfig.NamespaceConfig` holds event hubs, `UserConfig.Namespaces` holds
queues and topics. The keys are those of the `Config-schema.json` that Microsoft publishes beside each emulator
(https://github.com/Azure/azure-service-bus-emulator-installer, https://github.com/Azure/azure-event-hubs-emulator-installer),
and so are their defaults, but for one: without `DefaultMessageTimeToLive` messages live for ever. Values may be wider than the
containers take, such as a lock of one second; `objections` lists what the containers would refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from goldwire_emulator.broker import config_checks
from goldwire_emulator.broker.config_text import typed
from goldwire_emulator.broker.entities import (
    CorrelationFilter,
    HubSettings,
    QueueSettings,
    RuleSettings,
    SubscriptionSettings,
    TopicSettings,
)
from goldwire_emulator.errors import InputError

_T = TypeVar("_T")
_MOST_DIGITS = 9


class BrokerConfig(msgspec.Struct, frozen=True):
    """Every entity of the broker, checked.

    Attributes:
        hubs: the event hubs.
        queues: the queues.
        topics: the topics with their subscriptions and rules.
    """

    hubs: tuple[HubSettings, ...] = ()
    queues: tuple[QueueSettings, ...] = ()
    topics: tuple[TopicSettings, ...] = ()

    def __post_init__(self) -> None:
        config_checks.check_names(self.hubs, self.queues, self.topics)
        config_checks.check_forwarding(self.queues, self.topics)


class _Pascal(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """Keys as Microsoft writes them; a key that is not known is an error, since it would be a setting without effect."""


class _Group(_Pascal, frozen=True):
    name: str


class _Hub(_Pascal, frozen=True):
    name: str
    partition_count: str | int
    consumer_groups: tuple[_Group, ...] = ()


class _HubNamespace(_Pascal, frozen=True):
    name: str = "emulatorNs1"
    type: Literal["EventHub"] = "EventHub"
    entities: tuple[_Hub, ...] = ()


class _TopicProperties(_Pascal, frozen=True):
    default_message_time_to_live: str | None = None
    duplicate_detection_history_time_window: str = "PT20S"
    requires_duplicate_detection: bool = False


class _SubscriptionProperties(_Pascal, frozen=True):
    dead_lettering_on_message_expiration: bool = False
    default_message_time_to_live: str | None = None
    forward_dead_lettered_messages_to: str = ""
    forward_to: str = ""
    lock_duration: str = "PT1M"
    max_delivery_count: int = 3
    requires_session: bool = False


class _QueueProperties(_SubscriptionProperties, frozen=True):
    duplicate_detection_history_time_window: str = "PT20S"
    requires_duplicate_detection: bool = False


class _Queue(_Pascal, frozen=True):
    name: str
    properties: _QueueProperties = _QueueProperties()


class _Expression(_Pascal, frozen=True):
    sql_expression: str


class _Correlation(_Pascal, frozen=True):
    content_type: str | None = None
    correlation_id: str | None = None
    label: str | None = None
    message_id: str | None = None
    reply_to: str | None = None
    reply_to_session_id: str | None = None
    session_id: str | None = None
    to: str | None = None
    properties: dict[str, str | int | float | bool] = {}

    def as_filter(self) -> CorrelationFilter:
        fields: Iterator[tuple[str, Any]] = ((name, getattr(self, name)) for name in self.__struct_fields__)
        system = {name: value for name, value in fields if name != "properties" and value is not None}
        return CorrelationFilter(system, dict(self.properties))


class _Rule(_Pascal, frozen=True):
    class ConfigProperties(_Pascal, frozen=True):
        filter_type: Literal["Correlation", "Sql"]
        correlation_filter: _Correlation | None = None
        sql_filter: _Expression | None = None
        action: _Expression | None = None

    name: str
    properties: ConfigProperties


class _Subscription(_Pascal, frozen=True):
    name: str
    properties: _SubscriptionProperties = _SubscriptionProperties()
    rules: tuple[_Rule, ...] = ()


class _Topic(_Pascal, frozen=True):
    name: str
    properties: _TopicProperties = _TopicProperties()
    subscriptions: tuple[_Subscription, ...] = ()


class _BusNamespace(_Pascal, frozen=True):
    name: str = "sbemulatorns"
    queues: tuple[_Queue, ...] = ()
    topics: tuple[_Topic, ...] = ()


class _User(_Pascal, frozen=True):
    namespace_config: tuple[_HubNamespace, ...] = ()
    namespaces: tuple[_BusNamespace, ...] = ()
    logging_config: dict[str, Any] | None = None
    logging: dict[str, Any] | None = None


class _File(_Pascal, frozen=True):
    user_config: _User
    schema: str | None = msgspec.field(default=None, name="$schema")


def read_config(path: Path) -> BrokerConfig:
    """Read a configuration file.

    Raises:
        InputError: it cannot be read, or does not follow the format; the message names the file, and line and field, or entity
            and setting.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; name the emulator's Config.json") from error
    return parse_config(text, str(path))


def parse_config(text: bytes | str, name: str = "Config.json") -> BrokerConfig:
    """Read a configuration from its JSON text.

    Args:
        text: the file.
        name: of the file, for the errors.

    Raises:
        InputError: the text does not follow the format.
    """
    file = typed(text, _File, name)
    try:
        return _entities(file.user_config)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _entities(user: _User) -> BrokerConfig:
    if len(user.namespace_config) > 1 or len(user.namespaces) > 1:
        raise InputError("there may be one namespace of each kind, as in Microsoft's emulators; merge their entities")
    hubs = tuple(_checked(f"event hub '{hub.name}'", _hub, hub) for space in user.namespace_config for hub in space.entities)
    queues = tuple(_checked(f"queue '{queue.name}'", _queue, queue) for space in user.namespaces for queue in space.queues)
    topics = tuple(_checked(f"topic '{topic.name}'", _topic, topic) for space in user.namespaces for topic in space.topics)
    return BrokerConfig(hubs, queues, topics)


def objections(config: BrokerConfig) -> list[str]:
    """What Microsoft's containers would refuse of this configuration, one line each; an empty list: they take it."""
    return list(config_checks.container_objections(config.hubs, config.queues, config.topics))


def _checked(location: str, make: Callable[[_T], Any], entry: _T) -> Any:
    try:
        return make(entry)
    except InputError as error:
        raise InputError(f"{location}: {error}") from None
    except ValueError as error:
        raise InputError(f"{location}: {error}; mend it in Config.json") from None


def _hub(hub: _Hub) -> HubSettings:
    groups = tuple(group.name for group in hub.consumer_groups)
    count = str(hub.partition_count)
    if not count.isdecimal() or len(count) > _MOST_DIGITS:
        raise InputError(f"PartitionCount is '{count}': give a number from 1 to {config_checks.MAX_PARTITIONS}")
    return HubSettings(hub.name, int(count), groups)


def _queue(queue: _Queue) -> QueueSettings:
    properties = queue.properties
    return QueueSettings(
        name=queue.name,
        duplicate_window_ms=_window(properties),
        **_receiving(properties),
    )


def _topic(topic: _Topic) -> TopicSettings:
    properties = topic.properties
    return TopicSettings(
        name=topic.name,
        default_time_to_live_ms=_time_to_live(properties.default_message_time_to_live),
        duplicate_window_ms=_window(properties),
        subscriptions=tuple(
            _checked(f"subscription '{subscription.name}'", _subscription, subscription) for subscription in topic.subscriptions
        ),
    )


def _subscription(subscription: _Subscription) -> SubscriptionSettings:
    rules = tuple(_checked(f"rule '{rule.name}'", _rule, rule) for rule in subscription.rules)
    return SubscriptionSettings(name=subscription.name, rules=rules, **_receiving(subscription.properties))


def _receiving(properties: _SubscriptionProperties) -> dict[str, Any]:
    return {
        "lock_ms": config_checks.milliseconds("LockDuration", properties.lock_duration),
        "max_delivery_count": properties.max_delivery_count,
        "default_time_to_live_ms": _time_to_live(properties.default_message_time_to_live),
        "dead_letter_expired": properties.dead_lettering_on_message_expiration,
        "requires_session": properties.requires_session,
        "forward_to": properties.forward_to,
        "forward_dead_letters_to": properties.forward_dead_lettered_messages_to,
    }


def _time_to_live(text: str | None) -> int | None:
    return None if text is None else config_checks.milliseconds("DefaultMessageTimeToLive", text)


def _window(properties: _QueueProperties | _TopicProperties) -> int | None:
    window = config_checks.milliseconds(
        "DuplicateDetectionHistoryTimeWindow", properties.duplicate_detection_history_time_window
    )
    return window if properties.requires_duplicate_detection else None


def _rule(rule: _Rule) -> RuleSettings:
    properties = rule.properties
    action = properties.action.sql_expression if properties.action else ""
    if properties.filter_type == "Sql":
        if properties.sql_filter is None:
            raise InputError("FilterType is Sql: give SqlFilter.SqlExpression")
        return RuleSettings(rule.name, sql=properties.sql_filter.sql_expression, action=action)
    correlation = properties.correlation_filter.as_filter() if properties.correlation_filter else CorrelationFilter()
    if not (correlation.system or correlation.application):
        raise InputError("FilterType is Correlation: give CorrelationFilter with at least one property")
    return RuleSettings(rule.name, correlation=correlation, action=action)
