"""What a batch did to each entity it touched: one new version where a reader can see a difference, else none."""

from __future__ import annotations

from goldwire.mastering.arrival import OWN_PREFIX
from goldwire.mastering.assembler import Assembler
from goldwire.mastering.golden import GoldenView, changes, open_state, tombstone
from goldwire.mastering.steward import NOTHING
from goldwire.mastering.unit_of_work import Entity, UnitOfWork
from goldwire.mastering.workspace import Change, ChangeKind

_NEVER = GoldenView("approved", {}, b"1", b"[]", b"[]", "provisional").encode()
"""State of a tombstone that never was a record: it was merged or deleted in the batch that brought it."""


def commit(unit: UnitOfWork, assemblers: dict[str, Assembler], correlation_id: str) -> set[str]:
    """Commit the net effect of a batch.

    Returns:
        The entities that have a new version.
    """
    unit.load_members(unit.touched.values())
    committed: list[Change] = []
    for entity in unit.touched.values():
        change = (
            _live_or_deleted(entity, assemblers, correlation_id)
            if entity.merged_into is None
            else _merged(entity, unit, correlation_id)
        )
        if change is not None:
            committed.append(change)
        elif entity.stored is not None and entity.steward != (entity.stored.steward or NOTHING):
            unit.workspace.save_steward(entity.entity_id, entity.steward)
    unit.workspace.commit_changes(committed)
    return {change.entity_id for change in committed}


def _live_or_deleted(entity: Entity, assemblers: dict[str, Assembler], correlation_id: str) -> Change | None:
    records = [record for record in entity.records().values() if record.alive]
    if not records:
        return _deleted(entity, correlation_id)
    if len(records) > 1:
        records.sort(key=lambda record: record.ref)
    stored = entity.stored
    assembler = assemblers.get(entity.entity_type)
    if assembler is None:
        return None  # its type left the model: its golden record stays as it is
    state = assembler.state(entity, records)
    named = changes(None if stored is None else open_state(stored.state), state)
    if not named and stored is not None and stored.kind == "live":
        return None
    return Change(
        entity.entity_id,
        entity.entity_type,
        entity.version + 1,
        "live",
        state.encode(),
        named,
        correlation_id,
        entity.steward,
    )


def _deleted(entity: Entity, correlation_id: str) -> Change | None:
    stored = entity.stored
    if stored is None and not entity.absorbed:
        return None
    if stored is not None and stored.kind in {"deleted", "erased"}:
        return None
    return _tombstone(entity, "deleted", None, correlation_id)


def _merged(entity: Entity, unit: UnitOfWork, correlation_id: str) -> Change | None:
    survivor = unit.resolve(entity.entity_id)
    assert survivor is not None
    stored = entity.stored
    if stored is None and entity.entity_id.startswith(OWN_PREFIX):
        return None  # it came and went within this batch
    if stored is not None and stored.merged_into is not None and unit.resolve(stored.merged_into) is survivor:
        return None
    # The last survivor, not the next one: what lies between may have come and gone within this batch.
    return _tombstone(entity, "merged", survivor.entity_id, correlation_id)


def _tombstone(entity: Entity, kind: ChangeKind, merged_into: str | None, correlation_id: str) -> Change:
    """The version that says that an entity is gone."""
    stored = entity.stored
    state = tombstone(stored.state) if stored is not None else _NEVER
    return Change(
        entity.entity_id,
        entity.entity_type,
        entity.version + 1,
        kind,
        state,
        changes(open_state(stored.state), open_state(state)) if stored is not None else "",
        correlation_id,
        entity.steward,
        merged_into,
    )
