"""The demo keeps every promise it makes: real customers, a real SIGKILL, and a proof that can fail."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from goldwire.demo.folder import DemoFolder
from goldwire.demo.mirror import compare_mirror
from goldwire.demo.proof import compare_warehouse, verify_chains
from goldwire.demo.subscriber import applied
from goldwire.services.application import Application

TERMS = ("delivered", "filtered", "superseded", "dead", "parked", "pending")


def test_the_demo_proves_what_it_claims(shell: Any) -> None:
    found = shell.json("demo", "a demo")
    folder = DemoFolder(shell.folder / "a demo")
    assert found["kept"]
    assert all(promise["kept"] for promise in found["promises"])
    assert len(found["promises"]) >= 10
    assert_mastered(found)
    assert_killed_and_nothing_lost(found, folder)
    assert_masked(found["sample"], folder)
    assert_steward_heard(found["fates"])
    assert_rebuilt_from_the_stream(found, folder)
    assert_the_proof_can_fail(folder)
    assert_the_proof_of_the_stream_can_fail(folder)


def assert_rebuilt_from_the_stream(found: dict[str, Any], folder: DemoFolder) -> None:
    killed, mirror = found["killed"], found["mirror"]
    assert killed["exit_signal"] == signal.SIGKILL
    assert 0 < killed["applied"] < killed["published"]
    ledger = next(one for one in found["ledgers"] if one["target"] == "backplane")
    assert mirror["applied"] == ledger["delivered"] <= mirror["published"]
    assert mirror["golden_records"] == mirror["rows"] == mirror["rows_equal"] == found["warehouse"]["golden_records"]
    assert mirror["settled"] == mirror["guards_equal"] > mirror["rows"]
    held = folder.mirror.read_bytes()
    assert b"winston hills" in held
    assert b"neumann" not in held, "masked"
    assert b"5304218" not in held, "left out"


def assert_mastered(found: dict[str, Any]) -> None:
    assert [(one["facts"], one["rejected"]) for one in found["intakes"]] == [(5000, 0), (5000, 0)]
    assert found["precision_by_rules"] >= 0.995
    assert found["recall_by_rules"] >= 0.995
    assert found["by_rules"]["pairs_true"] == 5000
    moves, steward = found["second_wave"]
    assert (moves["facts"], moves["rejected"], steward["rejected"]) == (200, 4, 0)


def assert_killed_and_nothing_lost(found: dict[str, Any], folder: DemoFolder) -> None:
    crash = found["crash"]
    assert crash["exit_signal"] == signal.SIGKILL
    assert 0 < crash["partner_had"] < crash["partner_has"]
    at_kill = {one["target"]: one for one in crash["at_kill"]}
    assert at_kill["partner"]["pending"] > 0
    ledgers = {one["target"]: one for one in found["ledgers"]}
    assert ledgers.keys() == {"eventlog", "partner", "warehouse", "backplane"}
    for one in [*at_kill.values(), *ledgers.values()]:
        assert one["committed"] == sum(one[term] for term in TERMS)
        assert one["balanced"]
        assert one["recount_agrees"]
    arrived = [json.loads(line)["event"] for line in folder.arrivals.read_text().splitlines()]
    assert len({event["hash"] for event in arrived}) == ledgers["partner"]["delivered"]
    logged = folder.eventlog.read_text().splitlines()
    assert len(logged) == len(set(logged)) == ledgers["eventlog"]["delivered"]
    with sqlite3.connect(folder.warehouse) as connection:
        rows = connection.execute("SELECT count(*) FROM customer WHERE NOT goldwire_deleted").fetchone()[0]
    connection.close()
    assert rows == found["warehouse"]["golden_records"] == found["warehouse"]["rows_equal"]


def assert_masked(sample: dict[str, Any], folder: DemoFolder) -> None:
    masked = {name: one["value"] for name, one in sample["changes"]["attributes"].items()}
    assert (masked["given_name"], masked["date_of_birth"]) == ("m***a", "1915")
    assert masked["surname"].startswith("hmac-sha256:")
    assert masked["soc_sec_id"].startswith("tok_")
    assert "address_1" not in masked
    received = folder.arrivals.read_text()
    assert "neumann" not in received
    assert "5304218" not in received


def assert_steward_heard(fates: list[dict[str, Any]]) -> None:
    assert all(fate["as_decided"] for fate in fates)
    told = {(fate["decision"], fate["partner"].partition(",")[0], fate["warehouse"].partition(",")[0]) for fate in fates}
    assert told >= {
        ("merge", "merged", "marked deleted"),
        ("unmerge", "changed", "row"),
        ("delete", "deleted", "marked deleted"),
        ("withdraw", "deselected", "marked deleted"),
    }


def assert_the_proof_can_fail(folder: DemoFolder) -> None:
    with Application.of(folder.config) as application:
        assert compare_warehouse(application, folder).unexpected == 0
        chosen = "SELECT min(id) FROM customer WHERE suburb > '' AND NOT goldwire_deleted"
        change(folder, f"UPDATE customer SET suburb = 'elsewhere' WHERE id = ({chosen})")
        found = compare_warehouse(application, folder)
        assert found.rows_equal == found.golden_records - 1
        change(folder, "DELETE FROM customer WHERE id = (SELECT max(id) FROM customer WHERE NOT goldwire_deleted)")
        assert compare_warehouse(application, folder).unexpected == 1
        lines = folder.eventlog.read_bytes().splitlines(keepends=True)
        folder.eventlog.write_bytes(b"".join(lines[:-1]))
        cut = verify_chains(application, folder)[0]
        assert (cut.findings, cut.ends_as_settled) == (0, False), "the chain alone cannot know of its last event"
        folder.eventlog.write_bytes(b"".join(lines).replace(b'"nsw"', b'"vic"', 1))
        assert verify_chains(application, folder)[0].findings > 0


def assert_the_proof_of_the_stream_can_fail(folder: DemoFolder) -> None:
    with Application.of(folder.config) as application:
        sound = compare_mirror(application, folder, applied(folder))
        assert (sound.rows_equal, sound.unexpected, sound.guards_unexpected) == (sound.golden_records, 0, 0)
        first = "WHERE entity_id = (SELECT min(entity_id) FROM customer)"
        last = "WHERE entity_id = (SELECT max(entity_id) FROM customer)"
        change(folder, f'UPDATE customer SET record = replace(record, \'"value":"\', \'"value":"x\') {first}', folder.mirror)
        assert compare_mirror(application, folder, 0).rows_equal == sound.rows_equal - 1
        change(folder, f"UPDATE customer SET version = version + 1 {last}", folder.mirror)
        assert compare_mirror(application, folder, 0).rows_equal == sound.rows_equal - 2
        change(folder, f"UPDATE goldwire_guard SET hash = 'sha256:another' {last}", folder.mirror)
        assert compare_mirror(application, folder, 0).guards_equal == sound.guards_equal - 1
        change(folder, f"DELETE FROM customer {first}", folder.mirror)
        assert compare_mirror(application, folder, 0).unexpected == 1


def change(folder: DemoFolder, statement: str, database: Path | None = None) -> None:
    connection = sqlite3.connect(database or folder.warehouse)
    assert connection.execute(statement).rowcount == 1
    connection.commit()
    connection.close()


def test_the_demo_reads_well_in_a_pipe_and_the_commands_it_ends_with_work(shell: Any) -> None:
    shell.environment["COLUMNS"] = "60"
    text = shell.run("demo").stdout
    table_and_text = [line for line in text.splitlines() if not line.startswith("  ")]
    assert max(map(len, table_and_text)) <= 100
    assert "BROKEN" not in text
    assert "BALANCE" not in text
    commands = [line.strip() for line in text.partition("and go on:")[2].splitlines() if line.strip()]
    assert len(commands) >= 4
    for command in commands:
        done = subprocess.run(shlex.split(command), cwd=shell.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stderr)
    assert re.search(r"killed with signal 9 when the partner had \d+ of \d+ events", text)
    assert (shell.folder / "demo-out" / "hash.key").stat().st_mode & 0o077 == 0


def test_the_demo_leaves_a_folder_alone_that_is_not_its_own(shell: Any) -> None:
    mine = Path(shell.folder / "mine")
    shell.write("mine/precious.txt", "mine")
    assert "mine" in shell.fails("demo", "mine", code=3)
    assert [file.name for file in mine.iterdir()] == ["precious.txt"]


def test_without_the_packages_of_the_backplane_the_demo_has_three_targets_and_says_what_to_install(shell: Any) -> None:
    shell.write("hidden/sitecustomize.py", "import sys\nsys.modules['azure.eventhub'] = None\n")
    shell.environment["PYTHONPATH"] = str(shell.folder / "hidden")
    text = shell.run("demo", "lean").stdout
    assert "pip install '.[azure]' ./src/goldwire_consumer ./src/goldwire_emulator" in text
    assert "Three targets under three contracts" in text
    assert "All promises kept" in text
    assert "backplane" not in shell.run("ledger", "--config", "lean/goldwire.yaml").stdout


def test_a_demo_that_is_ended_leaves_no_process_behind(shell: Any) -> None:
    process = shell.start("demo", "ended")
    emulator = shell.folder / "ended" / "backplane.connection"
    deadline = time.monotonic() + 60
    while not emulator.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    children = children_of(process.pid)
    assert len(children) >= 2, "receiver and emulator"
    process.terminate()
    assert process.wait(60) == 130
    for pid in children:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def children_of(parent: int) -> list[int]:
    return [pid for pid, owner in _owners() if owner == parent]


def _owners() -> Iterator[tuple[int, int]]:
    """Each process with its parent: from /proc where there is one, since a bare Linux has no `ps`."""
    if not Path("/proc/self/stat").exists():
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        yield from ((int(pid), int(owner)) for pid, owner in (line.split() for line in listed.splitlines()))
        return
    for one in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            # pid (name) state parent …, see proc(5); the name may hold anything, also blanks and brackets
            yield int(one.name), int((one / "stat").read_text().rpartition(")")[2].split()[1])
