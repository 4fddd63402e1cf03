"""Subscribes to a queue or a topic of Service Bus. Needs `goldwire-consumer[azure]`.

A message is completed after the transaction that applied it, so a crash in between delivers it again, and the guard ignores it.
Poison goes to the broker's own dead-letter queue. With sessions an entity's messages come in order, to one consumer at a time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any, TypeVar

from goldwire_consumer.adapter.pace import Pace, Retry
from goldwire_consumer.consumer import Consumer, Result
from goldwire_consumer.errors import TryAgainError
from goldwire_consumer.extra import extra
from goldwire_consumer.message import Message, wire_headers

with extra("azure"):
    from azure.servicebus import (
        NEXT_AVAILABLE_SESSION,
        AutoLockRenewer,
        ServiceBusClient,
        ServiceBusReceivedMessage,
        ServiceBusReceiver,
    )
    from azure.servicebus.exceptions import (
        MessageAlreadySettled,
        MessageLockLostError,
        OperationTimeoutError,
        ServiceBusAuthenticationError,
        ServiceBusAuthorizationError,
        ServiceBusConnectionError,
        ServiceBusError,
        ServiceBusServerBusyError,
        SessionCannotBeLockedError,
        SessionLockLostError,
    )

T = TypeVar("T")

_LOG = logging.getLogger("goldwire_consumer")

_REASON_CHARACTERS_MAX = 4096
"""Of a dead letter's reason and description (Service Bus quotas)."""

_MORE_SECONDS = 0.1
"""How long to wait for more of a session that gave something: it is mostly one entity's, and others wait for their turn."""

_LOOK_SECONDS = 0.2
"""How often to look whether the end is asked for, while other threads work."""

_PASSING = (
    MessageAlreadySettled, MessageLockLostError, OperationTimeoutError, ServiceBusConnectionError, ServiceBusServerBusyError,
    SessionCannotBeLockedError, SessionLockLostError,
)  # fmt: skip
"""The message comes again by itself, to the receiver that holds it next."""

_REFUSED = (ServiceBusAuthenticationError, ServiceBusAuthorizationError)
"""A person must mend the credential, unless it was good before: then a token came late, or a key is being changed."""


