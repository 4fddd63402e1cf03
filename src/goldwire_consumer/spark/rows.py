"""One row of the table for each entity: the golden record, the guard, and the events that wait behind a gap.

They stand in one row because a table of Delta or Parquet has no transaction over two tables: what is written together is
kept together or not at all. The row of a deleted entity stays, so that an event that comes late cannot bring it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from goldwire_consumer.event import Event
from goldwire_consumer.fold import Record
from goldwire_consumer.verdict import Held

COLUMNS = {
    "entity_id": "string",
    "entity_type": "string",
    "version": "bigint",
    "hash": "string",
    "changed_at": "string",
    "gone": "string",
    "merged_into": "string",
    "record": "string",
    "waiting": "array<binary>",
    "writes": "bigint",
}
"""The table's columns, by name, with Spark's types."""


class EntityRow(Struct, frozen=True, kw_only=True):
    """What the table holds of one entity."""

    entity_id: str
    entity_type: str
    version: int = 0
    """The one that was applied last; 0 where events wait and nothing was applied yet."""
    hash: str | None = None
    """Of that event."""
    changed_at: str | None = None
    """RFC 3339, UTC: when that version was committed."""
    gone: str | None = None
    """The reason of the tombstone; None while the entity lives."""
    merged_into: str | None = None
    """The survivor's entity id, where the reason is `merged`."""
    record: Record | None = None
    """None while there is none."""
    waiting: tuple[Event, ...] = ()
    """By version: events whose predecessor did not come yet."""
    writes: int = 0
    """How often the row was written: of two rows of one entity the one with more writes is the newer."""

    def __repr__(self) -> str:
        return f"EntityRow({self.entity_id} version {self.version}, {len(self.waiting)} waiting)"

    @property
    def guard(self) -> Held | None:
        """What the guard keeps; None where nothing of the entity came before."""
        if not self.writes and not self.version and not self.waiting:
            return None
        return Held(self.version, self.hash, self.gone, bool(self.waiting))


_record = msgspec.json.Decoder(Record).decode
read_event = msgspec.json.Decoder(Event).decode
"""Reads what `write_event` wrote; it was verified before, and is not verified again."""
_write = msgspec.json.Encoder(order="sorted").encode


def write_event(event: Event) -> bytes:
    """Return a verified event as bytes that `read_event` reads."""
    return _write(event)


def to_cells(row: EntityRow) -> dict[str, Any]:
    """Return a row as the table's cells, by column."""
    cells = {name: getattr(row, name) for name in COLUMNS}
    cells["record"] = None if row.record is None else _write(row.record).decode()
    cells["waiting"] = [_write(event) for event in row.waiting] or None
    return cells


def from_cells(cells: Mapping[str, Any]) -> EntityRow:
    """Return a row from the table's cells.

    Raises:
        ValueError: another program wrote the row; it names the entity.
    """
    try:
        plain = {name: cells[name] for name in COLUMNS}
        plain["record"] = None if plain["record"] is None else _record(plain["record"])
        plain["waiting"] = tuple(read_event(bytes(event)) for event in plain["waiting"] or ())
        return EntityRow(**plain)
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        entity_id = cells.get("entity_id")
        text = f"the table's row of entity {entity_id} is not one that this package wrote: {type(error).__name__}"
        raise ValueError(text) from None
