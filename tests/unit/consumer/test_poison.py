"""What becomes of messages that cannot be applied: dead letters, their redrive, and their end."""

from __future__ import annotations

import sqlite3
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goldwire.testing.events import chain, deleted, sealed
from goldwire_consumer import (
    Consumer,
    DeadLetter,
    Event,
    Message,
    Outcome,
    Position,
    RejectedError,
    Settings,
    SqliteStore,
    TooManyDeadLettersError,
    TryAgainError,
    from_line,
    to_file,
)

OpenMirror = Callable[..., Any]
APPLIED, HEALED, IGNORED, JOINED, PARKED, DEAD = (
    Outcome.APPLIED, Outcome.HEALED, Outcome.IGNORED, Outcome.JOINED, Outcome.PARKED, Outcome.DEAD,
)  # fmt: skip


def test_poison_is_set_aside_and_everything_else_is_applied(mirror: Any) -> None:
    events = [chain("Ulm", "Bonn", entity_id=f"e{number}") for number in range(5)]
    good = [mirror.message(event) for pair in events for event in pair]
    altered = Message(body=events[0][1].body.replace(b"Bonn", b"Rome"), source="hub/0@7")
    mislabelled = Message(body=events[0][1].body, headers={"subject": "Customer.EntityDeleted"})
    bad = [Message(body=b"{", headers={"messageId": "x"}), altered, mislabelled]
    results = mirror.consumer.process([good[0], bad[0], *good[1:5], bad[1], bad[2], *good[5:]])
    assert [one.message for one in results if one.outcome is DEAD] == bad
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
    mirror.fail_at(2, RejectedError("no such branch"))
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


def test_a_dead_letter_that_is_redriven_in_vain_stays_as_it_is_and_is_handed_to_nobody_again(mirror: Any) -> None:
    mirror.fail_at(2, RejectedError("no such branch"))
    mirror.receive(chain("Ulm", "Bonn"))
    before = mirror.query("SELECT * FROM goldwire_dead_letter")
    mirror.fail_at(2, RejectedError("still no such branch"))
    assert mirror.consumer.redrive() == {DEAD: 1}
    handed: list[DeadLetter] = []
    assert mirror.subscribe(Settings(dead_letters=handed.append)).redrive() == {DEAD: 1}
    assert (mirror.query("SELECT * FROM goldwire_dead_letter"), handed) == (before, [])


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


def test_a_redrive_of_more_poison_than_may_come_in_a_row_is_no_reason_to_stop(open_mirror: OpenMirror) -> None:
    mirror = open_mirror(Settings(dead_letters_in_a_row_max=3))
    for number, event in enumerate(chain(*"abcdef")):
        mirror.consumer.process([Message(body=b"%d" % number), mirror.message(event)])
    assert mirror.consumer.redrive() == {DEAD: 6}


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
    mirror.fail_at(2, RejectedError("no such branch"))
    assert mirror.receive(chain("Ulm", "Bonn", "Kiel")) == [APPLIED, DEAD, PARKED]


def test_an_unexpected_error_is_tried_again_and_then_poison(mirror: Any) -> None:
    mirror.fail_at(2, ValueError("Bonn is secret"))
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
    mirror.fail_at(2, TryAgainError("the pricing service is away"))
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
    mirror.fail_at(1, TryAgainError("the pricing service is away"))
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
