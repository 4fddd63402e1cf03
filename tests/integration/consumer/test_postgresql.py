"""The guard in a real PostgreSQL: in the subscriber's transaction, between rival consumers, through broken connections."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from goldwire.event.sealed import SealedEvent
from goldwire.testing.events import deleted, sealed
from goldwire_consumer import (
    Consumer,
    Event,
    GapDetected,
    Message,
    Outcome,
    Position,
    RejectedError,
    Settings,
    StoppedError,
    TryAgainError,
    apply,
    parse,
)
from goldwire_consumer.store.postgresql import PostgresStore, PostgresTransaction, create_tables
from support.histories import customers

PATIENCE_SECONDS = 120

Mirror = Callable[..., Consumer[Any]]


def messages(events: list[SealedEvent]) -> list[Message]:
    return [Message(body=event.body, position=Position("hub", "0", str(index), index)) for index, event in enumerate(events, 1)]


@pytest.fixture
def mirror(database: Any) -> Iterator[Callable[..., Consumer[Any]]]:
    """Make consumers of the same stream; their stores are closed in the end."""
    stores = []

    def build(handle: Callable[[Event, Any], None], **settings: Any) -> Consumer[Any]:
        store = PostgresStore(database.url)
        stores.append(store)
        with store.transaction() as transaction:
            transaction.connection.execute("CREATE TABLE IF NOT EXISTS seen (entity_id TEXT, version BIGINT)")
        return Consumer(store, handle, Settings(**settings), sleep=lambda _: None)

    yield build
    for store in stores:
        store.close()


def note(event: Event, connection: Any) -> None:
    connection.execute("INSERT INTO seen VALUES (%s, %s)", (event.entity_id, event.version))


def sent(events: list[SealedEvent]) -> list[tuple[str, int]]:
    return sorted((event.entity_id, event.version) for event in events)


def test_each_event_is_applied_once_whatever_is_repeated_or_overtaken(database: Any, mirror: Mirror) -> None:
    events = customers(41, 4, 80).events
    chance = random.Random(41)
    consumer = mirror(note)
    shuffled = messages(events) * 2
    chance.shuffle(shuffled)
    while shuffled:
        size = chance.randint(1, 12)
        consumer.process(shuffled[:size])
        del shuffled[:size]
    assert database.query("SELECT count(*) FROM goldwire_dead_letter") == [(0,)]
    assert database.guard == {event.entity_id: event.version for event in events}
    seen = database.query("SELECT entity_id, version FROM seen")
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_rival_consumers_of_the_same_messages_apply_each_once(database: Any, mirror: Mirror, isolation: str) -> None:
    [(name,)] = database.query("SELECT current_database()")
    database.query(f"ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'")
    events = customers(42, 2, 60).events
    consumers = [mirror(note, attempts=50) for _ in range(3)]
    failures: list[Exception] = []

    def work(consumer: Consumer[Any], batch: int) -> None:
        waiting = messages(events)
        try:
            while waiting:
                consumer.process(waiting[:batch])
                del waiting[:batch]
        except Exception as error:  # noqa: BLE001 - the test looks at it
            failures.append(error)

    threads = [
        threading.Thread(target=work, args=(consumer, batch)) for consumer, batch in zip(consumers, (1, 5, 20), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(database.query("SELECT entity_id, version FROM seen")) == sent(events)


def test_it_works_in_a_transaction_of_the_subscriber(database: Any) -> None:
    one, two, *_ = (parse(event.body) for event in customers(43, 1, 9).events)
    with psycopg.connect(database.url, row_factory=dict_row) as connection:
        create_tables(connection)
        connection.execute("CREATE TABLE seen (entity_id TEXT, version BIGINT)")
        connection.commit()
        guard = PostgresTransaction(connection)
        with connection.transaction():
            assert apply(guard, one, lambda event: note(event, connection)) is Outcome.APPLIED
        with pytest.raises(ZeroDivisionError), connection.transaction():
            apply(guard, two, lambda _: 1 // 0)
        with connection.transaction():
            assert apply(guard, one, lambda event: note(event, connection)) is Outcome.IGNORED
    assert database.guard == {one.entity_id: 1}
    assert database.query("SELECT version FROM seen") == [(1,)]


def test_a_gap_and_a_late_upsert_after_a_tombstone_are_what_they_are_in_sqlite(database: Any, mirror: Mirror) -> None:
    events = customers(44, 1, 12).events
    lost = next(index for index, event in enumerate(events) if index and event.base_version is not None)
    consumer = mirror(note, on_gap="stop")
    with pytest.raises(GapDetected):
        consumer.process(messages(events[: lost - 1] + events[lost:]))
    gone = deleted(events[0].entity_id, 99, previous_hash=events[-1].hash)
    assert [one.outcome for one in consumer.process(messages([gone, *events]))][1:] == [Outcome.IGNORED] * len(events)
    [row] = database.query("SELECT version, gone FROM goldwire_guard")
    assert row == (99, "deleted")


def test_a_broken_connection_costs_nothing(database: Any, mirror: Mirror) -> None:
    events = customers(45, 3, 40).events
    consumer = mirror(note)
    waiting = messages(events)
    while waiting:
        database.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        consumer.process(waiting[:5])
        del waiting[:5]
    assert sorted(database.query("SELECT entity_id, version FROM seen")) == sent(events)
    assert database.query("SELECT sequence FROM goldwire_checkpoint") == [(len(events),)]


def test_a_server_that_is_away_is_no_fault_of_the_message(database: Any) -> None:
    reachable = True

    def connect() -> psycopg.Connection[Any]:
        if not reachable:
            raise psycopg.OperationalError("no route to host")
        return psycopg.connect(database.url)

    store = PostgresStore(connect)
    consumer = Consumer(store, lambda _event, _connection: None, sleep=lambda _: None)
    store.close()
    reachable = False
    with pytest.raises(TryAgainError):
        consumer.process(messages(customers(46, 1, 3).events))
    reachable = True
    assert {one.outcome for one in consumer.process(messages(customers(46, 1, 3).events))} == {Outcome.APPLIED}
    store.close()


def test_a_row_that_somebody_else_holds_is_no_fault_of_the_message_and_not_waited_for_without_end(database: Any) -> None:
    first, second = messages([sealed("held", 1, {"name": "Ada"}), sealed("held", 2, {"name": "Ada II"})])
    seen: list[int] = []
    store = PostgresStore(database.url, lock_timeout_seconds=0.2)
    with contextlib.closing(store), psycopg.connect(database.url) as holder:
        consumer = Consumer(store, lambda event, _: seen.append(event.version), Settings(), sleep=lambda _: None)
        consumer.process([first])
        holder.execute("SELECT 1 FROM goldwire_guard WHERE entity_id = 'held' FOR UPDATE")
        with pytest.raises(TryAgainError):
            consumer.process([second])
        holder.rollback()
        consumer.process([second])
    assert seen == [1, 2]


def test_a_handler_whose_statement_fails_is_rolled_back_and_the_rest_goes_on(database: Any, mirror: Mirror) -> None:
    def handle(event: Event, connection: Any) -> None:
        note(event, connection)
        if event.version == 1 and event.entity_id.endswith("-0"):
            connection.execute("INSERT INTO seen VALUES ('x', 'no number')")

    events = customers(47, 2, 12, payload="full").events
    results = mirror(handle).process(messages(events))
    assert [one.outcome for one in results if one.event and one.event.version == 1] == [Outcome.DEAD, Outcome.APPLIED]
    assert database.query("SELECT kind, text FROM goldwire_dead_letter WHERE kind = 'rejected'") == [
        ("rejected", "the handler raised InvalidTextRepresentation in each of 5 attempts")
    ]
    assert (events[0].entity_id, 1) not in database.query("SELECT entity_id, version FROM seen")


def test_a_handler_that_overlooks_a_failed_statement_loses_nothing(database: Any, mirror: Mirror) -> None:
    """PostgreSQL answers COMMIT with a silent rollback then, and what came before in the batch would go with it."""

    def handle(event: Event, connection: Any) -> None:
        note(event, connection)
        if event.entity_id.endswith("-1"):
            with contextlib.suppress(psycopg.errors.UndefinedTable):
                connection.execute("INSERT INTO nowhere VALUES (1)")

    one, two = customers(48, 2, 2, payload="full").events
    assert (one.entity_id[-2:], two.entity_id[-2:]) == ("-0", "-1")
    results = mirror(handle).process([Message(body=event.body) for event in (one, two)])
    assert [result.outcome for result in results] == [Outcome.APPLIED, Outcome.DEAD]
    assert results[1].letter.text == "the handler raised InFailedSqlTransaction in each of 5 attempts"
    assert database.query("SELECT entity_id, version FROM seen") == [(one.entity_id, 1)]
    assert database.guard == {one.entity_id: 1, two.entity_id: 0}


def test_a_handler_may_have_a_savepoint_of_its_own(database: Any, mirror: Mirror) -> None:
    def handle(event: Event, connection: Any) -> None:
        with contextlib.suppress(psycopg.errors.UndefinedTable), connection.transaction():
            connection.execute("INSERT INTO nowhere VALUES (1)")
        note(event, connection)

    events = customers(49, 2, 9).events
    assert {one.outcome for one in mirror(handle).process(messages(events))} == {Outcome.APPLIED}
    assert sorted(database.query("SELECT entity_id, version FROM seen")) == sent(events)


@pytest.mark.parametrize("commit", [lambda connection: connection.commit(), lambda connection: connection.execute("COMMIT")])
def test_a_handler_that_commits_is_told_not_to(database: Any, mirror: Mirror, commit: Callable[[Any], object]) -> None:
    consumer = mirror(lambda _, connection: commit(connection))
    with pytest.raises(StoppedError, match="ended the transaction"):
        consumer.process(messages(customers(50, 1, 2).events))
    assert database.query("SELECT count(*) FROM goldwire_dead_letter") == [(0,)]


@pytest.mark.parametrize("entity_id", ["with \0 in it", "".join(map(chr, range(0x4E00, 0x4E00 + 3000)))])
def test_an_identity_that_the_database_cannot_hold_is_poison_and_no_stop(database: Any, mirror: Mirror, entity_id: str) -> None:
    good = customers(51, 1, 3).events
    one = sealed(entity_id, 1, {"city": "Ulm"})
    bad = [one, sealed(entity_id, 2, {"city": "Bonn"}, base_version=1, previous_hash=one.hash)]
    altered = Message(body=bad[0].body.replace(b"Ulm", b"Rom"))
    results = mirror(note).process([*messages(bad), altered, *messages(good)])
    assert [one.outcome for one in results] == [Outcome.DEAD] * 3 + [Outcome.APPLIED] * len(good)
    rows = database.query("SELECT kind, entity_id, body FROM goldwire_dead_letter ORDER BY kind, recorded_at")
    assert [(kind, id_) for kind, id_, _ in rows] == [("altered", None), ("rejected", None), ("rejected", None)]
    assert {bytes(body) for _, _, body in rows} == {altered.body, *(event.body for event in bad)}


def test_apply_refuses_a_connection_that_commits_each_statement(database: Any) -> None:
    one = parse(customers(52, 1, 1).events[0].body)
    with psycopg.connect(database.url, autocommit=True) as connection:
        with connection.transaction():
            create_tables(connection)
        with pytest.raises(StoppedError, match="no transaction is open"):
            apply(PostgresTransaction(connection), one, lambda _: None)
        with connection.transaction():
            assert apply(PostgresTransaction(connection), one, lambda _: None) is Outcome.APPLIED


def test_of_two_first_events_of_an_entity_in_two_open_transactions_one_is_turned_away(database: Any) -> None:
    """READ COMMITTED, PostgreSQL's default: nothing is there to lock yet, so the primary key decides."""
    one = parse(customers(53, 1, 1).events[0].body)
    applied: list[str] = []
    with psycopg.connect(database.url) as first, psycopg.connect(database.url) as second:
        create_tables(first)
        first.commit()
        guards = PostgresTransaction(first), PostgresTransaction(second)
        assert [guard.held(one.entity_id) for guard in guards] == [None, None]
        assert apply(guards[0], one, lambda _: applied.append("first")) is Outcome.APPLIED
        with ThreadPoolExecutor(1) as pool:
            rival = pool.submit(apply, guards[1], one, lambda _: applied.append("second"))
            waits = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
            database.wait_until(lambda: rival.done() or database.query(waits, second.info.backend_pid) == [(1,)])
            first.commit()
            with pytest.raises(TryAgainError):
                rival.result(PATIENCE_SECONDS)
        second.rollback()
        assert apply(guards[1], one, lambda _: applied.append("second")) is Outcome.IGNORED
    assert applied == ["first"]


