"""How each entity of the broker is set up: plain values, whatever file or test they came from."""

from __future__ import annotations

from typing import Any

import msgspec

DEFAULT_LOCK_MS = 60_000
DEFAULT_MAX_DELIVERY_COUNT = 10


class HubSettings(msgspec.Struct, frozen=True):
    """An event hub.

    Attributes:
        name: unique in the broker, without case.
        partition_count: how many logs; fixed from the first start on.
        consumer_groups: besides `$Default`, which is always there.
    """

    name: str
    partition_count: int = 4
    consumer_groups: tuple[str, ...] = ()


class CorrelationFilter(msgspec.Struct, frozen=True):
    """Matches a message that equals every property given.

    Attributes:
        system: `message_id`, `label` and so on, as in `message.SYSTEM_PROPERTIES`.
        application: application properties.
    """

    system: dict[str, str] = {}
    application: dict[str, Any] = {}


class RuleSettings(msgspec.Struct, frozen=True):
    """A rule of a subscription: one filter, and possibly an action on what it matched.

    Attributes:
        name: unique in its subscription.
        sql: a SQL filter; used if `correlation` is None.
        correlation: a correlation filter.
        action: a SQL action; empty for none.
    """

    name: str
    sql: str = "1=1"
    correlation: CorrelationFilter | None = None
    action: str = ""


class ReceivingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What queues and subscriptions have in common: messages are received from them.

    Attributes:
        name: of the queue or the subscription.
        lock_ms: how long a peek-lock and a session lock hold.
        max_delivery_count: after so many deliveries that ended without success a message is dead-lettered.
        default_time_to_live_ms: the longest life of a message; None: no limit.
        dead_letter_expired: an expired message goes to the dead-letter queue instead of nowhere.
        requires_session: every message has a session, and receivers take one session at a time.
        forward_to: what arrives goes on to this queue or topic.
        forward_dead_letters_to: what is dead-lettered goes on to this queue or topic.
    """

    name: str
    lock_ms: int = DEFAULT_LOCK_MS
    max_delivery_count: int = DEFAULT_MAX_DELIVERY_COUNT
    default_time_to_live_ms: int | None = None
    dead_letter_expired: bool = False
    requires_session: bool = False
    forward_to: str = ""
    forward_dead_letters_to: str = ""


class QueueSettings(ReceivingSettings, frozen=True, kw_only=True):
    """A queue.

    Attributes:
        duplicate_window_ms: how long a message id is remembered; None: duplicates are not detected.
    """

    duplicate_window_ms: int | None = None


class SubscriptionSettings(ReceivingSettings, frozen=True, kw_only=True):
    """A subscription of a topic.

    Attributes:
        rules: none means that every message is taken (the rule `$Default`).
    """

    rules: tuple[RuleSettings, ...] = ()


class TopicSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A topic.

    Attributes:
        name: unique in the broker, without case.
        default_time_to_live_ms: the longest life of a message; None: no limit.
        duplicate_window_ms: how long a message id is remembered; None: duplicates are not detected.
        subscriptions: each gets a copy of what its rules match.
    """

    name: str
    default_time_to_live_ms: int | None = None
    duplicate_window_ms: int | None = None
    subscriptions: tuple[SubscriptionSettings, ...] = ()


class Limits(msgspec.Struct, frozen=True):
    """Quotas of the broker; the defaults are those of the services' standard tiers.

    Attributes:
        max_event_bytes: of an event or a batch of events.
        max_message_bytes: of a Service Bus message or a batch.
        max_entity_bytes: what a queue or a topic may hold.
        retention_ms: how long an event is kept.
        ingress_per_second: throttling: events or messages that each entity takes in a second; None: not throttled.
    """

    max_event_bytes: int = 1024 * 1024
    max_message_bytes: int = 256 * 1024
    max_entity_bytes: int = 1024 * 1024 * 1024
    retention_ms: int = 24 * 3_600_000
    ingress_per_second: float | None = None
