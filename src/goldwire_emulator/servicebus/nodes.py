"""The addresses of Service Bus: queues, topics, subscriptions, dead-letter queues, and `$management` of each."""

from __future__ import annotations

from typing import Any

from goldwire_emulator.amqp.endpoint import AmqpError, Attachment, AttachRequest, Direction, Node, Right
from goldwire_emulator.amqp.values import Described
from goldwire_emulator.broker.message_queue import MessageQueue
from goldwire_emulator.broker.service_bus import ServiceBus
from goldwire_emulator.servicebus.management import Management
from goldwire_emulator.servicebus.receiver import Receiver, SessionReceiver
from goldwire_emulator.servicebus.sender import Sender

MANAGEMENT = "/$management"
SESSION_FILTER = "com.microsoft:session-filter"
LOCKED_UNTIL = "com.microsoft:locked-until-utc"
TIMEOUT = "com.microsoft:timeout"
DEFAULT_TIMEOUT_MS = 60_000
"""How long an attach waits for a session if the client does not say."""
_TICKS_AT_1970 = 621_355_968_000_000_000
_TICKS_PER_MS = 10_000


def ticks(at_ms: int) -> int:
    """Return a time as .NET counts it: 100 nanoseconds since the year 1."""
    return _TICKS_AT_1970 + at_ms * _TICKS_PER_MS


def holder_name(connection_id: int, link_name: str) -> str:
    """Return the name of a session's holder, which is a link of a connection."""
    return f"{connection_id}/{link_name}"


class ServiceBusRouter:
    """Finds the nodes of a namespace's queues and topics. A `Router`.

    Args:
        bus: the namespace.
    """

    def __init__(self, bus: ServiceBus) -> None:
        self._bus = bus

    def __call__(self, address: str) -> Node | None:
        """Return the node of an address, or None if it names nothing of the namespace."""
        path = address.strip("/").lower()
        managed = path.endswith(MANAGEMENT)
        path = path.removesuffix(MANAGEMENT)
        if path not in self._bus.queues and path not in self._bus.entrances:
            return None
        return _ManagementNode(self._bus, path) if managed else _EntityNode(self._bus, path)


class _ManagementNode:
    """`ENTITY/$management`; each request checks the right that its operation needs."""

    def __init__(self, bus: ServiceBus, path: str) -> None:
        self._management = Management(bus, path)

    def rights(self, direction: Direction) -> frozenset[Right]:
        del direction
        return frozenset({Right.SEND, Right.LISTEN})

    async def attach(self, request: AttachRequest) -> Attachment:
        del request
        return Attachment(self._management)


class _EntityNode:
    """A queue, topic, subscription or dead-letter queue."""

    def __init__(self, bus: ServiceBus, path: str) -> None:
        self._bus = bus
        self._path = path

    def rights(self, direction: Direction) -> frozenset[Right]:
        return frozenset({Right.LISTEN if direction is Direction.OUTGOING else Right.SEND})

    async def attach(self, request: AttachRequest) -> Attachment:
        if request.direction is Direction.INCOMING:
            return self._sender()
        queue = self._bus.queues.get(self._path)
        if queue is None:
            raise AmqpError("amqp:not-allowed", f"'{self._path}' is a topic: receive from one of its subscriptions")
        filters = request.source.filters or {}
        if SESSION_FILTER in filters:
            return await self._session_receiver(queue, request, filters[SESSION_FILTER])
        if queue.settings.requires_session:
            text = f"'{self._path}' has sessions: a receiver must accept one (it cannot be received from without)"
            raise AmqpError("amqp:not-allowed", text)
        return Attachment(Receiver(self._bus, queue, delete=request.settled))

    def _sender(self) -> Attachment:
        entrance = self._bus.entrances.get(self._path)
        if entrance is None:
            text = f"'{self._path}' is not sent to: send to its queue or topic"
            raise AmqpError("amqp:not-allowed", text)
        sender = Sender(self._bus, entrance)
        return Attachment(sender, max_message_size_bytes=entrance.max_message_bytes, reject_larger=True)

    async def _session_receiver(self, queue: MessageQueue, request: AttachRequest, wanted: Any) -> Attachment:
        session = wanted.value if isinstance(wanted, Described) else wanted
        holder = holder_name(request.connection_id, request.link_name)
        receiver = SessionReceiver(self._bus, queue, self._bus.sessions[self._path], holder, delete=request.settled)
        timeout_ms = int(request.properties.get(TIMEOUT) or DEFAULT_TIMEOUT_MS)
        lock = await receiver.accept(None if session is None else str(session), timeout_ms / 1000)
        return Attachment(
            receiver,
            filters={**(request.source.filters or {}), SESSION_FILTER: lock.session_id},
            properties={LOCKED_UNTIL: ticks(lock.locked_until_ms)},
        )
