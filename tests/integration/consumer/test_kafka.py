"""The Kafka adapter against librdkafka's mock cluster: real clients, the real protocol, real processes that die."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import KafkaException, Producer, TopicPartition

from goldwire.event.headers import headers, partition_key
from goldwire.event.sealed import SealedEvent
from goldwire_consumer import Consumer, GapDetected, RejectedError, Settings, SqliteStore, SubscriberError, TryAgainError
from goldwire_consumer.adapter.kafka import KafkaSubscription, rewind
from goldwire_consumer.adapter.pace import Pace
from goldwire_emulator.certificate import CERTIFICATE, server_context
from goldwire_emulator.kafka.cluster import KafkaCluster
from goldwire_emulator.kafka.gate import KafkaGate
from goldwire_emulator.kafka.sasl import Scram
from support.histories import customers

PARTITIONS = 3
PATIENCE_SECONDS = 120


@pytest.fixture
def cluster() -> Iterator[KafkaCluster]:
    with KafkaCluster(topics={"customers": PARTITIONS}) as found:
        yield found


def send(cluster: KafkaCluster, events: list[SealedEvent]) -> None:
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "enable.idempotence": True, "log_level": 0})
    for event in events:
        beside = {name: value for name, value in headers(event).items() if name != "partitionKey"}
        producer.produce("customers", event.body, partition_key(event), headers=list(beside.items()))
    assert producer.flush(PATIENCE_SECONDS) == 0


def versions(events: list[SealedEvent]) -> dict[str, int]:
    return {event.entity_id: event.version for event in events}


def each(events: list[SealedEvent]) -> list[tuple[str, int]]:
    return sorted((event.entity_id, event.version) for event in events)


def committed(cluster: KafkaCluster, group: str = "mirror") -> int:
    reader = KafkaConsumer({"bootstrap.servers": cluster.bootstrap, "group.id": group, "log_level": 0})
    try:
        positions = reader.committed([TopicPartition("customers", number) for number in range(PARTITIONS)], PATIENCE_SECONDS)
        return sum(max(0, one.offset) for one in positions)
    finally:
        reader.close()


def test_a_subscriber_that_is_killed_at_random_ends_with_the_right_table(
    cluster: KafkaCluster, database: Any, subscriber: Callable[..., Any]
) -> None:
    history = customers(31, 12, 400)
    mirror = subscriber("kafka", cluster.bootstrap, database.url, "--risk", "0.5")
    send(cluster, history.events[:300])
    mirror.survive(database, versions(history.events[:300]))
    send(cluster, history.events[300:])
    mirror.survive(database, versions(history.events))
    assert mirror.deaths > 0
    assert database.table == history.table
    assert database.journal == each(history.events)
    assert database.query("SELECT count(*) FROM goldwire_dead_letter") == [(0,)]


def test_two_subscribers_share_the_partitions_and_one_dies(
    cluster: KafkaCluster, database: Any, subscriber: Callable[..., Any]
) -> None:
    history = customers(32, 12, 300)
    both = [subscriber("kafka", cluster.bootstrap, database.url) for _ in range(2)]
    database.wait_until(lambda: database.clients == 2)
    send(cluster, history.events[:150])
    database.wait_for(versions(history.events[:150]))
    send(cluster, history.events[150:])
    both[0].kill()
    database.wait_until(lambda: database.clients == 1)
    both[0].revive()
    database.wait_until(lambda: database.clients == 2)
    database.wait_for(versions(history.events))
    assert database.table == history.table
    assert database.journal == each(history.events)
    for one in both:
        one.end()


def subscription(rows: Any, cluster: KafkaCluster | KafkaGate, batch: int = 1, **more: Any) -> KafkaSubscription:
    pace = Pace(batch=batch, wait_seconds=0.1, retry_seconds=0.01)
    settings = {"bootstrap.servers": cluster.bootstrap, "group.id": "mirror", "session.timeout.ms": 6000, "log_level": 0}
    return KafkaSubscription(rows.consumer, {**settings, **more}, ["customers"], pace)


def test_a_subscriber_shows_a_password_over_tls_and_gets_over_a_cut(
    cluster: KafkaCluster, rows: Callable[..., Any], tmp_path: Path
) -> None:
    """The group's coordinator is reached through the gate too, and without the password no client gets anything."""
    events = customers(37, 3, 12).events
    send(cluster, events)
    known = {"mirror": "password-of-mirror"}
    settings = {
        "security.protocol": "sasl_ssl", "sasl.mechanisms": "SCRAM-SHA-512", "sasl.username": "mirror",
        "sasl.password": known["mirror"], "ssl.ca.location": str(tmp_path / CERTIFICATE),
    }  # fmt: skip
    with KafkaGate(cluster.bootstrap, [Scram("SCRAM-SHA-512", known)], tls=server_context(tmp_path)) as gate:
        stranger = rows(1)
        stranger.run(subscription(stranger, gate, **{**settings, "sasl.password": "another"}))
        assert isinstance(stranger.error, KafkaException)
        assert "_AUTHENTICATION" in repr(stranger.error)
        mirror = rows(len(events))
        cuts = iter([gate.cut])

        def cut(_: Any) -> None:
            if mirror.calls == 5:
                next(cuts, lambda: None)()

        mirror.fault = cut
        mirror.run(subscription(mirror, gate, **settings))
        assert mirror.error is None
    assert sorted(mirror.seen) == sorted((event.entity_id, event.version) for event in events)
    assert committed(cluster) == len(events)


