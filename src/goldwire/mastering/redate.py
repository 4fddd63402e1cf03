"""Dates back what a false time from the future froze, so that what has a true time counts again."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from goldwire.clock import redated
from goldwire.mastering.assembler import Assembler
from goldwire.mastering.commit import commit
from goldwire.mastering.model import Model
from goldwire.mastering.model_check import check_model
from goldwire.mastering.unit_of_work import Entity, UnitOfWork
from goldwire.mastering.workspace import Workspace


class Redated(Struct):
    """What a batch was dated back."""

    records: int = 0
    """Records that held a time from the future."""
    decided: int = 0
    """Entities about which a decision was made at one."""
    versions: int = 0
    """New versions committed: another value wins now."""


class Redate:
    """Dates records and decisions back. Holds no state between batches.

    Args:
        model: entity types and their survivorship.

    Raises:
        ConfigError: the model contradicts itself; the text names the location.
    """

    def __init__(self, model: Model) -> None:
        check_model(model)
        self._assemblers = {name: Assembler(entity_type) for name, entity_type in model.types.items()}

    def mend(self, entity_ids: Collection[str], latest: str, workspace: Workspace, correlation_id: str) -> Redated:
        """Date back what of these entities is dated after a time.

        Values stay: what was dated back holds until something with a true time is said. Another value wins at once where one of
        another record was beaten by the false time alone.

        Args:
            entity_ids: a batch; one that was merged or erased, or whose type left the model, is let alone.
            latest: recorded time; what is later cannot be true.
            workspace: the transaction.
            correlation_id: travels with each version.
        """
        unit = UnitOfWork(workspace)
        unit.load_entities(entity_ids)
        opened = [entity for entity_id in entity_ids if (entity := unit.entities.get(entity_id)) and self._concerns(entity)]
        unit.load_members(opened)
        done = Redated()
        for entity in opened:
            records = sum(record.redate(latest) for record in entity.records().values())
            new = redated({time for decided in entity.homes.values() for time in decided.times()}, latest)
            for decided in entity.homes.values():
                decided.redate(new)
            done.records += records
            done.decided += bool(new)
            if records or new:
                unit.touch(entity)
        unit.save()
        done.versions = len(commit(unit, self._assemblers, correlation_id))
        return done

    def _concerns(self, entity: Entity) -> bool:
        return entity.kind in {"live", "deleted"} and entity.entity_type in self._assemblers
