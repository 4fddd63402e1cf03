"""The tables of edges as they are: created where asked, checked before the first write, their columns' types read."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.engine import Connection
from sqlalchemy.schema import CreateIndex
from sqlalchemy.sql.selectable import TableClause

from goldwire.errors import ConfigError
from goldwire.targets.sql.dialects import Dialect
from goldwire.targets.sql.settings import SqlSettings
from goldwire.targets.sql.table import clause, ensure, index_name, indexes_of, location_of, read_column, refuse_generated
from goldwire.targets.sql.table_settings import EdgeTableSettings
from goldwire.targets.sql.values import Column

_NAME_LENGTH = 100
"""Of a relation and a system: an index of MariaDB takes 3,072 bytes, and the ids of both ends are in it too."""


class EdgeTable(Struct, frozen=True):
    """One table of edges."""

    rows: TableClause
    entity: str
    """The column of the entity id of the record that the edge leads from."""
    version: str
    """The column of the version that brought the edge."""
    columns: tuple[Column, Column, Column, Column]
    """From, relation, system, to."""
    relations: frozenset[str]
    """Those whose edges it holds."""
    location: str
    """With the schema in which it is."""


def prepare_edges(connection: Connection, dialect: Dialect, settings: SqlSettings, name: str) -> list[EdgeTable]:
    """Create the tables of edges that are to be created, check the rest, and return them.

    Raises:
        ConfigError: a table or a column is missing; the text holds the statement that mends it.
    """
    dialect.lock_structure(connection, settings.lock_timeout_seconds)
    return [_prepared(connection, dialect, settings, one, name) for one in settings.edge_tables.values()]


def _prepared(connection: Connection, dialect: Dialect, settings: SqlSettings, own: EdgeTableSettings, name: str) -> EdgeTable:
    inspector = sa.inspect(connection)
    schema = dialect.schema_of(connection, settings.schema, own.table)
    table = _table(dialect, settings, own, schema)
    ensure(connection, inspector, table, create=settings.create_table, name=name)
    inspector.clear_cache()
    if settings.entity_column not in indexes_of(inspector, own.table, schema)[1]:
        index = CreateIndex(sa.Index(index_name(own.table), table.c[settings.entity_column]))
        raise ConfigError(
            f"target '{name}': {own.table} has no index that begins with {settings.entity_column}, and each send would read "
            f"all of it; run: {index.compile(dialect=connection.dialect)}"
        )
    names = [*own.columns, settings.entity_column, settings.version_column]
    found: dict[str, Column] = {}
    for entry in inspector.get_columns(own.table, schema=schema):
        if entry["name"] in names:
            refuse_generated(entry, own.table, name)
            found[entry["name"]] = read_column(entry, connection, dialect)
    if found[settings.entity_column].type != "text":
        raise ConfigError(f"target '{name}': column {settings.entity_column} of {own.table} must be of type text")
    return EdgeTable(
        rows=clause(own.table, schema, names),
        entity=settings.entity_column,
        version=settings.version_column,
        columns=(found[own.from_column], found[own.relation_column], found[own.to_system_column], found[own.to_column]),
        relations=frozenset(relation for relation, one in settings.edges.items() if one.table == own.table),
        location=location_of(connection, schema, own.table),
    )


def _table(dialect: Dialect, settings: SqlSettings, own: EdgeTableSettings, schema: str | None) -> sa.Table:
    short = dialect.key_type(_NAME_LENGTH)
    columns: list[Any] = [
        sa.Column(settings.entity_column, dialect.key_type(), primary_key=True),
        sa.Column(own.relation_column, short, primary_key=True),
        sa.Column(own.to_system_column, short, primary_key=True),
        sa.Column(own.to_column, dialect.key_type(), primary_key=True),
        sa.Column(own.from_column, dialect.key_type(), nullable=False),
        sa.Column(settings.version_column, sa.BigInteger(), nullable=False),
    ]
    return sa.Table(own.table, sa.MetaData(), *columns, schema=schema)
