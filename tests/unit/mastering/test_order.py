"""Properties: neither the order of facts, nor their repetition, nor how they are batched shows in the golden records."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldwire.capture.fact import Edge, ExternalId
from goldwire.mastering.model import Attribute, EntityType, Golden, MatchRule, Model, Relation

RULES = ("source_priority", "most_recent", "highest_confidence", "most_frequent", "longest")
SYSTEMS = ("crm", "erp", "web")
IDS = ("1", "2", "3")


def model_of(survivorship: Any) -> Any:
    """Names of attributes are the rules by which they survive."""
    return Model(
        types={
            "Customer": EntityType(
                attributes={"key": Attribute()} | {rule: Attribute(survivorship=(rule, *survivorship)) for rule in RULES},
                relations={"knows": Relation()},
                systems=("erp", "crm"),
                match=(MatchRule("key", ("key",)),),
                golden=Golden(required=("longest",), minimum_systems=2),
            )
        }
    )


values = st.sampled_from(["a", "b", "aa", "é", '"', 1, 2.5, True, None, [1], {"b": 1, "a": 2}])
edges = st.lists(
    st.builds(
        Edge, st.just("knows"), st.sampled_from([ExternalId("crm", "x"), ExternalId("crm", "y")]), st.none(), st.booleans(),
        st.booleans(),
    ),
    max_size=2,
)  # fmt: skip


@st.composite
def facts(draw: Any, deletions: Any = True) -> Any:
    """A fact as keyword arguments; a record's key never changes, since links outlive the keys they came from."""
    system, external_id = draw(st.sampled_from(SYSTEMS)), draw(st.sampled_from(IDS))
    # Without deletions the key is said by each fact; with them no two records share one: a link outlives its record.
    key = f"{system}{external_id}" if deletions else {"1": "k1", "2": "k1", "3": "k2"}[external_id]
    return {
        "ref": (system, external_id),
        "minute": draw(st.integers(0, 5)),
        "deleted": deletions and draw(st.integers(0, 4)) == 0,
        "confidence": draw(st.sampled_from([0.5, 1.0])),
        "edges": draw(edges),
        "given": {"key": key} | draw(st.dictionaries(st.sampled_from(RULES), values, max_size=4)),
    }


def fed(new_hub: Any, survivorship: Any, given_facts: Any, sizes: Any) -> Any:
    hub = new_hub(model_of(survivorship))
    made = [
        hub.fact(
            *each["ref"], each["minute"], deleted=each["deleted"], confidence=each["confidence"], edges=each["edges"],
            **each["given"],
        )
        for each in given_facts
    ]  # fmt: skip
    while made:
        size = sizes.pop(0) if sizes else len(made)
        hub.apply(*made[:size])
        made = made[size:]
    return hub.golden()


def shuffled(data: Any, listed: Any) -> Any:
    order = data.draw(st.permutations(range(len(listed))))
    again = data.draw(st.lists(st.sampled_from(range(len(listed))), max_size=4))
    return [listed[index] for index in (*order, *again)]


sizes = st.lists(st.integers(1, 5), max_size=8)
survivorships = st.lists(st.sampled_from(RULES), max_size=2, unique=True)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data(), st.lists(facts(deletions=False), min_size=1, max_size=14), survivorships, sizes)
def test_order_repetition_and_batching_of_facts_do_not_matter(
    new_hub: Any, data: Any, listed: Any, survivorship: Any, cut: Any
) -> None:
    assert fed(new_hub, survivorship, listed, []) == fed(new_hub, survivorship, shuffled(data, listed), list(cut))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data(), st.lists(facts(), min_size=1, max_size=14), sizes)
def test_nor_do_they_where_systems_delete_records(new_hub: Any, data: Any, listed: Any, cut: Any) -> None:
    assert fed(new_hub, (), listed, []) == fed(new_hub, (), shuffled(data, listed), list(cut))
