"""Facts of one record and one time: one of them wins as a whole, the same one in whatever order they come."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from goldwire.canonical import canonical
from goldwire.capture import fact_from
from goldwire.capture.fact import Edge, ExternalId
from goldwire.mastering.record import Record, edge_text, open_record, rank

REF = ExternalId("crm", "1")


def fact(second: int, confidence: float, said: dict[str, Any], *, deleted: bool = False) -> Any:
    return fact_from(
        system="crm", external_id="1", entity_type="Customer", attributes=said, observed_at=f"2026-11-23T10:00:0{second}Z",
        confidence=confidence, deleted=deleted,
    )  # fmt: skip


def folded(facts: Any, *, stored: bool) -> Record:
    """Take facts in, one by one; between any two of them the store may have kept the record."""
    record = Record(REF, "Customer")
    for each in facts:
        record.fold(each, frozenset())
        if stored:
            record = open_record(record.stored())
    return record


said = st.dictionaries(st.sampled_from(("name", "city", "phone")), st.sampled_from(["a", "b", "", None]), min_size=1)
facts = st.lists(
    st.builds(
        fact, st.integers(0, 2), st.sampled_from((0.5, 1.0)), said, deleted=st.sampled_from((False, False, False, False, True))
    ),
    min_size=1,
    max_size=7,
)


def naive(listed: Any) -> dict[str, Any]:
    """Compare all facts about an attribute with each other."""
    deleted_at = max((each.observed_at for each in listed if each.deleted), default="")
    found: dict[str, Any] = {}
    for each in listed:
        if not each.deleted and each.observed_at > deleted_at:
            for name, value in each.attributes.items():
                claim = (each.observed_at, each.confidence, rank(each.attributes), value)
                found[name] = max(claim, found.get(name, claim))
    return {name: (at, confidence, value) for name, (at, confidence, _, value) in found.items()}


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(st.data(), facts, st.booleans())
def test_facts_fold_as_a_naive_model_does_in_any_order(data: Any, listed: Any, stored: bool) -> None:
    turned = data.draw(st.permutations(listed)) + data.draw(st.lists(st.sampled_from(listed), max_size=3))
    assert folded(turned, stored=stored).claims == naive(listed)


@given(
    st.lists(
        st.fixed_dictionaries(dict.fromkeys(("name", "city"), st.sampled_from(["a", "b", "c", None]))), min_size=1, max_size=5
    )
)
def test_rows_of_one_time_end_as_one_of_them(rows: Any) -> None:
    claims = folded([fact(0, 1.0, row) for row in rows], stored=False).claims
    ended = {name: claim[2] for name, claim in claims.items()}
    assert ended in [{name: canonical(value) for name, value in row.items()} for row in rows]
    assert sum(each == b"null" for each in ended.values()) == min(list(row.values()).count(None) for row in rows)


def test_the_store_keeps_what_a_row_of_the_same_time_still_has_to_be_compared_with() -> None:
    rows = [{"name": "a", "city": "a"}, {"name": "b", "phone": "a"}, {"city": "b", "phone": "b"}]
    for order in permutations(rows):
        same_time = [fact(0, 1.0, said) for said in order]
        assert folded(same_time, stored=True).claims == folded(same_time, stored=False).claims


def test_a_row_that_says_less_does_not_beat_one_that_says_more() -> None:
    rows = [
        fact(0, 1.0, each)
        for each in ({"name": "Anna", "city": "Bern"}, {"name": None, "city": "Bern"}, {"name": "", "city": "Zug"})
    ]
    for turned in permutations(rows):
        assert folded(turned, stored=True).claims["name"][2] == b'"Anna"'


def test_a_row_that_comes_again_changes_nothing() -> None:
    record = folded([fact(0, 1.0, {"name": "Anna", "city": "Bern"}), fact(0, 1.0, {"name": "Zoe", "city": "Zug"})], stored=True)
    record.fold(fact(0, 1.0, {"name": "Anna", "city": "Bern"}), frozenset())
    record.fold(fact(0, 1.0, {"name": "Zoe", "city": "Zug"}), frozenset())
    assert not record.changed


def test_a_fact_that_wins_nothing_but_came_first_is_kept_as_the_founding() -> None:
    record = folded([fact(1, 1.0, {"name": "Anna"})], stored=True)
    record.fold(fact(0, 1.0, {"name": "Zoe"}), frozenset())
    assert record.changed
    assert record.claims["name"][2] == b'"Anna"'
    assert open_record(record.stored()).founded == "2026-11-23T10:00:00.000000Z"


def row(name: str | None, boss: str | None, second: int = 0) -> Any:
    """A row of a file with a column for the boss: it replaces what the record said of him before."""
    edge = Edge("boss", ExternalId("crm", boss), sole=True) if boss else Edge("boss", removed=True, sole=True)
    return replace(fact(second, 1.0, {"name": name}), edges=(edge,))


@given(
    st.data(),
    st.lists(
        st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from(["7", "8", None]), st.integers(0, 1)),
        min_size=1,
        max_size=5,
    ),
    st.booleans(),
)
def test_the_edges_are_those_of_the_row_that_wins(data: Any, said_rows: Any, stored: bool) -> None:
    rows = [row(*each) for each in said_rows]
    turned = data.draw(st.permutations(rows))
    record, again = folded(rows, stored=stored), folded(turned, stored=False)
    assert (record.claims, sorted(record.live_edges())) == (again.claims, sorted(again.live_edges()))
    newest = max(second for _, _, second in said_rows)
    ended = (record.claims["name"][2], tuple(record.live_edges()))
    assert ended in [
        (canonical(name), (edge_text("boss", ExternalId("crm", boss), None),) if boss else ())
        for name, boss, second in said_rows
        if second == newest
    ]


def test_a_deletion_of_the_same_time_takes_the_edges_too() -> None:
    for rows in permutations([row("a", "7"), fact(0, 1.0, {}, deleted=True)]):
        assert folded(rows, stored=True).live_edges() == []


def test_an_edge_that_is_said_beside_a_whole_row_outlives_that_row_in_any_order() -> None:
    """One fact says the edge both ways; a whole row of the same time that says more wins over the one, not over the other."""
    plain, sole = Edge("boss", ExternalId("crm", "7")), Edge("boss", ExternalId("crm", "7"), sole=True)
    both = replace(fact(0, 1.0, {"name": "a"}), edges=(plain, sole))
    richer = replace(fact(0, 1.0, {"name": "a", "city": "b"}), edges=(Edge("boss", ExternalId("crm", "8"), sole=True),))
    for turned in ([both, richer], [richer, both]):
        for stored in (False, True):
            edges = folded(turned, stored=stored).live_edges()
            assert sorted(edges) == [edge_text("boss", ExternalId("crm", each), None) for each in "78"]


def test_what_is_said_beside_a_row_of_the_same_time_stays_in_either_order() -> None:
    beside = replace(fact(0, 1.0, {"name": "a"}), edges=(Edge("boss", ExternalId("crm", "8")),))
    both = sorted(edge_text("boss", ExternalId("crm", boss), None) for boss in "78")
    for rows in permutations([row("a", "7"), beside]):
        assert sorted(folded(rows, stored=True).live_edges()) == both
    earlier = replace(fact(0, 1.0, {"name": "a"}), edges=(Edge("boss", ExternalId("crm", "8")),))
    for rows in permutations([row("a", "7", second=1), earlier]):
        assert folded(rows, stored=True).live_edges() == [edge_text("boss", ExternalId("crm", "7"), None)]


def test_of_two_whole_rows_of_one_time_the_more_confident_has_its_edges_though_it_says_less() -> None:
    rows = [
        replace(fact(0, 0.5, {"name": "a", "city": "b"}), edges=(Edge("boss", ExternalId("crm", "7"), sole=True),)),
        replace(fact(0, 1.0, {"name": "a"}), edges=(Edge("boss", ExternalId("crm", "8"), sole=True),)),
    ]
    for turned in permutations(rows):
        assert folded(turned, stored=True).live_edges() == [edge_text("boss", ExternalId("crm", "8"), None)]


def test_a_record_comes_back_from_the_store_as_it_was() -> None:
    said = [fact(1, 1.0, {"name": "a"}), fact(1, 0.5, {"city": "b"}), fact(0, 1.0, {"phone": "1"})]
    record = folded(said, stored=False)
    record.home = record.entity_id = "hub:1"
    again = open_record(record.stored())
    for name in ("claims", "seen_at", "deleted_at", "founded", "home", "entity_id", "edges", "floors", "hub"):
        assert getattr(again, name) == getattr(record, name)
    assert {name: claim[:2] for name, claim in again.claims.items()} == {
        name: (f"2026-11-23T10:00:0{second}.000000Z", confidence)
        for name, second, confidence in (("name", 1, 1.0), ("city", 1, 0.5), ("phone", 0, 1.0))
    }


def test_a_row_with_edges_that_comes_again_changes_nothing() -> None:
    record = folded([row("a", "7"), row("b", "8")], stored=True)
    for again in (row("a", "7"), row("b", "8")):
        record.fold(again, frozenset())
    assert not record.changed


def test_the_newest_word_about_an_edge_holds_whichever_way_it_was_said() -> None:
    gone = replace(fact(1, 1.0, {"name": "a"}), edges=(Edge("boss", ExternalId("crm", "7"), removed=True),))
    for rows in permutations([row("a", "7"), gone]):
        assert folded(rows, stored=True).live_edges() == []
