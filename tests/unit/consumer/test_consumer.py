from __future__ import annotations

import contextlib
import json
import shlex
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from goldwire.event.sealed import SealedEvent
from goldwire.testing.events import chain, deleted, sealed
from goldwire_consumer import (
    Consumer,
    DeadLetter,
    Event,
    FunctionStore,
    GapDetected,
    Held,
    Message,
    Outcome,
    Position,
    RejectedError,
    Settings,
    SqliteStore,
    SqliteTransaction,
    StoppedError,
    TryAgainError,
    apply,
    parse,
)
from goldwire_consumer.store.sqlite import create_tables

OpenMirror = Callable[..., Any]
APPLIED, HEALED, IGNORED, JOINED, PARKED, DEAD = (
    Outcome.APPLIED, Outcome.HEALED, Outcome.IGNORED, Outcome.JOINED, Outcome.PARKED, Outcome.DEAD,
)  # fmt: skip


# --- the guard


@pytest.mark.parametrize("reason", ["deleted", "merged", "erased", "deselected"])
def test_a_late_upsert_cannot_bring_back_what_is_gone(mirror: Any, reason: str) -> None:
    one, two = chain("Ulm", "Bonn")
    gone = deleted("e1", 3, reason=reason, previous_hash=two.hash)
    assert mirror.receive([one, two, gone, two, one]) == [APPLIED, APPLIED, APPLIED, IGNORED, IGNORED]
    assert mirror.table == {}
    assert mirror.guard("e1") == (3, f"sha256:{gone.hash.hex()}", reason, 0)
    again = sealed("e1", 4, {"city": "Kiel"}, previous_hash=gone.hash)
    assert mirror.receive([again, gone]) == [APPLIED, IGNORED]
    assert mirror.table == {"e1": {"city": "Kiel"}}


def test_the_version_that_is_held_sent_once_more_changes_nothing_and_the_chain_goes_on_from_it(mirror: Any) -> None:
    one, two = chain("Ulm", "Bonn")
    again = sealed("e1", 2, {"city": "Bonn"}, previous_hash=two.hash)
    three = sealed("e1", 3, {"city": "Kiel"}, previous_hash=again.hash, base_version=2)
    assert mirror.receive([one, two, again, two, again, three]) == [APPLIED, APPLIED, IGNORED, IGNORED, IGNORED, APPLIED]


@pytest.mark.parametrize("reason", [None, "deselected"])
def test_a_chain_that_begins_anew_at_the_version_that_is_held_is_taken_up(mirror: Any, reason: str | None) -> None:
    events = chain("Ulm", "Bonn")
    if reason is not None:
        events[1] = deleted("e1", 2, reason=reason, previous_hash=events[0].hash)
    mirror.receive(events)
    anew = sealed("e1", 2, {"city": "Bonn", "street": "Ring"})
    three = sealed("e1", 3, {"city": "Kiel"}, previous_hash=anew.hash, base_version=2)
    assert mirror.receive([anew, anew, events[0], three, anew]) == [JOINED, IGNORED, IGNORED, APPLIED, IGNORED]
    assert mirror.table == {"e1": {"city": "Kiel", "street": "Ring"}}


@pytest.mark.parametrize("reason", ["deleted", "merged", "erased"])
def test_no_chain_that_begins_anew_brings_back_what_is_gone_at_that_version(mirror: Any, reason: str) -> None:
    mirror.receive([deleted("e1", 2, reason=reason)])
    assert mirror.receive([sealed("e1", 2, {"city": "Bonn"})]) == [IGNORED]
    assert mirror.table == {}


def test_a_delta_never_begins_a_chain_anew(mirror: Any) -> None:
    mirror.receive(chain("Ulm", "Bonn"))
    assert mirror.receive([sealed("e1", 2, {"city": "Kiel"}, previous_hash=b"x" * 32)]) == [IGNORED]
    assert mirror.table == {"e1": {"city": "Bonn"}}


