"""The Event Hubs adapter with the real SDK, against the local peer: deaths, moving partitions, both kinds of checkpoint."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient
from azure.eventhub.amqp import AmqpAnnotatedMessage, AmqpMessageProperties

from goldwire.event.headers import headers
from goldwire.event.sealed import SealedEvent
from goldwire_consumer import Consumer, GapDetected, RejectedError, Settings, SqliteStore, TryAgainError
from goldwire_consumer.adapter.event_hubs import EventHubsSubscription
from goldwire_consumer.adapter.event_hubs_checkpoints import SqlCheckpointStore
from goldwire_consumer.adapter.pace import Pace
from support.histories import customers

HUB = "customers-hub"
PROPERTIES = {"messageId": "message_id", "correlationId": "correlation_id", "contentType": "content_type", "subject": "subject"}


def annotated(body: bytes, beside: dict[str, str]) -> AmqpAnnotatedMessage:
    properties = AmqpMessageProperties(**{name: beside[key] for key, name in PROPERTIES.items() if key in beside})
    others = {name: value for name, value in beside.items() if name not in PROPERTIES and name != "partitionKey"}
    return AmqpAnnotatedMessage(data_body=body, properties=properties, application_properties=others, annotations={})


def send(peer: Any, events: list[SealedEvent]) -> None:
    with EventHubProducerClient.from_connection_string(peer.address(HUB)) as producer:
        for event in events:
            beside = headers(event)
            producer.send_batch([annotated(event.body, beside)], partition_key=beside["partitionKey"])


def versions(events: list[SealedEvent]) -> dict[str, int]:
    return {event.entity_id: event.version for event in events}


def each(events: list[SealedEvent]) -> list[tuple[str, int]]:
    return sorted((event.entity_id, event.version) for event in events)


def subscription(
    peer: Any, rows: Any, checkpoints: Any = None, *, in_transaction: bool = True, group: str = "$Default"
) -> EventHubsSubscription:
    checkpoints = checkpoints or SqlCheckpointStore(rows.store)
    client = EventHubConsumerClient.from_connection_string(
        peer.address(HUB), group, checkpoint_store=checkpoints, load_balancing_interval=0.3
    )
    pace = Pace(batch=5, wait_seconds=0.1, silence_seconds=0.3)
    return EventHubsSubscription(rows.consumer, client, checkpoints if in_transaction else None, pace=pace)


@pytest.mark.parametrize("kind", ["event-hubs", "event-hubs-after", "event-hubs-aio"])
def test_a_subscriber_that_is_killed_at_random_ends_with_the_right_table(
    peer: Any, database: Any, subscriber: Callable[..., Any], kind: str
) -> None:
    history = customers(51, 12, 300)
    mirror = subscriber(kind, peer.address(HUB), database.url, "--risk", "0.4")
    send(peer, history.events[:200])
    mirror.survive(database, versions(history.events[:200]))
    send(peer, history.events[200:])
    mirror.survive(database, versions(history.events))
    assert mirror.deaths > 0
    assert database.table == history.table
    assert database.journal == each(history.events)
    assert database.query("SELECT count(*) FROM goldwire_dead_letter") == [(0,)]


@pytest.mark.parametrize("kind", ["event-hubs", "event-hubs-aio"])
def test_a_second_subscriber_takes_partitions_over(peer: Any, database: Any, subscriber: Callable[..., Any], kind: str) -> None:
    history = customers(52, 12, 200)
    first = subscriber(kind, peer.address(HUB), database.url)
    send(peer, history.events[:100])
    second = subscriber(kind, peer.address(HUB), database.url)
    database.wait_until(lambda: database.query("SELECT count(DISTINCT owner) FROM goldwire_ownership") == [(2,)])
    send(peer, history.events[100:])
    database.wait_for(versions(history.events))
    assert database.table == history.table
    assert database.journal == each(history.events)
    first.end()
    second.end()


@pytest.mark.parametrize("in_transaction", [True, False])
def test_a_subscriber_goes_on_where_it_ended(peer: Any, rows: Callable[..., Any], in_transaction: bool) -> None:
    events = customers(53, 4, 60).events
    send(peer, events[:30])
    first = rows(30)
    first.run(subscription(peer, first, in_transaction=in_transaction))
    assert first.error is None
    with first.store.transaction() as transaction:
        checkpoints = transaction.connection.execute("SELECT source, sequence FROM goldwire_checkpoint").fetchall()
    assert {source.partition("/")[2] for source, _ in checkpoints} == {f"{HUB}/$default"}
    assert sum(sequence + 1 for _, sequence in checkpoints) == 30
    send(peer, events[30:])
    second = rows(len(events) - 30)
    second.run(subscription(peer, second, in_transaction=in_transaction))
    assert sorted(first.seen + second.seen) == sorted((event.entity_id, event.version) for event in events)


def test_a_database_that_is_away_gives_the_partition_back_and_takes_it_again(peer: Any, rows: Callable[..., Any]) -> None:
    events = customers(54, 4, 40).events
    send(peer, events)
    mirror = rows(len(events))
    failures = [TryAgainError("away")] * 3

    def away(_: Any) -> None:
        if mirror.calls > 10 and failures:
            raise failures.pop()

    mirror.fault = away
    mirror.consumer.settings = Settings(attempts=1)
    mirror.run(subscription(peer, mirror))
    assert mirror.error is None
    assert failures == []
    assert sorted(mirror.seen) == sorted((event.entity_id, event.version) for event in events)


def test_poison_and_a_rejected_event_do_not_stop_the_others(peer: Any, rows: Callable[..., Any]) -> None:
    events = customers(55, 3, 30, payload="full").events
    with EventHubProducerClient.from_connection_string(peer.address(HUB)) as producer:
        for partition in producer.get_partition_ids():
            producer.send_batch([EventData(b"{"), EventData("no event")], partition_id=partition)
    send(peer, events)
    mirror = rows(len(events) - 1)

    def reject(event: Any) -> None:
        if (event.entity_id, event.version) == (events[0].entity_id, 1):
            raise RejectedError("not this one")

    mirror.fault = reject
    mirror.run(subscription(peer, mirror))
    assert mirror.error is None
    assert mirror.letters == ["rejected", "unreadable", "unreadable"]


def test_a_gap_stops_the_run_where_that_is_the_setting(peer: Any, rows: Callable[..., Any]) -> None:
    events = customers(56, 1, 12).events
    index = next(number for number, event in enumerate(events) if number and event.base_version is not None)
    lost = events.pop(index - 1)
    send(peer, events)
    mirror = rows(len(events), Settings(on_gap="stop"))
    mirror.run(subscription(peer, mirror))
    assert isinstance(mirror.error, GapDetected)
    assert mirror.error.next.version == events[index - 1].version
    assert (lost.entity_id, lost.version) not in mirror.seen
    with mirror.store.transaction() as transaction:
        rows_ = transaction.connection.execute("SELECT sequence FROM goldwire_checkpoint").fetchall()
    assert [sequence for (sequence,) in rows_] in ([], [index - 2])


def test_connections_that_break_cost_nothing(peer: Any, rows: Callable[..., Any]) -> None:
    events = customers(57, 4, 80).events
    send(peer, events)
    mirror = rows(len(events))
    mirror.fault = lambda _: peer.drop_connections() if mirror.calls in {10, 40} else None
    mirror.run(subscription(peer, mirror))
    assert mirror.error is None
    assert sorted(mirror.seen) == sorted((event.entity_id, event.version) for event in events)


def test_of_two_claims_on_a_partition_one_wins(tmp_path: Any) -> None:
    store = SqliteStore(tmp_path / "one.db")
    checkpoints = SqlCheckpointStore(store)
    common = {"fully_qualified_namespace": "n", "eventhub_name": "h", "consumer_group": "g", "partition_id": "0"}
    won: list[str] = []

    def claim(owner: str) -> None:
        won.extend(one["owner_id"] for one in checkpoints.claim_ownership([{**common, "owner_id": owner}]))

    threads = [threading.Thread(target=claim, args=(f"owner-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    [found] = checkpoints.list_ownership("N", "h", "G")
    assert found["owner_id"] == won[0]
    assert [one["owner_id"] for one in checkpoints.claim_ownership([{**found, "owner_id": "thief"}])] == ["thief"]
    assert list(checkpoints.claim_ownership([{**found, "owner_id": "late"}])) == []
    store.close()


def test_settings_that_would_lose_messages_are_refused(tmp_path: Any) -> None:
    store = SqliteStore(tmp_path / "one.db")
    consumer = Consumer(store, lambda _event, _connection: None, Settings(dead_letters="returned"))
    client = EventHubConsumerClient("n.servicebus.windows.net", HUB, "$Default", credential=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="dead letters"):
        EventHubsSubscription(consumer, client)
    store.close()


def test_a_consumer_group_goes_back_to_its_beginning_and_to_a_checkpoint_that_was_kept(
    peer: Any, rows: Callable[..., Any]
) -> None:
    events = customers(58, 4, 40, payload="full").events
    everything = sorted((event.entity_id, event.version) for event in events)
    send(peer, events[:25])
    first = rows(25)
    first.run(subscription(peer, first))
    checkpoints = SqlCheckpointStore(first.store)
    with EventHubConsumerClient.from_connection_string(peer.address(HUB), "$Default") as client:
        stream = (client._address.hostname, HUB, "$Default")
    kept = [dict(one) for one in checkpoints.list_checkpoints(*stream)]
    send(peer, events[25:])
    second = rows(len(events) - 25)
    second.run(subscription(peer, second))
    assert sorted(first.seen + second.seen) == everything

    assert checkpoints.forget(*stream) == len(list(kept))
    again = rows(len(events), stream="again")
    again.run(subscription(peer, again))
    assert sorted(again.seen) == everything, "all of it came again, for a table that is built anew"

    for one in kept:
        checkpoints.update_checkpoint(one)
    since = rows(len(events) - 25, stream="since")
    since.run(subscription(peer, since))
    assert sorted(since.seen) == sorted(second.seen)


def test_a_consumer_group_that_does_not_exist_is_named(
    peer: Any, rows: Callable[..., Any], wait_for: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    send(peer, customers(59, 2, 10).events)
    mirror = rows(1)
    running = threading.Thread(target=subscription(peer, mirror, group="no-such-group").run, args=(mirror.stop,))
    running.start()
    try:
        wait_for(lambda: "none came to consumer group no-such-group" in caplog.text, "a warning")
    finally:
        mirror.stop.set()
        running.join()
    assert f"hub {HUB}" in caplog.text
    assert mirror.seen == []


def test_a_consumer_group_is_missed_when_an_event_comes_that_it_should_have(
    peer: Any, rows: Callable[..., Any], wait_for: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    events = customers(60, 2, 10).events
    mirror = rows(1)
    subscribed = subscription(peer, mirror, in_transaction=False, group="no-such-group")
    running = threading.Thread(target=subscribed.run, args=(mirror.stop,))
    running.start()
    try:

        def missed() -> bool:
            send(peer, events[:1])
            return "consumer group no-such-group" in caplog.text

        wait_for(missed, "a warning")
    finally:
        mirror.stop.set()
        running.join()
    assert f"hub {HUB}" in caplog.text
    assert mirror.seen == []
