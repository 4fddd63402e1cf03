"""What a configuration of the broker must obey, and what Microsoft's containers would refuse of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from goldwire_emulator.broker import durations
from goldwire_emulator.broker.entities import HubSettings, QueueSettings, ReceivingSettings, TopicSettings
from goldwire_emulator.broker.refusals import ArgumentError
from goldwire_emulator.broker.rules import Rules
from goldwire_emulator.errors import InputError

MAX_PARTITIONS = 32
MAX_LOCK_MS = 300_000
MAX_DELIVERIES = 2000
_CONTAINER_HUBS = 10
_CONTAINER_ENTITIES = 50
_CONTAINER_DELIVERIES = 10
_CONTAINER_LOCK_MS = 5_000
_CONTAINER_TIME_TO_LIVE_MS = (300_000, 3_600_000)
_CONTAINER_WINDOW_MS = (5_000, 300_000)
_HUB_CHARACTERS = 256
_BUS_CHARACTERS = 260
_PART_CHARACTERS = 50
"""The longest names that the services take: of consumer groups, subscriptions and rules."""
_A = {"event hub": "an event hub", "queue": "a queue", "topic": "a topic"}
_NAME = re.compile(r"[A-Za-z0-9](?:[\w\-./]*[A-Za-z0-9])?")


def milliseconds(setting: str, text: str) -> int:
    """Return a duration from the file.

    Raises:
        InputError: it is none, or not above zero.
    """
    try:
        length = durations.milliseconds(text)
    except ValueError as error:
        raise InputError(f"{setting}: {error}") from None
    if length <= 0:
        raise InputError(f"{setting} is '{text}': give a duration above zero")
    return length


def check_names(hubs: Iterable[HubSettings], queues: Iterable[QueueSettings], topics: Iterable[TopicSettings]) -> None:
    """Check names and numbers of all entities.

    Raises:
        InputError: the first thing that is wrong.
    """
    hubs, queues, topics = tuple(hubs), tuple(queues), tuple(topics)
    kinds = (("event hub", hubs, _HUB_CHARACTERS), ("queue", queues, _BUS_CHARACTERS), ("topic", topics, _BUS_CHARACTERS))
    _check_unique((kind, entity.name, most) for kind, entities, most in kinds for entity in entities)
    for hub in hubs:
        if not 1 <= hub.partition_count <= MAX_PARTITIONS:
            raise InputError(f"event hub '{hub.name}': PartitionCount is {hub.partition_count}: give 1 to {MAX_PARTITIONS}")
        _check_parts(f"event hub '{hub.name}'", "consumer group", hub.consumer_groups, allow="$default")
    for queue in queues:
        _check_receiving(f"queue '{queue.name}'", queue)
    for topic in topics:
        _check_parts(f"topic '{topic.name}'", "subscription", (each.name for each in topic.subscriptions))
        for subscription in topic.subscriptions:
            location = f"subscription '{subscription.name}' of topic '{topic.name}'"
            _check_receiving(location, subscription)
            _check_parts(location, "rule", (rule.name for rule in subscription.rules), allow="$default")
            try:
                Rules(subscription.rules)
            except ArgumentError as error:
                raise InputError(f"{location}: {error}") from None


def _check_parts(location: str, kind: str, names: Iterable[str], allow: str = "") -> None:
    try:
        _check_unique(((kind, name, _PART_CHARACTERS) for name in names), allow)
    except InputError as error:
        raise InputError(f"{location}: {error}") from None


def _check_unique(named: Iterable[tuple[str, str, int]], allow: str = "") -> None:
    """Check kinds, names and how many characters they may have; `allow` is a name of the service's own."""
    seen: dict[str, str] = {}
    for kind, name, most in named:
        lower = name.lower()
        if lower in seen:
            before = "stands twice" if seen[lower] == kind else f"there is {_A[seen[lower]]} of this name already"
            raise InputError(f"{kind} '{name}': {before} (names are compared without case); rename one")
        if not _NAME.fullmatch(name) and lower != allow:
            raise InputError(
                f"{kind} '{name}': a name is letters, digits and . - _ /, and begins and ends with letter or digit"
            )
        if "/subscriptions/" in lower:
            raise InputError(f"{kind} '{name}': that is the address of a subscription; rename it")
        if len(name) > most:
            raise InputError(f"{kind} '{name[:20]}…': the name has {len(name)} characters; give it up to {most}")
        seen[lower] = kind