def test_offsets_are_committed_after_success_and_not_before(cluster: KafkaCluster, rows: Callable[..., Any]) -> None:
    events = customers(33, 3, 12).events
    send(cluster, events)
    mirror = rows(len(events))
    failed = threading.Event()

    def away(_: Any) -> None:
        if mirror.calls == 5 and not failed.is_set():
            assert committed(cluster) <= 5
            failed.set()
            raise TryAgainError("the database is away")

    mirror.fault = away
    mirror.consumer.settings = Settings(attempts=1)
    mirror.run(subscription(mirror, cluster))
    assert mirror.error is None
    assert failed.is_set()
    assert sorted(mirror.seen) == sorted((event.entity_id, event.version) for event in events)
    assert committed(cluster) == len(events)
    again = rows(1)
    more = customers(34, 1, 1).events
    send(cluster, more)
    again.run(subscription(again, cluster))
    assert again.seen == [(more[0].entity_id, more[0].version)]


def test_poison_does_not_stop_what_comes_after_it(
    cluster: KafkaCluster, rows: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "goldwire_consumer")
    events = customers(35, 3, 12, payload="full").events
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
    for number in range(PARTITIONS):
        producer.produce("customers", b"{", partition=number)
        producer.produce("customers", None, key=b"compacted", partition=number)
    assert producer.flush(PATIENCE_SECONDS) == 0
    send(cluster, events)
    mirror = rows(len(events) - 1)

    def reject(event: Any) -> None:
        if event.version == 2 and event.entity_id == events[0].entity_id:
            raise RejectedError("not this one")

    mirror.fault = reject
    mirror.run(subscription(mirror, cluster, batch=50))
    assert mirror.error is None
    assert mirror.letters == ["rejected", "unreadable"]
    assert committed(cluster) == len(events) + 2 * PARTITIONS
    passed_over = [int(text.rpartition(" ")[2]) for text in caplog.messages if "passed over" in text]
    assert sum(passed_over) == PARTITIONS
    assert "compacted" not in caplog.text


