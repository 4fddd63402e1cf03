"""Facts that came without a time: the later arrival counts, whatever the clock showed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldwire.capture import decision_from, fact_from
from goldwire.clock import seconds
from goldwire.mastering.model import Attribute, EntityType, Model

MODEL = Model(types={"Customer": EntityType(attributes={name: Attribute() for name in ("name", "city")})})

# Each arrival: what the clock shows then, whether the source states that very time itself, and what it says.
arrivals = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.booleans(),
        st.one_of(st.just("deleted"), st.dictionaries(st.sampled_from(("name", "city")), st.sampled_from("abc"), min_size=1)),
        st.sampled_from((0.5, 1.0)),
    ),
    min_size=1,
    max_size=10,
)


def fact(clock: int, said: Any, confidence: float, *, stated: bool) -> Any:
    deleted = said == "deleted"
    now = 1_800_000_000.0 + clock
    return fact_from(
        system="crm", external_id="1", entity_type="Customer", attributes=None if deleted else said, deleted=deleted,
        observed_at=None if not stated else f"2027-01-15T08:00:0{clock}Z", now=now, confidence=confidence,
    )  # fmt: skip


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(arrivals, st.booleans())
def test_an_undated_fact_counts_against_all_that_came_before(new_hub: Any, came: Any, one_batch: bool) -> None:
    hub = new_hub(MODEL)
    *before, (clock, _, said, confidence) = came
    facts = [fact(at, what, share, stated=stated) for at, stated, what, share in before]
    for batch in [facts] if one_batch else [[each] for each in facts]:
        hub.apply(*batch)
    hub.apply(fact(clock, said, confidence, stated=False))
    live = hub.golden()
    if said == "deleted":
        assert live == set()
    else:
        assert said.items() <= hub.values("crm", "1").items()


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(arrivals, st.booleans())
def test_undated_facts_alone_are_a_history_in_order_of_arrival(new_hub: Any, came: Any, one_batch: bool) -> None:
    hub = new_hub(MODEL)
    facts = [fact(clock, said, confidence, stated=False) for clock, _, said, confidence in came]
    for batch in [facts] if one_batch else [[each] for each in facts]:
        hub.apply(*batch)
    expected: dict[str, str] = {}
    for _, _, said, _ in came:
        expected = {} if said == "deleted" else {**expected, **said}
    assert (hub.values("crm", "1") if hub.golden() else {}) == expected


def test_the_same_undated_row_again_commits_nothing(new_hub: Any) -> None:
    hub = new_hub(MODEL)
    hub.apply(fact(5, {"name": "a"}, 1.0, stated=False))
    assert hub.apply(fact(0, {"name": "a"}, 1.0, stated=False)).versions == 0


def test_a_time_that_a_source_states_is_not_touched(new_hub: Any) -> None:
    hub = new_hub(MODEL)
    hub.apply(fact(5, {"name": "new"}, 1.0, stated=True))
    hub.apply(fact(4, {"name": "old"}, 1.0, stated=True))
    assert hub.values("crm", "1") == {"name": "new"}


decisions = st.lists(
    st.tuples(st.integers(0, 5), st.booleans(), st.sampled_from(("approve", "withdraw", "override", "release"))),
    min_size=1,
    max_size=8,
)


def decision(clock: int, kind: Any, *, stated: bool, number: int = 0) -> Any:
    named = kind in ("override", "release")
    more = {"attribute": "name"} if named else {}
    value = {"value": f"by hand {number}"} if kind == "override" else {}
    return decision_from(
        kind, record=("crm", "1"), **more, **value, reason=str(number), now=1_800_000_000.0 + clock,
        decided_at=f"2027-01-15T08:00:0{clock}Z" if stated else None,
    )  # fmt: skip


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(decisions, st.booleans())
def test_an_undated_decision_counts_against_all_that_were_made_before(new_hub: Any, made: Any, one_batch: bool) -> None:
    hub = new_hub(MODEL)
    hub.apply(fact(0, {"name": "said"}, 1.0, stated=True))
    *before, (clock, _, kind) = made
    listed = [decision(at, what, stated=stated, number=index) for index, (at, stated, what) in enumerate(before)]
    for batch in [listed] if one_batch else [[each] for each in listed]:
        hub.apply(*batch)
    hub.apply(decision(clock, kind, stated=False, number=len(made)))
    state = hub.state(hub.entity_of("crm", "1"))
    if kind in ("approve", "withdraw"):
        assert state["approval"] == {"approve": "approved", "withdraw": "withdrawn"}[kind]
    else:
        shown = {"override": f"by hand {len(made)}", "release": "said"}[kind]
        assert state["attributes"]["name"]["value"] == shown


def test_an_undated_deletion_deletes_what_a_clock_that_was_ahead_saw(new_hub: Any) -> None:
    hub = new_hub(MODEL)
    hub.apply(fact(5, {"name": "a"}, 1.0, stated=False))
    hub.apply(decision(0, "delete", stated=False))
    assert hub.golden() == set()
    hub.apply(fact(1, {"name": "b"}, 1.0, stated=False))
    assert hub.values("crm", "1") == {"name": "b"}, "what its system says later counts again"


def test_of_two_undated_decisions_the_later_arrival_holds_though_the_clock_stood_still_or_went_back(new_hub: Any) -> None:
    for clocks in ((0, 0), (5, 0)):
        hub = new_hub(MODEL)
        hub.apply(fact(0, {"name": "a"}, 1.0, stated=True))
        for number, (clock, kind) in enumerate(zip(clocks, ("withdraw", "approve"), strict=True)):
            hub.apply(decision(clock, kind, stated=clock == 5, number=number))
        assert hub.state(hub.entity_of("crm", "1"))["approval"] == "approved"


def test_an_undated_deletion_counts_after_a_deletion_that_a_clock_ahead_saw(new_hub: Any) -> None:
    hub = new_hub(MODEL)
    hub.apply(hub.fact("crm", "1", 1, name="a", entity_id="hub:1"))
    hub.apply(hub.fact("crm", "1", 20, deleted=True))
    hub.apply(decision_from("delete", record=("crm", "1"), now=seconds("2026-11-23T10:05:00Z")))
    hub.apply(hub.fact("erp", "9", 10, name="b", entity_id="hub:1"))
    assert hub.golden() == set(), "who joins brings nothing from before it"


def test_of_two_undated_rows_the_later_arrival_wins_though_the_clock_stood_still_or_went_back(new_hub: Any) -> None:
    for clock in (5, 0):
        hub = new_hub(MODEL)
        for at, name in ((5, "first"), (clock, "then")):
            hub.apply(fact(at, {"name": name}, 1.0, stated=False))
        assert hub.values("crm", "1") == {"name": "then"}
