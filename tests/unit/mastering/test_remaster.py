"""Mastering again under another model: as if it had been so from the beginning, except that links and decisions stay."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldwire.capture.fact import ExternalId
from goldwire.mastering.engine import Mastering
from goldwire.mastering.model import Attribute, EntityType, Golden, MatchRule, Model
from goldwire.mastering.remaster import Remaster

RULES = ("source_priority", "most_recent", "highest_confidence", "most_frequent", "longest")
EMAIL = MatchRule("email", ("email",))
PHONE = MatchRule("phone", ("phone",), normalise={"phone": ("digits",)})


def model_of(*match: MatchRule, survivorship: Any = ("most_recent",), **other: Any) -> Model:
    attributes = {name: Attribute() for name in ("email", "phone", "city")}
    of_type = EntityType(attributes=attributes, match=match, survivorship=survivorship, systems=("erp", "crm"), **other)
    return Model(types={"Customer": of_type})


def remaster(hub: Any, model: Model, size: int = 3) -> tuple[int, int]:
    """Do what `goldwire remaster` does, in batches of this size; return (versions, merges)."""
    hub.mastering = Mastering(model)
    master = Remaster(model)
    versions = merges = 0
    for step in ("rekey", "revise"):
        ordinal, upto = 0, hub.workspace.newest_ordinal()
        while batch := [each for each in hub.workspace.living(ordinal, size) if each.ordinal <= upto]:
            ordinal = batch[-1].ordinal
            if step == "rekey":
                master.rekey(batch, hub.workspace)
                continue
            done = master.revise(batch, hub.workspace, "again")
            versions, merges = versions + done.versions, merges + done.merges
    hub.check()
    return versions, merges


facts = st.lists(
    st.tuples(
        st.sampled_from(("crm", "erp", "web")),
        st.sampled_from("1234"),
        st.integers(0, 9),
        st.dictionaries(st.sampled_from(("city",)), st.sampled_from(("Bern", "Basel", "Oslo", None))),
        st.sampled_from((0.5, 1.0)),
    ),
    min_size=1,
    max_size=14,
)
survivorships = st.lists(st.sampled_from(RULES), min_size=1, max_size=2, unique=True).map(tuple)
MATCHES = ((), (EMAIL,), (PHONE,), (EMAIL, PHONE))


def fed(hub: Any, said: Any) -> Any:
    for system, number, minute, given_values, confidence in said:
        # Keys never change here: links outlive the keys they came from, so history would show.
        keys = {"email": f"{number in '12'}@x", "phone": f"+41 {int(number) // 2}"}
        hub.apply(hub.fact(system, number, minute, confidence=confidence, **keys, **given_values))
    return hub


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(facts, survivorships, survivorships, st.sampled_from(MATCHES), st.integers(1, 9))
def test_rules_that_came_later_count_as_if_they_had_been_there(
    new_hub: Any, said: Any, before: Any, after: Any, match: Any, size: int
) -> None:
    hub = fed(new_hub(model_of(survivorship=before)), said)
    later = model_of(*match, survivorship=after)
    remaster(hub, later, size)
    assert hub.golden() == fed(new_hub(later), said).golden()
    assert remaster(hub, later, size) == (0, 0)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(facts, survivorships, st.sampled_from(MATCHES))
def test_the_same_model_again_changes_nothing(new_hub: Any, said: Any, survivorship: Any, match: Any) -> None:
    model = model_of(*match, survivorship=survivorship)
    hub = fed(new_hub(model), said)
    assert remaster(hub, model) == (0, 0)


@settings(max_examples=100, deadline=None)
@given(facts, st.sampled_from(MATCHES))
def test_fewer_rules_split_nothing(new_hub: Any, said: Any, match: Any) -> None:
    hub = fed(new_hub(model_of(*match)), said)
    before = {ref: record.entity_id for ref, record in hub.workspace.stored_records.items()}
    assert remaster(hub, model_of()) == (0, 0)
    assert {ref: record.entity_id for ref, record in hub.workspace.stored_records.items()} == before


refs = st.sampled_from([ExternalId(system, number) for system in ("crm", "erp") for number in "123"])
decided = st.lists(st.tuples(st.sampled_from(("merge", "unmerge", "override", "withdraw", "delete")), refs, refs), max_size=8)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(facts, decided, st.sampled_from(MATCHES), st.sampled_from(MATCHES))
def test_what_a_steward_decided_is_not_undone(new_hub: Any, said: Any, steps: Any, before: Any, after: Any) -> None:
    hub = fed(new_hub(model_of(*before)), said)
    for minute, (kind, ref, other) in enumerate(steps, start=10):
        more = {"merge": {"into_record": other}, "override": {"attribute": "city", "value": "by hand"}}.get(kind, {})
        hub.apply(hub.decision(kind, minute, record=ref, **more))
    together = [set(refs_of) for refs_of, _ in hub.golden()]
    withdrawn = {ref for refs_of, state in hub.golden() if '"approval": "withdrawn"' in state for ref in refs_of}
    by_hand = {ref for refs_of, state in hub.golden() if '"provenance": "steward"' in state for ref in refs_of}
    remaster(hub, model_of(*after))
    after_that = [(set(refs_of), state) for refs_of, state in hub.golden()]
    for low, high in hub.workspace.pairs:
        assert resolved(hub, low) != resolved(hub, high), "what was held apart was united"
    assert all(any(group <= refs_of for refs_of, _ in after_that) for group in together), "what was one was split"
    for refs_of, state in after_that:
        assert ('"approval": "withdrawn"' in state) == bool(refs_of & withdrawn)
        assert ('"provenance": "steward"' in state) == bool(refs_of & by_hand)


def resolved(hub: Any, entity_id: str) -> str:
    head = hub.workspace.heads.get(entity_id)
    return entity_id if head is None or head.merged_into is None else resolved(hub, head.merged_into)


def test_a_key_that_too_many_share_links_none_of_them_however_small_the_batches(new_hub: Any) -> None:
    hub = new_hub(model_of())
    hub.apply(*[hub.fact("crm", str(number), 0, email="unknown@x") for number in range(5)])
    assert remaster(hub, model_of(MatchRule("email", ("email",), block_limit=4)), size=1) == (0, 0)
    assert remaster(hub, model_of(MatchRule("email", ("email",), block_limit=5)), size=1) == (8, 4)


def test_a_fact_after_it_finds_records_by_the_new_rule(new_hub: Any) -> None:
    hub = new_hub(model_of(EMAIL))
    hub.apply(hub.fact("crm", "1", 0, phone="079 1"))
    remaster(hub, model_of(PHONE))
    hub.apply(hub.fact("erp", "1", 1, phone="(079) 1"))
    assert hub.entity_of("crm", "1") == hub.entity_of("erp", "1")


def test_golden_status_follows_the_model_and_an_attribute_that_left_it_goes(new_hub: Any) -> None:
    hub = new_hub(model_of())
    hub.apply(hub.fact("crm", "1", 0, city="Bern", phone="1"))
    assert remaster(hub, model_of(golden=Golden(required=("email",)))) == (1, 0)
    assert hub.workspace.log[-1].changed == "@status"
    assert remaster(hub, Model(types={"Customer": EntityType(attributes={"city": Attribute()})})) == (1, 0)
    assert hub.workspace.log[-1].changed == "@status,phone"
    assert hub.workspace.log[-1].correlation_id == "again"


def test_entities_of_a_type_that_left_the_model_stay_as_they_are(new_hub: Any) -> None:
    hub = new_hub(model_of())
    hub.apply(hub.fact("crm", "1", 0, city="Bern"))
    assert remaster(hub, Model(types={"Company": EntityType(attributes={"name": Attribute()})})) == (0, 0)
    assert hub.values("crm", "1") == {"city": "Bern"}


def test_what_is_held_apart_stays_apart_when_both_are_merged_at_once(new_hub: Any) -> None:
    hub = new_hub(model_of(EMAIL, PHONE))
    hub.apply(hub.fact("crm", "1", 1, email="a@x"), hub.fact("crm", "2", 2, email="a@x"))
    hub.apply(hub.decision("unmerge", 3, record=("crm", "2")))
    hub.apply(hub.fact("erp", "1", 0, phone="1"), hub.fact("erp", "2", 0, phone="2"))
    hub.apply(hub.fact("crm", "1", 5, phone="1"), hub.fact("crm", "2", 5, phone="2"))
    assert hub.entity_of("crm", "1") == hub.entity_of("erp", "1")
    assert hub.entity_of("crm", "2") == hub.entity_of("erp", "2")
    hub.apply(hub.fact("erp", "1", 6, email="same@x"), hub.fact("erp", "2", 6, email="same@x"))
    assert hub.entity_of("crm", "1") != hub.entity_of("crm", "2")
