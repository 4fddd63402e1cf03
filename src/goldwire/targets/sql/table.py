"""The table as it is: created where asked, checked before the first write, its columns' types read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection, Inspector
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable
from sqlalchemy.sql.selectable import TableClause

from goldwire.errors import ConfigError
from goldwire.targets.sql.dialects import Dialect
from goldwire.targets.sql.table_settings import ColumnType, RowTable
from goldwire.targets.sql.values import Column

_TABLE_IN_INDEX = 46

_TOMBSTONE_KEY = ("target_table", "entity_id")

_DEFERRABLE = """
SELECT con.conname, con.contype FROM pg_constraint con
JOIN pg_class t ON t.oid = con.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE n.nspname = :schema AND t.relname = :table AND con.contype IN ('p', 'u') AND con.condeferrable
AND (SELECT array_agg(a.attname::text ORDER BY a.attname) FROM pg_attribute a
     WHERE a.attrelid = t.oid AND a.attnum = ANY(con.conkey)) = CAST(:columns AS text[])
"""
"""Finds unique constraints of some columns that may be checked late."""

_INTEGER_BITS = {"TINYINT": 8, "SMALLINT": 16, "MEDIUMINT": 24, "INTEGER": 32, "BIGINT": 64}


class Tables(Struct, frozen=True):
    """What the writer needs to know of the two tables."""

    rows: TableClause
    tombstones: TableClause
    columns: dict[str, Column]
    finds_by_entity: bool
    """The entity column has an index, so that rows can be looked up by it."""
    has_other_unique_index: bool
    """Rows can collide on something else than the key."""
    loads_in_bulk: bool
    """Many rows may go through a temporary table."""
    key_as_array: bool
    """Keys may go as one parameter: the key's column is a plain text, and compared as one."""
    location: str
    """The table with the schema in which it is, the same for every spelling of the settings; its lock and its fence have it."""
    spellings: tuple[str, ...]
    """The location, and the names under which older releases kept the fence."""


def prepare(connection: Connection, dialect: Dialect, settings: RowTable, name: str) -> Tables:
    """Create what is to be created, and check the rest.

    Raises:
        ConfigError: a table, a column or the key's unique index is missing; the text holds the statement that mends it.
    """
    inspector = sa.inspect(connection)
    schema = dialect.schema_of(connection, settings.schema, settings.table)
    tombstone_schema = dialect.schema_of(connection, settings.schema, settings.tombstone_table)
    dialect.lock_structure(connection, settings.lock_timeout_seconds)
    ensure(connection, inspector, _rows_table(dialect, settings, schema), create=settings.create_table, name=name)
    ensure(
        connection, inspector, _tombstone_table(dialect, settings, tombstone_schema), create=settings.create_table, name=name
    )
    inspector.clear_cache()
    columns = _columns(connection, inspector, dialect, settings, name, schema)
    unique, indexed = indexes_of(inspector, settings.table, schema)
    if (settings.key_column,) not in unique:
        raise ConfigError(
            f"target '{name}': column {settings.key_column} needs a unique index: "
            f"CREATE UNIQUE INDEX {settings.table}_key ON {settings.qualified_table} ({settings.key_column})"
        )
    if connection.dialect.name == "postgresql":
        _refuse_deferrable(connection, schema, settings.table, [settings.key_column], name)
        _refuse_deferrable(connection, tombstone_schema, settings.tombstone_table, _TOMBSTONE_KEY, name)
    rows = clause(settings.table, schema, [settings.key_column, *settings.columns, *settings.fence_columns])
    key_as_array = False
    for entry in inspector.get_columns(settings.table, schema=schema):
        if entry["name"] != settings.key_column:
            continue
        key_as_array = dialect.takes_arrays and type(entry["type"]) in {sa.TEXT, sa.VARCHAR}
        if isinstance(entry["type"], postgresql.CITEXT):
            # Compared as a plain text, as the driver sends it, the key would not find what its unique index finds.
            rows.c[settings.key_column].type = entry["type"]
    location = location_of(connection, schema, settings.table)
    older = (settings.qualified_table, settings.table, f"main.{settings.table}")
    return Tables(
        rows=rows,
        tombstones=clause(settings.tombstone_table, tombstone_schema, [*_TOMBSTONE_KEY, "timestamp", "version"]),
        columns=columns,
        finds_by_entity=settings.entity_column in indexed,
        has_other_unique_index=len(unique) > 1,
        loads_in_bulk=dialect.loads_in_bulk(connection),
        key_as_array=key_as_array,
        location=location,
        spellings=tuple(dict.fromkeys((location, *(older if connection.dialect.name == "sqlite" else older[:2])))),
    )


