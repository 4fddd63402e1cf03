"""A full disk, a locked store, a clock that is set back: one clear line, nothing lost, and repeating the command mends it."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from goldwire.clock import SystemClock
from goldwire.config.reader import load
from goldwire.services.application import Application
from goldwire.services.delivery import run_targets

HEADER = "id,full_name,e_mail,phone,city,segment,updated_at\n"
DAY_SECONDS = 86_400.0


def many(count: int) -> str:
    rows = (f"N-{n},Name {n},n{n}@x.example,,Rome,,2026-04-01T00:00:00Z\n" for n in range(count))
    return HEADER + "".join(rows)


def proven(shell: Any, delivered: int) -> None:
    """Everything that was committed arrived at `events`, in whole chains, and every ledger balances."""
    shell.run("run", "--until-caught-up")
    for one in shell.json("ledger", "--recount"):
        assert (one["balanced"], one["pending"], one["dead"]) == (True, 0, 0)
    assert len(shell.events("out/events.jsonl")) == delivered
    assert shell.json("verify", "out/events.jsonl")["whole"]


# --- a full disk


@pytest.fixture
def small_disk(shell: Any) -> Iterator[Any]:
    """A shell on a file system of 3 MB."""
    if sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("needs mount and tmpfs of Linux")
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(shell.folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no file system may be mounted here: {mounted.stderr.strip()}")
    yield shell
    subprocess.run(["umount", "--lazy", str(shell.folder)], check=True)


def fill(file: Path) -> None:
    """Write until the disk has no room."""
    with file.open("ab", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 1_000)
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017 - which of the writes it is does not matter


def test_a_full_disk_loses_nothing_and_the_same_commands_go_on_once_there_is_room(small_disk: Any) -> None:
    shell = small_disk
    shell.run("init")
    shell.run("apply")
    (shell.folder.parent / "many.csv").write_text(many(5_000))
    said = shell.fails("ingest", "crm", "../many.csv", code=5)
    assert "store.db" in said
    assert "free room" in said
    taken = shell.json("status")["position"]
    assert taken % 1_000 == 0, "whole batches were committed"
    fill(shell.folder / "filler")
    relayed = shell.run("run", "--until-caught-up", code=5)
    assert "failed" in relayed.stdout
    told = [line for line in relayed.stderr.splitlines() if "store.db" in line]
    assert len(told) == 1, "once, and not for each of the targets"
    assert "free room" in told[0]
    subprocess.run(["mount", "-o", "remount,size=60m", str(shell.folder)], check=True)
    shell.run("ingest", "crm", "../many.csv")
    assert shell.json("status")["position"] == 5_000
    proven(shell, 5_000)


def test_init_on_a_full_disk_leaves_nothing_that_stands_in_its_way(small_disk: Any) -> None:
    shell = small_disk
    fill(shell.folder / "filler")
    assert "free room" in shell.fails("init", code=5)
    (shell.folder / "filler").unlink()
    shell.run("init")
    shell.run("apply", "--check")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device without room")
def test_a_rejects_file_without_room_is_named_and_the_rows_stay_taken(started: Any) -> None:
    started.write("some.csv", HEADER + "C-1,Ada,ada@x.example,,London,,2026-01-01T00:00:00Z\n,Nameless,,,,,\n")
    said = started.fails("ingest", "crm", "some.csv", "--rejects", "/dev/full", code=5)
    assert "/dev/full: the rejects file cannot be written" in said
    again = started.json("ingest", "crm", "some.csv", "--rejects", "rejects.jsonl", code=10)
    assert (again["facts"], again["versions"], again["rejected"]) == (1, 0, 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device without room")
@pytest.mark.parametrize("words", ["status", "--version", "--help", "status --json", "ledger", "targets", "verify --help"])
def test_output_without_room_is_an_error_with_its_own_exit_code(started: Any, words: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = started.into(full, *words.split())
    assert (done.returncode, "standard output" in done.stderr) == (5, True)
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device without room")
def test_what_went_wrong_before_the_output_had_no_room_decides_the_exit_code(started: Any) -> None:
    with Path("/dev/full").open("w") as full:
        done = started.into(full, "entity", "show", "crm/nobody")
    assert (done.returncode, len(done.stderr.splitlines())) == (11, 1)


def test_a_reader_that_is_gone_is_no_fault_to_speak_of(started: Any) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as nowhere:
        done = started.into(nowhere, "--version")
    assert (done.returncode, done.stderr) == (1, "")


# --- a locked store


def test_a_store_that_is_locked_during_a_delivery_ends_the_run_and_the_next_one_settles_what_was_sent(started: Any) -> None:
    started.run("ingest", "crm", "data/crm.csv")
    started.run("run", "--until-caught-up", "-t", "partners")
    with closing(sqlite3.connect(started.folder / ".goldwire/store.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        done = started.run("run", "--until-caught-up", "-t", "events", code=4)
        assert "store.db: another process is writing to it" in done.stderr
        assert "busy" in done.stdout
        assert started.json("status")["position"] == 4, "reading goes on meanwhile"
        other.execute("ROLLBACK")
    proven(started, 4)


# --- a clock that is set back


class AheadClock(SystemClock):
    """A machine whose clock is a day ahead; who looks at the real one afterwards sees it set back."""

    def now(self) -> float:
        return super().now() + DAY_SECONDS


def ahead(shell: Any) -> Application:
    return Application(load(shell.folder / "goldwire.yaml"), AheadClock())


def test_rows_without_a_time_are_not_taken_for_old_ones_when_the_clock_was_set_back(started: Any) -> None:
    started.edit("    observed_at: updated_at\n", "")
    ada = "C-1,Ada,ada@x.example,,{},,\n"
    started.write("first.csv", HEADER + ada.format("London"))
    with ahead(started) as application:
        application.ingest_service().files("crm", [started.folder / "first.csv"])
    for city in ("Paris", "Bath", "Aachen"):
        started.write("next.csv", HEADER + ada.format(city))
        done = started.run("ingest", "crm", "next.csv")
        assert "1 version committed" in done.stdout
        assert "the clock of this machine is 86,3" in done.stderr or "the clock of this machine is 86,4" in done.stderr
    shown = started.json("entity", "show", "crm/C-1")
    assert shown["state"]["attributes"]["city"]["value"] == "Aachen"
    times = [one["committed_at"] for one in shown["versions"]]
    assert times == sorted(set(times)), "order of time is order of versions"
    proven(started, 4)


def test_a_relay_goes_on_after_the_clock_was_set_back(started: Any) -> None:
    started.run("ingest", "crm", "data/crm.csv")
    with ahead(started) as application:
        ended = run_targets(application.relays(), ["events", "partners"], until_caught_up=True)
    assert [one.error for one in ended] == [None, None]
    started.run("ingest", "billing", "data/billing.csv")
    proven(started, 8)
