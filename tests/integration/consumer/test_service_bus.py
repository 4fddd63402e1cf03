"""The Service Bus adapter with the real SDK, against the local peer: sessions, dead letters, processes that die, locks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusSubQueue

from goldwire.event.headers import headers
from goldwire.event.sealed import SealedEvent
from goldwire_consumer import Consumer, GapDetected, Message, RejectedError, Result, Settings, TryAgainError
from goldwire_consumer.adapter.pace import Pace
from goldwire_consumer.adapter.service_bus import ServiceBusSubscription, message
from support.histories import customers

RETURNED = Settings(dead_letters="returned")
BATCH = 50


def message_of(event: SealedEvent, *, session: bool, replay_id: str | None = None) -> ServiceBusMessage:
    beside = headers(event, replay_id=replay_id)
    key = beside.pop("partitionKey")
    return ServiceBusMessage(
        event.body,
        message_id=beside.pop("messageId"),
        correlation_id=beside.pop("correlationId"),
        content_type=beside.pop("contentType"),
        subject=beside.pop("subject"),
        session_id=key if session else None,
        application_properties=dict(beside),
    )


def send(peer: Any, events: list[SealedEvent], *, queue: str = "customers", topic: str | None = None) -> None:
    with ServiceBusClient.from_connection_string(peer.address()) as client:
        opened = client.get_topic_sender(topic) if topic else client.get_queue_sender(queue)
        with opened as sender:
            for index in range(0, len(events), BATCH):
                sender.send_messages([message_of(event, session=queue != "plain") for event in events[index : index + BATCH]])


def versions(events: list[SealedEvent]) -> dict[str, int]:
    return {event.entity_id: event.version for event in events}


def each(events: list[SealedEvent]) -> list[tuple[str, int]]:
    return sorted((event.entity_id, event.version) for event in events)


class Run:
    """A subscription with a client of its own."""

    def __init__(self, peer: Any, rows: Any, pace: Pace | None = None, **where: Any) -> None:
        self.peer, self.rows, self.where = peer, rows, where or {"queue": "customers"}
        self.pace = pace or Pace(batch=10, wait_seconds=0.3, retry_seconds=0.01)

    def run(self, stop: Any) -> None:
        with ServiceBusClient.from_connection_string(self.peer.address(), retry_total=0) as client:
            ServiceBusSubscription(self.rows.consumer, client, pace=self.pace, **self.where).run(stop)


def dead_letters(peer: Any, queue: str = "customers") -> list[tuple[str, str, bytes]]:
    """Reason, description and body of what the broker holds as dead."""
    with (
        ServiceBusClient.from_connection_string(peer.address()) as client,
        client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver,
    ):
        found = receiver.peek_messages(100)
        return [(one.dead_letter_reason, one.dead_letter_error_description, message(one).body) for one in found]


def active(peer: Any, queue: str, session: str | None = None) -> int:
    """How many messages a queue, or one session of it, still holds."""
    with (
        ServiceBusClient.from_connection_string(peer.address()) as client,
        client.get_queue_receiver(queue, session_id=session) as receiver,
    ):
        return len(receiver.peek_messages(100))


@pytest.mark.parametrize("sessions_at_once", [1, 4])
def test_a_subscriber_that_is_killed_at_random_ends_with_the_right_table(
    peer: Any, database: Any, subscriber: Callable[..., Any], sessions_at_once: int
) -> None:
    history = customers(61, 6, 150)
    send(peer, history.events[:100])
    at_once = ("--sessions-at-once", str(sessions_at_once))
    mirror = subscriber("service-bus", peer.address(), database.url, "--risk", "0.3", *at_once)
    mirror.survive(database, versions(history.events[:100]))
    send(peer, history.events[100:])
    mirror.survive(database, versions(history.events))
    assert mirror.deaths > 0
    assert database.table == history.table
    assert database.journal == each(history.events)
    assert dead_letters(peer) == []


def test_two_subscribers_share_the_sessions(peer: Any, database: Any, subscriber: Callable[..., Any]) -> None:
    history = customers(62, 8, 120)
    both = [subscriber("service-bus", peer.address(), database.url) for _ in range(2)]
    database.wait_until(lambda: database.clients == len(both))
    send(peer, history.events)
    database.wait_for(versions(history.events))
    assert database.table == history.table
    assert database.journal == each(history.events)
    for one in both:
        one.end()
    assert dead_letters(peer) == []


class Meeting(Consumer[Any]):
    """Processes nothing before four of its kind have something to process."""

    together: ClassVar = threading.Barrier(4)

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._met = False

    def process(self, messages: Iterable[Message]) -> list[Result]:
        if not self._met:
            self.together.wait(60)
            self._met = True
        return super().process(messages)


def test_sessions_are_worked_on_side_by_side(peer: Any, rows: Callable[..., Any]) -> None:
    """Of four entities each has its first event at hand at the same moment; none of them could go on alone."""
    events = customers(70, 4, 60).events
    send(peer, events)
    mirror = rows(len(events), RETURNED)
    mirror.consumer = Meeting(mirror.store, mirror._handle, RETURNED)
    mirror.run(Run(peer, mirror, queue="customers", sessions_at_once=4))
    assert mirror.error is None
    for entity_id in versions(events):
        own = [event.version for event in events if event.entity_id == entity_id]
        assert [version for found, version in mirror.seen if found == entity_id] == own
    assert len(mirror.seen) == len(events)
    assert dead_letters(peer) == []


def test_poison_in_one_session_holds_up_no_other(peer: Any, rows: Callable[..., Any]) -> None:
    """Between two attempts at the poison every event of the other three sessions is applied."""
    bad = customers(72, 1, 1).events[0]
    others = customers(73, 3, 30).events
    send(peer, [bad, *others])
    mirror = rows(len(others), RETURNED)
    missing, applied, waited = set(each(others)), threading.Event(), []

    def fault(event: Any) -> None:
        if event.entity_id == bad.entity_id:
            raise RuntimeError
        missing.discard((event.entity_id, event.version))
        if not missing:
            applied.set()

    mirror.fault = fault
    mirror.consumer = Meeting(mirror.store, mirror._handle, RETURNED, sleep=lambda _: waited.append(applied.wait(60)))
    mirror.run(Run(peer, mirror, queue="customers", sessions_at_once=4))
    assert mirror.error is None
    assert waited == [True] * (RETURNED.attempts - 1)
    assert sorted(mirror.seen) == each(others)
    assert [(reason, body) for reason, _, body in dead_letters(peer)] == [("goldwire_consumer: rejected", bad.body)]


def test_an_error_of_one_session_ends_all_of_them(peer: Any, rows: Callable[..., Any]) -> None:
    events = customers(68, 1, 20).events
    index = next(number for number, event in enumerate(events) if number and event.base_version is not None)
    lost = events.pop(index - 1)
    others = customers(71, 3, 12).events
    send(peer, events + others)
    mirror = rows(len(events) + len(others), Settings(on_gap="stop"))
    mirror.run(Run(peer, mirror, queue="customers", sessions_at_once=3))
    assert isinstance(mirror.error, GapDetected)
    assert mirror.error.entity_id == lost.entity_id
    assert active(peer, "customers", lost.entity_id) == len(events) - index + 1


class Scarce(Consumer[Any]):
    """Has one sibling, and no more: as where a thread cannot be started."""

    siblings = 0

    def sibling(self) -> Any:
        self.siblings += 1
        if self.siblings > 1:
            raise RuntimeError("can't start new thread")
        return super().sibling()


def test_a_session_that_cannot_begin_ends_those_that_did(peer: Any, rows: Callable[..., Any]) -> None:
    mirror = rows(1, RETURNED)
    mirror.consumer = Scarce(mirror.store, mirror._handle, RETURNED)
    mirror.run(Run(peer, mirror, queue="customers", sessions_at_once=3))
    assert str(mirror.error) == "can't start new thread"


@pytest.mark.parametrize("given", [{"sessions_at_once": 0}, {"sessions_at_once": 2, "sessions": False}])
def test_only_sessions_are_worked_on_side_by_side(rows: Callable[..., Any], given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="sessions_at_once"):
        ServiceBusSubscription(rows(1).consumer, None, queue="customers", **given)  # type: ignore[arg-type]


def test_each_message_is_completed_after_it_was_applied(peer: Any, rows: Callable[..., Any]) -> None:
    events = customers(63, 3, 30).events
    send(peer, events, queue="plain")
    mirror = rows(len(events), Settings(attempts=1))
    away = [TryAgainError("away")] * 3

    def fault(_: Any) -> None:
        if mirror.calls == 12 and away:
            assert active(peer, "plain") > 0
            raise away.pop()

    mirror.fault = fault
    mirror.run(Run(peer, mirror, queue="plain", sessions=False))
    assert mirror.error is None
    assert away == []
    assert sorted(mirror.seen) == sorted((event.entity_id, event.version) for event in events)
    assert active(peer, "plain") == 0


def test_poison_goes_to_the_dead_letter_queue_of_the_broker_with_its_reason(peer: Any, rows: Callable[..., Any]) -> None:
    one, two, three = customers(64, 1, 20).events[:3]
    send(peer, [one])
    with ServiceBusClient.from_connection_string(peer.address()) as client, client.get_queue_sender("customers") as sender:
        sender.send_messages(ServiceBusMessage(b"{", session_id=one.entity_id))
    send(peer, [two, three])
    other = customers(65, 1, 4).events
    send(peer, other)
    mirror = rows(1 + len(other), RETURNED)

    def reject(event: Any) -> None:
        if (event.entity_id, event.version) == (two.entity_id, two.version):
            raise RejectedError("no such branch")

    mirror.fault = reject
    mirror.run(Run(peer, mirror))
    assert mirror.error is None
    found = dead_letters(peer)
    assert ("goldwire_consumer: unreadable", "no JSON in UTF-8", b"{") in found
    assert ("goldwire_consumer: rejected", "no such branch", two.body) in found
    assert mirror.letters == []
    assert (other[-1].entity_id, other[-1].version) in mirror.seen


def test_dead_letters_of_the_broker_can_be_sent_again(peer: Any, rows: Callable[..., Any]) -> None:
    events = customers(66, 1, 20).events
    index = next(number for number, event in enumerate(events) if number and event.base_version is not None)
    send(peer, events[: index - 1] + events[index : index + 1])
    mirror = rows(index - 1 or 1, RETURNED)
    if index > 1:
        mirror.run(Run(peer, mirror))
    again = rows(2, RETURNED)
    with ServiceBusClient.from_connection_string(peer.address()) as client, client.get_queue_sender("customers") as sender:
        sender.send_messages(
            [message_of(event, session=True, replay_id="redrive-1") for event in events[index - 1 : index + 1]]
        )
    again.run(Run(peer, again))
    assert again.seen[-2:] == [(event.entity_id, event.version) for event in events[index - 1 : index + 1]]


def test_a_subscription_of_a_topic_is_read_like_a_queue(peer: Any, rows: Callable[..., Any]) -> None:
    events = customers(67, 3, 20).events
    send(peer, events, topic="changes")
    mirror = rows(len(events), RETURNED)
    mirror.run(Run(peer, mirror, topic="changes", subscription="mirror"))
    assert mirror.error is None
    assert sorted(mirror.seen) == sorted((event.entity_id, event.version) for event in events)


def test_a_gap_stops_the_run_and_the_messages_stay_in_the_queue(peer: Any, rows: Callable[..., Any]) -> None:
    events = customers(68, 1, 20).events
    index = next(number for number, event in enumerate(events) if number and event.base_version is not None)
    lost = events.pop(index - 1)
    send(peer, events)
    mirror = rows(len(events), Settings(on_gap="stop"))
    mirror.run(Run(peer, mirror))
    assert isinstance(mirror.error, GapDetected)
    assert mirror.error.entity_id == lost.entity_id
    assert active(peer, "customers", lost.entity_id) == len(events) - index + 1
    assert dead_letters(peer) == []


def test_connections_that_break_cost_nothing(peer: Any, rows: Callable[..., Any]) -> None:
    events = customers(69, 3, 50).events
    send(peer, events)
    mirror = rows(len(events), RETURNED)
    mirror.fault = lambda _: peer.drop_connections() if mirror.calls in {10, 30} else None
    mirror.run(Run(peer, mirror))
    assert mirror.error is None
    assert sorted(mirror.seen) == sorted((event.entity_id, event.version) for event in events)
    assert dead_letters(peer) == []


@pytest.mark.parametrize("where", [{}, {"queue": "a", "topic": "b", "subscription": "c"}, {"topic": "b"}])
def test_a_queue_or_a_subscription_must_be_named(rows: Callable[..., Any], where: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="queue"):
        ServiceBusSubscription(rows(1).consumer, None, **where)  # type: ignore[arg-type]
