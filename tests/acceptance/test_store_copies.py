"""A store is backed up while it is used, and restored only while it is not; both are checked."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing
from typing import Any

import pytest

from goldwire.changelog.migrations import NEWEST

DEADLINE_SECONDS = 60.0
STOPPED = 7


def until_delivered(shell: Any, position: int) -> None:
    give_up = time.monotonic() + DEADLINE_SECONDS
    while {(one["state"], one["position"]) for one in shell.json("status")["targets"]} != {("caught up", position)}:
        assert time.monotonic() < give_up


def commit(shell: Any, number: int) -> None:
    shell.write(
        f"{number}.csv", f"id,full_name,e_mail,phone,city,segment,updated_at\nC-{number},Ada,,,Bath,,2026-05-01T00:00:00Z\n"
    )
    shell.run("ingest", "crm", f"{number}.csv")


def test_a_backup_made_while_a_process_delivers_is_restored_once_none_does(started: Any) -> None:
    running = started.start("run")
    commit(started, 71)
    until_delivered(started, 1)
    made = started.json("store", "backup", "copy.db")
    assert (made["position"], made["schema"]) == (1, NEWEST)
    assert set(made["targets"]) == {one["target"] for one in started.json("status")["targets"]}
    assert (started.folder / "copy.db").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in started.folder.glob("copy.db*")) == ["copy.db"]
    commit(started, 72)
    until_delivered(started, 2)
    said = started.fails("store", "restore", "copy.db", code=4)
    assert "another relay is working on it" in said or "has the store open" in said
    assert started.json("status")["position"] == 2
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=DEADLINE_SECONDS)
    restored = started.run("store", "restore", "copy.db")
    assert not list(started.folder.rglob("store.db-journal")), "it holds values of the store that was there before"
    assert "`goldwire resync TARGET`" in restored.stderr
    assert "events" in restored.stderr
    assert started.json("status")["position"] == 1
    assert started.json("store", "check")["sound"]
    [kept] = started.folder.rglob("store.db.before-restore-*")
    with closing(sqlite3.connect(kept)) as connection:
        assert connection.execute("SELECT max(seq) FROM log").fetchone() == (2,)
    commit(started, 72)
    told = started.run("run", "--until-caught-up", code=STOPPED)
    assert "`goldwire resync events` lets it run again" in told.stderr, "it holds what this store does not know of"
    for one in started.json("status")["targets"]:
        started.run("resync", one["target"])
    started.run("run", "--until-caught-up")
    assert all(one["balanced"] for one in started.json("ledger", "--recount"))


def test_a_restore_where_no_store_is_puts_it_there(started: Any) -> None:
    commit(started, 71)
    started.run("store", "backup", "copy.db")
    for path in (started.folder / ".goldwire").glob("store.db*"):
        path.unlink()
    document = started.json("store", "restore", "copy.db")
    assert (document["kept"], document["backup"]["position"]) == (None, 1)
    assert started.json("status")["position"] == 1


def test_what_cannot_be_right_is_refused_and_changes_nothing(started: Any) -> None:
    commit(started, 71)
    started.run("store", "backup", "copy.db")
    assert "overwrites nothing" in started.fails("store", "backup", "copy.db", code=3)
    assert "no such backup" in started.fails("store", "restore", "none.db", code=3)
    started.write("text.db", "no database" * 100)
    assert "text.db" in started.fails("store", "restore", "text.db", code=6)
    with closing(sqlite3.connect(started.folder / "other.db")) as connection:
        connection.execute("CREATE TABLE t (a)")
    assert "no Goldwire store" in started.fails("store", "restore", "other.db", code=3)
    assert "is the store itself" in started.fails("store", "restore", ".goldwire/store.db", code=3)
    with closing(sqlite3.connect(started.folder / "copy.db")) as connection:
        connection.execute("UPDATE log SET correlation_id = 'another'")
        connection.commit()
    assert "the copy is damaged in" in started.fails("store", "restore", "copy.db", code=6)
    assert started.json("status")["position"] == 1
    assert [path.name for path in (started.folder / ".goldwire").glob("*restor*")] == []


@pytest.mark.parametrize("width", ["80", "60"])
def test_no_word_is_broken_in_a_narrow_terminal(started: Any, width: str) -> None:
    started.run("ingest", "crm", "data/crm.csv")
    started.environment["COLUMNS"] = "400"
    commands = [["status"], ["ledger"], ["targets"], ["dead", "list"], ["resync", "list"], ["entity", "show", "crm/C-1"]]
    started.run("run", "--until-caught-up")
    started.run("resync", "events", "--why", "the auditor asked for it and wants to see every single record once more")
    wide = {" ".join(words): set(started.run(*words).stdout.split()) for words in commands}
    started.environment["COLUMNS"] = width
    for words in commands:
        shown = started.run(*words).stdout
        lost = {word for word in wide[" ".join(words)] - set(shown.split()) if not set(word) <= set("─━ ")}
        assert lost == set(), (words, shown)
        if words[0] in ("status", "ledger", "resync"):
            assert max(len(line.rstrip()) for line in shown.splitlines()[:3]) <= int(width), shown
