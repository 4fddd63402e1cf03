"""What stewards decide about entities: approve, override, delete, merge, unmerge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b

import msgspec
from msgspec.structs import replace

from goldwire.capture.fact import Decision, ExternalId
from goldwire.clock import just_after
from goldwire.mastering.identity import founding_id
from goldwire.mastering.model import Model
from goldwire.mastering.record import NULL, Record
from goldwire.mastering.unit_of_work import Entity, UnitOfWork, pair


class RefusedDecisionError(ValueError):
    """A decision cannot be carried out; the text says why and how to mend it."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.reason = reason


def digest(decision: Decision) -> bytes:
    """Return 16 bytes that distinguish a decision from every other; its origin does not count."""
    return blake2b(msgspec.json.encode(replace(decision, origin="")), digest_size=16).digest()


class Decisions:
    """Carries out decisions one after the other.

    Args:
        unit: what the batch has open.
        model: which attributes there are.
    """

    def __init__(self, unit: UnitOfWork, model: Model) -> None:
        self._unit = unit
        self._model = model
        self._carry_out: dict[str, Callable[[Decision, Entity], None]] = {
            "approve": self._approval,
            "withdraw": self._approval,
            "override": self._override,
            "release": self._override,
            "merge": self._merge,
            "unmerge": self._unmerge,
            "delete": self._delete,
        }

    def load(self, decisions: Sequence[Decision]) -> None:
        """Load all that these decisions name."""
        unit = self._unit
        refs = [ref for decision in decisions for ref in (decision.record, decision.into_record) if ref is not None]
        unit.load_records(refs)
        named = [unit.records[ref].entity_id for ref in refs if ref in unit.records]
        for decision in decisions:
            named += [each for each in (decision.entity_id, decision.into_entity_id) if each is not None]
        unit.load_entities(named)
        found = [unit.resolve(entity_id) for entity_id in named]
        unit.load_members(entity for entity in found if entity is not None)

    def decide(self, decision: Decision) -> None:
        """Carry out one decision.

        Raises:
            RefusedDecisionError: it cannot be carried out; nothing was changed.
        """
        entity = self._find(decision.entity_id, decision.record, "entityId" if decision.entity_id else "record")
        self._carry_out[decision.kind](decision, entity)

    def _find(self, entity_id: str | None, ref: ExternalId | None, field: str) -> Entity:
        record = self._unit.records.get(ref) if ref is not None else None
        named = entity_id if entity_id is not None else record.entity_id if record is not None else None
        entity = self._unit.resolve(named) if named is not None else None
        if entity is not None:
            self._unit.load_members([entity])
        if entity is None or (entity.stored is None and not entity.records()):
            what = f"entity {entity_id}" if entity_id is not None else f"record {ref.id} of {ref.system}" if ref else "entity"
            raise RefusedDecisionError(field, f"there is no {what}; check the id, or ingest its facts first")
        if entity.kind == "erased":
            raise RefusedDecisionError(field, f"entity {entity.entity_id} was erased; nothing can be decided about it")
        return entity

    def _approval(self, decision: Decision, entity: Entity) -> None:
        at = _moment(decision, entity)
        for decided in entity.decided():
            decided.decide_approval(at, "approved" if decision.kind == "approve" else "withdrawn")
        self._unit.touch(entity)

    def _override(self, decision: Decision, entity: Entity) -> None:
        name = decision.attribute
        entity_type = self._model.types.get(entity.entity_type)
        if name is None or entity_type is None or name not in entity_type.attributes:
            raise RefusedDecisionError(
                "attribute", f"{entity.entity_type} has no attribute `{name}`; check the name, or add it to the model"
            )
        holds = decision.kind == "override"
        value = decision.value if decision.value is not None else NULL
        at = _moment(decision, entity)
        for decided in entity.decided():
            decided.override(name, (at, holds, value))
        self._unit.touch(entity)

    def _delete(self, decision: Decision, entity: Entity) -> None:
        at = _moment(decision, entity)
        for decided in entity.decided():
            decided.deleted_at = max(decided.deleted_at, at)
        for record in entity.records().values():
            record.delete_until(at)
        self._unit.touch(entity)

    def _merge(self, decision: Decision, loser: Entity) -> None:
        into = decision.into_entity_id
        survivor = self._find(into, decision.into_record, "intoEntityId" if into else "intoRecord")
        if survivor is loser:
            return
        if survivor.entity_type != loser.entity_type:
            raise RefusedDecisionError(
                "intoEntityId", f"a {loser.entity_type} cannot be merged into a {survivor.entity_type}; name another one"
            )
        workspace = self._unit.workspace
        workspace.drop_apart([pair(survivor.entity_id, loser.entity_id)])
        self._unit.merge(survivor, loser, workspace.apart([loser.entity_id]))

    def _unmerge(self, decision: Decision, entity: Entity) -> None:
        members = entity.records()
        if decision.record is not None:
            record = self._unit.records[decision.record]
            home = record.home if record.home != entity.entity_id else None
            split = [record]
        else:
            home = decision.entity_id
            split = [record for record in members.values() if record.home == home]
            if home == entity.entity_id or not split:
                raise RefusedDecisionError(
                    "entityId", f"entity {home} is not merged into another one now; there is nothing to split off"
                )
        if len(split) == len(members):
            raise RefusedDecisionError(
                "record" if decision.record else "entityId",
                f"entity {entity.entity_id} has no other record; there is nothing to split off",
            )
        self._split(entity, split, self._home(home, entity, split[0]))

    def _split(self, entity: Entity, split: Sequence[Record], into: Entity) -> None:
        self._unit.load_members([into])
        into.merged_into = None
        if into.entity_id in entity.homes:
            into.homes[into.entity_id] = entity.homes.pop(into.entity_id)
        for record in split:
            self._unit.move(record, into)
            record.home = into.entity_id
        self._unit.workspace.save_apart([pair(entity.entity_id, into.entity_id)])
        self._unit.unmerges += 1

    def _home(self, home: str | None, entity: Entity, record: Record) -> Entity:
        """Return the entity for a record that is split off: its home where that is free, else a new one."""
        if home is not None:
            self._unit.load_entities([home])
            known = self._unit.entities.get(home)
            if known is None:
                return self._unit.get_or_create(home, entity.entity_type)
            if known.kind != "erased" and self._unit.resolve(home) in {known, entity}:
                return known
        attempt, key = 0, self._unit.workspace.entity_key()
        while True:
            entity_id = founding_id(key, record.ref, attempt)
            self._unit.load_entities([entity_id])
            if entity_id not in self._unit.entities:
                return self._unit.get_or_create(entity_id, entity.entity_type)
            attempt += 1


def _moment(decision: Decision, entity: Entity) -> str:
    """Return when a decision counts: one without a time of its own counts after all facts and decisions before."""
    at = decision.decided_at
    if not decision.dated_here:
        return at
    newest = max(
        [
            *(decided.newest() for decided in entity.homes.values()),
            *(max(record.seen_at, record.deleted_at) for record in entity.records().values()),
        ],
        default="",
    )
    return just_after(newest) if at <= newest else at
