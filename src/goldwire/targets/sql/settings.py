"""The settings of a `sql` target: which table, which key, which attribute in which column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Struct, field

from goldwire.targets.settings import Settings, about
from goldwire.targets.sql.address import destination_of, identifier_limit

ColumnType = Literal["text", "integer", "number", "boolean", "date", "timestamp", "json"]


class ExternalIdKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A row is keyed by how one system knows the record."""

    external_id: Annotated[str, about("The system.", examples=["crm"], min_length=1)]


class SqlSettings(Settings, frozen=True):
    """One table, the columns that Goldwire writes, and the columns that carry its fence."""

    url: Annotated[
        str,
        about(
            "The database: sqlite:///FILE, postgresql://USER:PASSWORD@HOST/DATABASE or mariadb://USER:PASSWORD@HOST/DATABASE.",
            examples=["sqlite:///billing.db", "${env:WAREHOUSE_URL}"],
            url=True,
        ),
    ]
    table: Annotated[str, about("The table.", examples=["customer"], min_length=1, sole=destination_of)]
    columns: Annotated[
        dict[str, str],
        about(
            "Column: attribute. Other columns are never touched.",
            examples=[{"surname": "lastName"}],
            shapes=True,
            attributes=True,
        ),
    ]
    schema: Annotated[str | None, about("The table's schema, where it is not the default one.")] = None
    key: Annotated[
        Literal["entity_id"] | ExternalIdKey,
        about("What identifies a row.", examples=["entity_id", {"external_id": "crm"}]),
    ] = "entity_id"
    key_column: Annotated[str, about("The column that holds the key; unique.", examples=["customer_no"])] = "id"
    missing_key: Annotated[
        Literal["reject", "skip"],
        about(
            "A record that the key's system does not know: `reject` makes a dead letter of it, `skip` counts it as delivered "
            "without a row (for contracts with payload full).",
            shapes=True,
        ),
    ] = "reject"
    delete: Annotated[
        Literal["soft", "physical"],
        about("Mark the row of a deleted record, or remove it. The row of an erased record is always removed."),
    ] = "soft"
    create_table: Annotated[bool, about("Create the table, if it is not there, and the table of tombstones.")] = False
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
        names = [self.key_column, *self.columns, *self.fence_columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"column {twice[0]} has two purposes; give each its own")
        limit, unit = identifier_limit(self.url)
        for name in (*names, self.table, self.tombstone_table, self.schema or ""):
            if limit is not None and (len(name.encode()) if unit == "bytes" else len(name)) > limit:
                raise ValueError(f"the name {name} is longer than the database's limit of {limit} {unit}; shorten it")
        unknown = sorted(self.types.keys() - set(names))
        if unknown:
            raise ValueError(f"`types` names column {unknown[0]}, which is not among `columns`")
        strange = sorted(set(self.may_differ) - self.columns.keys())
        if strange:
            raise ValueError(f"`may_differ` names column {strange[0]}, which is not among `columns`")
        if min(self.lock_timeout_seconds, self.connect_timeout_seconds, self.answer_timeout_seconds) <= 0:
            raise ValueError("a timeout must be above 0 seconds")

    @property
    def fence_columns(self) -> tuple[str, str, str, str, str]:
        """The columns that are Goldwire's own: hash, timestamp, deleted, version, entity, in the order of writing."""
        # Some databases see a column already changed by the assignments before it: what the fence compares comes last,
        # and in an order in which it still holds (see dialects.py).
        return (self.hash_column, self.timestamp_column, self.deleted_column, self.version_column, self.entity_column)

    @property
    def qualified_table(self) -> str:
        """The table with its schema, e.g. `sales.customer`."""
        return f"{self.schema}.{self.table}" if self.schema else self.table


def type_of(settings: SqlSettings, column: str) -> ColumnType:
    """Return the type with which a column is created."""
    fixed: Mapping[str, ColumnType] = {settings.version_column: "integer", settings.deleted_column: "boolean"}
    return settings.types.get(column) or fixed.get(column, "text")
