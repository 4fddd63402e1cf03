"""What a receiver's link leads to: a queue, subscription or dead-letter queue, which hands out messages and takes decisions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count
from uuid import UUID

from goldwire_emulator.amqp.endpoint import AmqpError, Delivery, Link, Settlement
from goldwire_emulator.amqp.performatives import State
from goldwire_emulator.broker.message import StoredMessage
from goldwire_emulator.broker.message_queue import MessageQueue
from goldwire_emulator.broker.refusals import RefusalError, SessionLockLostError
from goldwire_emulator.broker.service_bus import ServiceBus
from goldwire_emulator.broker.sessions import SessionLock, Sessions
from goldwire_emulator.servicebus.message_codec import write
from goldwire_emulator.servicebus.settlement import settle


class Receiver:
    """Hands out the messages of one entity. An `OutgoingEndpoint`.

    Args:
        bus: of the entity.
        queue: the entity.
        delete: messages are gone when they are sent (receive and delete).
    """

    def __init__(self, bus: ServiceBus, queue: MessageQueue, *, delete: bool) -> None:
        self._bus = bus
        self._queue = queue
        self._delete = delete
        self._tags = count(1)
        self._link: Link | None = None
        self._stop: Callable[[], None] = lambda: None

    def opened(self, link: Link) -> None:
        """Listen for messages."""
        self._link = link
        self._stop = self._queue.waiting.add(link.wake)

    def take(self, credit: int) -> Sequence[Delivery]:
        """Lock or delete what there is, up to the credit."""
        try:
            return [self._delivery(each) for each in self._received(credit)]
        except RefusalError as error:
            raise AmqpError(error.condition, error.description) from error

    def _received(self, limit: int) -> Sequence[StoredMessage]:
        return self._queue.receive(limit, delete=self._delete)

    def _delivery(self, message: StoredMessage) -> Delivery:
        payload = write(message, locked_until_ms=message.locked_until_ms)
        if message.lock_token is None:
            return Delivery(next(self._tags).to_bytes(16, "big"), payload, settled=True)
        # The SDKs read the lock token from the tag, as the bytes of a .NET Guid.
        return Delivery(message.lock_token.bytes_le, payload)

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[State]:
        """Do what the receiver decided, in its order."""
        with self._bus.together():
            return [settle(self._queue, UUID(bytes_le=each.tag), each.state) for each in settlements]

    def closed(self) -> None:
        """Listen no more. Messages that are not settled stay locked until their locks end, as in the service."""
        self._stop()
        self._link = None


class SessionReceiver(Receiver):
    """Hands out the messages of one session, whose lock it holds as long as its link lasts.

    Args:
        sessions: of the entity.
        holder: names the link.
        bus, queue, delete: as of `Receiver`.
    """

    def __init__(self, bus: ServiceBus, queue: MessageQueue, sessions: Sessions, holder: str, *, delete: bool) -> None:
        super().__init__(bus, queue, delete=delete)
        self._sessions = sessions
        self._holder = holder
        self._lock: SessionLock | None = None

    async def accept(self, session_id: str | None, timeout_seconds: float) -> SessionLock:
        """Lock the session, or wait for the next that has a message.

        Raises:
            AmqpError: another holds it; or none came in time.
        """
        changed = asyncio.Event()
        stop = self._queue.waiting.add(changed.set)
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    changed.clear()
                    lock = self._sessions.accept(session_id, self._holder, self._lost)
                    if lock is not None:
                        self._lock = lock
                        return lock
                    await changed.wait()
        except TimeoutError:
            text = f"no session of '{self._queue.path}' had a message within {timeout_seconds:g} seconds"
            raise AmqpError("com.microsoft:timeout", text) from None
        except RefusalError as error:
            raise AmqpError(error.condition, error.description) from error
        finally:
            stop()

    def _received(self, limit: int) -> Sequence[StoredMessage]:
        if self._lock is None or not self._sessions.holds(self._lock):
            raise SessionLockLostError(f"the lock on the session of '{self._queue.path}' is lost; accept it again")
        return self._queue.receive(limit, session=self._lock.session_id, delete=self._delete)

    def _lost(self) -> None:
        if self._link is not None:
            self._link.detach(AmqpError("com.microsoft:session-lock-lost", "the session's lock ended; accept it again"))

    def closed(self) -> None:
        """Give the session back."""
        super().closed()
        if self._lock is not None:
            self._sessions.release(self._lock)
