"""A hub in memory: facts and decisions go in, golden records are looked at."""

from __future__ import annotations

import json
from typing import Any

import pytest

from goldwire.capture import decision_from, fact_from
from goldwire.capture.fact import Decision, ExternalId, Fact
from goldwire.mastering.engine import IngestResult, Mastering
from goldwire.mastering.model import Attribute, EntityType, MatchRule, Model, Relation
from goldwire_lab.workspace import MemoryWorkspace


def moment(minute: int) -> str:
    return f"2026-11-23T10:{minute:02d}:00.000000Z"


class Hub:
    def __init__(self, model: Model) -> None:
        self.mastering = Mastering(model)
        self.workspace = MemoryWorkspace()

    def apply(self, *entries: Fact | Decision) -> IngestResult:
        result = self.mastering.apply(entries, self.workspace, "test")
        self.check()
        return result

    def fact(self, system: str, external_id: str, minute: int, /, **given: Any) -> Fact:
        kept = {name: given.pop(name) for name in ("edges", "confidence", "entity_id", "deleted") if name in given}
        return fact_from(
            system=system,
            external_id=external_id,
            entity_type=given.pop("entity_type", "Customer"),
            attributes=given,
            observed_at=moment(minute),
            origin=f"{system}.csv:{external_id}",
            **kept,
        )

    def decision(self, kind: Any, minute: int, **given: Any) -> Decision:
        return decision_from(kind, decided_at=moment(minute), origin="decisions:1", **given)

    def entity_of(self, system: str, external_id: str) -> str:
        return self.workspace.stored_records[ExternalId(system, external_id)].entity_id

    def state(self, entity_id: str) -> dict[str, Any]:
        return json.loads(self.workspace.heads[entity_id].state)

    def values(self, system: str, external_id: str) -> dict[str, Any]:
        attributes = self.state(self.entity_of(system, external_id))["attributes"]
        return {name: attribute["value"] for name, attribute in attributes.items()}

    def kinds(self) -> dict[str, tuple[str, int]]:
        return {entity_id: (head.kind, head.version) for entity_id, head in self.workspace.heads.items()}

    def golden(self) -> set[tuple[tuple[Any, ...], str]]:
        """Who belongs together, and with which values: the outcome apart from ids and times of sight."""
        found = set()
        for head in self.workspace.heads.values():
            state = json.loads(head.state)
            if head.kind == "live":
                for attribute in state["attributes"].values():
                    del attribute["lastSeen"]
                refs = tuple((each["system"], each["id"]) for each in state["externalIds"])
                found.add((refs, json.dumps(state, sort_keys=True)))
        return found

    def check(self) -> None:
        """What must hold after every batch."""
        workspace = self.workspace
        versions: dict[str, int] = {}
        for change in workspace.log:
            assert change.version == versions.get(change.entity_id, 0) + 1, "a version is used once, without gaps"
            versions[change.entity_id] = change.version
        shown: list[tuple[str, str]] = []
        for head in workspace.heads.values():
            state = json.loads(head.state)
            if head.kind == "live":
                shown += [(each["system"], each["id"]) for each in state["externalIds"]]
                assert state["externalIds"], "a live entity has a record"
            else:
                assert head.merged_into is None or head.merged_into in workspace.heads, "a merged id leads somewhere"
                assert not state["attributes"]
                assert not state["edges"]
        assert len(shown) == len(set(shown)), "a record belongs to one live entity"
        for ref, record in workspace.stored_records.items():
            head = workspace.heads.get(record.entity_id)
            assert head is None or head.kind != "merged", f"{ref} belongs to an entity that is merged away"


@pytest.fixture(scope="session")
def model() -> Model:
    return Model(
        types={
            "Customer": EntityType(
                attributes={name: Attribute() for name in ("name", "email", "phone", "city")},
                relations={"worksFor": Relation()},
                match=(MatchRule("email", ("email",)), MatchRule("name and phone", ("name", "phone"))),
            ),
            "Company": EntityType(attributes={"name": Attribute()}),
        }
    )


@pytest.fixture
def hub(model: Model) -> Hub:
    return Hub(model)


@pytest.fixture(scope="session")
def new_hub(model: Model) -> Any:
    return lambda of_model=model: Hub(of_model)
