"""The event hubs of the broker: which partition takes an event, how much is taken, how long it is kept."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

from goldwire_emulator.broker.entities import HubSettings, Limits
from goldwire_emulator.broker.event_log import EventLog
from goldwire_emulator.broker.partition_hash import partition_of
from goldwire_emulator.broker.port import Appended, Event, NewEvent, PartitionState, Position
from goldwire_emulator.broker.refusals import ArgumentError, NotFoundError, TooLargeError
from goldwire_emulator.broker.store import Store
from goldwire_emulator.broker.throttle import Throttle
from goldwire_emulator.clock import Clock
from goldwire_emulator.errors import InputError

DEFAULT_GROUP = "$default"


class LocalEventHub:
    """One hub; implements `port.EventHub`.

    Args:
        store: holds it.
        settings: how it is set up.
        limits: its quotas.
        clock: the time that events get.

    Raises:
        InputError: the store holds it with another number of partitions.
    """

    def __init__(self, store: Store, settings: HubSettings, limits: Limits, clock: Clock) -> None:
        self.name = settings.name
        self.max_message_bytes = limits.max_event_bytes
        self.consumer_groups = frozenset({DEFAULT_GROUP, *(name.lower() for name in settings.consumer_groups)})
        self.partition_ids = tuple(str(number) for number in range(settings.partition_count))
        self.throttle = Throttle(clock, limits.ingress_per_second)
        self._clock = clock
        self._retention_ms = limits.retention_ms
        self.created_at_ms, rows = _opened(store, settings, _now_ms(clock))
        self._logs = {str(number): EventLog(store, row) for number, row in enumerate(rows)}
        self._turns = itertools.cycle(self.partition_ids)

    def append(
        self, events: Sequence[NewEvent], *, partition_id: str | None = None, partition_key: str | None = None
    ) -> Appended:
        """See the port."""
        if not events:
            raise ArgumentError(f"a batch for event hub '{self.name}' holds no event")
        size = sum(len(event.payload) for event in events)
        if size > self.max_message_bytes:
            raise TooLargeError(f"{size} bytes are more than event hub '{self.name}' takes at once: {self.max_message_bytes}")
        partition_id = self._route(partition_id, partition_key)
        log = self._log(partition_id)
        self.throttle.take(len(events), f"event hub '{self.name}'")
        first, last = log.append(events, _now_ms(self._clock))
        return Appended(partition_id, first, last)

    def _route(self, partition_id: str | None, partition_key: str | None) -> str:
        if partition_id is not None:
            return partition_id
        if partition_key:
            return self.partition_ids[partition_of(partition_key, len(self.partition_ids))]
        return next(self._turns)

    def start(self, partition_id: str, position: Position) -> int:
        """See the port."""
        return self._log(partition_id).start(position)

    def read(self, partition_id: str, from_sequence_number: int, limit: int, max_bytes: int = 1 << 20) -> list[Event]:
        """See the port."""
        return self._log(partition_id).read(from_sequence_number, limit, max_bytes)

    def state(self, partition_id: str) -> PartitionState:
        """See the port."""
        return self._log(partition_id).state()

    def subscribe(self, partition_id: str, wake: Callable[[], None]) -> Callable[[], None]:
        """See the port."""
        return self._log(partition_id).subscribe(wake)

    def advance(self, now_ms: int) -> int | None:
        """Forget what retention has ended; return when the next event's ends, in POSIX milliseconds."""
        oldest = None
        for log in self._logs.values():
            log.forget(now_ms - self._retention_ms)
            held = log.oldest_ms()
            oldest = held if oldest is None else min(oldest, oldest if held is None else held)
        return None if oldest is None else oldest + self._retention_ms + 1

    def _log(self, partition_id: str) -> EventLog:
        log = self._logs.get(partition_id)
        if log is None:
            raise NotFoundError(
                f"event hub '{self.name}' has no partition '{partition_id}': it has {', '.join(self.partition_ids)}"
            )
        return log


class LocalEventHubs:
    """The hubs of the namespace; implements `port.EventHubs`."""

    def __init__(self, store: Store, settings: Iterable[HubSettings], limits: Limits, clock: Clock) -> None:
        hubs = [LocalEventHub(store, each, limits, clock) for each in settings]
        self._hubs = {hub.name.lower(): hub for hub in hubs}
        self._due_ms: int | None = None

    def names(self) -> tuple[str, ...]:
        """See the port."""
        return tuple(hub.name for hub in self._hubs.values())

    def hub(self, name: str) -> LocalEventHub:
        """See the port."""
        found = self._hubs.get(name.lower())
        if found is None:
            raise NotFoundError(f"there is no event hub '{name}'; name it in Config.json")
        return found

    def advance(self, now_ms: int) -> int | None:
        """Forget what retention has ended in all hubs; return when the next event's ends."""
        if self._due_ms is None or self._due_ms <= now_ms:
            ends = [end for end in (hub.advance(now_ms) for hub in self._hubs.values()) if end is not None]
            self._due_ms = min(ends, default=None)
        return self._due_ms


def _opened(store: Store, settings: HubSettings, now_ms: int) -> tuple[int, list[int]]:
    """When the hub was made, and the rows of its partitions in their order; both are made if they are not there."""
    with store.transaction() as database:
        name = settings.name.lower()
        database.execute("INSERT INTO hubs (name, created_at_ms) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, now_ms))
        hub, created = database.execute("SELECT id, created_at_ms FROM hubs WHERE name = ?", (name,)).fetchone()
        query = "SELECT id FROM partitions WHERE hub = ? ORDER BY number"
        rows = [row for (row,) in database.execute(query, (hub,))]
        if not rows:
            numbers = ((hub, number) for number in range(settings.partition_count))
            database.executemany(
                "INSERT INTO partitions (hub, number, next_sequence, next_offset) VALUES (?, ?, 0, 0)", numbers
            )
            rows = [row for (row,) in database.execute(query, (hub,))]
    if len(rows) != settings.partition_count:
        raise InputError(
            f"event hub '{settings.name}' has {len(rows)} partitions in its store, {settings.partition_count} in Config.json: "
            "keys would change their partition; give it another name, or another folder"
        )
    return created, rows


def _now_ms(clock: Clock) -> int:
    return int(clock.now() * 1000)