def _check_receiving(location: str, settings: ReceivingSettings) -> None:
    if not 0 < settings.lock_ms <= MAX_LOCK_MS:
        raise InputError(f"{location}: LockDuration may be at most PT5M")
    if not 1 <= settings.max_delivery_count <= MAX_DELIVERIES:
        raise InputError(f"{location}: MaxDeliveryCount is {settings.max_delivery_count}: give 1 to {MAX_DELIVERIES}")
    if settings.forward_to and settings.requires_session:
        raise InputError(f"{location}: ForwardTo and RequiresSession exclude one another")


def check_forwarding(queues: Iterable[QueueSettings], topics: Iterable[TopicSettings]) -> None:
    """Check that what is forwarded arrives somewhere.

    Raises:
        InputError: an entity that is not there, or a circle.
    """
    queues, topics = tuple(queues), tuple(topics)
    known = {entity.name.lower() for group in (queues, topics) for entity in group}
    onward: dict[str, set[str]] = {name: set() for name in known}
    parts: list[tuple[str, ReceivingSettings]] = [(queue.name, queue) for queue in queues]
    parts += [(topic.name, each) for topic in topics for each in topic.subscriptions]
    for owner, settings in parts:
        for setting, name in (
            ("ForwardTo", settings.forward_to),
            ("ForwardDeadLetteredMessagesTo", settings.forward_dead_letters_to),
        ):
            if name and name.lower() not in known:
                raise InputError(f"'{settings.name}': {setting} names '{name}', which is neither a queue nor a topic")
        if settings.forward_to:
            onward[owner.lower()].add(settings.forward_to.lower())
    for name in onward:
        _refuse_circle(name, onward, ())


def _refuse_circle(name: str, onward: dict[str, set[str]], way: tuple[str, ...]) -> None:
    if name in way:
        raise InputError(f"ForwardTo goes round in a circle: {' -> '.join([*way, name])}")
    for following in sorted(onward[name]):
        _refuse_circle(following, onward, (*way, name))


def container_objections(
    hubs: Iterable[HubSettings], queues: Iterable[QueueSettings], topics: Iterable[TopicSettings]
) -> Iterator[str]:
    """What the containers' published schemas and quotas do not take, one line each."""
    hubs, queues, topics = tuple(hubs), tuple(queues), tuple(topics)
    if len(hubs) > _CONTAINER_HUBS:
        yield f"{len(hubs)} event hubs: the container takes {_CONTAINER_HUBS}"
    if len(queues) + len(topics) > _CONTAINER_ENTITIES:
        yield f"{len(queues) + len(topics)} queues and topics: the container takes {_CONTAINER_ENTITIES}"
    for queue in queues:
        yield from _receiving_objections(f"queue '{queue.name}'", queue)
        yield from _window_objections(f"queue '{queue.name}'", queue.duplicate_window_ms)
    for topic in topics:
        yield from _life_objections(f"topic '{topic.name}'", topic.default_time_to_live_ms)
        yield from _window_objections(f"topic '{topic.name}'", topic.duplicate_window_ms)
        for each in topic.subscriptions:
            yield from _receiving_objections(f"subscription '{each.name}' of topic '{topic.name}'", each)


def _receiving_objections(location: str, settings: ReceivingSettings) -> Iterator[str]:
    if settings.lock_ms < _CONTAINER_LOCK_MS:
        yield f"{location}: the container takes a LockDuration from PT5S"
    if settings.max_delivery_count > _CONTAINER_DELIVERIES:
        yield f"{location}: the container takes a MaxDeliveryCount up to {_CONTAINER_DELIVERIES}"
    yield from _life_objections(location, settings.default_time_to_live_ms)


def _life_objections(location: str, time_to_live_ms: int | None) -> Iterator[str]:
    least, most = _CONTAINER_TIME_TO_LIVE_MS
    if time_to_live_ms is not None and not least <= time_to_live_ms <= most:
        yield f"{location}: the container takes a DefaultMessageTimeToLive from PT5M to PT1H"


def _window_objections(location: str, window_ms: int | None) -> Iterator[str]:
    least, most = _CONTAINER_WINDOW_MS
    if window_ms is not None and not least <= window_ms <= most:
        yield f"{location}: the container takes a DuplicateDetectionHistoryTimeWindow from PT5S to PT5M"
