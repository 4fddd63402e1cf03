"""The subscriber of the example `customers` as a user runs it: its own process, an Event Hub, SQLite."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.histories import customers

EXAMPLE = Path(__file__).parents[3] / "examples" / "customers" / "subscriber.py"
SECRET = "hunter2hunter2"


@pytest.fixture
def connection(tmp_path: Path) -> Path:
    """A file for a connection string."""
    return tmp_path / "backplane.connection"


def started(connection: Path, hub: str, *more: str, database: str = "mirror.db") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLE), str(connection), hub, str(connection.parent / database), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_it_reads_to_the_end_and_says_how_much_it_applied(peer: Any, connection: Path, deliver: Callable[..., None]) -> None:
    history = customers(74, 4, 40)
    deliver("event_hubs", {"hub": "customers-hub", "connection_string": peer.address()}, history.events)
    connection.write_text(peer.address())
    done = started(connection, "customers-hub", "--until-end")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"applied": len(history.events)}


@pytest.mark.parametrize("more", [(), ("--until-end",)])
@pytest.mark.parametrize(
    ("hub", "change", "told"),
    [
        ("customers-hub", ("SAS_KEY_VALUE", SECRET), "hub customers-hub: the key or token is refused; it needs Listen"),
        ("no-such", None, "hub no-such: the namespace has no hub of this name; create it, or name another"),
        ("customers-hub", ("Endpoint=", "="), "backplane.connection: "),
    ],
)
def test_what_is_wrong_around_it_is_one_line(
    peer: Any, connection: Path, hub: str, change: tuple[str, str] | None, told: str, more: tuple[str, ...]
) -> None:
    connection.write_text(peer.address() if change is None else peer.address().replace(*change))
    assert_told(started(connection, hub, *more), told)


def test_a_connection_file_that_is_not_there_is_one_line(connection: Path) -> None:
    assert_told(started(connection, "customers-hub"), "backplane.connection: No such file or directory")


def test_a_folder_that_is_not_there_is_one_line(peer: Any, connection: Path) -> None:
    connection.write_text(peer.address())
    assert_told(started(connection, "customers-hub", database="no-such/mirror.db"), "mirror.db: unable to open database file")


def assert_told(done: subprocess.CompletedProcess[str], told: str) -> None:
    assert "Traceback" not in done.stderr
    [line] = [line for line in done.stderr.splitlines() if " CRITICAL " in line]
    assert told in line
    assert SECRET not in done.stderr
    assert done.returncode == 1
