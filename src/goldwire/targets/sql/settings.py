"""The settings of a `sql` target: which tables, which key, which attribute in which column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

from msgspec import field

from goldwire.targets.settings import Settings, about
from goldwire.targets.sql.address import destinations_of, identifier_limit
from goldwire.targets.sql.table_settings import (
    ColumnType,
    DeleteMode,
    EdgeTableSettings,
    ExternalIdKey,
    KeyChoice,
    MissingKey,
    RowTable,
    TableSettings,
)

__all__ = ["ColumnType", "ExternalIdKey", "SqlSettings"]


class SqlSettings(Settings, frozen=True):
    """One table, or one for each entity type, and tables of edges; the columns that Goldwire writes and those of its fence."""

    url: Annotated[
        str,
        about(
            "The database: sqlite:///FILE, postgresql://USER:PASSWORD@HOST/DATABASE or mariadb://USER:PASSWORD@HOST/DATABASE.",
            examples=["sqlite:///billing.db", "${env:WAREHOUSE_URL}"],
            url=True,
            sole=destinations_of,
        ),
    ]
    table: Annotated[
        str | None,
        about("The table of all records; or else `tables`, one for each entity type.", examples=["customer"]),
    ] = None
    columns: Annotated[
        dict[str, str] | None,
        about(
            "Column: attribute, of `table`. Other columns are never touched.",
            examples=[{"surname": "lastName"}],
            shapes=True,
            attributes=True,
        ),
    ] = None
    tables: Annotated[
        dict[str, TableSettings],
        about(
            "Entity type: its table. What a table does not say of `key`, `key_column`, `missing_key` and `delete` is as it "
            "stands beside `tables`.",
            examples=[{"Customer": {"table": "customer", "columns": {"surname": "lastName"}}}],
            each="entity type",
        ),
    ] = field(default_factory=dict)
    edges: Annotated[
        dict[str, EdgeTableSettings],
        about(
            "Relation: the table of its edges. Several relations may share one. Edges of other relations are not written.",
            examples=[{"worksFor": {"table": "works_for"}}],
            each="relation",
        ),
    ] = field(default_factory=dict)
    schema: Annotated[str | None, about("The tables' schema, where it is not the default one.")] = None
    key: Annotated[KeyChoice, about("What identifies a row.", examples=["entity_id", {"external_id": "crm"}])] = "entity_id"
    key_column: Annotated[str, about("The column that holds the key; unique.", examples=["customer_no"])] = "id"
    missing_key: Annotated[
        MissingKey,
        about(
            "A record that the key's system does not know: `reject` makes a dead letter of it, `skip` counts it as delivered "
            "without a row (for contracts with payload full).",
            shapes=True,
        ),
    ] = "reject"
    delete: Annotated[
        DeleteMode,
        about("Mark the row of a deleted record, or remove it. The row of an erased record is always removed."),
    ] = "soft"
    create_table: Annotated[bool, about("Create the tables that are not there, and the table of tombstones.")] = False
    types: Annotated[
        dict[str, ColumnType],
        about("Types of columns for `create_table`, else text; of an existing table's column where the database reports none."),
    ] = field(default_factory=dict)
    may_differ: Annotated[
        tuple[str, ...],
        about(
            "Columns of `columns` that may hold another value than the one sent, because a rule of the table changes it; every "
            "other column is read back and compared.",
            examples=[["city"]],
        ),
    ] = ()
    lock_timeout_seconds: Annotated[
        float, about("How long to wait for another writer before the send counts as not written.", advanced=True)
    ] = 10.0
    connect_timeout_seconds: Annotated[float, about("How long connecting may take.", advanced=True)] = 10.0
    answer_timeout_seconds: Annotated[
        float, about("How long one statement may take before the connection counts as broken.", advanced=True)
    ] = 60.0
    entity_column: Annotated[str, about("Column of the record's entity id.", advanced=True)] = "goldwire_entity_id"
    version_column: Annotated[str, about("Column of the version written last.", advanced=True)] = "goldwire_version"
    timestamp_column: Annotated[str, about("Column of that version's time; text.", advanced=True)] = "goldwire_timestamp"
    deleted_column: Annotated[str, about("Column that marks a deleted record.", advanced=True)] = "goldwire_deleted"
    hash_column: Annotated[str, about("Column of the hash of the event written last.", advanced=True)] = "goldwire_hash"
    tombstone_table: Annotated[str, about("Table that keeps the fence of records without a row.", advanced=True)] = (
        "goldwire_tombstone"
    )

    def __post_init__(self) -> None:
        if bool(self.table) == bool(self.tables):
            raise ValueError("name the table of all records as `table`, or one for each entity type in `tables`")
        if self.tables and (self.columns or self.types or self.may_differ):
            raise ValueError("with `tables` each table has `columns`, `types` and `may_differ` of its own; put them there")
        if not self.tables and self.columns is None:
            raise ValueError("`columns` is missing: column: attribute")
        for row_table in self.row_tables.values():
            row_table.check()
        if min(self.lock_timeout_seconds, self.connect_timeout_seconds, self.answer_timeout_seconds) <= 0:
            raise ValueError("a timeout must be above 0 seconds")
        self._check_names()

    def _check_names(self) -> None:
        used = [part.table for part in self.row_tables.values()] + list(self.edge_tables) + [self.tombstone_table]
        twice = sorted({name for name in used if used.count(name) > 1})
        if twice:
            raise ValueError(f"table {twice[0]} has two purposes; give each its own")
        for name, settings in self.edges.items():
            if settings != self.edge_tables[settings.table]:
                raise ValueError(f"`edges.{name}` has other columns than another relation of table {settings.table}")
            settings.check([self.entity_column, self.version_column])
        limit, unit = identifier_limit(self.url)
        for name in self._names():
            if limit is not None and (len(name.encode()) if unit == "bytes" else len(name)) > limit:
                raise ValueError(f"the name {name} is longer than the database's limit of {limit} {unit}; shorten it")

    def _names(self) -> Iterator[str]:
        yield from (self.tombstone_table, self.schema or "")
        for row_table in self.row_tables.values():
            yield from (row_table.table, *row_table.all_columns)
        for settings in self.edges.values():
            yield from (settings.table, *settings.columns)

    @property
    def row_tables(self) -> Mapping[str | None, RowTable]:
        """The table of each entity type with what holds for it; `None` stands for every type."""
        if self.tables:
            return {name: self._row_table(one) for name, one in self.tables.items()}
        return {
            None: self._row_table(
                TableSettings(self.table or "", self.columns or {}, types=self.types, may_differ=self.may_differ)
            )
        }

    @property
    def edge_tables(self) -> Mapping[str, EdgeTableSettings]:
        """The tables of edges by name; of the relations that share one, what the first says."""
        return {one.table: one for one in reversed(self.edges.values())}

    def _row_table(self, own: TableSettings) -> RowTable:
        return RowTable(
            table=own.table,
            schema=self.schema,
            columns=own.columns,
            key=own.key or self.key,
            key_column=own.key_column or self.key_column,
            missing_key=own.missing_key or self.missing_key,
            delete=own.delete or self.delete,
            create_table=self.create_table,
            types=own.types,
            may_differ=own.may_differ,
            lock_timeout_seconds=self.lock_timeout_seconds,
            entity_column=self.entity_column,
            version_column=self.version_column,
            timestamp_column=self.timestamp_column,
            deleted_column=self.deleted_column,
            hash_column=self.hash_column,
            tombstone_table=self.tombstone_table,
        )
