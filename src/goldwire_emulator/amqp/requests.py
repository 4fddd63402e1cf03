"""Requests and their answers: the pair of links on a node such as `$cbs` or `$management`."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from goldwire_emulator.amqp.decoder import DecodeError
from goldwire_emulator.amqp.endpoint import (
    AmqpError,
    Delivery,
    Incoming,
    Link,
    Reply,
    Request,
    RequestEndpoint,
    Right,
    Settlement,
)
from goldwire_emulator.amqp.message import Message
from goldwire_emulator.amqp.performatives import Accepted, Properties, Rejected, State
from goldwire_emulator.amqp.values import Int, Symbol

_LOG = logging.getLogger(__name__)
_MOST_UNSENT_BYTES = 16 * 1024 * 1024
"""The most bytes of answers that wait for a client's credit."""


class Outbox:
    """The link on which a client wants its answers. An `OutgoingEndpoint`.

    Args:
        address: of the node.
        reply_to: the link's target, by which a request may name it.
    """

    def __init__(self, address: str, reply_to: str | None, forget: Callable[[Outbox], None]) -> None:
        self.address = address
        self.reply_to = reply_to
        self._forget = forget
        self._waiting: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._tags = count(1)
        self._link: Link | None = None

    def opened(self, link: Link) -> None:
        """Keep the link."""
        self._link = link

    def put(self, payload: bytes) -> None:
        """Send an answer when there is credit; a client that takes none while it asks on and on loses the link."""
        if self._link is None:
            return
        self._waiting.append(payload)
        self._unsent_bytes += len(payload)
        if self._unsent_bytes > _MOST_UNSENT_BYTES:
            text = f"more than {_MOST_UNSENT_BYTES} bytes of answers wait for credit; take them before asking for more"
            self._link.detach(AmqpError("amqp:resource-limit-exceeded", text))
        else:
            self._link.wake()

    def take(self, credit: int) -> Sequence[Delivery]:
        """Return the answers that wait."""
        taken = [self._waiting.popleft() for _ in range(min(credit, len(self._waiting)))]
        self._unsent_bytes -= sum(map(len, taken))
        return [Delivery(next(self._tags).to_bytes(4, "big"), payload, settled=True) for payload in taken]

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[State]:
        """Nothing is ever unsettled here."""
        return [one.state for one in settlements]

    def closed(self) -> None:
        """Forget the link, and what was to be sent on it."""
        self._link = None
        self._waiting.clear()
        self._forget(self)


class Inbox:
    """The link on which a client sends its requests. An `IncomingEndpoint`.

    Args:
        address: of the node.
        connection_id: the client's.
        endpoint: answers.
        outbox: finds where an answer goes, by the node's address and the request's `reply-to`.
        permits: says what the connection may do.
    """

    def __init__(
        self,
        address: str,
        connection_id: int,
        endpoint: RequestEndpoint,
        outbox: Callable[[str, str | None], Outbox | None],
        permits: Callable[[str, frozenset[Right]], bool],
    ) -> None:
        self._address = address
        self._connection_id = connection_id
        self._endpoint = endpoint
        self._outbox = outbox
        self._permits = permits
        self._waiting: deque[Message] = deque()
        self._task: asyncio.Task[None] | None = None

    def opened(self, link: Link) -> None:
        """Nothing to do before the first request."""

    async def receive(self, deliveries: Sequence[Incoming]) -> Sequence[State]:
        """Accept requests; they are answered one after the other, and a slow one does not hold up their acceptance."""
        states: list[State] = []
        for delivery in deliveries:
            try:
                self._waiting.append(Message.decode(delivery.payload))
                states.append(Accepted())
            except DecodeError as error:
                states.append(Rejected(AmqpError("amqp:decode-error", str(error)).as_error()))
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._answer_all())
        return states

    def closed(self) -> None:
        """Stop answering, since no client reads the answers."""
        if self._task is not None:
            self._task.cancel()

    async def _answer_all(self) -> None:
        while self._waiting:
            message = self._waiting.popleft()
            reply = await self._reply(message)
            asked = message.properties or Properties()
            outbox = self._outbox(self._address, asked.reply_to)
            if outbox is not None:
                outbox.put(_answer(asked, reply).encode())

    async def _reply(self, message: Message) -> Reply:
        given = message.application_properties
        request = Request(
            self._address,
            self._connection_id,
            message,
            _text(given.get("operation")),
            _text(given.get("type")),
            self._permits,
        )
        try:
            return await self._endpoint.answer(request)
        except AmqpError as error:
            return Reply(400, error.description, error.condition)
        except Exception:  # noqa: BLE001 - whatever a node raises is answered, it does not end the server; it is logged
            _LOG.exception("%s could not answer %s", self._address, request.operation)
            return Reply(500, "the emulator could not answer; its log says why", "amqp:internal-error")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")


def _answer(asked: Properties, reply: Reply) -> Message:
    """Return the message: Event Hubs and `$cbs` spell the status with a hyphen, Service Bus with a capital; both are sent."""
    properties: dict[Any, Any] = {
        "status-code": Int(reply.status),
        "statusCode": Int(reply.status),
        "status-description": reply.description,
        "statusDescription": reply.description,
    }
    if reply.condition:
        properties["error-condition"] = properties["errorCondition"] = Symbol(reply.condition)
    correlation = asked.correlation_id if asked.message_id is None else asked.message_id
    return Message(
        properties=Properties(correlation_id=correlation),
        application_properties=properties | reply.application_properties,
        value=reply.body,
    )
