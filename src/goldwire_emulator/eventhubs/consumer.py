"""Receivers of a partition in a consumer group: where they begin, what they get, and which receiver takes a partition over."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Literal

from goldwire_emulator.amqp.endpoint import AmqpError, Delivery, Link, Settlement
from goldwire_emulator.amqp.message import annotated
from goldwire_emulator.amqp.performatives import State
from goldwire_emulator.amqp.values import Described, Timestamp
from goldwire_emulator.broker.port import Event, EventHub, Position
from goldwire_emulator.eventhubs.publisher import PARTITION_KEY

SELECTOR = "apache.org:selector-filter:string"
MOST_READERS = 5
"""Of a partition in a consumer group, without an epoch. Source: Event Hubs quotas."""

_LATEST = "@latest"
_EXPRESSION = re.compile(r"amqp\.annotation\.x-opt-(offset|sequence-number|enqueued-time(?:-utc)?)\s*(>=?)\s*'([^']*)'\s*")
_FIELDS: dict[str, Literal["offset", "sequence_number", "enqueued_at_ms"]] = {
    "offset": "offset",
    "sequence-number": "sequence_number",
    "enqueued-time": "enqueued_at_ms",
    "enqueued-time-utc": "enqueued_at_ms",
}

Slot = tuple[str, str, str]
"""Hub, consumer group and partition, in lower case."""


def position_of(filters: dict[str, Any] | None) -> Position:
    """Return where a receiver wants to begin; without a selector, at the oldest event.

    Args:
        filters: of the link's source.

    Raises:
        AmqpError: the selector is not one that the service takes.
    """
    selector = (filters or {}).get(SELECTOR)
    if isinstance(selector, Described):
        selector = selector.value
    if selector is None:
        return Position("offset", "-1")
    found = _EXPRESSION.fullmatch(str(selector))
    if found is None:
        raise AmqpError("com.microsoft:argument-error", f"the selector {selector!r} is not one of Event Hubs")
    field, operator, value = found.groups()
    if value == _LATEST:
        return Position("latest")
    if field == "offset":
        return Position("offset", value, inclusive=operator == ">=")
    try:
        return Position(_FIELDS[field], int(value), inclusive=operator == ">=")
    except ValueError as error:
        raise AmqpError("com.microsoft:argument-error", f"{value!r} is no number") from error


class Readers:
    """Holds which receiver reads which partition in which consumer group, by the rules of epochs.

    The receiver with the highest epoch has a partition for itself; a later one of the same epoch takes it over. Source:
    https://learn.microsoft.com/azure/event-hubs/event-hubs-event-processor-host, "Epoch".
    """

    def __init__(self) -> None:
        self._by_slot: defaultdict[Slot, list[Consumer]] = defaultdict(list)

    def admit(self, slot: Slot, epoch: int | None) -> None:
        """Check that a new receiver may come.

        Raises:
            AmqpError: a receiver with a higher epoch is there, or too many are.
        """
        there = self._by_slot[slot]
        highest = max((one.epoch for one in there if one.epoch is not None), default=None)
        if highest is not None and (epoch is None or epoch < highest):
            wanted = "no epoch" if epoch is None else f"epoch {epoch}"
            text = f"A receiver with a higher epoch '{highest}' already exists; one with {wanted} cannot be created."
            raise AmqpError("amqp:link:stolen", text)
        if epoch is None and len(there) >= MOST_READERS:
            text = (
                f"Exceeded the maximum number of allowed receivers per partition in a consumer group which is {MOST_READERS}."
            )
            raise AmqpError("amqp:resource-limit-exceeded", text)

    def enter(self, slot: Slot, newcomer: Consumer) -> None:
        """Take a receiver in; one with an epoch ends all others."""
        if newcomer.epoch is not None:
            for other in list(self._by_slot[slot]):
                text = (
                    f"New receiver with higher epoch of '{newcomer.epoch}' is created hence current receiver is disconnected."
                )
                other.stolen(AmqpError("amqp:link:stolen", text))
        self._by_slot[slot].append(newcomer)

    def leave(self, slot: Slot, leaver: Consumer) -> None:
        """Forget a receiver."""
        if leaver in self._by_slot[slot]:
            self._by_slot[slot].remove(leaver)


class Consumer:
    """What stands behind a receiver's link. An `OutgoingEndpoint`.

    Args:
        hub: has the events.
        slot: where it reads.
        partition_id: of the hub.
        start: the sequence number to begin with.
        epoch: its owner level, if it has one.
        readers: who else reads.
        now: POSIX seconds, for the time of the runtime metrics; None: the client did not ask for these.
    """

    def __init__(
        self,
        hub: EventHub,
        slot: Slot,
        partition_id: str,
        start: int,
        *,
        epoch: int | None,
        readers: Readers,
        now: Callable[[], float] | None,
    ) -> None:
        self._hub = hub
        self._slot = slot
        self._partition_id = partition_id
        self._next = start
        self.epoch = epoch
        self._readers = readers
        self._now = now
        self._sent = 0
        self._link: Link | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    def opened(self, link: Link) -> None:
        """Take the partition, and ask for a call after each append."""
        self._link = link
        self._readers.enter(self._slot, self)
        self._unsubscribe = self._hub.subscribe(self._partition_id, link.wake)

    def stolen(self, error: AmqpError) -> None:
        """Another receiver has the partition now."""
        if self._link is not None:
            self._link.detach(error)

    def take(self, credit: int) -> Sequence[Delivery]:
        """Return what comes next in the log. Events are sent settled: Event Hubs keeps no state of them."""
        events = self._hub.read(self._partition_id, self._next, credit)
        if not events:
            return ()
        self._next = events[-1].sequence_number + 1
        metrics = self._metrics()
        return [self._delivery(event, metrics) for event in events]

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[State]:
        """Nothing is ever unsettled here."""
        return [one.state for one in settlements]

    def closed(self) -> None:
        """Give the partition up."""
        self._unsubscribe()
        self._readers.leave(self._slot, self)

    def _delivery(self, event: Event, metrics: dict[str, Any] | None) -> Delivery:
        self._sent += 1
        annotations: dict[str, Any] = {
            "x-opt-sequence-number": event.sequence_number,
            "x-opt-offset": event.offset,
            "x-opt-enqueued-time": Timestamp(event.enqueued_at_ms),
        }
        if event.partition_key is not None:
            annotations[PARTITION_KEY] = event.partition_key
        payload = annotated(event.payload, annotations, delivery_annotations=metrics)
        return Delivery(self._sent.to_bytes(8, "big"), payload, settled=True)

    def _metrics(self) -> dict[str, Any] | None:
        """Return what the partition holds in all, for a client that asked for it."""
        if self._now is None:
            return None
        state = self._hub.state(self._partition_id)
        return {
            "last_enqueued_sequence_number": state.last_sequence_number,
            "last_enqueued_offset": state.last_offset,
            "last_enqueued_time_utc": Timestamp(state.last_enqueued_at_ms or 0),
            "runtime_info_retrieval_time_utc": Timestamp(int(self._now() * 1000)),
        }