def location_of(connection: Connection, schema: str | None, table: str) -> str:
    """Return a table's name with its schema, the same for every spelling."""
    if connection.dialect.name != "sqlite":
        return f"{schema}.{table}" if schema else table
    main = schema is None or schema.casefold() == "main"
    return (table if main else f"{schema}.{table}").casefold()


def clause(table: str, schema: str | None, columns: list[str]) -> TableClause:
    """Return a table for statements."""
    return sa.table(table, *(sa.column(column) for column in columns), schema=schema)


def _rows_table(dialect: Dialect, settings: RowTable, schema: str | None) -> sa.Table:
    metadata = sa.MetaData()
    columns: list[Any] = [
        sa.Column(settings.key_column, _key_type(dialect, settings), primary_key=True, autoincrement=False),
        *(sa.Column(column, dialect.column_type(settings.type_of(column))) for column in settings.columns),
        sa.Column(settings.entity_column, dialect.key_type()),
        sa.Column(settings.version_column, sa.BigInteger()),
        sa.Column(settings.timestamp_column, sa.String(27)),
        sa.Column(settings.deleted_column, sa.Boolean()),
        sa.Column(settings.hash_column, sa.String(71)),
        sa.Index(index_name(settings.table), settings.entity_column),
    ]
    return sa.Table(settings.table, metadata, *columns, schema=schema)


def index_name(table: str) -> str:
    """Return the name of the index of a table's entity column."""
    # The name of an index must not be longer than that of a table.
    short = table if len(table.encode()) <= _TABLE_IN_INDEX else hashlib.sha256(table.encode()).hexdigest()[:16]
    return f"{short}_goldwire_entity"


def _key_type(dialect: Dialect, settings: RowTable) -> sa.types.TypeEngine[Any]:
    type_ = settings.type_of(settings.key_column)
    return dialect.key_type() if type_ == "text" else dialect.column_type(type_)


def _tombstone_table(dialect: Dialect, settings: RowTable, schema: str | None) -> sa.Table:
    return sa.Table(
        settings.tombstone_table,
        sa.MetaData(),
        *(sa.Column(column, dialect.key_type(), primary_key=True) for column in _TOMBSTONE_KEY),
        sa.Column("timestamp", sa.String(27), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        schema=schema,
    )


def ensure(connection: Connection, inspector: Inspector, table: sa.Table, *, create: bool, name: str) -> None:
    """Create a table that is not there, where asked, and see that one that is there has its columns.

    Raises:
        ConfigError: it is not there, or lacks a column; the text holds the statement that mends it.
    """
    if not inspector.has_table(table.name, schema=table.schema):
        if not create:
            statement = " ".join(str(CreateTable(table).compile(dialect=connection.dialect)).split())
            raise ConfigError(
                f"target '{name}': there is no table {table.name}; set create_table: true, check `schema`, or run: {statement}"
            )
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in table.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))
        return
    present = {column["name"] for column in inspector.get_columns(table.name, schema=table.schema)}
    missing = [column for column in table.columns if column.name not in present]
    if missing:
        additions = ", ".join(f"ADD COLUMN {CreateColumn(column).compile(dialect=connection.dialect)}" for column in missing)
        names = ", ".join(column.name for column in missing)
        raise ConfigError(
            f"target '{name}': table {table.name} lacks {names}; mend `columns`, or run: "
            f"ALTER TABLE {table.fullname} {additions}"
        )


def indexes_of(inspector: Inspector, table: str, schema: str | None) -> tuple[set[tuple[str, ...]], set[str]]:
    """Return the column sets that are unique, and the columns with which an index begins."""
    primary = inspector.get_pk_constraint(table, schema=schema)["constrained_columns"]
    unique = {tuple(primary)} if primary else set()
    indexed = set(primary[:1])
    for constraint in inspector.get_unique_constraints(table, schema=schema):
        unique.add(tuple(constraint["column_names"]))
        indexed.update(constraint["column_names"][:1])
    for index in inspector.get_indexes(table, schema=schema):
        names = tuple(column for column in index["column_names"] if column is not None)
        partial = any(
            index.get("dialect_options", {}).get(f"{family}_where") is not None for family in ("postgresql", "sqlite")
        )
        if partial or len(names) != len(index["column_names"]):
            continue
        indexed.update(names[:1])
        if index["unique"]:
            unique.add(names)
    return unique, indexed


