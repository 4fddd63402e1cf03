"""Senders to a hub or to one of its partitions: opens batches, finds keys, answers refusals."""

from __future__ import annotations

from collections.abc import Sequence

from goldwire_emulator.amqp.decoder import DecodeError
from goldwire_emulator.amqp.endpoint import AmqpError, Incoming, Link
from goldwire_emulator.amqp.message import BATCH_FORMAT, MESSAGE_ANNOTATIONS, section, unbatch
from goldwire_emulator.amqp.performatives import Accepted, Rejected, State
from goldwire_emulator.broker.port import EventHub, NewEvent
from goldwire_emulator.broker.refusals import RefusalError

PARTITION_KEY = "x-opt-partition-key"
_ACCEPTED = Accepted()


class Publisher:
    """What stands behind a sender's link. An `IncomingEndpoint`.

    Args:
        hub: takes the events.
        partition_id: of the link's address; None: the key decides, or the partitions take turns.
    """

    def __init__(self, hub: EventHub, partition_id: str | None) -> None:
        self._hub = hub
        self._partition_id = partition_id

    def opened(self, link: Link) -> None:
        """Nothing to prepare."""

    async def receive(self, deliveries: Sequence[Incoming]) -> Sequence[State]:
        """Append each delivery, a batch as a whole; what is accepted is durable."""
        return [self._append(delivery) for delivery in deliveries]

    def closed(self) -> None:
        """Nothing to end."""

    def _append(self, delivery: Incoming) -> State:
        try:
            key, events = _events(delivery)
            self._hub.append(events, partition_id=self._partition_id, partition_key=key)
        except DecodeError as error:
            return Rejected(AmqpError("amqp:decode-error", str(error)).as_error())
        except RefusalError as error:
            return Rejected(AmqpError(error.condition, error.description).as_error())
        return _ACCEPTED


def _events(delivery: Incoming) -> tuple[str | None, list[NewEvent]]:
    """Return the key that routes a delivery, and its events, each with its own key or else that of the batch."""
    key = _key(delivery.payload)
    if not delivery.payload:
        raise DecodeError("the event has no section")
    if delivery.message_format != BATCH_FORMAT:
        return key, [NewEvent(delivery.payload, key)]
    events = [NewEvent(payload, _key(payload) or key) for payload in unbatch(delivery.payload)]
    if not all(event.payload for event in events):
        raise DecodeError("an event of the batch has no section")
    if key is None and events:
        key = events[0].partition_key
    return key, events


def _key(payload: bytes) -> str | None:
    annotations = section(payload, MESSAGE_ANNOTATIONS)
    key = annotations.get(PARTITION_KEY) if annotations else None
    return key.decode() if isinstance(key, bytes) else key
