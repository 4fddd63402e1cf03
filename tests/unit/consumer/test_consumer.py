from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from goldwire.event.sealed import SealedEvent
from goldwire.testing.events import deleted, sealed
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
    TooManyDeadLettersError,
    TryAgainError,
    apply,
    from_line,
    parse,
    to_file,
)
from goldwire_consumer.store.sqlite import create_tables

OpenMirror = Callable[..., Any]
APPLIED, HEALED, IGNORED, JOINED, PARKED, DEAD = (
    Outcome.APPLIED, Outcome.HEALED, Outcome.IGNORED, Outcome.JOINED, Outcome.PARKED, Outcome.DEAD,
)  # fmt: skip


def chain(*cities: str | None, entity_id: str = "e1", first: int = 1) -> list[SealedEvent]:
    """Deltas that follow each other; the first one is full, None is a deletion."""
    found: list[SealedEvent] = []
    for version, city in enumerate(cities, first):
        previous = found[-1].hash if found else None
        if city is None:
            found.append(deleted(entity_id, version, previous_hash=previous))
        else:
            full = not found or found[-1].deleted
            base = None if full else version - 1
            found.append(sealed(entity_id, version, {"city": city}, previous_hash=previous, base_version=base))
    return found


def fail_at(version: int, error: Exception) -> Callable[[Event], None]:
    def fault(event: Event) -> None:
        if event.version == version and event.entity_id == "e1":
            raise error

    return fault


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
    consumers = {}
    for stream in ("crm", "billing"):
        store = SqliteStore(tmp_path / "one.db", stream=stream)
        consumers[stream] = Consumer(store, lambda event, _, stream=stream: seen.append((stream, event.version)))
    [event] = chain("Ulm")
    for consumer in consumers.values():
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
    with SqliteStore(tmp_path / "one.db").transaction() as transaction:
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
    mirror.fault = fail_at(3, TryAgainError("away"))
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


# --- poison


def test_poison_is_set_aside_and_everything_else_is_applied(mirror: Any) -> None:
    events = [chain("Ulm", "Bonn", entity_id=f"e{number}") for number in range(5)]
    good = [mirror.message(event) for pair in events for event in pair]
    altered = Message(body=events[0][1].body.replace(b"Bonn", b"Rome"), source="hub/0@7")
    mislabelled = Message(body=events[0][1].body, headers={"subject": "Customer.EntityDeleted"})
    bad = [Message(body=b"{", headers={"messageId": "x"}), altered, mislabelled]
    results = mirror.consumer.process([good[0], bad[0], *good[1:5], bad[1], bad[2], *good[5:]])
    assert [one.letter.kind for one in results if one.outcome is DEAD] == ["unreadable", "altered", "mislabelled"]
    assert mirror.table == {f"e{number}": {"city": "Bonn"} for number in range(5)}
    assert mirror.query("SELECT kind, entity_id, version FROM goldwire_dead_letter ORDER BY kind") == [
        ("altered", "e0", 2), ("mislabelled", "e0", 2), ("unreadable", None, None),
    ]  # fmt: skip
    [row] = mirror.query("SELECT body, headers, source FROM goldwire_dead_letter WHERE kind = 'altered'")
    assert row == (altered.body, "{}", "hub/0@7")


def test_the_same_poison_again_is_one_dead_letter(mirror: Any) -> None:
    for _ in range(3):
        mirror.consumer.process([Message(body=b"{", source="hub/0@7")])
    assert mirror.letters == [("unreadable", None)]