def _refuse_deferrable(connection: Connection, schema: str | None, table: str, columns: Sequence[str], name: str) -> None:
    values = {"schema": schema, "table": table, "columns": sorted(columns)}
    for constraint, kind in connection.execute(sa.text(_DEFERRABLE), values):
        quote = connection.dialect.identifier_preparer.quote
        key = f"{'PRIMARY KEY' if kind in ('p', b'p') else 'UNIQUE'} ({', '.join(map(quote, columns))})"
        raise ConfigError(
            f"target '{name}': constraint {constraint} of {table} is DEFERRABLE, and PostgreSQL takes none such for an upsert; "
            f"run: ALTER TABLE {schema}.{table} DROP CONSTRAINT {quote(constraint)}, ADD {key}"
        )


def _columns(
    connection: Connection, inspector: Inspector, dialect: Dialect, settings: RowTable, name: str, schema: str | None
) -> dict[str, Column]:
    wanted = {settings.key_column, *settings.columns, *settings.fence_columns}
    found = {}
    for entry in inspector.get_columns(settings.table, schema=schema):
        if entry["name"] not in wanted:
            continue
        refuse_generated(entry, settings.qualified_table, name)
        column = read_column(entry, connection, dialect, settings.types.get(entry["name"]))
        is_key = entry["name"] == settings.key_column
        found[entry["name"]] = replace(
            column, nullable=column.nullable and not is_key, may_differ=entry["name"] in settings.may_differ
        )
    for needed, types in (
        (settings.entity_column, ("text",)),
        (settings.timestamp_column, ("text",)),
        (settings.version_column, ("integer",)),
        (settings.deleted_column, ("boolean", "integer")),
    ):
        if found[needed].type not in types:
            raise ConfigError(f"target '{name}': column {needed} of {settings.qualified_table} must be of type {types[0]}")
    return found


def refuse_generated(entry: Any, table: str, name: str) -> None:
    """Raise ConfigError where a column takes no value.

    Args:
        entry: as the inspector describes the column.
        table: for the error.
        name: the target's.
    """
    if entry.get("computed") or (entry.get("identity") or {}).get("always"):
        raise ConfigError(
            f"target '{name}': column {entry['name']} of {table} is generated by the database, which refuses every value for "
            "it; take it out of `columns`, or make it an ordinary column"
        )


def read_column(entry: Any, connection: Connection, dialect: Dialect, given: ColumnType | None = None) -> Column:
    """Return what is to be known of a column.

    Args:
        entry: as the inspector describes it.
        connection: of its database.
        dialect: of that database.
        given: its type, where the settings say it.
    """
    type_ = entry["type"]
    kind = given or _kind(type_)
    # SQLite keeps neither to a length nor to a width.
    enforced = connection.dialect.name != "sqlite"
    low, high = _range(type_, enforced=enforced) if kind == "integer" else (None, None)
    decimal = enforced and isinstance(type_, sa.Numeric) and not isinstance(type_, sa.Float)
    column = Column(
        name=entry["name"],
        type=kind,
        nullable=bool(entry["nullable"]),
        length=getattr(type_, "length", None) if enforced and kind == "text" else None,
        low=low,
        high=high,
        scale=type_.scale if decimal and type_.precision is not None else None,
        whole_digits=type_.precision - (type_.scale or 0) if decimal and type_.precision is not None else None,
        single=enforced and type(type_).__name__ == "REAL",
        decimal=decimal,
        padded=enforced and isinstance(type_, sa.CHAR),
        refuses_nul=connection.dialect.name == "postgresql" and (kind != "json" or isinstance(type_, postgresql.JSONB)),
        naive_time=dialect.naive_time or not getattr(type_, "timezone", True),
        time_as_text=dialect.time_as_text,
        as_text=kind is None and connection.dialect.name == "postgresql",
    )
    any_text = kind == "text" and column.length is None and not column.refuses_nul
    return replace(column, takes_any_text=any_text)


def _range(type_: Any, *, enforced: bool) -> tuple[int | None, int | None]:
    """Return the least and the greatest whole number that a type takes; None where that is not known."""
    bits = _INTEGER_BITS.get(type(type_).__name__) if enforced else 64
    if bits is None:
        return None, None
    if getattr(type_, "unsigned", False):
        return 0, (1 << bits) - 1
    return -(1 << bits - 1), (1 << bits - 1) - 1


def _kind(type_: Any) -> ColumnType | None:
    kinds: tuple[tuple[type[Any], ColumnType], ...] = (
        (sa.Enum, "text"),
        (sa.Boolean, "boolean"),
        (sa.Integer, "integer"),
        (sa.Numeric, "number"),
        (sa.Float, "number"),  # in some releases of SQLAlchemy no kind of Numeric
        (sa.DateTime, "timestamp"),
        (sa.Date, "date"),
        (sa.JSON, "json"),
        (sa.String, "text"),
    )
    if type(type_).__name__ == "TINYINT" and getattr(type_, "display_width", None) == 1:
        return "boolean"
    return next((kind for base, kind in kinds if isinstance(type_, base)), None)
