"""The guard, the dead letters and the checkpoints as SQL statements that SQLite and PostgreSQL both take."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

from goldwire_consumer.dead_letter import DeadLetter
from goldwire_consumer.errors import TryAgainError
from goldwire_consumer.message import Position
from goldwire_consumer.verdict import Held

C = TypeVar("C")

TABLES = (
    """CREATE TABLE IF NOT EXISTS goldwire_guard (
  stream TEXT NOT NULL, entity_id TEXT NOT NULL, version BIGINT NOT NULL, hash TEXT, gone TEXT, parked BOOLEAN NOT NULL,
  PRIMARY KEY (stream, entity_id))""",
    """CREATE TABLE IF NOT EXISTS goldwire_dead_letter (
  stream TEXT NOT NULL, fingerprint TEXT NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL, entity_id TEXT, version BIGINT,
  body {bytes} NOT NULL, headers TEXT NOT NULL, source TEXT NOT NULL, recorded_at TEXT NOT NULL,
  PRIMARY KEY (stream, fingerprint))""",
    """CREATE INDEX IF NOT EXISTS goldwire_dead_letter_entity ON goldwire_dead_letter (stream, entity_id, version)""",
    """CREATE TABLE IF NOT EXISTS goldwire_checkpoint (
  source TEXT NOT NULL, partition_id TEXT NOT NULL, read_to TEXT NOT NULL, sequence BIGINT NOT NULL,
  PRIMARY KEY (source, partition_id))""",
    """CREATE TABLE IF NOT EXISTS goldwire_stream (source TEXT NOT NULL PRIMARY KEY, identity TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS goldwire_ownership (
  source TEXT NOT NULL, partition_id TEXT NOT NULL, owner TEXT NOT NULL, etag TEXT NOT NULL,
  modified_seconds DOUBLE PRECISION NOT NULL, PRIMARY KEY (source, partition_id))""",
)
"""What `create_tables` runs, for those who keep their schema by migrations; `{bytes}` is BLOB in SQLite, BYTEA elsewhere."""

_COLUMNS = "fingerprint, kind, text, entity_id, version, body, headers, source, recorded_at"
_LETTERS = f"SELECT {_COLUMNS} FROM goldwire_dead_letter WHERE stream = ?"  # noqa: S608 - a constant of this file
_ORDER = "coalesce(entity_id, ''), coalesce(version, 0), recorded_at, fingerprint"
"""By which letters are in order; never null, so that both databases can compare it."""
_HELD = "SELECT version, hash, gone, parked FROM goldwire_guard WHERE stream = ? AND entity_id = ?"
_WAITING = "stream = ? AND entity_id = ? AND kind IN ('gap', 'parked')"


NOT_BEGUN = "no transaction is open on this connection, so that the guard would be kept without what it guards: begin one"
ENDED = "the handler ended the transaction; it must leave that to the kit"


class Cursor(Protocol):
    """What both drivers give back."""

    @property
    def rowcount(self) -> int:
        """How many rows a write changed."""

    def fetchone(self) -> Any:
        """The next row."""

    def fetchall(self) -> Any:
        """The rows that are left."""


class SqlTransaction(ABC, Generic[C]):
    """The port's verbs on one open connection, in whatever transaction that is in.

    Attributes:
        connection: the driver's connection.
    """

    lock: ClassVar[str] = ""
    """What makes a SELECT lock the row it finds."""

    def __init__(self, connection: C, stream: str = "goldwire") -> None:
        """Use a connection of the caller.

        Args:
            connection: the driver's; the caller opens and ends the transaction.
            stream: names the chain: a Goldwire target has one chain for each entity, so what is received from two targets needs
                two names.
        """
        self.connection = connection
        self._stream = stream
        self._known: dict[str, Held | None] = {}
        """What was read ahead. A row that was found is locked until the transaction ends; where there was none, the primary key
        decides whose `hold` comes first."""

    @abstractmethod
    def run(self, statement: str, values: Sequence[Any] = ()) -> Cursor:
        """Run a statement whose parameters are written `?`."""

    @abstractmethod
    def begun(self) -> None:
        """Refuse to write where each statement commits by itself.

        Raises:
            StoppedError: no transaction is open.
        """

    @abstractmethod
    def check(self) -> None:
        """See that what was written will be kept; see `Guard`."""

    def expect(self, entity_ids: Collection[str]) -> None:
        """Do nothing: a query costs little where the database is in the same process."""

    def held(self, entity_id: str) -> Held | None:
        """Return what is kept of an entity; PostgreSQL locks the row."""
        if entity_id in self._known:
            return self._known[entity_id]
        found = self.run(_HELD + self.lock, (self._stream, entity_id)).fetchone()
        return None if found is None else Held(found[0], found[1], found[2], bool(found[3]))

    def hold(self, entity_id: str, before: Held | None, after: Held) -> None:
        """Keep `after`, provided that `before` is still what is kept.

        Raises:
            TryAgainError: another consumer of the same stream was quicker.
            StoppedError: no transaction is open.
        """
        self.begun()
        if before is None:
            done = self.run(
                "INSERT INTO goldwire_guard (stream, entity_id, version, hash, gone, parked) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (stream, entity_id) DO NOTHING",
                (self._stream, entity_id, *after),
            )
        else:
            done = self.run(
                "UPDATE goldwire_guard SET version = ?, hash = ?, gone = ?, parked = ? "
                "WHERE stream = ? AND entity_id = ? AND version = ? AND coalesce(hash, '') = ? AND parked = ?",
                (*after, self._stream, entity_id, before.version, before.hash or "", before.parked),
            )
        if done.rowcount != 1:
            raise TryAgainError(f"entity {entity_id}: another consumer applies its events at the same time")
        if entity_id in self._known:
            self._known[entity_id] = after

    def checkpoint(self, position: Position) -> None:
        """Keep how far a partition was processed."""
        self.run(
            "INSERT INTO goldwire_checkpoint (source, partition_id, read_to, sequence) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (source, partition_id) DO UPDATE SET read_to = excluded.read_to, sequence = excluded.sequence",
            position,
        )

    def bury(self, letter: DeadLetter) -> None:
        """Keep a dead letter; the same one again replaces it."""
        self.run(
            "INSERT INTO goldwire_dead_letter (stream, fingerprint, kind, text, entity_id, version, body, headers, source, "
            "recorded_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (stream, fingerprint) DO UPDATE SET kind = excluded.kind, text = excluded.text",
            (
                self._stream, letter.fingerprint, letter.kind, letter.text, letter.entity_id, letter.version, letter.body,
                msgspec.json.encode(letter.headers).decode(), letter.source, letter.recorded_at,
            ),
        )  # fmt: skip

    def unbury(self, fingerprint: str) -> None:
        """Remove a dead letter, if there is one."""
        self.run("DELETE FROM goldwire_dead_letter WHERE stream = ? AND fingerprint = ?", (self._stream, fingerprint))

    def waits(self, entity_id: str, above: int) -> bool:
        """Whether dead letters of this entity with a higher version wait."""
        found = self.run(
            f"SELECT 1 FROM goldwire_dead_letter WHERE {_WAITING} AND version > ? LIMIT 1",  # noqa: S608
            (self._stream, entity_id, above),
        )
        return found.fetchone() is not None

    def next_waiting(self, entity_id: str) -> DeadLetter | None:
        """Return the waiting dead letter of this entity with the lowest version."""
        found = self.run(
            f"SELECT {_COLUMNS} FROM goldwire_dead_letter WHERE {_WAITING} ORDER BY version, recorded_at LIMIT 1",  # noqa: S608
            (self._stream, entity_id),
        ).fetchone()
        return None if found is None else _letter(found)

    def letters(self, entity_id: str | None, *, after: DeadLetter | None = None, limit: int | None = None) -> list[DeadLetter]:
        """Return dead letters of one entity or of all, by entity and version; see `Transaction`."""
        statement = _LETTERS
        values: list[str | int] = [self._stream]
        if entity_id is not None:
            statement += " AND entity_id = ?"
            values.append(entity_id)
        if after is not None:
            statement += f" AND ({_ORDER}) > (?, ?, ?, ?)"
            values += [after.entity_id or "", after.version or 0, after.recorded_at, after.fingerprint]
        statement += f" ORDER BY {_ORDER}"
        if limit is not None:
            statement += " LIMIT ?"
            values.append(limit)
        return [_letter(row) for row in self.run(statement, values).fetchall()]

    def erase(self, entity_id: str, version: int) -> None:
        """Remove the dead letters of an entity up to a version, and altered ones of any; see `Transaction`."""
        self.run(
            "DELETE FROM goldwire_dead_letter WHERE stream = ? AND entity_id = ? AND (version <= ? OR kind = 'altered')",
            (self._stream, entity_id, version),
        )


def _letter(row: Any) -> DeadLetter:
    fingerprint, kind, text, entity_id, version, body, headers, source, recorded_at = row
    return DeadLetter(
        fingerprint=fingerprint,
        kind=kind,
        text=text,
        entity_id=entity_id,
        version=version,
        body=bytes(body),
        headers=msgspec.json.decode(headers, type=dict[str, str]),
        source=source,
        recorded_at=recorded_at,
    )
