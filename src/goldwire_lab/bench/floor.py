"""The floors: the least that any Python program would have to do on the same rows, written as lean as is honest."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import orjson
from msgspec import Raw, Struct

from goldwire.capture.fact import Fact
from goldwire_lab.bench.sample import BATCH

_PRAGMAS = ("page_size = 16384", "journal_mode = WAL", "synchronous = FULL", "cache_size = -65536")
"""As the store sets them."""


class _State(Struct, gc=False):
    """A golden state taken apart down to its attributes, whose own bytes are kept: the leanest form that can still project."""

    attributes: dict[str, Raw]
    edges: list[Raw]
    externalIds: list[Raw]  # noqa: N815 - the wire's names, here and below


class _Changes(Struct, gc=False):
    attributes: Any
    edges: Any


class _Event(Struct, gc=False):
    changes: _Changes
    entityId: str  # noqa: N815
    entityType: str  # noqa: N815
    externalIds: Any  # noqa: N815
    timestamp: str
    version: int
    eventType: str = "EntityChanged"  # noqa: N815
    payload: str = "full"
    previousHash: str | None = None  # noqa: N815
    specVersion: str = "cluedin-1.0"  # noqa: N815


Row = tuple[int, int, str, str, int, str, bytes]
Seal = Callable[[Row], bytes]

_decode = msgspec.json.Decoder(_State).decode
_encode = msgspec.json.Encoder().encode


def encoded(row: Row) -> bytes:
    """Make the event of a row whose attributes stay as they are written."""
    state = _decode(row[6])
    return _encode(_Event(_Changes(state.attributes, state.edges), row[2], row[3], state.externalIds, row[5], row[4]))


def plain(row: Row) -> bytes:
    """Make the event of a row from plain Python values, as a program without that trick does."""
    state = orjson.loads(row[6])
    return orjson.dumps(
        {
            "changes": {"attributes": state["attributes"], "edges": state["edges"]},
            "entityId": row[2],
            "entityType": row[3],
            "eventType": "EntityChanged",
            "externalIds": state["externalIds"],
            "payload": "full",
            "previousHash": None,
            "specVersion": "cluedin-1.0",
            "timestamp": row[5],
            "version": row[4],
        }
    )


def relayed(log: Path, control: Path, seal: Seal = encoded) -> Iterator[list[bytes]]:
    """Read a log, decode, encode, hash, and keep a control table: no contract, no masks, no chain, no ledger.

    Args:
        log: the store whose log is read.
        control: a new file for the control table.
        seal: how a row becomes an event.

    Yields:
        the events of each chunk. The control rows are written when the next chunk is asked for.
    """
    reading = _open(log)
    writing = _open(control)
    writing.execute("CREATE TABLE control (entity_no INTEGER PRIMARY KEY, version INTEGER, hash BLOB)")
    position = 0
    while rows := reading.execute(_READ, (position, BATCH)).fetchall():
        position = rows[-1][0]
        bodies = [seal(row) for row in rows]
        controls = [(row[1], row[4], sha256(body).digest()) for row, body in zip(rows, bodies, strict=True)]
        yield bodies
        writing.execute("BEGIN IMMEDIATE")
        writing.executemany(_UPSERT, controls)
        writing.execute("COMMIT")
    reading.close()
    writing.close()


def ingested(facts: Sequence[Fact], log: Path) -> int:
    """Insert each fact as one encoded golden state into a table like the log: no identity, no survivorship, no match keys.

    Args:
        facts: what is inserted.
        log: a new file for the table.

    Returns:
        how many rows it has then.
    """
    writing = _open(log)
    writing.execute("CREATE TABLE log (seq INTEGER PRIMARY KEY, entity_id TEXT, version INTEGER, at TEXT, state BLOB)")
    writing.execute("CREATE UNIQUE INDEX log_version ON log (entity_id, version)")
    for begin in range(0, len(facts), BATCH):
        rows = []
        for seq, fact in enumerate(facts[begin : begin + BATCH], begin + 1):
            rows.append((seq, fact.external_id, 1, fact.observed_at, _state_of(fact)))
        writing.execute("BEGIN IMMEDIATE")
        writing.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?)", rows)
        writing.execute("COMMIT")
    size: int = writing.execute("SELECT count(*) FROM log").fetchone()[0]
    writing.close()
    return size


def _state_of(fact: Fact) -> bytes:
    seen, system = fact.observed_at.encode(), fact.system.encode()
    members = [
        b'"%b":{"confidence":%g,"lastSeen":"%b","provenance":"%b","value":%b}'
        % (name.encode(), fact.confidence, seen, system, value)
        for name, value in fact.attributes.items()
    ]
    return b'{"attributes":{%b}}' % b",".join(members)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return connection


_READ = """
SELECT seq, entity_no, entity_id, entity_type, version, committed_at, state FROM log WHERE seq > ? ORDER BY seq LIMIT ?
"""

_UPSERT = """
INSERT INTO control VALUES (?, ?, ?)
ON CONFLICT (entity_no) DO UPDATE SET version = excluded.version, hash = excluded.hash WHERE excluded.version >= version
"""