def test_many_can_create_the_tables_at_once(database: Any) -> None:
    failures: list[Exception] = []

    def create() -> None:
        try:
            PostgresStore(database.url).close()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            failures.append(error)

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_many_dead_letters_are_processed_again_in_order(mirror: Mirror) -> None:
    first = [sealed(f"e{number}", 1) for number in range(60)]
    second = [sealed(one.entity_id, 2, previous_hash=one.hash, base_version=1) for one in first]
    mended = threading.Event()

    def handle(event: Event, connection: Any) -> None:
        if not mended.is_set():
            raise RejectedError("not yet")
        note(event, connection)

    consumer = mirror(handle, dead_letters_in_a_row_max=None)
    consumer.process([Message(body=b"%d" % number) for number in range(60)])
    consumer.process(messages(first))
    consumer.process(messages(second))
    mended.set()
    assert consumer.redrive() == {Outcome.APPLIED: 120, Outcome.DEAD: 60}
    assert consumer.redrive() == {Outcome.DEAD: 60}


def test_threads_that_ended_leave_no_connections_behind(database: Any) -> None:
    """Each run of several sessions starts threads anew; a service that runs again and again must not use up the server."""
    store = PostgresStore(database.url)

    def use() -> None:
        with store.transaction() as transaction:
            transaction.held("e1")

    for _ in range(6):
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
    database.wait_until(lambda: database.clients == 2)
    store.close()
    database.wait_until(lambda: database.clients == 0)
    assert database.clients == 0
