"""Where SQLite, PostgreSQL and MariaDB differ: connecting, the lock of one writer, the write that carries the fence."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.selectable import TableClause

from goldwire.errors import ConfigError
from goldwire.targets.clients.extras import require
from goldwire.targets.sql.settings import ColumnType, SqlSettings

_NEW_FILE_MODE = 0o640
"""SQLite's own would let every user of the machine read what a target was cleared for."""


class LockTimeoutError(Exception):
    """Another writer of the same table did not finish in time."""


class Condition(Protocol):
    """When a row that is there gives way: called with the columns of the row and those of the new one."""

    def __call__(self, held: Any, new: Any) -> sa.ColumnElement[bool]:
        """Return the condition."""
        ...


class Dialect(Protocol):
    """What the writer needs of a database."""

    naive_time: ClassVar[bool]
    time_as_text: ClassVar[bool]
    locks_rows: ClassVar[bool]
    """Knows `SELECT … FOR UPDATE`."""
    any_unique_index_conflicts: ClassVar[bool]
    """An upsert meets rows by every unique index, not by the key alone."""

    def engine(self, url: URL, settings: SqlSettings) -> Engine:
        """Return an engine; nothing is connected yet."""
        ...

    def lock(self, connection: Connection, name: str, wait_seconds: float) -> None:
        """Wait until no other Goldwire writes this table, in the transaction that has begun.

        Raises:
            LockTimeoutError: it took too long.
        """
        ...

    def unlock(self, connection: Connection, name: str) -> None:
        """Give a lock back that the end of the transaction does not."""
        ...

    def upsert(self, table: TableClause, key: Sequence[str], ordered: Sequence[str], gives_way: Condition) -> sa.Insert:
        """Return the insert that changes a row of the same key only where it gives way.

        Args:
            table: with all columns that are written.
            key: columns of the unique index.
            ordered: the other columns, in the order of assignment.
            gives_way: the fence.
        """
        ...

    def column_type(self, type_: ColumnType) -> sa.types.TypeEngine[Any]:
        """Return the type with which a column is created."""
        ...

    def key_type(self) -> sa.types.TypeEngine[Any]:
        """Return the type of a text that an index holds."""
        ...


def dialect_of(url: URL, name: str) -> Dialect:
    """Return the dialect of a URL.

    Args:
        url: parsed.
        name: the target's, for the error.

    Raises:
        ConfigError: it is none of the three, names another driver, or its driver is not installed.
    """
    family, _, driver = url.drivername.partition("+")
    found = _DIALECTS.get(family)
    if found is None or driver not in ("", _DRIVERS[family]):
        raise ConfigError(
            f"target '{name}': url must begin with sqlite:///, postgresql:// or mariadb://, not with {url.drivername}:"
        )
    if family == "postgresql":
        require("psycopg", extra="postgresql", used_by=f"target '{name}'")
    if family in ("mariadb", "mysql"):
        require("pymysql", extra="mariadb", used_by=f"target '{name}'")
    return found()


class _OnConflict:
    """What SQLite and PostgreSQL have in common."""

    _insert: ClassVar[Any]
    """The dialect's own `insert`."""

    def unlock(self, connection: Connection, name: str) -> None:
        """Do nothing: the end of the transaction gave it back."""

    def upsert(self, table: TableClause, key: Sequence[str], ordered: Sequence[str], gives_way: Condition) -> sa.Insert:
        """`ON CONFLICT … DO UPDATE … WHERE`."""
        insert: sqlite.Insert | postgresql.Insert = self._insert(table)
        new = insert.excluded
        return insert.on_conflict_do_update(
            index_elements=list(key), set_={name: new[name] for name in ordered}, where=gives_way(table.c, new)
        )

    def key_type(self) -> sa.types.TypeEngine[Any]:
        """Text of any length."""
        return sa.Text()


class Sqlite(_OnConflict):
    """SQLite: one writer by nature; `BEGIN IMMEDIATE` is the lock."""

    _insert = staticmethod(sqlite.insert)
    naive_time: ClassVar[bool] = False
    time_as_text: ClassVar[bool] = True
    locks_rows: ClassVar[bool] = False
    any_unique_index_conflicts: ClassVar[bool] = False

    def engine(self, url: URL, settings: SqlSettings) -> Engine:
        """Return an engine on a file."""
        if url.database is None or url.database in ("", ":memory:"):
            raise ConfigError("a database in memory would be gone when the target closes; name a file: sqlite:///FILE")
        with contextlib.suppress(OSError):  # it is there, or cannot be: SQLite will say so
            Path(url.database).touch(mode=_NEW_FILE_MODE, exist_ok=False)
        engine = sa.create_engine(
            url.set(drivername="sqlite+pysqlite"),
            hide_parameters=True,
            pool_size=1,
            max_overflow=0,
            poolclass=sa.QueuePool,
            connect_args={"timeout": settings.lock_timeout_seconds},
        )
        sa.event.listen(engine, "connect", _leave_transactions_to_us)
        sa.event.listen(engine, "begin", _begin_immediate)
        return engine

    def lock(self, connection: Connection, name: str, wait_seconds: float) -> None:
        """Do nothing: the begin of the transaction took the lock."""

    def column_type(self, type_: ColumnType) -> sa.types.TypeEngine[Any]:
        """Names that give the affinity wanted."""
        return _COMMON_TYPES[type_]


