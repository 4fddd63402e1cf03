"""What a sender's link leads to: a queue or a topic, which takes messages and batches."""

from __future__ import annotations

from collections.abc import Sequence

from goldwire_emulator.amqp.decoder import DecodeError
from goldwire_emulator.amqp.endpoint import AmqpError, Incoming, Link
from goldwire_emulator.amqp.message import BATCH_FORMAT, unbatch
from goldwire_emulator.amqp.performatives import Accepted, Rejected, State
from goldwire_emulator.broker.entrance import Entrance
from goldwire_emulator.broker.refusals import RefusalError
from goldwire_emulator.broker.service_bus import ServiceBus
from goldwire_emulator.servicebus.message_codec import read


class Sender:
    """Takes messages for one entity. An `IncomingEndpoint`.

    Args:
        bus: of the entity.
        entrance: of the entity.
    """

    def __init__(self, bus: ServiceBus, entrance: Entrance) -> None:
        self._bus = bus
        self._entrance = entrance

    def opened(self, link: Link) -> None:
        """Nothing to do before the first message."""

    async def receive(self, deliveries: Sequence[Incoming]) -> Sequence[State]:
        """Store what has come, each delivery for itself; a batch is one delivery, stored as a whole or not at all."""
        with self._bus.together():
            return [self._store(delivery) for delivery in deliveries]

    def _store(self, delivery: Incoming) -> State:
        try:
            encoded = unbatch(delivery.payload) if delivery.message_format == BATCH_FORMAT else [delivery.payload]
            self._entrance.send([read(each) for each in encoded])
        except RefusalError as error:
            return Rejected(AmqpError(error.condition, error.description).as_error())
        except DecodeError as error:
            return Rejected(AmqpError("amqp:decode-error", str(error)).as_error())
        return Accepted()

    def closed(self) -> None:
        """Nothing is held."""
