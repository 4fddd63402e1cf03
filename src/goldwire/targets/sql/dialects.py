"""Where SQLite, PostgreSQL and MariaDB differ: session state, the lock of one writer, the write that carries the fence.

Behind a pooler a session belongs to many clients, and each may leave its settings, prepared statements and locks there. So
nothing of a session outlives a transaction: each one sets what it needs, names nothing on the server, and locks by rows or
until its own end.
"""

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
from goldwire.targets.sql.library_loggers import silence
from goldwire.targets.sql.settings import SqlSettings
from goldwire.targets.sql.table_settings import ColumnType

LOCK_ROW = "goldwire:lock"
"""Stands for an entity id in the row that is the lock."""

_POSTGRESQL_STATE = (
    # A snapshot older than the lock would show tables and rows as they were before the writer that we waited for.
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE; "
    "SELECT set_config('search_path', NULL, true), set_config('TimeZone', 'UTC', true), "
    "set_config('DateStyle', 'ISO, YMD', true), set_config('extra_float_digits', '1', true), "
    # A table without statistics, as a new one, would be read from end to end for each look-up by key. Where there is no other
    # way than that, as through a staging table, its price must not make the server compile the statement.
    "set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)"
)
"""What each transaction sets for itself; NULL is the role's or the database's own."""

_MARIADB_STATE = (
    "SET SESSION autocommit = 0, "
    # Strict, or the database would silently cut a value that is too long.
    "sql_mode = 'STRICT_ALL_TABLES,STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,"
    "NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', character_set_client = utf8mb4, character_set_connection = utf8mb4, "
    "character_set_results = utf8mb4, collation_connection = utf8mb4_bin, foreign_key_checks = 1, unique_checks = 1, "
    "innodb_lock_wait_timeout = {wait}"
)
"""What each transaction sets for itself."""

_NEW_FILE_MODE = 0o640
"""SQLite's own would let every user of the machine read what a target was cleared for."""


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
    takes_arrays: ClassVar[bool]
    """A parameter may be a list of texts."""
    most_parameters: ClassVar[int | None]
    """How many values one statement takes, where its rows have to be written into it; None: the driver joins rows by itself."""

    def engine(self, url: URL, settings: SqlSettings) -> Engine:
        """Return an engine; nothing is connected yet."""
        ...

    def schema_of(self, connection: Connection, schema: str | None, table: str) -> str | None:
        """Return the schema in which a table is, or is to be created; None where the connection leads to it by itself."""
        ...

    def lock_structure(self, connection: Connection, wait_seconds: float) -> None:
        """Wait until no other Goldwire creates tables in this database, until the transaction's end.

        Raises:
            sqlalchemy.exc.DBAPIError: it took too long.
        """
        ...

    def lock(self, connection: Connection, name: str, wait_seconds: float, tombstones: TableClause) -> None:
        """Wait until no other Goldwire writes this table, until the end of the transaction that has begun.

        Args:
            connection: in a transaction.
            name: the table's, with its schema.
            wait_seconds: how long at most.
            tombstones: the table that holds the fence; its row of this name is the lock where there is none better.

        Raises:
            sqlalchemy.exc.DBAPIError: it took too long.
        """
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

    def loads_in_bulk(self, connection: Connection) -> bool:
        """Say whether many rows can be loaded through a temporary table."""
        ...

    def column_type(self, type_: ColumnType) -> sa.types.TypeEngine[Any]:
        """Return the type with which a column is created."""
        ...

    def key_type(self, length: int = 255) -> sa.types.TypeEngine[Any]:
        """Return the type of a text that an index holds, of so many characters where it has to be limited."""
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
    silence()
    return found()


class _OnConflict:
    """What SQLite and PostgreSQL have in common."""

    _insert: ClassVar[Any]
    """The dialect's own `insert`."""

    def upsert(self, table: TableClause, key: Sequence[str], ordered: Sequence[str], gives_way: Condition) -> sa.Insert:
        """`ON CONFLICT … DO UPDATE … WHERE`."""
        insert: sqlite.Insert | postgresql.Insert = self._insert(table)
        new = insert.excluded
        return insert.on_conflict_do_update(
            index_elements=list(key), set_={name: new[name] for name in ordered}, where=gives_way(table.c, new)
        )

    def key_type(self, length: int = 255) -> sa.types.TypeEngine[Any]:  # noqa: ARG002 - MariaDB needs it
        """Text of any length."""
        return sa.Text()


