"""How the rows of one system's files become facts: the settings under `sources` in goldwire.yaml."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from goldwire.errors import ConfigError

Format = Literal["csv", "jsonl", "parquet"]
ValueType = Literal["string", "integer", "number", "boolean", "json"]

MEBIBYTE = 1024 * 1024
RESERVED_SYSTEM = "steward"
"""Provenance of what a steward decided; no source may have this name."""

_SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


class ColumnSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """Which column an attribute is read from, and what its values are."""

    column: Annotated[str, Meta(description="The column's name in the file.", examples=["given_name"])]
    type: Annotated[
        ValueType | None,
        Meta(description="What the values are; without it text from CSV, and as they stand from JSON lines and Parquet."),
    ] = None
    empty_is_null: Annotated[
        bool, Meta(description="An empty text says that the system holds no value; otherwise it is a value of its own.")
    ] = True


class EdgeSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A column that holds another record's id."""

    rel: Annotated[str, Meta(description="The relation, as the entity type names it.", examples=["worksFor"])]
    system: Annotated[str, Meta(description="The system whose id the column holds.", examples=["crm"])]
    column: Annotated[str, Meta(description="The column's name in the file.", examples=["company_id"])]


class DeletedSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A column that says that the system deleted the record."""

    column: Annotated[str, Meta(description="The column's name in the file.", examples=["is_deleted"])]
    values: Annotated[
        tuple[str, ...], Meta(description="What it holds for a deleted record, in any case of letters.", min_length=1)
    ] = ("true", "1", "yes", "y", "t")


class SourceSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One system and how its files are read."""

    system: Annotated[str, Meta(description="The system's name on facts and events.", min_length=1, examples=["crm"])]
    type: Annotated[str, Meta(description="The entity type of its records.", min_length=1, examples=["Customer"])]
    path: Annotated[str | None, Meta(description="The file that is read when a command names none.")] = None
    format: Annotated[Format | None, Meta(description="Without it the file's suffix decides.")] = None
    id: Annotated[
        str | None,
        Meta(description="The column with the record's id. JSON lines without it hold whole facts and decisions."),
    ] = None
    attributes: Annotated[
        dict[str, str | ColumnSpec],
        Meta(description="Attribute to column; without it every other column is an attribute of its own name."),
    ] = field(default_factory=dict)
    edges: Annotated[tuple[EdgeSpec, ...], Meta(description="Columns that hold ids of related records.")] = ()
    observed_at: Annotated[
        str | None,
        Meta(description="A column with the time of each row, or one fixed time; without it the time of reading."),
    ] = None
    confidence: Annotated[
        float | str, Meta(description="A number from 0 to 1, or the column that holds one.", examples=[0.9])
    ] = 1.0
    entity_id: Annotated[
        str | None, Meta(description="The column with the golden record's id where an upstream hub gives it.")
    ] = None
    deleted: Annotated[DeletedSpec | None, Meta(description="How a row says that its record was deleted.")] = None
    placeholders: Annotated[
        tuple[str, ...],
        Meta(
            description="Values by which this system says nothing, besides those that everybody writes: they are no evidence "
            "for a match rule. `*` stands for anything.",
            examples=[["zzz", "*@do-not-reply.example"]],
        ),
    ] = ()
    delimiter: Annotated[str, Meta(description="What separates CSV cells.", min_length=1, max_length=1)] = ","
    strip: Annotated[bool, Meta(description="Drop blanks around texts.")] = True
    encoding: Annotated[Literal["utf-8"], Meta(description="Files are UTF-8.")] = "utf-8"
    max_value_bytes: Annotated[
        int, Meta(description="A value with more bytes than this is rejected.", ge=1, le=64 * MEBIBYTE)
    ] = MEBIBYTE

    def columns(self) -> dict[str, ColumnSpec]:
        """Return the mapped attributes with their full column settings."""
        return {
            name: ColumnSpec(column=column) if isinstance(column, str) else column for name, column in self.attributes.items()
        }


def check_source(name: str, spec: SourceSpec) -> None:
    """Check what the types alone cannot.

    Args:
        name: the source's name in goldwire.yaml, for the error.
        spec: its settings.

    Raises:
        ConfigError: naming the location and the fix.
    """
    if spec.system == RESERVED_SYSTEM:
        raise ConfigError(f"sources.{name}.system: `{RESERVED_SYSTEM}` is kept for stewards' decisions; choose another name")
    if not isinstance(spec.confidence, str) and not 0 <= spec.confidence <= 1:
        raise ConfigError(f"sources.{name}.confidence: must lie between 0 and 1")
    check_placeholders(f"sources.{name}.placeholders", spec.placeholders)
    if spec.id is None and (spec.format or suffix_format(spec.path)) in {"csv", "parquet"}:
        raise ConfigError(f"sources.{name}.id: name the column that holds the record's id")
    if spec.id is None and spec.attributes:
        raise ConfigError(f"sources.{name}.id: a mapping of attributes needs the column that holds the record's id")


def check_placeholders(location: str, placeholders: Iterable[str]) -> None:
    """See that each placeholder is something.

    Args:
        location: in goldwire.yaml, for the error.
        placeholders: what a rule or a source names.

    Raises:
        ConfigError: one stands for every value, or for none.
    """
    for word in placeholders:
        if not word.strip(" *"):
            what = "every value" if "*" in word else "an empty text, which says nothing anyway"
            raise ConfigError(f"{location}: {word!r} stands for {what}; name a value, or leave it out")


def suffix_format(path: str | None) -> Format | None:
    """Return the format that a file's suffix stands for."""
    return _SUFFIXES.get(PurePath(path).suffix.lower()) if path else None
