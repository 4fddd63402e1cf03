"""What the wire may ask of Event Hubs: the logs of its partitions, without frames, links or tokens.

All calls are synchronous, quick, and made on the event loop's thread. What `append` returned for is durable.
Every refusal is a `RefusalError` with the condition to answer. Times are POSIX milliseconds, as AMQP timestamps are.

A broker is opened by `goldwire_emulator.broker.broker.open_broker(folder, config, clock)`: it has `event_hubs`
(this port), `service_bus`, `async run()` to be kept running as a task (retention, locks, schedules), and `close()`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec


class NewEvent(msgspec.Struct, frozen=True):
    """An event on its way in.

    Attributes:
        payload: the encoded AMQP message exactly as the publisher sent it; the broker never looks inside.
        partition_key: kept on the event and given back; it routes only if the caller of `append` asks for that.
    """

    payload: bytes
    partition_key: str | None = None


class Event(msgspec.Struct, frozen=True):
    """An event in a partition's log.

    Attributes:
        sequence_number: position in its partition, from 0, without gaps.
        offset: where it lies in its partition, as decimal text that rises with the sequence number, with gaps.
        enqueued_at_ms: when it was accepted; never decreases within a partition.
        partition_key: as it was given, or None.
        payload: as it was given.
    """

    sequence_number: int
    offset: str
    enqueued_at_ms: int
    partition_key: str | None
    payload: bytes


class Appended(msgspec.Struct, frozen=True):
    """Where a batch went: all of it into one partition, in one transaction, with adjacent sequence numbers."""

    partition_id: str
    first_sequence_number: int
    last_sequence_number: int


class Position(msgspec.Struct, frozen=True):
    """Where a consumer wants to begin.

    Attributes:
        by: what `value` is. `latest`: only what is appended from now on; `value` is ignored.
        value: an offset as text (`-1` is before everything), a sequence number, or POSIX milliseconds.
        inclusive: whether the event at `value` itself is wanted (`>=` instead of `>`).
    """

    by: Literal["offset", "sequence_number", "enqueued_at_ms", "latest"]
    value: str | int = ""
    inclusive: bool = False


class PartitionState(msgspec.Struct, frozen=True):
    """What a partition holds now, in the terms of the service's own partition properties.

    Attributes:
        begin_sequence_number: of the oldest event that is still held; one more than the last where none is.
        last_sequence_number: -1 before the first event; stays when retention removed the event.
        last_offset: `-1` before the first event.
        last_enqueued_at_ms: None before the first event.
        is_empty: nothing is held now.
    """

    begin_sequence_number: int
    last_sequence_number: int
    last_offset: str
    last_enqueued_at_ms: int | None
    is_empty: bool


class EventHub(Protocol):
    """One hub: as many logs as it has partitions."""

    @property
    def name(self) -> str:
        """As it was configured."""
        ...

    @property
    def created_at_ms(self) -> int:
        """When this hub was first opened on its store."""
        ...

    @property
    def partition_ids(self) -> tuple[str, ...]:
        """`0`, `1`, … as text."""
        ...

    @property
    def consumer_groups(self) -> frozenset[str]:
        """As configured, in lower case, and always `$default`; the service compares them without case."""
        ...

    @property
    def max_message_bytes(self) -> int:
        """The largest event or batch that `append` takes; what a sender's link announces as `max-message-size`."""
        ...

    def append(
        self, events: Sequence[NewEvent], *, partition_id: str | None = None, partition_key: str | None = None
    ) -> Appended:
        """Append all of the events or none.

        Args:
            events: at least one.
            partition_id: the partition to take. Without it `partition_key` decides by the service's hash, and
                without either the partitions take turns.
            partition_key: what to route by; usually the key that all of the events carry.

        Raises:
            NotFoundError: no such partition.
            TooLargeError: together they are larger than `max_message_bytes`.
            BusyError: throttling is switched on and the rate is exceeded.
        """
        ...

    def start(self, partition_id: str, position: Position) -> int:
        """The sequence number from which a consumer at this position reads; it may not exist yet.

        Raises:
            NotFoundError: no such partition.
            ArgumentError: the position's value is not of its kind.
        """
        ...

    def read(self, partition_id: str, from_sequence_number: int, limit: int, max_bytes: int = 1 << 20) -> list[Event]:
        """Events from this sequence number on, in order, at most `limit`, and few enough to stay near `max_bytes`.

        Events that retention removed are passed over in silence, as the service does. An empty list: nothing there yet.
        """
        ...

    def state(self, partition_id: str) -> PartitionState:
        """What the partition holds now."""
        ...

    def subscribe(self, partition_id: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` after every append to this partition, until the returned function is called.

        `wake` is called within `append`: it must only schedule work.
        """
        ...


class EventHubs(Protocol):
    """The hubs of one namespace."""

    def names(self) -> tuple[str, ...]:
        """All hubs, in the order of the configuration."""
        ...

    def hub(self, name: str) -> EventHub:
        """The hub of this name; the service compares names without case.

        Raises:
            NotFoundError: there is none.
        """
        ...
