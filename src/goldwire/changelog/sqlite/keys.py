"""Match keys inside one ingest transaction: one row holds the owners of a key, so that no query counts records.

Most keys belong to one record only, so the row names it itself; the records that share a key with it have a link each. That
halves the rows that a new record's keys cost.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from msgspec import Struct, field

from goldwire.changelog.sqlite import queries as query
from goldwire.changelog.sqlite.heads import Heads
from goldwire.changelog.sqlite.transaction import Database
from goldwire.mastering.workspace import KeyOwner
from goldwire.redaction import shows

KEY_BYTES = 16


@shows("entity_id")
class KeyHolder(NamedTuple):
    """A record as far as keys are concerned; without an entity it has no keys yet."""

    entity_id: str | None
    packed: bytes


class _Row(Struct, gc=False):
    """A key's row: how many records, the lowest entity id among theirs, and the one record that has no link."""

    records: int
    entity_id: str
    first_no: int | None


@shows()
class _Writes(Struct, gc=False):
    """What one flush writes."""

    save: set[bytes] = field(default_factory=set)
    in_doubt: set[bytes] = field(default_factory=set)
    """Keys whose lowest entity lost a record."""
    links: list[tuple[bytes, int]] = field(default_factory=list)
    unlinks: list[tuple[bytes, int]] = field(default_factory=list)


class MatchKeys:
    """What one ingest transaction knows of match keys."""

    def __init__(self, database: Database, heads: Heads) -> None:
        self._database = database
        self._heads = heads
        self._rows: dict[bytes, _Row | None] = {}

    def owners(self, keys: Collection[bytes]) -> dict[bytes, KeyOwner]:
        """Return who has these keys, as far as it was written."""
        self._load(keys)
        rows = self._rows
        return {key: KeyOwner(row.records, row.entity_id) for key in keys if (row := rows[key]) is not None}

    def write(self, records: Collection[tuple[int, KeyHolder, KeyHolder]]) -> None:
        """Write what changed about the keys of records that are written already.

        Args:
            records: each with its number, how it was, and how it is.
        """
        if not records:
            return
        changed = [
            (number, before.entity_id, after.entity_id, _keys(before), _keys(after)) for number, before, after in records
        ]
        writes = _Writes()
        for _, had_entity, entity_id, had, has in changed:
            writes.save |= had ^ has if had_entity == entity_id else had | has
        self._load(writes.save)
        for number, had_entity, entity_id, had, has in changed:
            moved = had_entity != entity_id
            if had_entity is not None and had:
                self._take(writes, number, had_entity, had if moved else had - has, has)
            if entity_id is not None:
                self._give(writes, number, entity_id, has if moved else has - had, had)
        self._apply(writes)

    def _take(self, writes: _Writes, number: int, entity_id: str, keys: set[bytes], kept: set[bytes]) -> None:
        """Take keys from a record's former entity, and from the record itself those that it has no more."""
        for key in keys:
            row = self._rows[key]
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
                self._rows[key] = None

    def _give(self, writes: _Writes, number: int, entity_id: str, keys: set[bytes], kept: set[bytes]) -> None:
        """Give keys to a record's entity, and to the record itself those that are new to it."""
        for key in keys:
            row = self._rows[key]
            if row is None:
                self._rows[key] = _Row(1, entity_id, number)
                continue
            row.entity_id = min(row.entity_id, entity_id)
            if key in kept:
                continue
            row.records += 1
            if row.first_no is None:
                row.first_no = number
            else:
                writes.links.append((key, number))

    def _apply(self, writes: _Writes) -> None:
        run = self._database.executemany
        run(query.DELETE_LINK, sorted(writes.unlinks))
        run(query.INSERT_LINK, sorted(writes.links))
        for key in writes.in_doubt:
            self._look_up_lowest(key)
        gone: list[tuple[bytes]] = []
        held: list[tuple[bytes, _Row]] = []
        for key in sorted(writes.save):
            row = self._rows[key]
            if row is None:
                gone.append((key,))
            else:
                held.append((key, row))
        numbers = self._heads.numbers({row.entity_id for _, row in held})
        run(query.DELETE_KEY, gone)
        run(query.SAVE_KEY, [(key, row.records, numbers[row.entity_id], row.first_no) for key, row in held])

    def _look_up_lowest(self, key: bytes) -> None:
        row = self._rows[key]
        if row is not None:
            row.entity_id = self._database.execute(query.LOWEST_OWNER, (key, row.first_no)).fetchone()[0]

    def _load(self, keys: Collection[bytes]) -> None:
        wanted = [key for key in keys if key not in self._rows]
        self._rows.update(dict.fromkeys(wanted))
        for key, count, entity_id, first_no in self._database.each(query.KEY_OWNERS, (), wanted):
            self._rows[key] = _Row(count, entity_id, first_no)


def _keys(holder: KeyHolder) -> set[bytes]:
    if holder.entity_id is None:
        return set()
    packed = holder.packed
    return {packed[at : at + KEY_BYTES] for at in range(0, len(packed), KEY_BYTES)}
