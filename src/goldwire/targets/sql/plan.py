"""Decides from the rows that are there what a change needs: the fence, in one module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import hexdigits
from typing import Any

from msgspec import Struct, field

from goldwire.redaction import shows
from goldwire.targets.base import DELIVERED, Delivered, Duplicate, Outcome, Rejected, TakenEvent
from goldwire.targets.sql.change import RowChange
from goldwire.targets.sql.table_settings import ExternalIdKey, RowTable

_HASH_DIGITS = 64


@shows("entity_id", "version", "timestamp", "deleted")
class HeldRow(Struct, frozen=True, gc=False):
    """A row as it was found."""

    key: Any
    entity_id: str | None
    """None: not written by Goldwire so far; the first record of this key adopts it."""
    version: int
    timestamp: str
    deleted: bool
    hash: str | None = None
    """Of the event that was written last, as the table has it."""


class Found:
    """What was found for one wave of changes.

    Args:
        rows: by the key's text.
        tombstones: entity and version.
    """

    def __init__(self, rows: dict[str, HeldRow], tombstones: dict[str, int]) -> None:
        self.rows = rows
        self.tombstones = tombstones
        self._by_entity: dict[str | None, list[HeldRow]] = {}
        for row in rows.values():
            self._by_entity.setdefault(row.entity_id, []).append(row)

    def of_entity(self, change: RowChange) -> Sequence[HeldRow]:
        """Return the rows that belong to the change's entity."""
        return self._by_entity.get(change.entity_id, ())

    def is_new(self, change: RowChange) -> bool:
        """Say whether the change's entity has no tombstone, and its key no row."""
        return change.entity_id not in self.tombstones and str(change.key) not in self.rows

    def fence(self, change: RowChange) -> int:
        """Return the version that a change of this entity must exceed."""
        versions = [row.version for row in self.of_entity(change)]
        return max(self.tombstones.get(change.entity_id, 0), *versions, 0)

    def newest(self, change: RowChange) -> TakenEvent | None:
        """Return the event that was written last of the change's entity; None where its hash is not known."""
        fence = self.fence(change)
        return next((event for row in self.of_entity(change) if row.version == fence and (event := held_event(row))), None)


def held_event(row: HeldRow) -> TakenEvent | None:
    """Return the event that a row was written from last; None where the table does not tell its hash."""
    digits = (row.hash or "").removeprefix("sha256:")
    if row.entity_id is None or len(digits) != _HASH_DIGITS or not all(sign in hexdigits for sign in digits):
        return None
    return TakenEvent(row.entity_id, row.version, bytes.fromhex(digits))


@shows()
class Steps(Struct, gc=False):
    """Statements to run, in this order; each holds its own fence as well."""

    copies: list[tuple[RowChange, Any]] = field(default_factory=list)
    """A delta whose record gets another key: the rest of its values is in the row of the old one."""
    removals: list[tuple[RowChange, Any]] = field(default_factory=list)
    """A key whose row is to be marked or removed, if it is the entity's."""
    tombstones: list[tuple[str, int, str]] = field(default_factory=list)
    """Entity, version, timestamp."""
    updates: list[RowChange] = field(default_factory=list)
    """Deltas on a row that is there."""
    upserts: list[RowChange] = field(default_factory=list)
    """Whole records."""


def plan(change: RowChange, found: Found, settings: RowTable) -> tuple[Steps, Outcome]:
    """Return what a change needs, and what to answer once that is done."""
    own = found.of_entity(change)
    if not own and change.base_version is None and change.key is not None and not change.deleted and found.is_new(change):
        return Steps(upserts=[change]), Delivered(str(change.key))
    if found.fence(change) >= change.version:
        holds = change.key is not None and any(_same(row.key, change.key) and not row.deleted for row in own)
        return Steps(), Duplicate(str(change.key) if holds else None, found.newest(change))
    if change.deleted:
        return _removal(change, own, settings), DELIVERED
    if change.key is None:
        return _without_key(change, own, settings)
    return _record(change, own, found, settings)