class ServiceBusSubscription:
    """Runs a consumer on a queue, or on a subscription of a topic."""

    def __init__(
        self,
        consumer: Consumer[T],
        client: ServiceBusClient,
        *,
        queue: str | None = None,
        topic: str | None = None,
        subscription: str | None = None,
        sessions: bool = True,
        sessions_at_once: int = 1,
        lock_seconds_max: float = 3600,
        pace: Pace | None = None,
    ) -> None:
        """Say what to subscribe to.

        Args:
            consumer: takes the messages. With `Settings.dead_letters` at `returned`, dead letters and events that wait behind a
                gap go to the broker's dead-letter queue; else they go where the settings say, and the message is completed.
            client: of the SDK; the caller closes it. Make it with `retry_total=0`: while no session has a message, a new one
                and the end would wait for the SDK's own retries.
            queue: its name; or
            topic: its name, and
            subscription: its name.
            sessions: whether the entity has sessions. Without them Service Bus keeps no order among several consumers, and
                events that overtake each other are parked.
            sessions_at_once: how many are worked on side by side, each in a thread with a sibling of the consumer. The handler
                is then called in several threads, in each with another connection.
            lock_seconds_max: how long locks are renewed at most, while a batch is processed or the database is away.
            pace: how much at once.

        Raises:
            ValueError: neither a queue nor a topic with its subscription; several at once, and no sessions to keep them apart.
        """
        if (queue is None) is (topic is None or subscription is None):
            raise ValueError("give a queue, or a topic and a subscription of it")
        if sessions_at_once < 1 or (sessions_at_once > 1 and not sessions):
            raise ValueError(f"sessions_at_once is {sessions_at_once}: give 1 or more, and more than 1 only with sessions")
        self._consumer = consumer
        self._pace = pace or Pace(batch=50)
        self._lock_seconds = lock_seconds_max
        self._sessions = sessions
        self._sessions_at_once = sessions_at_once
        self._let_in = False
        self._client_lock = threading.Lock()  # the SDK promises nothing to threads that share a client
        more: dict[str, Any] = {"session_id": NEXT_AVAILABLE_SESSION} if sessions else {}
        more["max_wait_time"] = self._pace.wait_seconds
        self._open: Callable[[AutoLockRenewer | None], ServiceBusReceiver]
        if queue is not None:
            self._open = lambda renewer: client.get_queue_receiver(queue, auto_lock_renewer=renewer, **more)
        elif topic is not None and subscription is not None:
            self._open = lambda renewer: client.get_subscription_receiver(
                topic, subscription, auto_lock_renewer=renewer, **more
            )

    def run(self, stop: threading.Event | None = None) -> None:
        """Take messages until the end is asked for.

        Args:
            stop: set it to end after the batch at hand.

        Raises:
            StoppedError: see `Consumer.process`; the messages at hand were not completed. Other sessions end after theirs.
            azure.servicebus.exceptions.ServiceBusError: the client cannot go on: credentials that were never good, no such
                entity.
        """
        stop = stop or threading.Event()
        if self._sessions_at_once == 1:
            self._take(self._consumer, stop)
            return
        end = threading.Event()
        with ThreadPoolExecutor(self._sessions_at_once, "goldwire-session") as threads:
            running: list[Future[None]] = []
            try:
                for _ in range(self._sessions_at_once):
                    running.append(threads.submit(self._take, self._consumer.sibling(), end))  # noqa: PERF401 - in case one fails
                while not stop.is_set() and not wait(running, _LOOK_SECONDS, FIRST_COMPLETED).done:
                    pass
            finally:
                end.set()
        for one in running:
            one.result()

    def _take(self, consumer: Consumer[Any], stop: threading.Event) -> None:
        """Take one session after another."""
        retry = Retry(self._pace, stop)
        # One for all sessions: to end one takes the SDK half a second.
        with AutoLockRenewer(max_lock_renewal_duration=self._lock_seconds) as renewer:
            while not stop.is_set():
                retry.attempt(lambda: self._session(consumer, renewer, stop))

    def _session(self, consumer: Consumer[Any], renewer: AutoLockRenewer, stop: threading.Event) -> bool:
        """Take a session's messages until it has none for a while; without sessions, until there are none for a while.

        Raises:
            TryAgainError: something is away, or a lock was lost.
        """
        wait_seconds = self._pace.wait_seconds
        try:
            with self._client_lock:
                opening = self._open(renewer)
            with opening as receiver:
                self._let_in = True
                while not stop.is_set():
                    found = receiver.receive_messages(self._pace.batch, max_wait_time=wait_seconds)
                    if not found:
                        return True
                    self._batch(consumer, receiver, found, stop)
                    if self._sessions:
                        wait_seconds = min(wait_seconds, _MORE_SECONDS)
        except OperationTimeoutError:
            self._let_in = True
            return True  # no session has a message
        except (*_PASSING, *_REFUSED) as error:
            if isinstance(error, _REFUSED) and not self._let_in:
                raise
            raise TryAgainError(f"Service Bus: {type(error).__name__}") from error
        return True

    def _batch(
        self,
        consumer: Consumer[Any],
        receiver: ServiceBusReceiver,
        found: list[ServiceBusReceivedMessage],
        stop: threading.Event,
    ) -> None:
        """Process and settle; while the subscriber's database is away, hold the messages.

        To give them back would count as a delivery, and after some the broker dead-letters what is good. A session that is
        closed gives its messages back without counting (Service Bus, "Message delivery count" of sessions).
        """
        retry = Retry(self._pace, stop)
        results = None
        try:
            while results is None and not stop.is_set():
                results = retry.attempt(partial(consumer.process, [message(one) for one in found]))
        finally:
            if results is None and not self._sessions:
                _release(receiver, found)
        for one, result in zip(found, results or (), strict=results is not None):
            self._settle(receiver, one, result)

    def _settle(self, receiver: ServiceBusReceiver, received: ServiceBusReceivedMessage, result: Result) -> None:
        if result.letter is not None and self._consumer.settings.dead_letters == "returned":
            receiver.dead_letter_message(
                received,
                reason=f"goldwire_consumer: {result.letter.kind}",
                error_description=result.letter.text[:_REASON_CHARACTERS_MAX],
            )
        else:
            receiver.complete_message(received)


def message(received: ServiceBusReceivedMessage) -> Message:
    """Return a message of Service Bus as the consumer takes it."""
    body: Any = received.body
    content = body if isinstance(body, bytes) else b"".join(_parts(body))
    names = {
        "messageId": received.message_id,
        "correlationId": received.correlation_id,
        "contentType": received.content_type,
        "subject": received.subject,
    }
    return Message(
        body=content,
        headers=wire_headers(received.application_properties, names),
        source=f"sequence number {received.sequence_number}",
    )


def _parts(body: Any) -> Iterable[bytes]:
    """The sections of a body; one that is no bytes (an AMQP value) becomes no event."""
    if isinstance(body, str):
        return [body.encode()]
    if isinstance(body, Iterable):
        return [part for part in body if isinstance(part, bytes)]
    return []


def _release(receiver: ServiceBusReceiver, found: list[ServiceBusReceivedMessage]) -> None:
    """Give messages back at once, last one first: the broker puts each where it was."""
    for one in reversed(found):
        try:
            receiver.abandon_message(one)
        except (ServiceBusError, ValueError) as error:
            _LOG.warning("service bus: a message comes again when its lock ends: %s", type(error).__name__)
            return