def test_what_the_handler_rejects_is_set_aside_at_once_and_its_entity_waits(mirror: Any) -> None:
    one, two, three = chain("Ulm", "Bonn", "Kiel")
    other = chain("Rom", "Pisa", entity_id="e2")
    mirror.fault = fail_at(2, RejectedError("no such branch"))
    assert mirror.receive([one, other[0], two, three, other[1]]) == [APPLIED, APPLIED, DEAD, PARKED, APPLIED]
    assert mirror.table == {"e1": {"city": "Ulm"}, "e2": {"city": "Pisa"}}
    assert mirror.letters == [("rejected", 2), ("parked", 3)]
    assert mirror.waits == []
    assert mirror.consumer.redrive() == {DEAD: 1, PARKED: 1}
    mirror.fault = lambda _: None
    assert mirror.consumer.redrive("e1") == {APPLIED: 2}
    assert mirror.table["e1"] == {"city": "Kiel"}
    assert mirror.letters == []
    assert mirror.guard("e1")[3] == 0


def test_a_redrive_holds_a_few_dead_letters_in_memory_however_many_there_are(open_mirror: OpenMirror) -> None:
    size, count = 100_000, 220
    mirror = open_mirror(Settings(dead_letters_in_a_row_max=None))
    for number in range(count):
        mirror.consumer.process([Message(body=b"%d" % number + b" " * size)])
    tracemalloc.start()
    assert mirror.consumer.redrive() == {DEAD: count}
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < size * count / 2


def test_a_redrive_of_many_takes_each_entity_in_order_once(open_mirror: OpenMirror) -> None:
    mirror = open_mirror(Settings(dead_letters_in_a_row_max=None))
    chains = [chain(*"abcde", entity_id=f"e{number}") for number in range(30)]

    def reject(_: Any) -> None:
        raise RejectedError("not yet")

    mirror.fault = reject
    mirror.consumer.process([Message(body=b"%d" % number) for number in range(7)])
    mirror.receive([event for events in zip(*chains, strict=True) for event in events])
    mirror.fault = lambda _: None
    assert mirror.consumer.redrive() == {APPLIED: 150, DEAD: 7}
    assert mirror.letters == [("unreadable", None)] * 7
    assert set(map(str, mirror.table.values())) == {"{'city': 'e'}"}


def test_a_rejected_event_does_not_stop_a_subscriber_that_stops_on_gaps(open_mirror: OpenMirror) -> None:
    mirror = open_mirror(Settings(on_gap="stop"))
    mirror.fault = fail_at(2, RejectedError("no such branch"))
    assert mirror.receive(chain("Ulm", "Bonn", "Kiel")) == [APPLIED, DEAD, PARKED]


def test_an_unexpected_error_is_tried_again_and_then_poison(mirror: Any) -> None:
    mirror.fault = fail_at(2, ValueError("Bonn is secret"))
    assert mirror.receive(chain("Ulm", "Bonn")) == [APPLIED, DEAD]
    assert mirror.waits == [0.1, 0.2, 0.4, 0.8]
    [(text,)] = mirror.query("SELECT text FROM goldwire_dead_letter")
    assert text == "the handler raised ValueError in each of 5 attempts"


def test_an_error_that_passes_costs_only_time(mirror: Any) -> None:
    failures = [ConnectionError(), KeyError("x"), None]

    def fault(event: Event) -> None:
        if event.version == 2 and (error := failures.pop(0)) is not None:
            raise error

    mirror.fault = fault
    # the batch fails first, and then the event by itself
    assert mirror.receive(chain("Ulm", "Bonn", "Kiel")) == [APPLIED] * 3
    assert mirror.letters == []


def test_what_is_to_be_tried_again_is_never_a_dead_letter(mirror: Any) -> None:
    mirror.fault = fail_at(2, TryAgainError("the pricing service is away"))
    with pytest.raises(TryAgainError, match="pricing"):
        mirror.receive(chain("Ulm", "Bonn", "Kiel"))
    assert mirror.table == {"e1": {"city": "Ulm"}}
    assert mirror.letters == []


def test_a_database_that_is_locked_is_no_fault_of_the_message(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "one.db", lock_timeout_seconds=0)
    consumer = Consumer(store, lambda _event, _connection: None, sleep=lambda _: None)
    other = sqlite3.connect(tmp_path / "one.db")
    other.execute("BEGIN IMMEDIATE")
    messages = [Message(body=event.body) for event in chain("Ulm", "Bonn")]
    with pytest.raises(TryAgainError, match="OperationalError"):
        consumer.process(messages)
    other.rollback()
    assert [result.outcome for result in consumer.process(messages)] == [APPLIED, APPLIED]
    other.close()
    store.close()