class PostgreSql(_OnConflict):
    """PostgreSQL: an advisory lock of the transaction."""

    _insert = staticmethod(postgresql.insert)
    naive_time: ClassVar[bool] = False
    time_as_text: ClassVar[bool] = False
    locks_rows: ClassVar[bool] = True
    any_unique_index_conflicts: ClassVar[bool] = False

    def engine(self, url: URL, settings: SqlSettings) -> Engine:
        """Return an engine on psycopg 3."""
        return sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            hide_parameters=True,
            pool_size=1,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": max(1, round(settings.connect_timeout_seconds)),
                "tcp_user_timeout": round(settings.answer_timeout_seconds * 1000),
                "application_name": "goldwire",
            },
        )

    def lock(self, connection: Connection, name: str, wait_seconds: float) -> None:
        """Wait for the advisory lock; the same time holds for rows that others lock."""
        connection.execute(
            sa.text("SELECT set_config('lock_timeout', :wait, true)"), {"wait": f"{round(wait_seconds * 1000)}ms"}
        )
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})

    def column_type(self, type_: ColumnType) -> sa.types.TypeEngine[Any]:
        """Times with their zone, the rest as everywhere."""
        return sa.TIMESTAMP(timezone=True) if type_ == "timestamp" else _COMMON_TYPES[type_]


class MariaDb:
    """MariaDB (and MySQL): a named lock of the session; the fence stands in each assignment."""

    naive_time: ClassVar[bool] = True
    time_as_text: ClassVar[bool] = False
    locks_rows: ClassVar[bool] = True
    any_unique_index_conflicts: ClassVar[bool] = True

    def engine(self, url: URL, settings: SqlSettings) -> Engine:
        """Return an engine on PyMySQL."""
        return sa.create_engine(
            url.set(drivername="mariadb+pymysql"),
            hide_parameters=True,
            pool_size=1,
            max_overflow=0,
            pool_pre_ping=True,
            # A snapshot older than the lock would show rows as they were before the writer that we waited for.
            isolation_level="READ COMMITTED",
            connect_args={
                "charset": "utf8mb4",
                "connect_timeout": max(1, round(settings.connect_timeout_seconds)),
                "read_timeout": max(1, round(settings.answer_timeout_seconds)),
                "write_timeout": max(1, round(settings.answer_timeout_seconds)),
                # Strict, or the database would silently cut a value that is too long.
                "init_command": "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), "
                f"innodb_lock_wait_timeout = {max(1, round(settings.lock_timeout_seconds))}",
            },
        )

    def lock(self, connection: Connection, name: str, wait_seconds: float) -> None:
        """Wait for the named lock."""
        got = connection.scalar(sa.text("SELECT GET_LOCK(:name, :wait)"), {"name": _short(name), "wait": wait_seconds})
        if got != 1:
            raise LockTimeoutError

    def unlock(self, connection: Connection, name: str) -> None:
        """Give the named lock back."""
        connection.execute(sa.text("SELECT RELEASE_LOCK(:name)"), {"name": _short(name)})

    def upsert(self, table: TableClause, key: Sequence[str], ordered: Sequence[str], gives_way: Condition) -> sa.Insert:
        """`ON DUPLICATE KEY UPDATE column = IF(fence, new, old)`."""
        # Assignments run from left to right and see those before them. In the order timestamp, deleted, version, entity the
        # fence answers the same for each: a row of the same entity is let through until its version is written, and needs no
        # new entity; one of another entity is let through by the new timestamp until the entity is written, which is last.
        insert = mysql.insert(table)
        new = insert.inserted
        same_key = sa.and_(*(table.c[name] == new[name] for name in key))
        fence = sa.and_(same_key, gives_way(table.c, new))
        return insert.on_duplicate_key_update([(name, sa.func.IF(fence, new[name], table.c[name])) for name in ordered])

    def key_type(self) -> sa.types.TypeEngine[Any]:
        """Short enough for an index, and compared byte by byte."""
        return mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin")

    def column_type(self, type_: ColumnType) -> sa.types.TypeEngine[Any]:
        """Text of any length, times to the microsecond."""
        if type_ == "text":
            return mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
        return mysql.DATETIME(fsp=6) if type_ == "timestamp" else _COMMON_TYPES[type_]


_DIALECTS: dict[str, type[Dialect]] = {"sqlite": Sqlite, "postgresql": PostgreSql, "mariadb": MariaDb, "mysql": MariaDb}
_DRIVERS = {"sqlite": "pysqlite", "postgresql": "psycopg", "mariadb": "pymysql", "mysql": "pymysql"}

_COMMON_TYPES: dict[ColumnType, sa.types.TypeEngine[Any]] = {
    "text": sa.Text(),
    "integer": sa.BigInteger(),
    "number": sa.Double(),
    "boolean": sa.Boolean(),
    "date": sa.Date(),
    "timestamp": sa.DateTime(),
    "json": sa.JSON(),
}


def ddl(element: ClauseElement, engine: Engine) -> str:
    """Return a statement as text, e.g. to show it to a person who may run it."""
    return str(element.compile(dialect=engine.dialect)).strip()


def _short(name: str) -> str:
    """A lock's name may have 64 characters."""
    return f"goldwire:{hashlib.sha256(name.encode()).hexdigest()[:40]}"


def _leave_transactions_to_us(connection: Any, _record: Any) -> None:
    connection.isolation_level = None


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
