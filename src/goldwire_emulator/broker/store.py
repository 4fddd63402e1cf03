"""The broker's file: one SQLite database, one writer, transactions that nest.

The journal is written ahead and synchronised when it is folded in, not at every commit: a killed process loses nothing,
a power cut may lose the last moment. That is what a test peer needs, and is ten times as fast.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from goldwire_emulator.errors import InputError, StoreBusyError, StoreCorruptError

FILE_NAME = "azure.sqlite"
FORMAT = 3

_SCHEMA = """
CREATE TABLE hubs (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_at_ms INTEGER NOT NULL) STRICT;
CREATE TABLE partitions (
  id INTEGER PRIMARY KEY, hub INTEGER NOT NULL REFERENCES hubs, number INTEGER NOT NULL,
  next_sequence INTEGER NOT NULL, next_offset INTEGER NOT NULL, last_offset INTEGER, last_enqueued_at_ms INTEGER,
  UNIQUE (hub, number)) STRICT;
CREATE TABLE events (
  position INTEGER PRIMARY KEY, start INTEGER NOT NULL, enqueued_at_ms INTEGER NOT NULL, key TEXT,
  payload BLOB NOT NULL) STRICT;

CREATE TABLE entities (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, next_sequence INTEGER NOT NULL DEFAULT 1,
  bytes INTEGER NOT NULL DEFAULT 0, configured_rules TEXT, fixed TEXT) STRICT;
CREATE TABLE rules (subscription INTEGER NOT NULL REFERENCES entities, position INTEGER NOT NULL, rule TEXT NOT NULL,
  PRIMARY KEY (subscription, position)) STRICT, WITHOUT ROWID;
CREATE TABLE bodies (id INTEGER PRIMARY KEY, holders INTEGER NOT NULL, fields BLOB NOT NULL, payload BLOB NOT NULL) STRICT;
CREATE TABLE messages (
  id INTEGER PRIMARY KEY, entity INTEGER NOT NULL REFERENCES entities, sequence INTEGER NOT NULL,
  origin_sequence INTEGER NOT NULL, state INTEGER NOT NULL, session TEXT, enqueued_at_ms INTEGER NOT NULL, due_at_ms INTEGER,
  life_ms INTEGER, expires_at_ms INTEGER, lock_token BLOB, locked_until_ms INTEGER,
  deliveries INTEGER NOT NULL DEFAULT 0, size INTEGER NOT NULL,
  body INTEGER NOT NULL REFERENCES bodies, edits BLOB, dead_letter_source TEXT) STRICT;
CREATE UNIQUE INDEX message_positions ON messages (entity, sequence);
CREATE INDEX message_ready ON messages (entity, sequence) WHERE state = 0 AND lock_token IS NULL AND session IS NULL;
CREATE INDEX message_sessions ON messages (entity, session, sequence) WHERE session IS NOT NULL;
CREATE UNIQUE INDEX message_locks ON messages (lock_token) WHERE lock_token IS NOT NULL;
CREATE INDEX message_lock_ends ON messages (locked_until_ms) WHERE locked_until_ms IS NOT NULL;
CREATE INDEX message_ends ON messages (expires_at_ms) WHERE expires_at_ms IS NOT NULL AND state = 0 AND lock_token IS NULL;
CREATE INDEX message_dues ON messages (due_at_ms) WHERE due_at_ms IS NOT NULL;
CREATE TABLE sessions (entity INTEGER NOT NULL, session TEXT NOT NULL, state BLOB, updated_at_ms INTEGER NOT NULL,
  PRIMARY KEY (entity, session)) STRICT, WITHOUT ROWID;
CREATE TABLE seen (entity INTEGER NOT NULL, message_id TEXT NOT NULL, forget_at_ms INTEGER NOT NULL,
  PRIMARY KEY (entity, message_id)) STRICT, WITHOUT ROWID;