def test_too_many_dead_letters_in_a_row_stop_the_stream(open_mirror: OpenMirror) -> None:
    mirror = open_mirror(Settings(dead_letters_in_a_row_max=3))
    bad = [Message(body=b"%d" % number) for number in range(9)]
    [good] = chain("Ulm")
    mirror.consumer.process([*bad[:3], mirror.message(good), *bad[3:6]])
    with pytest.raises(TooManyDeadLettersError, match="4 messages in a row"):
        mirror.consumer.process([bad[6]])
    assert len(mirror.letters) == 6


def test_the_same_poison_that_comes_again_while_something_is_away_counts_once(open_mirror: OpenMirror) -> None:
    mirror = open_mirror(Settings(dead_letters_in_a_row_max=3, attempts=1))
    mirror.fault = fail_at(1, TryAgainError("the pricing service is away"))
    batch = [Message(body=b"{", source="hub/0@6"), mirror.message(chain("Ulm")[0])]
    for _ in range(10):
        with pytest.raises(TryAgainError, match="pricing"):
            mirror.consumer.process(batch)
    others = [Message(body=b"{", source=f"hub/0@{number}") for number in range(7, 10)]
    with pytest.raises(TooManyDeadLettersError, match="4 messages in a row"):
        mirror.consumer.process(others)


def test_dead_letters_can_go_to_a_file(open_mirror: OpenMirror, tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    mirror = open_mirror(Settings(dead_letters=to_file(path)))
    one, two, three = chain(*"abc")
    mirror.consumer.process([Message(body=b"\xff", source="hub/1@2")])
    mirror.receive([one, three])
    letters = [from_line(line) for line in path.read_bytes().splitlines()]
    assert [(letter.kind, letter.body, letter.entity_id) for letter in letters] == [
        ("unreadable", b"\xff", None),
        ("gap", three.body, "e1"),
    ]
    assert letters[0].source == "hub/1@2"
    assert path.stat().st_mode & 0o077 == 0
    assert mirror.letters == []
    mirror.consumer.process([mirror.message(two), letters[1].message])
    assert mirror.table == {"e1": {"city": "c"}}


def test_a_line_that_a_crash_cut_off_does_not_spoil_the_next_dead_letter(open_mirror: OpenMirror, tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    mirror = open_mirror(Settings(dead_letters=to_file(str(path))))
    mirror.consumer.process([Message(body=b"1")])
    path.write_bytes(path.read_bytes()[:-20])
    mirror.consumer.process([Message(body=b"2")])
    _, last = path.read_bytes().splitlines()
    assert from_line(last).body == b"2"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("on_gap", "Park"), ("on_gap", None), ("dead_letters", "file"), ("dead_letters", None), ("attempts", 0),
        ("dead_letters_in_a_row_max", -1),
    ],
)  # fmt: skip
def test_a_setting_that_there_is_not_is_refused(setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"Settings.{setting} is"):
        Settings(**{setting: value})


def test_a_message_whose_dead_letter_cannot_be_kept_is_not_acknowledged(open_mirror: OpenMirror) -> None:
    kept: list[DeadLetter] = []

    def keep(letter: DeadLetter) -> None:
        if not kept:
            kept.append(letter)
            raise OSError("disk full")

    mirror = open_mirror(Settings(dead_letters=keep))
    with pytest.raises(TryAgainError, match="keep"):
        mirror.consumer.process([Message(body=b"{", position=Position("s", "0", "1", 1))])
    assert mirror.query("SELECT * FROM goldwire_checkpoint") == []
    [result] = mirror.consumer.process([Message(body=b"{", position=Position("s", "0", "1", 1))])
    assert result.outcome is DEAD


