"""The settings of one table of a `sql` target: of the rows of an entity type, or of the edges of a relation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Struct, field

from goldwire.targets.settings import about

ColumnType = Literal["text", "integer", "number", "boolean", "date", "timestamp", "json"]


class ExternalIdKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A row is keyed by how one system knows the record."""

    external_id: Annotated[str, about("The system.", examples=["crm"], min_length=1)]


KeyChoice = Literal["entity_id"] | ExternalIdKey
MissingKey = Literal["reject", "skip"]
DeleteMode = Literal["soft", "physical"]


class TableSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The table of one entity type. What is left out is as the target's own setting of that name."""

    table: Annotated[str, about("The table.", examples=["customer"], min_length=1)]
    columns: Annotated[
        dict[str, str],
        about(
            "Column: attribute. Other columns are never touched.",
            examples=[{"surname": "lastName"}],
            shapes=True,
            attributes=True,
        ),
    ]
    key: Annotated[KeyChoice | None, about("What identifies a row.", examples=["entity_id", {"external_id": "crm"}])] = None
    key_column: Annotated[str | None, about("The column that holds the key; unique.", examples=["customer_no"])] = None
    missing_key: Annotated[
        MissingKey | None, about("A record that the key's system does not know: `reject` or `skip`.", shapes=True)
    ] = None
    delete: Annotated[DeleteMode | None, about("Mark the row of a deleted record, or remove it.")] = None
    types: Annotated[dict[str, ColumnType], about("Types of columns, as the target's `types`.")] = field(default_factory=dict)
    may_differ: Annotated[tuple[str, ...], about("Columns that are not compared, as the target's `may_differ`.")] = ()


class EdgeTableSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The table of the edges of a relation: a row for each edge of the newest version of each record."""

    table: Annotated[str, about("The table.", examples=["works_for"], min_length=1, shapes=True)]
    from_column: Annotated[str, about("Column of the key of the record's own row.", shapes=True)] = "from_id"
    relation_column: Annotated[str, about("Column of the relation.", shapes=True)] = "relation"
    to_system_column: Annotated[
        str,
        about("Column of the system that the other record is named by; empty where `to_column` is an entity id.", shapes=True),
    ] = "to_system"
    to_column: Annotated[str, about("Column of the other record's id in that system, or its entity id.", shapes=True)] = "to_id"

    @property
    def columns(self) -> tuple[str, str, str, str]:
        """The columns that say what the edge is: from, relation, system, to."""
        return (self.from_column, self.relation_column, self.to_system_column, self.to_column)

    def check(self, own: Sequence[str]) -> None:
        """Raise ValueError where a column has two purposes; `own` are Goldwire's own columns."""
        names = [*self.columns, *own]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"column {twice[0]} of table {self.table} has two purposes; give each its own")


class RowTable(Struct, frozen=True, kw_only=True):
    """All that holds for one table of rows."""

    table: str
    schema: str | None
    columns: Mapping[str, str]
    key: KeyChoice
    key_column: str
    missing_key: MissingKey
    delete: DeleteMode
    create_table: bool
    types: Mapping[str, ColumnType]
    may_differ: tuple[str, ...]
    lock_timeout_seconds: float
    entity_column: str
    version_column: str
    timestamp_column: str
    deleted_column: str
    hash_column: str
    tombstone_table: str

    def check(self) -> None:
        """Raise ValueError where the settings contradict themselves."""
        names = self.all_columns
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"column {twice[0]} has two purposes; give each its own")
        unknown = sorted(self.types.keys() - set(names))
        if unknown:
            raise ValueError(f"`types` names column {unknown[0]}, which is not among `columns`")
        strange = sorted(set(self.may_differ) - self.columns.keys())
        if strange:
            raise ValueError(f"`may_differ` names column {strange[0]}, which is not among `columns`")

    @property
    def fence_columns(self) -> tuple[str, str, str, str, str]:
        """The columns that are Goldwire's own: hash, timestamp, deleted, version, entity, in the order of writing."""
        # Some databases see a column already changed by the assignments before it: what the fence compares comes last,
        # and in an order in which it still holds (see dialects.py).
        return (self.hash_column, self.timestamp_column, self.deleted_column, self.version_column, self.entity_column)

    @property
    def all_columns(self) -> list[str]:
        """Every column that is written."""
        return [self.key_column, *self.columns, *self.fence_columns]

    @property
    def qualified_table(self) -> str:
        """The table with its schema, e.g. `sales.customer`."""
        return f"{self.schema}.{self.table}" if self.schema else self.table

    def type_of(self, column: str) -> ColumnType:
        """Return the type with which a column is created."""
        fixed: Mapping[str, ColumnType] = {self.version_column: "integer", self.deleted_column: "boolean"}
        return self.types.get(column) or fixed.get(column, "text")