CREATE INDEX seen_ends ON seen (forget_at_ms);
"""


class Store:
    """An open database.

    Args:
        folder: where the file lies or is made; None: in memory, gone when it is closed.

    Raises:
        InputError: the folder, or the file in it, cannot be made or written.
        StoreBusyError: another process has the folder open.
        StoreCorruptError: the file was written by another version, or is damaged.
    """

    def __init__(self, folder: Path | None) -> None:
        self._depth = 0
        self._undone: list[Callable[[], None]] = []
        if folder is not None:
            _make(folder)
        file = ":memory:" if folder is None else str(folder / FILE_NAME)
        # Calls come from one thread at a time, but a test may open the broker in another than the one that serves it.
        try:
            self.database = sqlite3.connect(file, isolation_level=None, timeout=1.0, check_same_thread=False)
        except sqlite3.OperationalError as error:
            raise InputError(f"{file}: {error}; mend it, or give another folder") from error
        try:
            self._prepare(file)
        except BaseException:
            self.database.close()
            raise

    def _prepare(self, file: str) -> None:
        try:
            for pragma in ("page_size = 8192", "locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = NORMAL"):
                self.database.execute(f"PRAGMA {pragma}")
            with self.transaction():
                (version,) = self.database.execute("PRAGMA user_version").fetchone()
                if version == 0:
                    self._create()
                elif version < FORMAT:
                    self._upgrade(version)
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise StoreBusyError(f"{file}: another emulator has it open; stop that one or give another folder") from error
            raise InputError(f"{file}: {error}; mend it, or give another folder") from error
        except sqlite3.DatabaseError as error:
            raise StoreCorruptError(f"{file}: {error}; restore a copy, or give another folder") from error
        if not 0 <= version <= FORMAT:
            raise StoreCorruptError(f"{file}: written in format {version}, this version reads {FORMAT}; give another folder")

    def _create(self) -> None:
        for statement in _SCHEMA.split(";"):
            if statement.strip():
                self.database.execute(statement)
        self.database.execute(f"PRAGMA user_version = {FORMAT}")

    def _upgrade(self, version: int) -> None:
        """Make a file of an earlier format one of this format.

        Format 1 does not know what is fixed of an entity; format 2 has another name for the position of an event.
        """
        if version == 1:
            self.database.execute("ALTER TABLE entities ADD COLUMN fixed TEXT")
        self.database.execute("ALTER TABLE events RENAME COLUMN place TO position")
        self.database.execute("DROP INDEX message_places")
        self.database.execute("CREATE UNIQUE INDEX message_positions ON messages (entity, sequence)")
        self.database.execute(f"PRAGMA user_version = {FORMAT}")

    def on_undo(self, reread: Callable[[], None]) -> None:
        """Have `reread` called when a transaction was undone, so that what is kept in memory is read again."""
        self._undone.append(reread)

    @property
    def in_transaction(self) -> bool:
        """What is done now may still be undone."""
        return self._depth > 0

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; one within another is undone for itself if it fails, and committed with the outer one."""
        level = self._depth
        begin, commit, undo = (
            (f"SAVEPOINT level_{level}", f"RELEASE level_{level}", f"ROLLBACK TO level_{level}")
            if level
            else ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")
        )
        self.database.execute(begin)
        self._depth += 1
        try:
            yield self.database
            self.database.execute(commit)
        except BaseException:
            if self.database.in_transaction:
                self.database.execute(undo)
            for reread in self._undone:
                reread()
            raise
        finally:
            self._depth = level

    @contextmanager
    def joined(self) -> Iterator[sqlite3.Connection]:
        """Part of the transaction that is open, or one of its own: for what cannot fail half way but with the whole."""
        if self._depth:
            yield self.database
        else:
            with self.transaction() as database:
                yield database

    def close(self) -> None:
        """Close the file; everything that was committed is in it."""
        self.database.close()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"{folder}: that is a file; give a folder for the data") from None
    except OSError as error:
        raise InputError(f"{folder}: no folder can be made there: {error.strerror}; give another for the data") from error