def test_two_streams_in_one_database_have_two_chains(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []
    [event] = chain("Ulm")
    with contextlib.ExitStack() as opened:
        consumers = []
        for stream in ("crm", "billing"):
            store = opened.enter_context(contextlib.closing(SqliteStore(tmp_path / "one.db", stream=stream)))
            consumers.append(Consumer(store, lambda event, _, stream=stream: seen.append((stream, event.version))))
        for consumer in consumers:
            consumer.process([Message(body=event.body)])
    assert seen == [("crm", 1), ("billing", 1)]


def test_apply_works_in_a_transaction_of_the_subscriber(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "own.db")
    connection.row_factory = sqlite3.Row
    create_tables(connection)
    connection.execute("CREATE TABLE seen (version INTEGER)")
    guard = SqliteTransaction(connection)

    def write(event: Event) -> None:
        connection.execute("INSERT INTO seen VALUES (?)", (event.version,))

    one, two, three = (parse(event.body) for event in chain("Ulm", "Bonn", "Kiel"))
    with connection:
        assert apply(guard, one, write) is APPLIED
    with contextlib.suppress(ZeroDivisionError), connection:
        assert apply(guard, two, write) is APPLIED
        raise ZeroDivisionError
    with connection, pytest.raises(GapDetected) as found:
        apply(guard, three, write)
    assert (found.value.entity_id, found.value.previous_hash) == ("e1", two.hash)
    assert (found.value.last, found.value.next) == ((1, one.hash), (3, three.hash))
    with connection:
        assert [apply(guard, event, write) for event in (two, two, three, one)] == [APPLIED, IGNORED, APPLIED, IGNORED]
    assert [tuple(row) for row in connection.execute("SELECT version FROM seen")] == [(1,), (2,), (3,)]
    connection.close()


def test_apply_refuses_a_connection_that_commits_each_statement(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "own.db", isolation_level=None)
    create_tables(connection)
    [event] = chain("Ulm")
    with pytest.raises(StoppedError, match="no transaction is open"):
        apply(SqliteTransaction(connection), parse(event.body), lambda _: None)
    connection.execute("BEGIN")
    assert apply(SqliteTransaction(connection), parse(event.body), lambda _: None) is APPLIED
    connection.execute("COMMIT")
    connection.close()


def test_another_writer_of_the_same_entity_is_noticed(tmp_path: Path) -> None:
    with contextlib.closing(SqliteStore(tmp_path / "one.db")) as store, store.transaction() as transaction:
        transaction.hold("e1", None, Held(1, "sha256:a"))
        with pytest.raises(TryAgainError, match="e1"):
            transaction.hold("e1", None, Held(2, "sha256:b"))
        with pytest.raises(TryAgainError, match="e1"):
            transaction.hold("e1", Held(7, "sha256:a"), Held(8, "sha256:b"))
        with pytest.raises(TryAgainError, match="e1"):
            transaction.hold("e1", Held(1, "sha256:c"), Held(2, "sha256:b"))
        with pytest.raises(TryAgainError, match="e1"):
            transaction.hold("e1", Held(1, "sha256:a", parked=True), Held(2, "sha256:b"))
        transaction.hold("e1", Held(1, "sha256:a"), Held(2, "sha256:b"))
        assert transaction.held("e1") == Held(2, "sha256:b")


# --- gaps


def test_a_gap_parks_its_entity_alone_until_the_lost_event_comes(mirror: Any) -> None:
    one, two, three, four = chain("Ulm", "Bonn", "Kiel", "Jena")
    other = chain("Rom", "Pisa", entity_id="e2")
    assert mirror.receive([one, other[0], three, four, other[1]]) == [APPLIED, APPLIED, PARKED, PARKED, APPLIED]
    assert mirror.table == {"e1": {"city": "Ulm"}, "e2": {"city": "Pisa"}}
    assert mirror.letters == [("gap", 3), ("parked", 4)]
    assert mirror.receive([two]) == [APPLIED]
    assert mirror.table["e1"] == {"city": "Jena"}
    assert mirror.letters == []
    assert mirror.guard("e1")[3] == 0


def test_what_waited_follows_also_when_a_crash_comes_between(mirror: Any) -> None:
    one, two, three, four = chain("Ulm", "Bonn", "Kiel", "Jena")
    mirror.receive([one, three, four])
    mirror.fail_at(3, TryAgainError("away"))
    with pytest.raises(TryAgainError):
        mirror.receive([two])
    assert mirror.guard("e1")[0] == 2
    mirror.fault = lambda _: None
    assert mirror.receive([two]) == [IGNORED]
    assert mirror.table == {"e1": {"city": "Jena"}}
    assert mirror.letters == []


def test_what_waits_says_that_it_waits_and_only_the_gap_asks_for_a_replay(mirror: Any) -> None:
    one, _, three, four = chain("Ulm", "Bonn", "Kiel", "Jena")
    mirror.receive([one, three, four])
    texts = [text for (text,) in mirror.query("SELECT text FROM goldwire_dead_letter ORDER BY version")]
    assert "Ask for a replay" in texts[0]
    assert texts[1] == "entity e1: version 4 waits, because one before it is missing"


def test_a_full_event_heals_a_gap(mirror: Any) -> None:
    one, two, three, four = chain("Ulm", "Bonn", "Kiel", "Jena")
    full = sealed("e1", 5, {"city": "Graz"}, previous_hash=four.hash)
    assert mirror.receive([one, three, full, two, four]) == [APPLIED, PARKED, HEALED, IGNORED, IGNORED]
    assert mirror.table == {"e1": {"city": "Graz"}}
    assert mirror.letters == []


def test_a_replay_of_the_lost_event_under_another_message_id_closes_the_gap(mirror: Any) -> None:
    one, two, three = chain("Ulm", "Bonn", "Kiel")
    mirror.receive([one, three])
    assert mirror.receive([one, two, three], "replay-7") == [IGNORED, APPLIED, IGNORED]
    assert mirror.table == {"e1": {"city": "Kiel"}}


def test_a_delta_of_an_entity_that_was_never_seen_is_a_gap_and_a_full_one_is_not(mirror: Any) -> None:
    _, two, three = chain("Ulm", "Bonn", "Kiel")
    full = sealed("e2", 7, {"city": "Rom"}, previous_hash=b"x" * 32)
    assert mirror.receive([full, three]) == [JOINED, PARKED]
    assert mirror.guard("e1") == (0, None, None, 1)
    assert mirror.receive([two]) == [PARKED]
    assert mirror.receive([chain("Ulm")[0]]) == [APPLIED]
    assert mirror.table == {"e1": {"city": "Kiel"}, "e2": {"city": "Rom"}}


def test_a_tombstone_of_an_entity_that_was_never_seen_keeps_the_guard(mirror: Any) -> None:
    assert mirror.receive([deleted("e1", 5, previous_hash=b"x" * 32), chain("Ulm")[0]]) == [JOINED, IGNORED]
    assert mirror.table == {}


def test_stop_on_a_gap_names_entity_last_and_next_and_acknowledges_nothing_of_it(open_mirror: OpenMirror) -> None:
    mirror = open_mirror(Settings(on_gap="stop"))
    one, two, three = chain("Ulm", "Bonn", "Kiel")
    with pytest.raises(GapDetected) as found:
        mirror.receive([one, three])
    gap = found.value
    assert (gap.entity_id, gap.last, gap.next) == ("e1", (1, f"sha256:{one.hash.hex()}"), (3, f"sha256:{three.hash.hex()}"))
    assert mirror.table == {"e1": {"city": "Ulm"}}
    assert mirror.letters == []
    assert mirror.receive([one, two, three]) == [IGNORED, APPLIED, APPLIED]


def test_who_wants_a_replay_is_told_once_for_each_gap(open_mirror: OpenMirror) -> None:
    asked: list[GapDetected] = []
    mirror = open_mirror(Settings(on_gap=asked.append))
    one, two, three, four, five, six = chain(*"abcdef")
    mirror.receive([one, three])
    mirror.receive([four, three])
    assert [(gap.entity_id, gap.next.version) for gap in asked] == [("e1", 3)]
    mirror.receive([two, six])
    assert [gap.next.version for gap in asked] == [3, 6]
    mirror.receive([five])
    assert mirror.table == {"e1": {"city": "f"}}


def test_an_event_whose_replay_cannot_be_asked_for_is_not_acknowledged(open_mirror: OpenMirror) -> None:
    def ask(_: GapDetected) -> None:
        raise OSError("no network")

    mirror = open_mirror(Settings(on_gap=ask))
    one, _, three = chain(*"abc")
    with pytest.raises(TryAgainError, match="ask"):
        mirror.receive([one, three])
    assert mirror.letters == []
    assert mirror.guard("e1")[3] == 0


# --- transactions


def test_the_checkpoint_stands_in_the_transaction_that_applies(mirror: Any) -> None:
    one, two, three = chain("Ulm", "Bonn", "Kiel")
    messages = [
        Message(body=event.body, position=Position("hub", partition, str(event.version * 100), event.version))
        for event, partition in ((one, "0"), (two, "0"), (three, "1"))
    ]
    mirror.fail_at(3, TryAgainError("later"))
    with pytest.raises(TryAgainError):
        mirror.consumer.process(messages)
    assert mirror.query("SELECT * FROM goldwire_checkpoint") == [("hub", "0", "200", 2)]
    mirror.fault = lambda _: None
    mirror.consumer.process(messages)
    assert mirror.query("SELECT * FROM goldwire_checkpoint ORDER BY partition_id") == [
        ("hub", "0", "200", 2),
        ("hub", "1", "300", 3),
    ]


def test_nothing_of_a_batch_stays_when_the_process_is_told_to_end(mirror: Any) -> None:
    def interrupt(event: Event) -> None:
        if event.version == 2:
            raise KeyboardInterrupt

    mirror.fault = interrupt
    with pytest.raises(KeyboardInterrupt):
        mirror.receive(chain("Ulm", "Bonn"))
    assert mirror.table == {}
    mirror.fault = lambda _: None
    assert mirror.receive(chain("Ulm", "Bonn")) == [APPLIED, APPLIED]


def test_a_handler_that_commits_is_told_not_to(mirror: Any) -> None:
    consumer = Consumer(mirror.store, lambda _, connection: connection.commit(), sleep=lambda _: None)
    with pytest.raises(StoppedError, match="ended the transaction"):
        consumer.process([mirror.message(chain("Ulm")[0])])


def test_a_handler_that_commits_is_stopped_before_the_next_event(mirror: Any) -> None:
    seen: list[int] = []

    def handle(event: Event, connection: sqlite3.Connection) -> None:
        seen.append(event.version)
        connection.commit()

    consumer = Consumer(mirror.store, handle, sleep=lambda _: None)
    with pytest.raises(StoppedError, match="ended the transaction"):
        consumer.process([mirror.message(event) for event in chain("Ulm", "Bonn")])
    assert seen == [1]


def test_threads_share_a_store(mirror: Any) -> None:
    histories = [chain(*"abcdefgh", entity_id=f"e{number}") for number in range(4)]

    def work(events: list[SealedEvent]) -> None:
        consumer = mirror.subscribe()
        for event in events:
            consumer.process([mirror.message(event)])

    threads = [threading.Thread(target=work, args=(events,)) for events in histories]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mirror.table == {f"e{number}": {"city": "h"} for number in range(4)}


# --- anything else than SQL


class Memory:
    """A database of a subscriber that is neither SQLite nor PostgreSQL."""

    def __init__(self) -> None:
        self.guard: dict[str, Held] = {}
        self.rows: dict[str, int] = {}
        self.letters: list[DeadLetter] = []

    @contextlib.contextmanager
    def begin(self) -> Iterator[Memory]:
        before = dict(self.guard), dict(self.rows)
        try:
            yield self
        except BaseException:
            self.guard, self.rows = before
            raise

    def write(self, entity_id: str, before: Held | None, after: Held) -> bool:
        if self.guard.get(entity_id) != before:
            return False
        self.guard[entity_id] = after
        return True

    def handle(self, event: Event, _: Memory) -> None:
        self.rows[event.entity_id] = event.version
        if event.version == 2 and not self.letters:
            raise RejectedError("not this one")


def test_any_database_will_do() -> None:
    memory = Memory()
    store = FunctionStore(memory.begin, lambda one, id_: one.guard.get(id_), Memory.write)
    with pytest.raises(ValueError, match="no table of dead letters"):
        Consumer(store, memory.handle)
    consumer = Consumer(store, memory.handle, Settings(dead_letters=memory.letters.append))
    one, two, three = (Message(body=event.body) for event in chain(*"abc"))
    assert [result.outcome for result in consumer.process([one, one, two, three])] == [APPLIED, IGNORED, DEAD, PARKED]
    assert memory.rows == {"e1": 1}
    assert [letter.kind for letter in memory.letters] == ["rejected", "parked"]
    with pytest.raises(ValueError, match="no table of dead letters"):
        consumer.redrive()
    consumer.process([letter.message for letter in memory.letters])
    assert memory.rows == {"e1": 3}
    assert not memory.guard["e1"].parked


# --- the package


def test_it_works_without_goldwire_and_without_any_extra() -> None:
    code = """
import sys
for name in ("goldwire", "azure", "confluent_kafka", "psycopg", "orjson"):
    sys.modules[name] = None
import goldwire_consumer
store = goldwire_consumer.SqliteStore(sys.argv[1])
consumer = goldwire_consumer.Consumer(store, lambda event, connection: None)
[result] = consumer.process([goldwire_consumer.Message(body=sys.stdin.buffer.read())])
print(result.outcome.value, sorted(name for name in sys.modules if name.startswith("goldwire.")))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, ":memory:"], input=chain("Ulm")[0].body, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout.decode().strip()) == (0, "applied []"), done.stderr.decode()


AZURE = {"azure-eventhub", "azure-eventhub-checkpointstoreblob", "azure-identity", "azure-servicebus"}


@pytest.mark.parametrize(
    ("module", "missing", "packages"),
    [
        ("adapter.kafka", "confluent_kafka", {"confluent-kafka"}), ("adapter.event_hubs", "azure", AZURE),
        ("adapter.event_hubs_aio", "azure", AZURE), ("adapter.service_bus", "azure", AZURE),
        ("store.postgresql", "psycopg", {"psycopg"}),
    ],
)  # fmt: skip
def test_what_is_not_installed_is_named_with_the_command(module: str, missing: str, packages: set[str]) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; import goldwire_consumer.{module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ModuleNotFoundError: {missing}")
    words = shlex.split(last.partition("is not installed: ")[2])
    assert words[:2] == ["pip", "install"]
    assert {Requirement(word).name for word in words[2:]} == packages  # the packages: the kit itself may be on no index


def test_no_log_line_and_no_dead_letter_text_shows_a_value(mirror: Any, caplog: pytest.LogCaptureFixture) -> None:
    one, two, three = chain("Ulm", "top secret", "top secret")
    mirror.fail_at(1, ValueError("top secret"))
    mirror.receive([one, three, two])
    mirror.consumer.process(
        [Message(body=b'{"x": "top secret"}'), Message(body=two.body.replace(b"top secret", b"top secret!"))]
    )
    assert len(mirror.letters) == 5
    assert "top secret" not in caplog.text + json.dumps(mirror.query("SELECT text FROM goldwire_dead_letter"))
