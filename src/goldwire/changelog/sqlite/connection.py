"""Open a SQLite store: check the version, the file and its schema, and set what makes it durable and fast."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from goldwire.changelog.compatibility import SchemaState, check_schema
from goldwire.changelog.sqlite.queries import OLDEST_CODE, SCHEMA_REVISION
from goldwire.errors import GoldwireError, InputError, StoreBusyError

MINIMUM_VERSION = (3, 35, 0)
"""The first SQLite with everything that the statements use."""

PAGE_SIZE_BYTES = 16384
"""Twice the insert rate of SQLite's own 4 KiB pages, with rows of 1.5 KB."""

CACHE_SIZE_KIB = 65536
WAL_SIZE_LIMIT_BYTES = 64 * 1024 * 1024


def check_version(found: tuple[int, int, int]) -> None:
    """Refuse a SQLite that is too old.

    Raises:
        GoldwireError: it is.
    """
    if found < MINIMUM_VERSION:
        needed, has = (".".join(map(str, version)) for version in (MINIMUM_VERSION, found))
        raise GoldwireError(f"SQLite {needed} or newer is needed, this Python has {has}: use a newer Python")


def connect(path: str, busy_timeout_seconds: float, *, durable: bool, entity_key: bytes | None = None) -> sqlite3.Connection:
    """Return a connection to the store at `path`, which is created where there is none.

    Args:
        path: file, or `:memory:`.
        busy_timeout_seconds: how long a statement waits for another writer.
        durable: fsync each commit; without it a power cut (not a crash of the process) may lose or damage the store.
        entity_key: for a store that is created here; None makes one.

    Raises:
        InputError: the file cannot be opened, is no Goldwire store, or its schema is not for this Goldwire.
        sqlite3.Error: whatever else SQLite reports.
    """
    check_version(sqlite3.sqlite_version_info)
    _bind_at_once()
    if path != ":memory:" and not Path(path).parent.is_dir():
        raise InputError(f"{path}: its directory does not exist: create it, or mend the store's path")
    connection = sqlite3.connect(
        path,
        timeout=busy_timeout_seconds,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
    )
    try:
        _prepare(connection, path, busy_timeout_seconds, durable=durable, entity_key=entity_key)
    except BaseException:
        connection.close()
        raise
    return connection


def _bind_at_once() -> None:
    """Register adapters that return bytes and None as they are.

    Without them `sqlite3` looks for an adapter whenever it binds one of them, which costs more than the binding itself.
    """
    sqlite3.register_adapter(bytes, bytes)
    sqlite3.register_adapter(type(None), lambda none: none)


def _prepare(
    connection: sqlite3.Connection, path: str, busy_timeout_seconds: float, *, durable: bool, entity_key: bytes | None
) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE_BYTES}")
    found = schema_state(connection)
    if found is not None:
        check_schema(path, found)
    elif _has_tables(connection):
        raise InputError(f"{path}: a SQLite database, but no Goldwire store: name another file as the store")
    enter_wal(connection, path, busy_timeout_seconds)
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
    connection.execute(f"PRAGMA cache_size = -{CACHE_SIZE_KIB}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_SIZE_LIMIT_BYTES}")
    if found is None:
        from goldwire.changelog.sqlite.migration import create  # noqa: PLC0415 - see that module: slow to import

        create(connection, entity_key)


def enter_wal(connection: sqlite3.Connection, path: str, busy_timeout_seconds: float) -> None:
    """Switch to write-ahead logging. SQLite does not wait by itself when two processes switch a new file at once."""
    give_up = time.monotonic() + busy_timeout_seconds
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
            continue
        if mode not in {"wal", "memory"}:
            raise StoreBusyError(f"{path}: its file system allows no write-ahead log: keep the store on a local disk")
        return


def _has_tables(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None


def schema_state(connection: sqlite3.Connection) -> SchemaState | None:
    """Return what the file says of its schema, None when it is no store."""
    known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    if connection.execute(known, ("alembic_version",)).fetchone() is None:
        return None
    row = connection.execute(SCHEMA_REVISION).fetchone()
    if row is None:
        return None
    oldest = None
    if connection.execute(known, ("schema_compatibility",)).fetchone() is not None:
        oldest = connection.execute(OLDEST_CODE).fetchone()
    return SchemaState(str(row[0]), None if oldest is None else str(oldest[0]))
