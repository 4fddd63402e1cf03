"""The way of dead letters of a Service Bus back into their queue or topic: sent again, then taken out, one by one.

Each message is sent once, whatever becomes of its lock: one whose lock ended between the two steps is received again, and only
taken out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from goldwire.event.headers import short
from goldwire.targets.clients.extras import require

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusReceiver, ServiceBusSender

_AT_ONCE = 50
"""How many messages are locked at once, as long as no lock ends before its message's turn."""

_ROUNDS = 3
"""How often all that was received may come again, its locks ended, before the redrive counts as stuck."""

_NAMED = 1_000
"""How many of those that another reader holds are named at most."""

_PEEKED_AT_ONCE = 250

_WAIT_SECONDS = 5.0
"""How long an empty queue is waited at."""

_OF_THE_BROKER = frozenset({"DeadLetterReason", "DeadLetterErrorDescription"})
"""Properties that the broker adds to a dead letter; a message that is sent again has none."""

_NO_END_MS = 0xFFFFFFFF
"""A time to live that means none: the header has no room for more."""


class Redriven(Struct, frozen=True):
    """What a redrive did."""

    sent: int
    left: int
    """Messages that stay: not chosen, without a plain body, given up again meanwhile, or held by another reader. Those that it
    received have at least one delivery more on their count."""
    missing: list[int]
    """Numbers that were asked for and are not there."""
    refused: list[int]
    """Numbers that were asked for and stay: their message has no plain body, or another reader holds it. Where all were asked
    for, only the latter."""
    unsettled: list[int]
    """Numbers that were sent and stay all the same: their lock ended too early, and another reader holds them."""


class LocksEndTooSoonError(Exception):
    """The same messages come again and again, and no others."""


