"""The dead-letter queue of a Service Bus queue or subscription: what subscribers gave up, and the way back into the queue.

These are the broker's dead letters: the event was delivered to the broker, and a subscriber could not digest it. Goldwire's own
are deliveries that never got there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError, GoldwireError
from goldwire.event.headers import short
from goldwire.target.azure import explained
from goldwire.target.extras import require
from goldwire.target.service_bus import BusEntity, ServiceBusSettings

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

_AT_ONCE = 50
"""How many messages are locked at once: all of them are sent long before the first lock ends."""

_PEEKED_AT_ONCE = 250

_WAIT_SECONDS = 5.0
"""How long an empty queue is waited at."""

_OF_THE_BROKER = frozenset({"DeadLetterReason", "DeadLetterErrorDescription"})
"""Properties that the broker adds to a dead letter; a message that is sent again has none."""


class DeadMessage(Struct, frozen=True):
    """One dead letter of the broker, without its body."""

    sequence_number: int
    message_id: str | None
    subject: str | None
    session_id: str | None
    reason: str | None
    """What the subscriber or the broker gave as reason; its description is left out, since it may repeat values."""
    delivery_count: int
    enqueued_at: str | None


class Redriven(Struct, frozen=True):
    """What a redrive did."""

    sent: int
    left: int
    """Messages that were met and stay: not chosen, without a plain body, or given up again while the redrive went on. Each of
    them has one delivery more on its count."""
    missing: list[int]
    """Numbers that were asked for and are not there."""
    refused: list[int]
    """Numbers that were asked for and stay: their message has no plain body, or another reader holds it."""


class BrokerDeadLetters:
    """The dead letters of one target's queue, or of one subscription of its topic.

    Args:
        name: the target's.
        settings: its settings, with a credential that has Listen; a redrive needs Send as well.
        subscription: of a topic, whose dead letters.

    Raises:
        ConfigError: a topic without a subscription, a queue with one, or a connection string that does not fit.
    """

    def __init__(self, name: str, settings: ServiceBusSettings, subscription: str | None) -> None:
        if (settings.topic is None) != (subscription is None):
            wrong = "a topic: name a subscription, which has the dead letters" if settings.topic else "a queue, without any"
            raise ConfigError(f"target '{name}': it is {wrong}")
        self._sdk: Any = require("azure.servicebus", extra="azure", used_by=f"target '{name}'")
        self._what = f"target '{name}': the dead letters of {subscription or settings.entity}"
        self._entity = BusEntity(name, settings, SystemClock())
        self._settings = settings
        self._subscription = subscription

    async def look(self, limit: int) -> list[DeadMessage]:
        """Return the oldest dead letters, and leave them as they are.

        Args:
            limit: the most that are returned.

        Raises:
            GoldwireError: not reachable; ConfigError: the credential must not read it, or it does not exist.
        """
        async with self._client() as client, self._receiver(client) as receiver:
            return [_told(message) async for message in _peek(receiver, limit)]

    async def redrive(self, sequence_numbers: Collection[int] | None) -> Redriven:
        """Send dead letters to the queue or topic again, oldest first, and take them out of the dead-letter queue.

        The body is the same. The message id ends in `~d` and the dead letter's sequence number: duplicate detection lets it
        through, and holds back a second copy where this is interrupted between the two steps and repeated.

        A dead letter cannot be received by its number. Those that are in the way are received too, and given back, which counts
        as a delivery of them (a dead-letter queue sets no limit to that). Of what lies behind the last one asked for, none is.

        Args:
            sequence_numbers: which; None for all.

        Raises:
            GoldwireError: not reachable; ConfigError: the credential must not read, or must not send.
        """
        async with self._client() as client, self._receiver(client) as receiver, self._sender(client) as sender:
            if sequence_numbers is None:
                return await _Redrive(receiver, sender, self._again).everything()
            there = [_number(message) async for message in _peek(receiver)]
            return await _Redrive(receiver, sender, self._again).these(set(sequence_numbers), there)

    def _again(self, message: ServiceBusReceivedMessage) -> ServiceBusMessage | None:
        if message.body_type != self._sdk.amqp.AmqpMessageBodyType.DATA:
            return None
        properties = {_text(name): _text(value) for name, value in (message.application_properties or {}).items()}
        made: ServiceBusMessage = self._sdk.ServiceBusMessage(
            b"".join(message.body),
            message_id=short(f"{message.message_id}~d{message.sequence_number}"),
            correlation_id=message.correlation_id,
            content_type=message.content_type,
            subject=message.subject,
            session_id=message.session_id,
            partition_key=None if message.session_id else message.partition_key,
            application_properties={name: value for name, value in properties.items() if name not in _OF_THE_BROKER},
        )
        return made

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[ServiceBusClient]:
        try:
            async with self._entity.new_client() as client:
                yield client
        except GoldwireError:
            raise
        except Exception as error:  # noqa: BLE001 - of the SDK, of its credential or of the system
            why = explained(error, self._what)
            if isinstance(why, ConfigError):
                raise ConfigError(f"{why}; to read dead letters a policy needs Listen, and to redrive them Send too") from None
            raise GoldwireError(f"{why}; try again") from None
        finally:
            await self._entity.close()

    def _receiver(self, client: ServiceBusClient) -> ServiceBusReceiver:
        dead: Any = self._sdk.ServiceBusSubQueue.DEAD_LETTER
        if self._subscription is None:
            return client.get_queue_receiver(self._settings.entity, sub_queue=dead)
        return client.get_subscription_receiver(self._settings.entity, self._subscription, sub_queue=dead)

    def _sender(self, client: ServiceBusClient) -> Any:
        if self._subscription is None:
            return client.get_queue_sender(self._settings.entity)
        return client.get_topic_sender(self._settings.entity)


class _Redrive:
    """One redrive: what it sent, and what it met that stays.

    What stays is locked to the end, or the next receive would bring it again instead of what follows.
    """

    def __init__(
        self,
        receiver: ServiceBusReceiver,
        sender: ServiceBusSender,
        again: Callable[[ServiceBusReceivedMessage], ServiceBusMessage | None],
    ) -> None:
        self._receiver = receiver
        self._sender = sender
        self._again = again
        self._sent: set[int] = set()
        self._ids: set[str] = set()
        self._kept: dict[int, ServiceBusReceivedMessage] = {}

    async def everything(self) -> Redriven:
        """Send all of them, but not what came back meanwhile: it would go round and round."""
        try:
            while await self._some(_AT_ONCE, lambda message: message.message_id not in self._ids):
                pass
        finally:
            await self._give_back()
        return Redriven(len(self._sent), len(self._kept), [], [])

    async def these(self, wanted: set[int], there: Sequence[int]) -> Redriven:
        """Send those that a person named, whatever their ids: they were there before, and what comes back has another number.

        Args:
            wanted: their numbers.
            there: the numbers of all dead letters.
        """
        present = wanted.intersection(there)
        on_the_way = sum(number <= max(present) for number in there) if present else 0
        try:
            while not present <= self._sent | self._kept.keys():
                limit = max(1, min(_AT_ONCE, on_the_way - len(self._sent) - len(self._kept)))
                if not await self._some(limit, lambda message: _number(message) in wanted):
                    break
        finally:
            await self._give_back()
        return Redriven(len(self._sent), len(self._kept), sorted(wanted - present), sorted(present - self._sent))

    async def _some(self, limit: int, chosen: Callable[[ServiceBusReceivedMessage], bool]) -> bool:
        """Receive up to so many and send what is chosen; return whether there was something new."""
        batch = await self._receiver.receive_messages(max_message_count=limit, max_wait_time=_WAIT_SECONDS)
        fresh = [message for message in batch if _number(message) not in self._kept]
        for message in fresh:
            again = self._again(message) if chosen(message) else None
            if again is None:
                self._kept[_number(message)] = message
                continue
            await self._sender.send_messages(again)
            await self._receiver.complete_message(message)
            self._sent.add(_number(message))
            self._ids.add(again.message_id or "")
        return bool(fresh)

    async def _give_back(self) -> None:
        for message in self._kept.values():
            with suppress(Exception):  # its lock ends by itself
                await self._receiver.abandon_message(message)


async def _peek(receiver: ServiceBusReceiver, limit: int | None = None) -> AsyncIterator[ServiceBusReceivedMessage]:
    """Give the oldest messages, or all, and leave them as they are."""
    after = count = 0
    while limit is None or count < limit:
        at_once = _PEEKED_AT_ONCE if limit is None else min(limit - count, _PEEKED_AT_ONCE)
        some = await receiver.peek_messages(max_message_count=at_once, sequence_number=after)
        if not some:
            return
        for message in some:
            yield message
        after = _number(some[-1]) + 1
        count += len(some)


def _told(message: ServiceBusReceivedMessage) -> DeadMessage:
    at = message.enqueued_time_utc
    return DeadMessage(
        _number(message),
        message.message_id,
        message.subject,
        message.session_id,
        message.dead_letter_reason,
        message.delivery_count or 0,
        at.isoformat() if at is not None else None,
    )


def _number(message: ServiceBusReceivedMessage) -> int:
    """Return the sequence number, which every message that came from a broker has."""
    number = message.sequence_number
    assert number is not None, "it came from a broker"
    return number


def _text(value: Any) -> Any:
    """Return a text that the SDK hands out as the bytes it came in."""
    return value.decode() if isinstance(value, bytes) else value
