"""Keeps the guard in SQLite, in the same file as the subscriber's own tables."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from goldwire_consumer.errors import StoppedError
from goldwire_consumer.store.sql import ENDED, NOT_BEGUN, TABLES, Cursor, SqlTransaction
from goldwire_consumer.store.threads import ThreadConnections

_BUSY_CODES = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_READONLY,
}  # fmt: skip
"""SQLite's own list of results that are no fault of the statement (sqlite.org/rescode.html)."""


class SqliteTransaction(SqlTransaction[sqlite3.Connection]):
    """The guard on a connection of `sqlite3`, for use with `apply` in a transaction of the caller."""

    def run(self, statement: str, values: Sequence[Any] = ()) -> Cursor:
        """Run a statement whose parameters are written `?`."""
        cursor = self.connection.cursor()
        cursor.row_factory = None
        return cursor.execute(statement, values)

    def begun(self) -> None:
        """Refuse to write where each statement commits by itself."""
        if not self.connection.in_transaction and _commits_each(self.connection):
            raise StoppedError(NOT_BEGUN)

    def check(self) -> None:
        """See that the transaction is still there; an error of SQLite can end it, and so can a handler."""
        if not self.connection.in_transaction:
            raise StoppedError(ENDED)


def _commits_each(connection: sqlite3.Connection) -> bool:
    """Whether a statement outside of a transaction begins none; Python 3.12 has a second way to say so."""
    legacy = getattr(sqlite3, "LEGACY_TRANSACTION_CONTROL", None)
    mode = getattr(connection, "autocommit", legacy)
    return connection.isolation_level is None if mode == legacy else mode is True


class SqliteStore:
    """A file of SQLite; one connection for each thread, one writer at a time.

    Attributes:
        keeps_letters: it has a table of dead letters.
    """

    keeps_letters = True

    def __init__(self, path: Path | str, *, stream: str = "goldwire", lock_timeout_seconds: float = 30) -> None:
        """Open or create the file, and the kit's tables in it.

        Args:
            path: the file; an in-memory database cannot be shared between threads and is not supported.
            stream: see `SqlTransaction`.
            lock_timeout_seconds: how long to wait for another writer.
        """
        self._path = path
        self._stream = stream
        self._timeout = lock_timeout_seconds
        self._connections = ThreadConnections(self._connect)
        with self.transaction() as transaction:
            create_tables(transaction.connection)

    def _connect(self) -> sqlite3.Connection:
        found = sqlite3.connect(self._path, timeout=self._timeout, isolation_level=None, check_same_thread=False)
        found.execute("PRAGMA journal_mode = WAL")
        return found

    @contextlib.contextmanager
    def transaction(self) -> Iterator[SqliteTransaction]:
        """Open a transaction with the file's write lock, so that no writer comes between reading the guard and writing."""
        connection = self._connections.own()
        connection.execute("BEGIN IMMEDIATE")
        try:
            transaction = SqliteTransaction(connection, self._stream)
            yield transaction
            transaction.check()
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def is_unavailable(self, error: Exception) -> bool:
        """Whether the file is locked, full or unreadable."""
        code = getattr(error, "sqlite_errorcode", None)
        return isinstance(error, sqlite3.Error) and code is not None and code & 0xFF in _BUSY_CODES

    def close(self) -> None:
        """Close the connections of all threads."""
        self._connections.close()


def create_tables(connection: sqlite3.Connection) -> None:
    """Create the kit's tables where they are not there."""
    for statement in TABLES:
        connection.execute(statement.format(bytes="BLOB"))
