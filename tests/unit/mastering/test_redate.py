"""What a false time from the future froze is dated back: values stay, and whatever has a true time counts again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldwire.capture import decision_from, fact_from
from goldwire.capture.fact import Edge, ExternalId
from goldwire.clock import redated, timestamp
from goldwire.mastering.record import open_record
from goldwire.mastering.redate import Redate, Redated
from goldwire.mastering.steward import Decided
from goldwire.mastering.workspace import StoredEntity

LATEST = "2026-11-24T00:00:00.000000Z"
FUTURE, LATER = "2030-01-01T00:00:00.000000Z", "9999-12-31T00:00:00.000000Z"
CRM = ("crm", "1")


def frozen(system: str, external_id: str, at: str, /, **said: Any) -> Any:
    kept = {name: said.pop(name) for name in ("deleted", "edges", "entity_id") if name in said}
    return fact_from(
        system=system, external_id=external_id, entity_type="Customer", attributes=said, observed_at=at, **kept
    )  # fmt: skip


def redate(hub: Any) -> Redated:
    done = Redate(hub.mastering.model).mend(sorted(hub.workspace.heads), LATEST, hub.workspace, "redate")
    hub.check()
    return done


def test_a_true_value_counts_again_and_until_then_all_stays(hub: Any) -> None:
    hub.apply(hub.fact(*CRM, 1, name="before", city="Bern"), frozen(*CRM, LATER, name="wrong"))
    hub.apply(hub.fact(*CRM, 2, name="right"))
    assert hub.values(*CRM) == {"name": "wrong", "city": "Bern"}
    assert redate(hub) == Redated(records=1, decided=0, versions=0)
    assert hub.values(*CRM) == {"name": "wrong", "city": "Bern"}
    hub.apply(hub.fact(*CRM, 2, name="right"))
    assert hub.values(*CRM) == {"name": "right", "city": "Bern"}
    assert redate(hub) == Redated()


def test_a_record_that_only_the_future_speaks_of_is_dated_to_the_epoch(hub: Any) -> None:
    hub.apply(frozen(*CRM, FUTURE, name="wrong", city="Bern"), frozen(*CRM, LATER, name="wronger"))
    assert redate(hub).records == 1
    assert open_record(hub.workspace.stored_records[ExternalId(*CRM)]).founded == timestamp(1e-6)
    hub.apply(hub.fact("erp", "1", 0, email="a@x"), hub.decision("override", 1, record=CRM, attribute="phone", value="1"))
    state = hub.state(hub.entity_of(*CRM))["attributes"]
    assert (state["city"]["lastSeen"], state["name"]["lastSeen"]) == (timestamp(1e-6), timestamp(2e-6))
    assert hub.values(*CRM)["name"] == "wronger", "in the same order as before"


def test_what_another_record_says_wins_where_only_the_false_time_beat_it(hub: Any) -> None:
    hub.apply(
        hub.fact(*CRM, 0, email="a@x"), frozen(*CRM, LATER, city="wrong"), hub.fact("erp", "9", 5, email="a@x", city="Bern")
    )
    assert hub.values(*CRM)["city"] == "wrong"
    assert redate(hub).versions == 1
    assert hub.values(*CRM)["city"] == "Bern"


def test_a_record_that_the_future_deleted_comes_back_with_its_next_fact(hub: Any) -> None:
    hub.apply(hub.fact(*CRM, 1, name="a", edges=[Edge("worksFor", ExternalId("crm", "9"), sole=True)]))
    hub.apply(frozen(*CRM, LATER, deleted=True))
    hub.apply(hub.fact(*CRM, 2, name="b"))
    assert hub.golden() == set()
    assert redate(hub).records == 1
    assert hub.golden() == set(), "it is deleted until its system speaks of it again"
    hub.apply(hub.fact(*CRM, 2, name="b"))
    assert hub.values(*CRM) == {"name": "b"}


def test_edges_and_the_hubs_word_are_dated_back_too(hub: Any) -> None:
    edge = Edge("worksFor", ExternalId("crm", "9"), sole=True)
    hub.apply(frozen(*CRM, LATER, edges=[edge], entity_id="hub:1"))
    redate(hub)
    other = Edge("worksFor", ExternalId("crm", "8"), sole=True)
    hub.apply(hub.fact(*CRM, 1, edges=[other], entity_id="hub:2"))
    assert hub.entity_of(*CRM) == "hub:2"
    assert [each["to"]["externalId"]["id"] for each in hub.state("hub:2")["edges"]] == ["8"]


@pytest.mark.parametrize("kind", ["override", "withdraw", "delete"])
def test_a_decision_from_the_future_yields_to_the_next_one(hub: Any, kind: str) -> None:
    hub.apply(hub.fact(*CRM, 1, name="said"))
    given_value = {"attribute": "name", "value": "by hand"} if kind == "override" else {}
    hub.apply(decision_from(kind, record=CRM, decided_at=LATER, **given_value))  # type: ignore[arg-type]  # three of its kinds
    assert redate(hub).decided == 1
    if kind == "override":
        hub.apply(hub.decision("release", 5, record=CRM, attribute="name"))
        assert hub.values(*CRM)["name"] == "said"
    elif kind == "withdraw":
        hub.apply(hub.decision("approve", 5, record=CRM))
        assert hub.state(hub.entity_of(*CRM))["approval"] == "approved"
    else:
        hub.apply(hub.fact(*CRM, 5, name="again"))
        assert hub.values(*CRM) == {"name": "again"}


def test_an_erased_entity_is_let_alone(hub: Any) -> None:
    hub.apply(frozen(*CRM, LATER, name="a"))
    entity_id = hub.entity_of(*CRM)
    head: StoredEntity = hub.workspace.heads[entity_id]
    hub.workspace.heads[entity_id] = head._replace(kind="erased")
    assert Redate(hub.mastering.model).mend([entity_id], LATEST, hub.workspace, "redate") == Redated()


times = st.sampled_from(["", *(f"20{year}-01-01T00:00:00.000000Z" for year in range(24, 30)), LATER])


@given(st.sets(times))
def test_new_times_keep_the_order_and_are_true(known: set[str]) -> None:
    new = redated(known, LATEST)
    after = {each: new.get(each, each) for each in known}
    assert max(after.values(), default="") <= LATEST
    assert sorted(known, key=after.__getitem__) == sorted(known)
    assert len(set(after.values())) == len(known)
    assert all(each == after[each] for each in known if each <= LATEST)


def test_an_approval_of_a_true_time_stays_where_another_decision_is_dated_back() -> None:
    decided = Decided({"city": ("2030", True, b'"Bern"')}, ("2026", "approved"), "2025")
    decided.redate({"2030": "2026.1"})
    assert decided == Decided({"city": ("2026.1", True, b'"Bern"')}, ("2026", "approved"), "2025")


def test_all_that_was_dated_back_is_counted(hub: Any) -> None:
    for system in ("crm", "erp"):
        hub.apply(frozen(system, "1", LATER, name="a"))
        hub.apply(decision_from("withdraw", record=(system, "1"), decided_at=FUTURE))
    assert redate(hub) == Redated(records=2, decided=2, versions=0)


def test_who_joins_after_a_deletion_from_the_future_was_dated_back_is_taken(hub: Any) -> None:
    hub.apply(hub.fact(*CRM, 1, name="a", entity_id="hub:1"))
    hub.apply(decision_from("delete", record=CRM, decided_at=LATER))
    redate(hub)
    hub.apply(hub.fact("erp", "9", 5, city="Bern", entity_id="hub:1"))
    assert hub.values("erp", "9") == {"city": "Bern"}


BOSS = ExternalId("crm", "9")


@pytest.mark.parametrize(
    ("wrong", "right", "edges", "entity_id"),
    [
        ({"edges": [Edge("worksFor", BOSS)]}, {"edges": [Edge("worksFor", BOSS, removed=True)]}, 0, "hub:1"),
        ({"edges": [Edge("worksFor", removed=True, sole=True)]}, {"edges": [Edge("worksFor", BOSS)]}, 1, "hub:1"),
        ({"entity_id": "hub:1"}, {"entity_id": "hub:2"}, 0, "hub:2"),
    ],
)
def test_all_that_a_record_holds_is_dated_back_also_where_its_newest_fact_is_another(
    hub: Any, wrong: Any, right: Any, edges: int, entity_id: str
) -> None:
    hub.apply(hub.fact(*CRM, 0, entity_id="hub:1"), frozen(*CRM, FUTURE, **wrong), frozen(*CRM, LATER, city="b"))
    redate(hub)
    hub.apply(hub.fact(*CRM, 1, **right))
    assert hub.entity_of(*CRM) == entity_id
    assert len(hub.state(entity_id)["edges"]) == edges
