"""`goldwire store check`: what is damaged in a store is named, and nothing damaged is delivered."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


def flip_a_byte(file: Path, within: bytes) -> None:
    """Change one bit of the file where these bytes stand, as a disk or a cable would."""
    content = bytearray(file.read_bytes())
    assert content.count(within) == 1, "the bytes stand at one place"
    content[content.index(within) + len(within) // 2] ^= 0x01
    file.write_bytes(content)


def state_of(file: Path, seq: int) -> bytes:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return connection.execute("SELECT state FROM log WHERE seq = ?", (seq,)).fetchone()[0]


def test_a_whole_store_is_sound(started: Any) -> None:
    started.run("apply")
    started.run("ingest", "crm", "data/crm.csv")
    started.run("run", "--until-caught-up")
    found = started.json("store", "check")
    assert (found["sound"], found["damages"], found["first_damages"]) == (True, 0, [])
    assert found["looked_at"]["log"] > 0
    assert found["looked_at"]["control"] > 0
    said = started.run("store", "check").stdout
    assert "each has its checksum, none is missing, and heads and counters fit them" in said
    assert "not looked at, beyond the structure of the file: what stewards said" in said


def test_records_from_before_they_had_checksums_are_counted_until_they_change(started: Any) -> None:
    started.run("apply")
    started.run("ingest", "crm", "data/crm.csv")
    assert started.json("store", "check")["records_without_checksum"] == 0
    [file] = started.folder.glob("**/store.db")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE record SET checksum = NULL WHERE no <= 2")
    found = started.json("store", "check")
    assert (found["sound"], found["records_without_checksum"]) == (True, 2)
    said = started.run("store", "check").stdout
    assert "2 records without a checksum yet, which comes with the record's next change" in said
    assert "each has its checksum" not in said


def test_a_flipped_bit_in_a_state_is_named_and_never_delivered(started: Any) -> None:
    started.run("apply")
    started.run("ingest", "crm", "data/crm.csv")
    [file] = started.folder.glob("**/store.db")
    flip_a_byte(file, state_of(file, 2))
    assert "position 2 " in started.fails("store", "check", code=6)
    found = started.run("store", "check", "--json", code=6)
    assert '"log"' in found.stdout
    assert "position 2 " in started.run("run", "--until-caught-up", code=6).stderr
