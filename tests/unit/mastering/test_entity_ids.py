"""Ids of entities: the same for the same facts in one store, and nothing that anybody could guess."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from goldwire.capture.fact import ExternalId
from goldwire.mastering.identity import founding_id
from goldwire_lab.workspace import MemoryWorkspace

KEYS = st.binary(min_size=32, max_size=32)


def hub_with(new_hub: Any, key: bytes) -> Any:
    hub = new_hub()
    hub.workspace = MemoryWorkspace(key)
    return hub


@given(KEYS, KEYS)
@settings(max_examples=50, deadline=None)
def test_another_store_makes_other_ids_of_the_same_golden_records(new_hub: Any, one: bytes, other: bytes) -> None:
    hubs = [hub_with(new_hub, one), hub_with(new_hub, other)]
    for hub in hubs:
        hub.apply(*[hub.fact("crm", str(number), 0, name=f"Ada {number}") for number in range(5)])
        hub.apply(hub.fact("erp", "1", 1, city="Bern"))
    assert hubs[0].golden() == hubs[1].golden()
    assert (set(hubs[0].workspace.heads) == set(hubs[1].workspace.heads)) == (one == other)
    assert len(hubs[0].workspace.heads) == 6


@given(KEYS)
@settings(max_examples=50, deadline=None)
def test_which_of_two_entities_survives_a_merge_does_not_hang_on_the_key(new_hub: Any, key: bytes) -> None:
    hub = hub_with(new_hub, key)
    hub.apply(hub.fact("crm", "2", 0, name="Ada"), hub.fact("crm", "1", 0, city="Bern"))
    hub.apply(hub.fact("crm", "2", 1, email="ada@x"), hub.fact("crm", "1", 1, email="ada@x"))
    assert hub.entity_of("crm", "2") == hub.entity_of("crm", "1") == founding_id(key, ExternalId("crm", "1"))
    assert hub.kinds()[founding_id(key, ExternalId("crm", "2"))] == ("merged", 2)


@given(KEYS)
@settings(max_examples=50, deadline=None)
def test_a_record_without_a_home_gets_its_own_id_also_after_an_unmerge(new_hub: Any, key: bytes) -> None:
    hub = hub_with(new_hub, key)
    hub.apply(hub.fact("crm", "1", 0, email="ada@x"), hub.fact("crm", "2", 1, email="ada@x"))
    hub.apply(hub.decision("unmerge", 2, record=("crm", "1")))
    assert hub.entity_of("crm", "2") == founding_id(key, ExternalId("crm", "1"))
    assert hub.entity_of("crm", "1") == founding_id(key, ExternalId("crm", "1"), 1)


@given(st.tuples(st.text(min_size=1), st.text(min_size=1)), st.tuples(st.text(min_size=1), st.text(min_size=1)))
def test_two_records_never_found_one_entity(one: tuple[str, str], other: tuple[str, str]) -> None:
    first, second = ExternalId(*one), ExternalId(*other)
    key = b"k" * 32
    assert (founding_id(key, first) == founding_id(key, second)) == (first == second)
    split = ExternalId(one[0] + one[1][:1], one[1][1:] or "x")
    assert founding_id(key, first) != founding_id(key, split)


def test_an_id_that_an_upstream_hub_gives_is_taken_as_it_is(new_hub: Any) -> None:
    hub = hub_with(new_hub, b"k" * 32)
    hub.apply(hub.fact("crm", "1", 0, name="Ada", entity_id="cluedin:entity:7f2a"))
    assert set(hub.workspace.heads) == {"cluedin:entity:7f2a"}