def test_a_gap_stops_the_run_where_that_is_the_setting(cluster: KafkaCluster, rows: Callable[..., Any]) -> None:
    events = customers(36, 1, 12).events
    lost = next(event for event, after in pairwise(events) if after.base_version is not None)
    send(cluster, [event for event in events if event is not lost])
    mirror = rows(len(events), Settings(on_gap="stop"))
    mirror.run(subscription(mirror, cluster))
    assert isinstance(mirror.error, GapDetected)
    assert mirror.error.entity_id == lost.entity_id
    assert committed(cluster) == events.index(lost)


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_partitions_that_move_in_the_middle_of_a_batch_cost_nothing(
    cluster: KafkaCluster, tmp_path: Path, wait_for: Callable[..., None], strategy: str
) -> None:
    events = customers(37, 12, 300).events
    store = SqliteStore(tmp_path / "one.db")
    with store.transaction() as transaction:
        transaction.connection.execute("CREATE TABLE seen (member INTEGER, entity_id TEXT, version INTEGER)")
    chance = random.Random(37)
    stops: list[threading.Event] = []
    failures: list[Exception] = []
    both_at_work = threading.Event()
    of_the_second = {(event.entity_id, event.version) for event in events[150:200]}

    def seen(columns: str) -> list[tuple[Any, ...]]:
        with store.transaction() as transaction:
            return transaction.connection.execute(f"SELECT {columns} FROM seen").fetchall()

    def run(member: int) -> None:
        def handle(event: Any, connection: Any) -> None:
            if member == 1:
                both_at_work.set()
            elif (event.entity_id, event.version) in of_the_second and not both_at_work.is_set():
                raise TryAgainError("the first leaves something to the second, however late that one joins")
            if chance.random() < 0.02:
                raise TryAgainError("away")
            time.sleep(0.002)
            connection.execute("INSERT INTO seen VALUES (?, ?, ?)", (member, event.entity_id, event.version))

        configuration = {
            "bootstrap.servers": cluster.bootstrap, "group.id": "mirror", "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 300, "partition.assignment.strategy": strategy, "log_level": 0,
        }  # fmt: skip
        consumer = Consumer(store, handle, Settings(attempts=1))
        pace = Pace(batch=10, wait_seconds=0.1, retry_seconds=0.01, retry_seconds_max=0.1)
        try:
            KafkaSubscription(consumer, configuration, ["customers"], pace).run(stops[member])
        except Exception as error:  # noqa: BLE001 - the test looks at it
            failures.append(error)

    members = []
    for member in range(2):
        stops.append(threading.Event())
        members.append(threading.Thread(target=run, args=(member,)))
        members[-1].start()
        send(cluster, events[member * 100 : (member + 1) * 100])
        wait_for(lambda member=member: failures or (member,) in seen("member"), "a member at work")
    stops[0].set()
    send(cluster, events[200:])
    wait_for(lambda: failures or len(seen("*")) >= len(events), "every event applied")
    stops[1].set()
    for thread in members:
        thread.join(PATIENCE_SECONDS)
    store.close()
    store = SqliteStore(tmp_path / "one.db")
    assert failures == []
    assert sorted(seen("entity_id, version")) == each(events)
    assert sorted(seen("DISTINCT member")) == [(0,), (1,)]
    store.close()


@pytest.mark.parametrize(
    ("configuration", "settings", "complaint"),
    [
        ({"enable.auto.commit": True}, Settings(), "enable.auto.commit"),
        ({}, Settings(dead_letters="returned"), "dead letters"),
    ],
)
def test_settings_that_would_lose_messages_are_refused(
    tmp_path: Path, configuration: dict[str, Any], settings: Settings, complaint: str
) -> None:
    consumer = Consumer(SqliteStore(tmp_path / "x.db"), lambda _event, _connection: None, settings)
    with pytest.raises(ValueError, match=complaint):
        KafkaSubscription(consumer, configuration, ["customers"])


def test_a_consumer_group_is_set_to_offsets_to_a_moment_and_to_the_beginning(
    cluster: KafkaCluster, rows: Callable[..., Any]
) -> None:
    events = customers(38, 6, 60, payload="full").events
    send(cluster, events)
    group = {"bootstrap.servers": cluster.bootstrap, "group.id": "mirror", "log_level": 0}
    third = {("customers", number): 3 for number in range(PARTITIONS)}
    assert rewind(group, ["customers"], datetime(2999, 1, 1, tzinfo=UTC)) == {}
    end = rewind(group, ["customers"], third)
    assert sum(end.values()) == len(events), "after all there is, where nothing is that young"
    assert rewind(group, ["customers"], {}) == third
    late = rows(len(events) - 3 * PARTITIONS)
    late.run(subscription(late, cluster))
    assert len(late.seen) == late.wanted

    anew = {**group, "group.id": "anew"}
    rewind(anew, ["customers"], end)
    assert rewind(anew, ["customers"]) == end
    again = rows(len(events), stream="again")
    again.run(subscription(again, cluster, **{"group.id": "anew"}))
    assert sorted(again.seen) == sorted((event.entity_id, event.version) for event in events)


def test_a_consumer_group_with_running_subscribers_is_not_set_back(cluster: KafkaCluster) -> None:
    group = {"bootstrap.servers": cluster.bootstrap, "group.id": "mirror", "session.timeout.ms": 6000, "log_level": 0}
    running = KafkaConsumer(group)
    try:
        running.subscribe(["customers"])
        while not running.assignment():
            running.poll(0.1)
        with pytest.raises(SubscriberError, match="running subscribers"):
            rewind(group, ["customers"])
    finally:
        running.close()
    assert committed(cluster) == 0


def test_a_moment_without_a_zone_is_refused(cluster: KafkaCluster) -> None:
    with pytest.raises(ValueError, match="with a zone"):
        rewind({"bootstrap.servers": cluster.bootstrap, "group.id": "mirror"}, ["customers"], datetime(2026, 11, 20))  # noqa: DTZ001
