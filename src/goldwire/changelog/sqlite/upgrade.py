"""Bring a store to this Goldwire's schema: beside the code that may still use it, or else alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from goldwire.changelog.compatibility import SchemaState, Upgrade, check_schema, lost
from goldwire.changelog.migrations import NEWEST, REVISIONS
from goldwire.changelog.sqlite.connection import check_version, enter_wal, schema_state
from goldwire.changelog.sqlite.lock import TargetLocks
from goldwire.changelog.sqlite.transaction import translated
from goldwire.errors import InputError, StoreBusyError


def upgrade(path: str | Path, *, busy_timeout_seconds: float = 5.0) -> Upgrade:
    """Bring the store to the newest schema, in one transaction; a store that is there already stays as it is.

    Args:
        path: the store's file.
        busy_timeout_seconds: how long to wait for another process.

    Raises:
        InputError: there is no store, or a newer Goldwire wrote it.
        StoreBusyError: a relay works on a target, or another process has the store open, and a migration would shut it out.
        StoreCorruptError: it is damaged.
        StoreFullError: no room for it; the store is as it was.
    """
    path = str(path)
    check_version(sqlite3.sqlite_version_info)
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no store to upgrade: mend the store's path; a new store needs no upgrade")
    try:
        with closing(sqlite3.connect(path, timeout=busy_timeout_seconds, isolation_level=None)) as connection:
            return _upgrade(connection, path, busy_timeout_seconds)
    except sqlite3.Error as error:
        raise translated(error, path) from error


def _upgrade(connection: sqlite3.Connection, path: str, busy_timeout_seconds: float) -> Upgrade:
    before = _state(connection, path)
    if before.revision not in REVISIONS:
        check_schema(path, before)
    elif before.revision != NEWEST:
        from goldwire.changelog.sqlite.migration import breaks, migrate  # noqa: PLC0415 - see that module: slow to import

        connection.execute("PRAGMA synchronous = FULL")
        if before.oldest_code is not None and not breaks(before.revision):
            migrate(connection)
        else:
            with alone(connection, path, busy_timeout_seconds):
                migrate(connection)
    after = _state(connection, path)
    if after.oldest_code is None:
        raise lost(path)
    if after.revision not in REVISIONS:  # a newer Goldwire was faster
        check_schema(path, after)
    return Upgrade(before.revision, after.revision, after.oldest_code)


def _state(connection: sqlite3.Connection, path: str) -> SchemaState:
    found = schema_state(connection)
    if found is None:
        raise InputError(f"{path}: no Goldwire store, so there is nothing to upgrade: mend the store's path")
    return found


@contextmanager
def alone(connection: sqlite3.Connection, path: str, busy_timeout_seconds: float) -> Iterator[None]:
    """Be the only one that has the store open, whatever version the others are of: they cannot come back meanwhile either.

    A connection holds a shared lock on a file with a write-ahead log for as long as it is open, so the change to another
    journal, which needs the file for itself, fails while there is another connection, be it idle.
    """
    locks = TargetLocks(path)
    with ExitStack() as held:
        for row in connection.execute("SELECT target FROM target_cursor").fetchall():
            held.enter_context(locks.hold(row[0]))  # these errors name the target
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            raise StoreBusyError(
                f"{path}: another process has the store open (an `ingest`, a relay, a program of yours), and what it writes "
                "would not fit the new schema: end it, then repeat the command"
            ) from error
        try:
            yield
        finally:
            _remove_journal(connection, path)
            connection.execute("PRAGMA locking_mode = NORMAL")
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()  # only a statement releases the file
            enter_wal(connection, path, busy_timeout_seconds)


def _remove_journal(connection: sqlite3.Connection, path: str) -> None:
    """Remove the journal of what was committed: with an exclusive lock SQLite only overwrites its beginning, and leaves it.

    It holds pages of the store, unmasked. One that would still be rolled back stays.
    """
    journal = Path(f"{path}-journal")
    if not connection.in_transaction and journal.exists():
        with journal.open("rb") as opened:
            ended = not any(opened.read(_JOURNAL_MAGIC_BYTES))
        if ended:
            journal.unlink()


_JOURNAL_MAGIC_BYTES = 8
"""What a journal begins with; zeros say that its transaction has ended (https://www.sqlite.org/fileformat.html, section 3)."""
