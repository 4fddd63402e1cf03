"""What one event writes to the table: read from its body, with values that fit their columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct, field

from goldwire.redaction import shows
from goldwire.targets.base import Item
from goldwire.targets.sql.settings import ExternalIdKey, SqlSettings
from goldwire.targets.sql.values import Column, UnfitValueError, convert, convert_key


@shows("entity_id", "version")
class RowChange(Struct, frozen=True):
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
    """The version that a delta needs to find; None: `values` are whole."""


@shows("system")
class _ExternalId(Struct):
    system: str
    id: str


@shows()
class _Attribute(Struct):
    value: Any = None


class _RowChanges(Struct):
    attributes: dict[str, _Attribute] = {}


class _RowBody(Struct):
    external_ids: list[_ExternalId] = field(name="externalIds", default_factory=list)
    changes: _RowChanges = field(default_factory=_RowChanges)


_decode = msgspec.json.Decoder(_RowBody).decode


def read_change(item: Item, settings: SqlSettings, columns: Mapping[str, Column]) -> RowChange:
    """Return what an item asks for.

    Raises:
        UnfitValueError: a value does not fit its column, or the key its own; the text is fit for a dead letter.
    """
    event = item.event
    body = _decode(event.body)
    key_column = columns[settings.key_column]
    if isinstance(settings.key, ExternalIdKey):
        known = [entry.id for entry in body.external_ids if entry.system == settings.key.external_id]
    else:
        known = [event.entity_id]
    # The key written last stays among several, so that a merge moves no row without need.
    text = item.remote_id if item.remote_id in known else min(known, default=None)
    key = None if text is None else convert_key(key_column, text)
    others = {key}.union(_converted_or_none(key_column, other) for other in {*known, item.remote_id} - {text})
    return RowChange(
        entity_id=event.entity_id,
        version=event.version,
        timestamp=event.timestamp,
        hash=f"sha256:{event.hash.hex()}",
        deleted=event.deleted,
        erased=event.reason == "erased",
        key=key,
        candidates=tuple(sorted(others - {None}, key=str)),
        values={} if event.deleted else _values(body, event.base_version is None, settings, columns),
        base_version=event.base_version,
    )


def _values(body: _RowBody, whole: bool, settings: SqlSettings, columns: Mapping[str, Column]) -> dict[str, Any]:
    given = body.changes.attributes
    values = {}
    for column, attribute in settings.columns.items():
        entry = given.get(attribute)
        if entry is not None:
            values[column] = convert(columns[column], entry.value)
        elif whole:
            values[column] = convert(columns[column], None)
    return values


def _converted_or_none(column: Column, text: str | None) -> Any:
    try:
        return None if text is None else convert_key(column, text)
    except UnfitValueError:
        return None
