"""What one event writes to the table: read from its body, with values that fit their columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct, field

from goldwire.redaction import shows
from goldwire.targets.base import Item
from goldwire.targets.sql.table_settings import ExternalIdKey, RowTable
from goldwire.targets.sql.values import Column, UnfitValueError, convert, convert_key


class EdgeEnd(NamedTuple):
    """One edge of a record: its relation, and the other record as the event names it."""

    relation: str
    system: str
    """Empty where `id` is an entity id."""
    id: str


EdgeColumns = Mapping[str, tuple[Column, Column, Column, Column]]
"""By relation, the columns of its table: from, relation, system, to."""


@shows("entity_id", "version")
class RowChange(Struct, frozen=True, gc=False):
    """One event, ready to be planned."""

    entity_id: str
    version: int
    timestamp: str
    hash: str
    deleted: bool
    erased: bool
    """The record must not stay anywhere: its row is removed whatever `delete` says."""
    key: Any
    """The row's key as the key column takes it; None where the system does not know the record."""
    candidates: tuple[Any, ...]
    """Every key under which rows of this entity may be."""
    values: dict[str, Any]
    """Column: value; of a delta only what changed."""
    base_version: int | None
    """The version that a delta needs to find; None: `values` and `edges` are whole."""
    edges: tuple[EdgeEnd, ...] = ()
    """Of the relations that have a table; of a delta those that were added."""
    edges_removed: tuple[EdgeEnd, ...] = ()
    """Only of a delta."""


@shows("system")
class _ExternalId(Struct, gc=False):
    system: str
    id: str


@shows()
class _Attribute(Struct, gc=False):
    value: Any = None


class _RowChanges(Struct, gc=False):
    attributes: dict[str, _Attribute] = {}


class _RowBody(Struct, gc=False):
    external_ids: list[_ExternalId] = field(name="externalIds", default_factory=list)
    changes: _RowChanges = field(default_factory=_RowChanges)


@shows()
class _EdgeTo(Struct, gc=False):
    external_id: _ExternalId | None = field(name="externalId", default=None)
    entity_id: str | None = field(name="entityId", default=None)


@shows("rel", "op")
class _EdgeBody(Struct, gc=False):
    rel: str
    to: _EdgeTo
    op: str = "added"


class _RelatedChanges(_RowChanges, gc=False):
    edges: list[_EdgeBody] = []


class _RelatedBody(Struct, gc=False):
    external_ids: list[_ExternalId] = field(name="externalIds", default_factory=list)
    changes: _RelatedChanges = field(default_factory=_RelatedChanges)


_decode = msgspec.json.Decoder(_RowBody).decode
_decode_related = msgspec.json.Decoder(_RelatedBody).decode
"""Reads the edges too, which takes longer."""


def read_change(item: Item, settings: RowTable, columns: Mapping[str, Column], edges: EdgeColumns) -> RowChange:
    """Return what an item asks for.

    Args:
        item: the event.
        settings: of the table of its entity type.
        columns: of that table.
        edges: the relations that have a table.

    Raises:
        UnfitValueError: a value does not fit its column, or the key its own; the text is fit for a dead letter.
    """
    event = item.event
    body: _RowBody | _RelatedBody = _decode_related(event.body) if edges else _decode(event.body)
    key_column = columns[settings.key_column]
    if isinstance(settings.key, ExternalIdKey):
        known = [entry.id for entry in body.external_ids if entry.system == settings.key.external_id]
    else:
        known = [event.entity_id]
    # The key written last stays among several, so that a merge moves no row without need.
    text = item.remote_id if item.remote_id in known else min(known, default=None)
    key = None if text is None else convert_key(key_column, text)
    candidates: tuple[Any, ...] = (key,)
    if key is None or len(known) != 1 or item.remote_id not in {None, text}:
        others = {key}.union(_converted_or_none(key_column, other) for other in {*known, item.remote_id} - {text})
        candidates = tuple(sorted(others - {None}, key=str))
    return RowChange(
        entity_id=event.entity_id,
        version=event.version,
        timestamp=event.timestamp,
        hash=f"sha256:{event.hash.hex()}",
        deleted=event.deleted,
        erased=event.reason == "erased",
        key=key,
        candidates=candidates,
        values={} if event.deleted else _values(body, event.base_version is None, settings, columns),
        base_version=event.base_version,
        edges=_edges(body, edges, key, "added"),
        edges_removed=_edges(body, edges, key, "removed"),
    )


def _edges(body: _RowBody | _RelatedBody, columns: EdgeColumns, key: Any, op: str) -> tuple[EdgeEnd, ...]:
    if key is None or not isinstance(body, _RelatedBody):
        return ()
    found = []
    for edge in body.changes.edges:
        ends = columns.get(edge.rel)
        if ends is None or edge.op != op:
            continue
        to = edge.to.external_id or _ExternalId("", edge.to.entity_id or "")
        end = EdgeEnd(edge.rel, to.system, to.id)
        for column, text in zip(ends, (str(key), *end), strict=True):
            convert_key(column, text)
        found.append(end)
    return tuple(found)


def _values(body: _RowBody | _RelatedBody, whole: bool, settings: RowTable, columns: Mapping[str, Column]) -> dict[str, Any]:
    given = body.changes.attributes
    values = {}
    for name, attribute in settings.columns.items():
        entry = given.get(attribute)
        if entry is None and not whole:
            continue
        column, value = columns[name], None if entry is None else entry.value
        # Most columns take most texts as they are.
        values[name] = value if type(value) is str and column.takes_any_text else convert(column, value)
    return values


def _converted_or_none(column: Column, text: str | None) -> Any:
    try:
        return None if text is None else convert_key(column, text)
    except UnfitValueError:
        return None