class Redrive:
    """One redrive: what it sent, and what it met that stays.

    What stays is locked to the end, or the next receive would bring it again instead of what follows. Where its lock ends it
    does come again, and is locked anew.

    Args:
        receiver: of the dead-letter queue.
        sender: to the queue or topic.
        sent: the numbers of what was sent are put here.
    """

    def __init__(self, receiver: ServiceBusReceiver, sender: ServiceBusSender, sent: set[int]) -> None:
        self._sdk: Any = require("azure.servicebus", extra="azure", used_by="a redrive")
        self._receiver = receiver
        self._sender = sender
        self._sent = sent
        self._ids: set[str] = set()
        self._kept: dict[int, ServiceBusReceivedMessage] = {}
        self._received: list[ServiceBusReceivedMessage] = []
        self._unsettled: set[int] = set()
        self._at_once = _AT_ONCE
        self._in_vain = 0

    async def everything(self) -> Redriven:
        """Send all of them, but not what came back meanwhile, which would never end.

        Raises:
            LocksEndTooSoonError: see there.
        """
        try:
            while await self._some(self._at_once, lambda message: message.message_id not in self._ids):
                pass
        finally:
            await self._give_back()
        return self._done([], sorted(await self._elsewhere()))

    async def these(self, wanted: set[int], there: Sequence[int]) -> Redriven:
        """Send those that a person named, whatever their ids: they were there before, and what comes back has another number.

        Args:
            wanted: their numbers.
            there: the numbers of all dead letters.

        Raises:
            LocksEndTooSoonError: see there.
        """
        present = wanted.intersection(there)
        on_the_way = sum(number <= max(present) for number in there) if present else 0
        try:
            while self._unsettled or not present <= self._sent | self._kept.keys():
                remaining = on_the_way - len(self._sent) - len(self._kept) + len(self._unsettled)
                if not await self._some(max(1, min(self._at_once, remaining)), lambda message: number_of(message) in wanted):
                    break
        finally:
            await self._give_back()
        return self._done(sorted(wanted - present), sorted(present - self._sent))

    def _done(self, missing: list[int], refused: list[int]) -> Redriven:
        left = len(self._kept.keys() | refused)
        return Redriven(len(self._sent), left, missing, refused, sorted(self._unsettled))

    async def _elsewhere(self) -> set[int]:
        """Return the numbers of those that are there and were not received: another reader holds them."""
        there = {number_of(message) async for message in peek(self._receiver, _NAMED) if message.message_id not in self._ids}
        return there - self._sent - self._kept.keys()

    async def _some(self, limit: int, chosen: Callable[[ServiceBusReceivedMessage], bool]) -> bool:
        """Receive up to so many and send what is chosen; return whether anything came.

        Raises:
            LocksEndTooSoonError: see there.
        """
        batch = await self._receiver.receive_messages(max_message_count=limit, max_wait_time=_WAIT_SECONDS)
        self._received = list(reversed(batch))
        while self._received:
            self._in_vain = 0 if await self._handle(self._received[-1], chosen) else self._in_vain + 1
            self._received.pop()
        if self._in_vain > _ROUNDS * max(_AT_ONCE, len(self._kept) + len(self._unsettled)):
            raise LocksEndTooSoonError
        return bool(batch)

    async def _handle(self, message: ServiceBusReceivedMessage, chosen: Callable[[ServiceBusReceivedMessage], bool]) -> bool:
        """Send a message that is chosen, and take it out; return whether that, or keeping it, was something new."""
        number = number_of(message)
        if number in self._sent:
            return await self._take_out(message)
        again = self._again(message) if number not in self._kept and chosen(message) else None
        if again is None:
            known = number in self._kept
            self._kept[number] = message
            return not known
        if _has_ended(message):
            self._be_quicker()
            return False
        await self._sender.send_messages(again)
        self._sent.add(number)
        self._ids.add(again.message_id or "")
        await self._take_out(message)
        return True

    async def _take_out(self, message: ServiceBusReceivedMessage) -> bool:
        """Complete a message that was sent; return False where its lock has ended: it will come again."""
        try:
            await self._receiver.complete_message(message)
        except self._sdk.exceptions.MessageLockLostError:
            self._unsettled.add(number_of(message))
            self._be_quicker()
            return False
        self._unsettled.discard(number_of(message))
        return True

    def _be_quicker(self) -> None:
        """Lock fewer at once, since locks end before the last of them has had its turn."""
        self._at_once = max(1, self._at_once // 2)

    async def _give_back(self) -> None:
        for message in (*self._kept.values(), *self._received):
            with suppress(Exception):  # its lock ends by itself
                await self._receiver.abandon_message(message)

    def _again(self, message: ServiceBusReceivedMessage) -> ServiceBusMessage | None:
        return sent_again(self._sdk, message)


def sent_again(sdk: Any, message: ServiceBusReceivedMessage) -> ServiceBusMessage | None:
    """Return what is sent for a dead letter: the same with another id; None where it has no plain body.

    Its time to live begins anew. It keeps neither what the broker added nor a scheduled time, which is over.

    Args:
        sdk: the module `azure.servicebus`.
        message: the dead letter.
    """
    if message.body_type != sdk.amqp.AmqpMessageBodyType.DATA:
        return None
    properties = {_text(name): _text(value) for name, value in (message.application_properties or {}).items()}
    made: ServiceBusMessage = sdk.ServiceBusMessage(
        b"".join(message.body),
        message_id=short(f"{message.message_id or ''}~d{message.sequence_number}"),
        correlation_id=message.correlation_id,
        content_type=message.content_type,
        subject=message.subject,
        session_id=message.session_id,
        partition_key=None if message.session_id else message.partition_key,
        to=message.to,
        reply_to=message.reply_to,
        reply_to_session_id=message.reply_to_session_id,
        application_properties={name: value for name, value in properties.items() if name not in _OF_THE_BROKER},
    )
    _keep_unnamed(message.raw_amqp_message, made.raw_amqp_message)
    return made


def _keep_unnamed(before: Any, made: Any) -> None:
    """Keep what the SDK's message has no name for: the encoding of the body, and a time to live that is not whole seconds."""
    if before.properties is not None:
        made.properties.content_encoding = before.properties.content_encoding
    life_ms = before.header.time_to_live if before.header is not None else None
    if life_ms is not None and life_ms < _NO_END_MS:
        made.header.time_to_live = life_ms


async def peek(receiver: ServiceBusReceiver, limit: int | None = None) -> AsyncIterator[ServiceBusReceivedMessage]:
    """Give the oldest messages, or all, and leave them as they are."""
    after, count = 1, 0  # of 0 the SDK makes the number of what was received last
    while limit is None or count < limit:
        at_once = _PEEKED_AT_ONCE if limit is None else min(limit - count, _PEEKED_AT_ONCE)
        some = await receiver.peek_messages(max_message_count=at_once, sequence_number=after)
        if not some:
            return
        for message in some:
            yield message
        after = number_of(some[-1]) + 1
        count += len(some)


def number_of(message: ServiceBusReceivedMessage) -> int:
    """Return the sequence number, which every message that came from a broker has."""
    number = message.sequence_number
    assert number is not None, "it came from a broker"
    return number


def _has_ended(message: ServiceBusReceivedMessage) -> bool:
    """Say whether a lock is over by this machine's clock: then the SDK will not take the message out, either."""
    until = message.locked_until_utc
    return until is not None and until <= datetime.now(UTC)


def _text(value: Any) -> Any:
    """Return a text that the SDK hands out as the bytes it came in; bytes that are none as the SDK can send them."""
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return bytearray(value)  # of `bytes` the SDK would try to make a text, and fail
