"""The table as it is: created where asked, checked before the first write, its columns' types read."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.engine import Connection, Inspector
from sqlalchemy.schema import CreateColumn, CreateTable
from sqlalchemy.sql.selectable import TableClause

from goldwire.errors import ConfigError
from goldwire.targets.sql.dialects import Dialect
from goldwire.targets.sql.settings import ColumnType, SqlSettings, type_of
from goldwire.targets.sql.values import Column

_INTEGER_BITS = {"SMALLINT": 16, "INTEGER": 32, "BIGINT": 64}


class Tables(Struct, frozen=True):
    """What the writer needs to know of the two tables."""

    rows: TableClause
    tombstones: TableClause
    columns: dict[str, Column]
    finds_by_entity: bool
    """The entity column has an index, so that rows can be looked up by it."""
    has_other_unique_index: bool
    """Rows can collide on something else than the key."""


def prepare(connection: Connection, dialect: Dialect, settings: SqlSettings, name: str) -> Tables:
    """Create what is to be created, and check the rest.

    Raises:
        ConfigError: a table, a column or the key's unique index is missing; the text holds the statement that mends it.
    """
    inspector = sa.inspect(connection)
    _ensure(connection, inspector, _rows_table(dialect, settings), settings, name)
    _ensure(connection, inspector, _tombstone_table(dialect, settings), settings, name)
    inspector.clear_cache()
    columns = _columns(connection, inspector, dialect, settings, name)
    unique, indexed = _indexes(inspector, settings)
    if (settings.key_column,) not in unique:
        raise ConfigError(
            f"target '{name}': column {settings.key_column} needs a unique index: "
            f"CREATE UNIQUE INDEX {settings.table}_key ON {settings.qualified_table} ({settings.key_column})"
        )
    return Tables(
        rows=_clause(settings.table, settings, [settings.key_column, *settings.columns, *settings.fence_columns]),
        tombstones=_clause(settings.tombstone_table, settings, ["target_table", "entity_id", "timestamp", "version"]),
        columns=columns,
        finds_by_entity=settings.entity_column in indexed,
        has_other_unique_index=len(unique) > 1,
    )


def _clause(table: str, settings: SqlSettings, columns: list[str]) -> TableClause:
    return sa.table(table, *(sa.column(column) for column in columns), schema=settings.schema)


def _rows_table(dialect: Dialect, settings: SqlSettings) -> sa.Table:
    metadata = sa.MetaData()
    columns: list[Any] = [
        sa.Column(settings.key_column, _key_type(dialect, settings), primary_key=True, autoincrement=False),
        *(sa.Column(column, dialect.column_type(type_of(settings, column))) for column in settings.columns),
        sa.Column(settings.entity_column, dialect.key_type()),
        sa.Column(settings.version_column, sa.BigInteger()),
        sa.Column(settings.timestamp_column, sa.String(27)),
        sa.Column(settings.deleted_column, sa.Boolean()),
        sa.Column(settings.hash_column, sa.String(71)),
        sa.Index(f"{settings.table}_goldwire_entity", settings.entity_column),
    ]
    return sa.Table(settings.table, metadata, *columns, schema=settings.schema)


def _key_type(dialect: Dialect, settings: SqlSettings) -> sa.types.TypeEngine[Any]:
    type_ = type_of(settings, settings.key_column)
    return dialect.key_type() if type_ == "text" else dialect.column_type(type_)


def _tombstone_table(dialect: Dialect, settings: SqlSettings) -> sa.Table:
    return sa.Table(
        settings.tombstone_table,
        sa.MetaData(),
        sa.Column("target_table", dialect.key_type(), primary_key=True),
        sa.Column("entity_id", dialect.key_type(), primary_key=True),
        sa.Column("timestamp", sa.String(27), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        schema=settings.schema,
    )


def _ensure(connection: Connection, inspector: Inspector, table: sa.Table, settings: SqlSettings, name: str) -> None:
    if not inspector.has_table(table.name, schema=settings.schema):
        if not settings.create_table:
            statement = " ".join(str(CreateTable(table).compile(dialect=connection.dialect)).split())
            raise ConfigError(
                f"target '{name}': there is no table {table.name}; set create_table: true, check `schema`, or run: {statement}"
            )
        table.create(connection)
        return
    present = {column["name"] for column in inspector.get_columns(table.name, schema=settings.schema)}
    missing = [column for column in table.columns if column.name not in present]
    if missing:
        additions = ", ".join(f"ADD COLUMN {CreateColumn(column).compile(dialect=connection.dialect)}" for column in missing)
        names = ", ".join(column.name for column in missing)
        raise ConfigError(
            f"target '{name}': table {table.name} lacks {names}; mend `columns`, or run: "
            f"ALTER TABLE {table.fullname} {additions}"
        )


def _indexes(inspector: Inspector, settings: SqlSettings) -> tuple[set[tuple[str, ...]], set[str]]:
    """Return the column sets that are unique, and the columns with which an index begins."""
    table, schema = settings.table, settings.schema
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


def _columns(
    connection: Connection, inspector: Inspector, dialect: Dialect, settings: SqlSettings, name: str
) -> dict[str, Column]:
    wanted = {settings.key_column, *settings.columns, *settings.fence_columns}
    found = {}
    for entry in inspector.get_columns(settings.table, schema=settings.schema):
        if entry["name"] in wanted:
            found[entry["name"]] = _column(entry, connection, dialect, settings)
    for needed, types in (
        (settings.entity_column, ("text",)),
        (settings.timestamp_column, ("text",)),
        (settings.version_column, ("integer",)),
        (settings.deleted_column, ("boolean", "integer")),
    ):
        if found[needed].type not in types:
            raise ConfigError(f"target '{name}': column {needed} of {settings.qualified_table} must be of type {types[0]}")
    return found


def _column(entry: Any, connection: Connection, dialect: Dialect, settings: SqlSettings) -> Column:
    type_ = entry["type"]
    kind = settings.types.get(entry["name"]) or _kind(type_)
    # SQLite keeps neither to a length nor to a width.
    enforced = connection.dialect.name != "sqlite"
    bits = _INTEGER_BITS.get(type(type_).__name__) if enforced and not getattr(type_, "unsigned", False) else None
    return Column(
        name=entry["name"],
        type=kind,
        nullable=bool(entry["nullable"]) and entry["name"] != settings.key_column,
        length=getattr(type_, "length", None) if enforced and kind == "text" else None,
        bits=bits if kind == "integer" else None,
        naive_time=dialect.naive_time or not getattr(type_, "timezone", True),
        time_as_text=dialect.time_as_text,
    )


def _kind(type_: Any) -> ColumnType | None:
    kinds: tuple[tuple[type[Any], ColumnType], ...] = (
        (sa.Enum, "text"),
        (sa.Boolean, "boolean"),
        (sa.Integer, "integer"),
        (sa.Numeric, "number"),
        (sa.DateTime, "timestamp"),
        (sa.Date, "date"),
        (sa.JSON, "json"),
        (sa.String, "text"),
    )
    if type(type_).__name__ == "TINYINT" and getattr(type_, "display_width", None) == 1:
        return "boolean"
    return next((kind for base, kind in kinds if isinstance(type_, base)), None)
