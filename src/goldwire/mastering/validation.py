"""Decides which facts are taken: those that the model knows and that do not contradict a record's identity."""

from __future__ import annotations

from collections.abc import Iterable

from goldwire.capture.fact import Decision, ExternalId, Fact, RejectedRow
from goldwire.mastering.model import EntityType, Model
from goldwire.mastering.unit_of_work import UnitOfWork

_MOMENT_CHARACTERS = len("2026-11-23T10:00:00.000000Z")

NO_END = "9999-12-31T23:59:59.999999Z"
"""The last time that there is: every time is let in."""


class Admission:
    """Checks facts one by one and notes those that are not taken.

    Args:
        model: what there is.
        unit: what the batch has open.
        rejected: where refused facts are noted.
        latest: recorded time; what is later is no true time.
    """

    def __init__(self, model: Model, unit: UnitOfWork, rejected: list[RejectedRow], latest: str = NO_END) -> None:
        self._model = model
        self._unit = unit
        self._rejected = rejected
        self._latest = latest
        self._hub_types: dict[str, str] = {}
        self._new_types: dict[ExternalId, str] = {}

    def known(self, fact: Fact) -> bool:
        """Return whether the model knows all that a fact names."""
        entity_type = self._model.types.get(fact.entity_type)
        if entity_type is None:
            return self._refuse(
                fact,
                "entityType",
                f"there is no entity type `{fact.entity_type}` in the model; add it under `types` or mend the source",
            )
        if not fact.attributes.keys() <= entity_type.attributes.keys():
            name = min(fact.attributes.keys() - entity_type.attributes.keys())
            return self._refuse(
                fact,
                name,
                f"{fact.entity_type} has no attribute `{name}`; add it under types.{fact.entity_type}.attributes "
                "or leave it out of the source's mapping",
            )
        if fact.edges and not self._relations_known(fact, entity_type):
            return False
        if not 0 <= fact.confidence <= 1:
            return self._refuse(fact, "confidence", "must be a number from 0 to 1")
        if len(fact.observed_at) != _MOMENT_CHARACTERS:
            return self._refuse(fact, "observedAt", "is no recorded time; make facts with goldwire.capture.fact_from")
        return fact.observed_at <= self._latest or self.in_time(fact, fact.observed_at, "observedAt")

    def in_time(self, entry: Fact | Decision, at: str, field: str) -> bool:
        """Return whether a time is not from the future: nothing that is true could ever count against it.

        Args:
            entry: whose time it is.
            at: recorded time.
            field: what gives it, for the reject.
        """
        if at <= self._latest:
            return True
        return self._refuse(
            entry,
            field,
            f"is from the future: later than {self._latest}, which is this machine's clock and "
            "ingest.future_tolerance_seconds; mend the time, or the clock",
        )

    def load_hub_ids(self, facts: Iterable[Fact]) -> None:
        """Open the entities that an upstream hub names."""
        self._unit.load_entities({fact.entity_id for fact in facts if fact.entity_id is not None})

    def fits(self, fact: Fact, ref: ExternalId) -> bool:
        """Return whether a fact is of the type that its record and the hub's entity have."""
        record = self._unit.records.get(ref)
        entity_type = record.entity_type if record else self._new_types.setdefault(ref, fact.entity_type)
        if entity_type != fact.entity_type:
            return self._refuse(
                fact,
                "entityType",
                f"record {fact.external_id} of {fact.system} is known as a {entity_type}, not a {fact.entity_type}; "
                "mend the source's `type`, or give the record another id",
            )
        if fact.entity_id is not None:
            entity = self._unit.resolve(fact.entity_id)
            known = entity.entity_type if entity else self._hub_types.setdefault(fact.entity_id, fact.entity_type)
            if known != fact.entity_type:
                return self._refuse(
                    fact,
                    "entityId",
                    f"entity {fact.entity_id} is a {known}, not a {fact.entity_type}; mend the source's `type` or the id",
                )
        return True

    def _relations_known(self, fact: Fact, entity_type: EntityType) -> bool:
        for edge in fact.edges:
            if edge.rel not in entity_type.relations:
                return self._refuse(
                    fact,
                    "edges",
                    f"{fact.entity_type} has no relation `{edge.rel}`; add it under types.{fact.entity_type}.relations "
                    "or leave it out of the source's mapping",
                )
        return True

    def _refuse(self, fact: Fact | Decision, field: str, reason: str) -> bool:
        self._rejected.append(RejectedRow(fact.origin, field, reason))
        return False