def _removal(change: RowChange, rows: Sequence[HeldRow], settings: RowTable) -> Steps:
    steps = Steps(removals=[(change, row.key) for row in rows])
    if not rows or change.erased or settings.delete == "physical":
        steps.tombstones.append((change.entity_id, change.version, change.timestamp))
    return steps


def _without_key(change: RowChange, own: Sequence[HeldRow], settings: RowTable) -> tuple[Steps, Outcome]:
    if any(not row.deleted for row in own):
        # The system knew the record and no longer does, as after an unmerge: its row goes.
        return _removal(change, own, settings), DELIVERED
    if settings.missing_key == "skip":
        # Nothing to write, but an older version that still had a key must not come after it.
        return Steps(tombstones=[(change.entity_id, change.version, change.timestamp)]), DELIVERED
    assert isinstance(settings.key, ExternalIdKey), "an entity id is never missing"
    return Steps(), Rejected(
        f"the record has no external id of system {settings.key.external_id}, by which table {settings.table} is keyed; "
        "set missing_key: skip, or key: entity_id"
    )


def _record(change: RowChange, own: Sequence[HeldRow], found: Found, settings: RowTable) -> tuple[Steps, Outcome]:
    steps = Steps()
    owner = found.rows.get(str(change.key))
    foreign = owner is not None and owner.entity_id not in (None, change.entity_id)
    if owner is not None and foreign and not owner.deleted and owner.timestamp > change.timestamp:
        # The key has passed on to another record since, as by a merge. The time on a deleted row says when its record left the
        # key, at the latest; the version of the one that wants it now says whether it is stale.
        return steps, Duplicate()
    others = [row for row in own if not _same(row.key, change.key)]
    outcome = Delivered(str(change.key))
    if change.base_version is None:
        steps.upserts.append(change)
    elif owner is not None and owner.entity_id == change.entity_id and not owner.deleted:
        if owner.version != change.base_version:
            return steps, _wrong_base(owner.version, change.base_version)
        steps.updates.append(change)
    else:
        live = [row for row in others if not row.deleted]
        if len(live) != 1:
            return steps, Rejected(
                "the event holds only what changed, and its row is not there; replay the record, or set payload: full"
            )
        if live[0].version != change.base_version:
            return steps, _wrong_base(live[0].version, change.base_version)
        steps.copies.append((change, live[0].key))
    if owner is not None and owner.entity_id is not None and foreign:
        steps.tombstones.append((owner.entity_id, owner.version, owner.timestamp))
    removed = [row for row in others if not row.deleted]
    steps.removals.extend((change, row.key) for row in removed)
    if removed and settings.delete == "physical":
        steps.tombstones.append((change.entity_id, change.version, change.timestamp))
    return steps, outcome


def _wrong_base(held: int, base: int) -> Rejected:
    return Rejected(
        f"the event holds what changed since version {base}, but the row is at version {held}; replay the record, "
        "or set payload: full"
    )


def _same(left: Any, right: Any) -> bool:
    return str(left) == str(right)


def merged(all_steps: Sequence[Steps]) -> Steps:
    """Return the steps of several changes as those of one."""
    together = Steps()
    for steps in all_steps:
        together.copies.extend(steps.copies)
        together.removals.extend(steps.removals)
        together.tombstones.extend(steps.tombstones)
        together.updates.extend(steps.updates)
        together.upserts.extend(steps.upserts)
    return together


def waves(changes: Mapping[int, RowChange]) -> list[dict[int, RowChange]]:
    """Split changes so that within a wave no two touch the same key or entity; order is kept where they do."""
    keys = [str(key) for change in changes.values() for key in change.candidates]
    if len(set(keys)) == len(keys) and len({change.entity_id for change in changes.values()}) == len(changes):
        return [dict(changes)]
    split: list[dict[int, RowChange]] = []
    last: dict[str, int] = {}
    for index, change in changes.items():
        marks = {f"e{change.entity_id}", *(f"k{key}" for key in change.candidates)}
        wave = max((last.get(mark, -1) for mark in marks), default=-1) + 1
        if wave == len(split):
            split.append({})
        split[wave][index] = change
        last.update(dict.fromkeys(marks, wave))
    return split
