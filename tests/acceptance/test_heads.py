"""A subscriber that missed the last events of some entities, which no chain shows, learns of it by the list of heads."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from goldwire_consumer import Consumer, Difference, HeadsError, Message, SqliteStore, compare

KEY = "k" * 32
CONFIG = """\
store: {path: store.db}
types: {C: {attributes: {name: {}}}}
sources: {s: {system: s, type: C, id: id}}
contracts: {c: {golden: false, approval: any}}
keys: {heads: "${env:HEADS_KEY}"}
targets: {f: {kind: file, contract: c, settings: {path: f.jsonl}}}
"""


def deliver(shell: Any, names: dict[int, str]) -> None:
    rows = "".join(f"{number},{name}\n" for number, name in names.items())
    (shell.folder / "a.csv").write_text(f"id,name\n{rows}")
    shell.run("ingest", "s", "a.csv")
    shell.run("run", "--until-caught-up")


@pytest.fixture
def listed(shell: Any) -> Any:
    """Five records, two of them changed, and the list of their heads."""
    shell.environment["HEADS_KEY"] = KEY
    (shell.folder / "goldwire.yaml").write_text(CONFIG)
    shell.run("apply")
    deliver(shell, dict.fromkeys(range(5), "first"))
    deliver(shell, {0: "second", 1: "second"})
    written = shell.json("heads", "f", "heads.jsonl")
    assert (written["target"], written["entities"]) == ("f", 5)
    return shell


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = SqliteStore(tmp_path / "subscriber.db")
    yield made
    made.close()


def lines(shell: Any, name: str) -> list[bytes]:
    return (shell.folder / name).read_bytes().splitlines(keepends=True)


def receive(store: Any, events: list[bytes]) -> None:
    Consumer(store, lambda _event, _connection: None).process([Message(body=line.strip()) for line in events])


def test_events_that_were_lost_after_the_last_one_are_named(listed: Any, store: Any) -> None:
    events = lines(listed, "f.jsonl")
    ids = [json.loads(line)["entityId"] for line in events]
    never, late = next(id_ for id_ in ids[:5] if ids.count(id_) == 1), ids[-1]
    receive(store, [line for line, id_ in zip(events[:-1], ids, strict=False) if id_ != never])
    found = compare(lines(listed, "heads.jsonl"), store, KEY.encode())
    assert set(found.differences) == {Difference(never, "missing", 1, None), Difference(late, "behind", 2, 1)}
    assert (found.target, found.entities) == ("f", 5)


def test_a_subscriber_that_missed_nothing_is_told_so(listed: Any, store: Any) -> None:
    receive(store, lines(listed, "f.jsonl"))
    assert compare(lines(listed, "heads.jsonl"), store, KEY.encode()).differences == []


def test_the_same_version_with_another_content_is_named(listed: Any, store: Any) -> None:
    events = lines(listed, "f.jsonl")
    receive(store, events)
    with store.transaction() as transaction:
        transaction.connection.execute("UPDATE goldwire_guard SET hash = 'sha256:0' WHERE version = 2")
    assert {one.kind for one in compare(lines(listed, "heads.jsonl"), store, KEY.encode()).differences} == {"other"}


@pytest.mark.parametrize("how", ["cut", "altered", "shortened", "another key", "empty", "no list"])
def test_a_list_that_is_not_what_was_signed_counts_for_nothing(listed: Any, store: Any, how: str) -> None:
    whole = lines(listed, "heads.jsonl")
    given, key = {
        "cut": (whole[:-1], KEY),
        "altered": ([whole[0].replace(b'"version":', b'"version":1'), *whole[1:]], KEY),
        "shortened": (whole[1:], KEY),
        "another key": (whole, "x" * 32),
        "empty": ([], KEY),
        "no list": ([b"{}\n", *whole[-1:]], KEY),
    }[how]
    with pytest.raises(HeadsError):
        compare(given, store, key.encode())


def test_without_a_key_nothing_is_listed(listed: Any) -> None:
    listed.edit('keys: {heads: "${env:HEADS_KEY}"}', "keys: {}")
    assert "`keys.heads` is needed to sign the heads of target f" in listed.fails("heads", "f", "again.jsonl", code=2)
    assert not (listed.folder / "again.jsonl").exists()


def test_a_run_writes_the_list_when_it_is_due_and_not_before(listed: Any, store: Any) -> None:
    listed.edit("settings: {path: f.jsonl}", "settings: {path: f.jsonl}, heads: {path: lists/f.jsonl, every_seconds: 3600}")
    deliver(listed, {0: "third"})
    receive(store, lines(listed, "f.jsonl")[:-1])
    [found] = compare(lines(listed, "lists/f.jsonl"), store, KEY.encode()).differences
    assert (found.kind, found.version, found.held) == ("behind", 3, 2)
    before = lines(listed, "lists/f.jsonl")
    deliver(listed, {1: "third"})
    assert lines(listed, "lists/f.jsonl") == before, "it is not an hour old"
    old = time.time() - 3601
    os.utime(listed.folder / "lists/f.jsonl", (old, old))
    listed.run("run", "--until-caught-up")
    receive(store, lines(listed, "f.jsonl"))
    assert lines(listed, "lists/f.jsonl") != before
    assert compare(lines(listed, "lists/f.jsonl"), store, KEY.encode()).differences == []
    assert sorted(path.name for path in (listed.folder / "lists").iterdir()) == ["f.jsonl"]


def test_a_process_that_goes_on_writes_lists_too_and_says_what_keeps_it_from_that(listed: Any) -> None:
    listed.edit("settings: {path: f.jsonl}", "settings: {path: f.jsonl}, heads: {path: lists/f.jsonl, every_seconds: 1}")
    (listed.folder / "lists").write_text("no folder")
    process = listed.start("run")
    assert process.stderr is not None
    assert "goldwire: f: heads: " in process.stderr.readline()
    (listed.folder / "lists").unlink()
    give_up = time.monotonic() + 60
    while not (listed.folder / "lists/f.jsonl").exists():
        assert time.monotonic() < give_up
        time.sleep(0.1)
    process.terminate()
    process.communicate(timeout=60)


def test_a_schedule_without_a_key_is_refused(listed: Any) -> None:
    listed.edit("settings: {path: f.jsonl}", "settings: {path: f.jsonl}, heads: {path: f.heads}")
    listed.edit('keys: {heads: "${env:HEADS_KEY}"}', "keys: {}")
    assert "targets.f.heads: `keys.heads` is missing, which signs the list" in listed.fails("apply", code=2)