class Sqlite(_OnConflict):
    """SQLite: one writer by nature; `BEGIN IMMEDIATE` is the lock."""

    _insert = staticmethod(sqlite.insert)
    naive_time: ClassVar[bool] = False
    time_as_text: ClassVar[bool] = True
    locks_rows: ClassVar[bool] = False
    any_unique_index_conflicts: ClassVar[bool] = False
    takes_arrays: ClassVar[bool] = False
    most_parameters: ClassVar[int | None] = None

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

    def schema_of(self, connection: Connection, schema: str | None, table: str) -> str | None:  # noqa: ARG002 - others need it
        """Return what is set: an attached database, or the file itself."""
        return schema

    def lock_structure(self, connection: Connection, wait_seconds: float) -> None:
        """Do nothing: the begin of the transaction took the lock."""

    def lock(self, connection: Connection, name: str, wait_seconds: float, tombstones: TableClause) -> None:
        """Do nothing: the begin of the transaction took the lock."""

    def loads_in_bulk(self, connection: Connection) -> bool:  # noqa: ARG002 - PostgreSQL needs it
        """A statement in the process of its own is quick already."""
        return False

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
    takes_arrays: ClassVar[bool] = True
    most_parameters: ClassVar[int | None] = 65_535

    def engine(self, url: URL, settings: SqlSettings) -> Engine:
        """Return an engine on psycopg 3."""
        engine = sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            paramstyle="format",
            hide_parameters=True,
            pool_size=1,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": max(1, round(settings.connect_timeout_seconds)),
                "tcp_user_timeout": round(settings.answer_timeout_seconds * 1000),
                "application_name": "goldwire",
                # A statement that is prepared by name belongs to the session: behind a pooler the same name may be another
                # target's statement, and its rows would go to that target's table.
                "prepare_threshold": None,
            },
        )
        sa.event.listen(engine, "begin", _begin_postgresql)
        return engine

    def schema_of(self, connection: Connection, schema: str | None, table: str) -> str | None:
        """Return the first schema of the search path that has the table; a temporary table of another client is none."""
        if schema is not None:
            return schema
        found = connection.scalar(
            sa.text(
                "SELECT n.nspname FROM unnest(current_schemas(false)) WITH ORDINALITY AS path(name, step) "
                "JOIN pg_namespace n ON n.nspname = path.name JOIN pg_class c ON c.relnamespace = n.oid "
                "WHERE c.relname = :table ORDER BY path.step LIMIT 1"
            ),
            {"table": table},
        )
        return str(found or connection.scalar(sa.text("SELECT current_schema()")))

    def lock_structure(self, connection: Connection, wait_seconds: float) -> None:
        """Wait for an advisory lock of the transaction."""
        self._advisory(connection, "goldwire:structure", wait_seconds)

    def lock(self, connection: Connection, name: str, wait_seconds: float, tombstones: TableClause) -> None:  # noqa: ARG002 - others need it
        """Wait for the advisory lock; the same time holds for rows that others lock."""
        self._advisory(connection, f"goldwire:{name}", wait_seconds)

    def _advisory(self, connection: Connection, name: str, wait_seconds: float) -> None:
        connection.execute(
            sa.text("SELECT set_config('lock_timeout', :wait, true)"), {"wait": f"{round(wait_seconds * 1000)}ms"}
        )
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})

    def loads_in_bulk(self, connection: Connection) -> bool:
        """Where the role may make temporary tables."""
        return bool(connection.scalar(sa.text("SELECT has_database_privilege(current_database(), 'TEMP')")))

    def column_type(self, type_: ColumnType) -> sa.types.TypeEngine[Any]:
        """Times with their zone, the rest as everywhere."""
        return sa.TIMESTAMP(timezone=True) if type_ == "timestamp" else _COMMON_TYPES[type_]


class MariaDb:
    """MariaDB (and MySQL): a row of the tombstones is the lock; the fence stands in each assignment."""

    naive_time: ClassVar[bool] = True
    time_as_text: ClassVar[bool] = False
    locks_rows: ClassVar[bool] = True
    any_unique_index_conflicts: ClassVar[bool] = True
    takes_arrays: ClassVar[bool] = False
    most_parameters: ClassVar[int | None] = None

    def engine(self, url: URL, settings: SqlSettings) -> Engine:
        """Return an engine on PyMySQL."""
        state = _MARIADB_STATE.format(wait=max(1, round(settings.lock_timeout_seconds)))
        engine = sa.create_engine(
            url.set(drivername="mariadb+pymysql"),
            paramstyle="format",
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
                # SQLAlchemy looks at the mode once, to know how names are quoted.
                "init_command": state,
            },
        )
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(state))
        return engine

    def schema_of(self, connection: Connection, schema: str | None, table: str) -> str | None:  # noqa: ARG002 - others need it
        """Return what is set, else the database: a proxy's session may have passed on to another one."""
        return schema or connection.engine.url.database

    def lock_structure(self, connection: Connection, wait_seconds: float) -> None:
        """Do nothing: a table is created outside of transactions, and only where it is not there, in one step of the server's.

        A named lock belongs to the session, which a proxy may give to others between two statements.
        """

    def lock(self, connection: Connection, name: str, wait_seconds: float, tombstones: TableClause) -> None:  # noqa: ARG002 - others need it
        """Write the row that is the lock, as it is, so that it is ours until the end of the transaction.

        A named lock belongs to the session, which a proxy may give to others between two statements.
        """
        row = mysql.insert(tombstones).values(target_table=name, entity_id=LOCK_ROW, timestamp="", version=0)
        connection.execute(row.on_duplicate_key_update(version=tombstones.c.version))

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

    def key_type(self, length: int = 255) -> sa.types.TypeEngine[Any]:
        """Short enough for an index, and compared byte by byte."""
        return mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")

    def loads_in_bulk(self, connection: Connection) -> bool:  # noqa: ARG002 - PostgreSQL needs it
        """The driver joins the rows of a statement already."""
        return False

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


def _leave_transactions_to_us(connection: Any, _record: Any) -> None:
    connection.isolation_level = None


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_postgresql(connection: Connection) -> None:
    connection.exec_driver_sql(_POSTGRESQL_STATE)
