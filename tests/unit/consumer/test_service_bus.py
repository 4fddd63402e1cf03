"""How a subscription uses the Service Bus SDK, against a client that keeps what it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Self

import pytest
from azure.servicebus import NEXT_AVAILABLE_SESSION, AutoLockRenewer

from goldwire.testing.events import chain
from goldwire_consumer import Consumer, SqliteStore, TryAgainError
from goldwire_consumer.adapter.pace import Pace
from goldwire_consumer.adapter.service_bus import ServiceBusSubscription

QUICK = Pace(retry_seconds=0.001, wait_seconds=0.25)


class Bus:
    """Stands for the SDK's client and its receiver: it gives some messages once."""

    def __init__(self, messages: list[Any], at_end: Callable[[], None]) -> None:
        self._messages = messages
        self._at_end = at_end
        self.asked: list[tuple[tuple[str, ...], dict[str, Any]]] = []
        self.completed: list[Any] = []
        self.abandoned: list[Any] = []
        self.waits: list[float] = []

    def get_queue_receiver(self, *names: str, **settings: Any) -> Bus:
        self.asked.append((names, settings))
        return self

    get_subscription_receiver = get_queue_receiver

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def receive_messages(self, _count: int, *, max_wait_time: float) -> list[Any]:
        self.waits.append(max_wait_time)
        if not self._messages:
            self._at_end()
        found, self._messages = self._messages, []
        return found

    def complete_message(self, message: Any) -> None:
        self.completed.append(message)

    def abandon_message(self, message: Any) -> None:
        self.abandoned.append(message)


def received(*cities: str) -> list[Any]:
    return [
        SimpleNamespace(
            body=event.body, message_id=None, correlation_id=None, content_type=None, subject=None, application_properties=None,
            sequence_number=event.version,
        )
        for event in chain(*cities)
    ]  # fmt: skip


@pytest.fixture
def store() -> Any:
    made = SqliteStore(":memory:")
    yield made
    made.close()


@pytest.mark.parametrize("where", [{"queue": "customers"}, {"topic": "customers", "subscription": "billing"}])
@pytest.mark.parametrize("sessions", [True, False])
def test_the_locks_of_a_queue_and_of_a_subscription_are_renewed(store: Any, where: dict[str, str], sessions: bool) -> None:
    stop = threading.Event()
    messages = received("Ulm", "Bonn")
    bus: Any = Bus(list(messages), stop.set)
    consumer = Consumer(store, lambda _event, _connection: None)
    ServiceBusSubscription(consumer, bus, **where, sessions=sessions, pace=QUICK).run(stop)
    [(names, settings)] = bus.asked
    assert names == tuple(where.values())
    assert isinstance(settings.pop("auto_lock_renewer"), AutoLockRenewer)
    assert settings == {"max_wait_time": 0.25} | ({"session_id": NEXT_AVAILABLE_SESSION} if sessions else {})
    assert (bus.completed, bus.abandoned) == (messages, [])
    assert bus.waits == [0.25, 0.1 if sessions else 0.25], "others wait for a session that is open"


@pytest.mark.parametrize("sessions", [True, False])
def test_what_cannot_be_applied_before_the_end_is_given_back_last_one_first(store: Any, sessions: bool) -> None:
    stop = threading.Event()

    def away(_event: Any, _connection: Any) -> None:
        stop.set()
        raise TryAgainError("the database is away")

    messages = received("Ulm", "Bonn", "Kiel")
    bus: Any = Bus(list(messages), stop.set)
    ServiceBusSubscription(
        Consumer(store, away, sleep=lambda _: None), bus, queue="customers", sessions=sessions, pace=QUICK
    ).run(stop)
    assert bus.completed == []
    assert bus.abandoned == ([] if sessions else messages[::-1]), "a session that is closed gives its messages back"