def test_an_erased_entity_leaves_no_dead_letter_behind(mirror: Any) -> None:
    one, _, three = chain("Ulm", "Bonn", "Kiel")
    other = chain("Rom", "Pisa", "Bari", entity_id="e2")
    mirror.receive([one, three, other[0], other[2]])
    mirror.consumer.process([Message(body=one.body.replace(b"Ulm", b"Bonn")), Message(body=one.body, headers={"subject": "x"})])
    assert len(mirror.letters) == 4
    mirror.receive([deleted("e1", 4, reason="erased", previous_hash=three.hash)])
    assert mirror.query("SELECT DISTINCT entity_id FROM goldwire_dead_letter") == [("e2",)]


def test_an_erasure_finds_an_altered_dead_letter_whatever_version_that_states(mirror: Any) -> None:
    [one] = chain("Ulm")
    nine = sealed("e1", 9, {"city": "Kiel"})
    mirror.receive([one])
    mirror.consumer.process([Message(body=one.body.replace(b'"version":1', b'"version":9'))])
    mirror.consumer.process([Message(body=nine.body, headers={"subject": "x"})])
    assert mirror.letters == [("altered", 9), ("mislabelled", 9)]
    mirror.receive([deleted("e1", 2, reason="erased", previous_hash=one.hash)])
    assert mirror.letters == [("mislabelled", 9)]  # proven to be what came after the erasure


@pytest.mark.parametrize("batch", [True, False])
def test_an_erasure_that_comes_late_still_leaves_no_dead_letter_behind(mirror: Any, batch: bool) -> None:
    [one] = chain("Ulm")
    gone = deleted("e1", 2, reason="erased", previous_hash=one.hash)
    mirror.receive([one])
    mirror.consumer.process([Message(body=one.body.replace(b"Ulm", b"Bonn"))])
    back = sealed("e1", 3, {"city": "Kiel"}, previous_hash=gone.hash)
    assert mirror.receive([back]) == [HEALED]
    assert mirror.letters == [("altered", 1)]
    messages = [mirror.message(gone)] if batch else [Message(body=b"{"), mirror.message(gone)]
    assert mirror.consumer.process(messages)[-1].outcome is IGNORED
    assert ("altered", 1) not in mirror.letters
    assert mirror.table == {"e1": {"city": "Kiel"}}


# --- transactions


def test_the_checkpoint_stands_in_the_transaction_that_applies(mirror: Any) -> None:
    one, two, three = chain("Ulm", "Bonn", "Kiel")
    messages = [
        Message(body=event.body, position=Position("hub", partition, str(event.version * 100), event.version))
        for event, partition in ((one, "0"), (two, "0"), (three, "1"))
    ]
    mirror.fault = fail_at(3, TryAgainError("later"))
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


@pytest.mark.parametrize(
    ("module", "missing", "extra"),
    [
        ("adapter.kafka", "confluent_kafka", "kafka"), ("adapter.event_hubs", "azure", "azure"),
        ("adapter.event_hubs_aio", "azure", "azure"), ("adapter.service_bus", "azure", "azure"),
        ("store.postgresql", "psycopg", "postgresql"),
    ],
)  # fmt: skip
def test_what_is_not_installed_is_named_with_the_command(module: str, missing: str, extra: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; import goldwire_consumer.{module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ModuleNotFoundError: {missing}")
    assert last.endswith(f'is not installed: pip install "goldwire-consumer[{extra}]"')


def test_no_log_line_and_no_dead_letter_text_shows_a_value(mirror: Any, caplog: pytest.LogCaptureFixture) -> None:
    one, two, three = chain("Ulm", "top secret", "top secret")
    mirror.fault = fail_at(1, ValueError("top secret"))
    mirror.receive([one, three, two])
    mirror.consumer.process(
        [Message(body=b'{"x": "top secret"}'), Message(body=two.body.replace(b"top secret", b"top secret!"))]
    )
    assert len(mirror.letters) == 5
    assert "top secret" not in caplog.text + json.dumps(mirror.query("SELECT text FROM goldwire_dead_letter"))
