"""Runs golden records through the present model again, so that a change of match rules or survivorship reaches all of them.

Two passes over the living entities, a bounded batch in each transaction. The first gives every record the match keys of the
present rules; only when all have them, the second links those that share one and commits what changes. So the outcome does
not depend on which record comes first, and a pass that was cut off is done again (docs/adr/0015).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from goldwire.mastering.arrival import Arrival
from goldwire.mastering.assembler import Assembler
from goldwire.mastering.commit import commit
from goldwire.mastering.identity import Identity
from goldwire.mastering.keys import makers_of
from goldwire.mastering.model import Model
from goldwire.mastering.model_check import check_model
from goldwire.mastering.record import open_record
from goldwire.mastering.unit_of_work import Entity, UnitOfWork
from goldwire.mastering.workspace import Living, Workspace


class Revised(Struct):
    """What the second pass did to a batch."""

    entities: int = 0
    """Entities looked at."""
    versions: int = 0
    """New versions committed, tombstones included."""
    merges: int = 0
    """Entities that were merged into another one."""


class Remaster:
    """Masters again under one model what is in the store. Holds no state between batches.

    Links only unite, as in ingest: a rule that became stricter splits nothing. Stewards' decisions stay in force.

    Args:
        model: entity types, their match rules and survivorship.

    Raises:
        ConfigError: the model contradicts itself; the text names the location.
    """

    def __init__(self, model: Model) -> None:
        check_model(model)
        self._makers = makers_of(model)
        self._assemblers = {name: Assembler(entity_type) for name, entity_type in model.types.items()}

    def rekey(self, entities: Sequence[Living], workspace: Workspace) -> None:
        """Give the records of these entities the match keys of the present rules; nothing is linked and no version committed.

        Args:
            entities: a batch; one whose type left the model is let alone.
            workspace: the transaction.
        """
        replaced = []
        for stored in workspace.records_of(self._known(entities)).values():
            for record in map(open_record, stored):
                keys = self._makers[record.entity_type].keys(record.claims, record.ref.system)
                replaced.append((record.ref, [key for key in keys if key is not None]))
        workspace.replace_keys(replaced)

    def revise(self, entities: Sequence[Living], workspace: Workspace, correlation_id: str) -> Revised:
        """Link the records of these entities to all that share a match key, and commit what changes of golden records.

        Args:
            entities: a batch, after `rekey` has seen all there are; one whose type left the model is let alone.
            workspace: the transaction.
            correlation_id: travels with each version.
        """
        unit = UnitOfWork(workspace)
        known = self._known(entities)
        unit.load_entities(known)
        opened = [unit.entities[entity_id] for entity_id in known]
        unit.load_members(opened)
        self._link(unit, opened)
        for entity in opened:
            unit.touch(entity)
        unit.save()
        changed = commit(unit, self._assemblers, correlation_id)
        return Revised(len(opened), len(changed), unit.merges)

    def _link(self, unit: UnitOfWork, entities: Sequence[Entity]) -> None:
        """Unite these entities with all that share a key with them.

        A key names one entity that has it, the lowest. Who survives a merge may not be the lowest among those that are left, so
        survivors are looked at again until nothing is merged any more.
        """
        identity = Identity(unit, self._makers, counted=True)
        while entities:
            merged = unit.merges
            identity.resolve(self._arrivals(entities))
            if unit.merges == merged:
                return
            unit.save()
            entities = [entity for entity in unit.entities.values() if entity.absorbed and entity.merged_into is None]

    def _arrivals(self, entities: Sequence[Entity]) -> list[Arrival]:
        arrivals = [
            Arrival(record, self._makers[record.entity_type].keys(record.claims, record.ref.system), "")
            for entity in entities
            for record in entity.records().values()
        ]
        return sorted(arrivals, key=lambda arrival: arrival.record.ref)

    def _known(self, entities: Sequence[Living]) -> list[str]:
        return [entity.entity_id for entity in entities if entity.entity_type in self._makers]
