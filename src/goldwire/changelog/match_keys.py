"""The bookkeeping of match keys that every engine shares: what a record that changed does to the rows of its keys. All is pure.

One row holds the owners of a key, so that no query counts records. Most keys belong to one record only, so the row names it
itself; the records that share a key with it have a link each. That halves the rows that a new record's keys cost.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from msgspec import Struct, field

from goldwire.redaction import shows

KEY_BYTES = 16


@shows("entity_id")
class KeyHolder(NamedTuple):
    """A record as far as keys are concerned; without an entity it has no keys yet."""

    entity_id: str | None
    packed: bytes


class KeyRow(Struct, gc=False):
    """A key's row: how many records, the lowest entity id among theirs, and the one record that has no link."""

    records: int
    entity_id: str
    first_no: int | None


@shows()
class KeyWrites(Struct, gc=False):
    """What an engine writes after the bookkeeping."""

    save: set[bytes]
    """Keys whose row changed, appeared, or is gone."""
    in_doubt: set[bytes] = field(default_factory=set)
    """Keys whose lowest entity lost a record: the engine looks it up again, from the links that are written by then."""
    links: list[tuple[bytes, int]] = field(default_factory=list)
    unlinks: list[tuple[bytes, int]] = field(default_factory=list)


@shows("number", "had_entity", "entity_id")
class HolderChange(NamedTuple):
    """What changed about the keys of one record."""

    number: int
    had_entity: str | None
    entity_id: str | None
    had: set[bytes]
    has: set[bytes]


def holder_changes(records: Collection[tuple[int, KeyHolder, KeyHolder]]) -> list[HolderChange]:
    """Return what changed about records.

    Args:
        records: each with its number, how it was, and how it is.
    """
    return [
        HolderChange(number, before.entity_id, after.entity_id, _keys(before), _keys(after))
        for number, before, after in records
    ]


def touched_keys(changes: Collection[HolderChange]) -> set[bytes]:
    """Return the keys whose rows the bookkeeping needs."""
    keys: set[bytes] = set()
    for _, had_entity, entity_id, had, has in changes:
        keys |= had ^ has if had_entity == entity_id else had | has
    return keys


def book(rows: dict[bytes, KeyRow | None], touched: set[bytes], changes: Collection[HolderChange]) -> KeyWrites:
    """Change the rows as the records did, and return what is to be written.

    Args:
        rows: every touched key, None where it has no row; they are changed.
        touched: see `touched_keys`.
        changes: of the records.
    """
    writes = KeyWrites(touched)
    for number, had_entity, entity_id, had, has in changes:
        moved = had_entity != entity_id
        if had_entity is not None and had:
            _take(rows, writes, number, had_entity, had if moved else had - has, has)
        if entity_id is not None:
            _give(rows, writes, number, entity_id, has if moved else has - had, had)
    return writes


def _take(
    rows: dict[bytes, KeyRow | None], writes: KeyWrites, number: int, entity_id: str, keys: set[bytes], kept: set[bytes]
) -> None:
    """Take keys from a record's former entity, and from the record itself those that it has no more."""
    for key in keys:
        row = rows[key]
        assert row is not None, "a record has a match key that no row has"
        if row.entity_id == entity_id:
            writes.in_doubt.add(key)
        if key in kept:
            continue
        row.records -= 1
        if row.first_no == number:
            row.first_no = None
        else:
            writes.unlinks.append((key, number))
        if row.records == 0:
            rows[key] = None


def _give(
    rows: dict[bytes, KeyRow | None], writes: KeyWrites, number: int, entity_id: str, keys: set[bytes], kept: set[bytes]
) -> None:
    """Give keys to a record's entity, and to the record itself those that are new to it."""
    for key in keys:
        row = rows[key]
        if row is None:
            rows[key] = KeyRow(1, entity_id, number)
            continue
        row.entity_id = min(row.entity_id, entity_id)
        if key in kept:
            continue
        row.records += 1
        if row.first_no is None:
            row.first_no = number
        else:
            writes.links.append((key, number))


def _keys(holder: KeyHolder) -> set[bytes]:
    if holder.entity_id is None:
        return set()
    packed = holder.packed
    return {packed[at : at + KEY_BYTES] for at in range(0, len(packed), KEY_BYTES)}
