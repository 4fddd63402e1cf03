"""An upstream hub in front: a record is where the hub's newest word has it, and a correction merges no customers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldwire.mastering.model import Attribute, EntityType, MatchRule, Model
from goldwire.mastering.unit_of_work import UnitOfWork

KEYS = ("one", "two")
MODEL = Model(
    types={
        "Customer": EntityType(
            attributes={name: Attribute() for name in (*KEYS, "city")}, match=tuple(MatchRule(key, (key,)) for key in KEYS)
        )
    }
)
RECORDS = [(system, external_id) for system in ("crm", "erp") for external_id in ("1", "2", "3")]
HUBS = ("hub:1", "hub:2", "hub:3")

worlds = st.fixed_dictionaries(
    {ref: st.tuples(st.sampled_from((None, "a", "b", "c")), st.sampled_from((None, "a", "b", "c"))) for ref in RECORDS}
)
"""The match keys of each record; they never change, since a link outlives the key it came from."""

words = st.lists(
    st.tuples(st.sampled_from(RECORDS), st.integers(0, 9), st.one_of(st.none(), st.sampled_from(HUBS))), min_size=1, max_size=14
)
"""What is said: of which record, when, and which id the hub gives."""


def told(said: Any) -> dict[Any, str | None]:
    """Where the hub has each record: its newest word, of two at one time the greater; None where it said nothing."""
    found: dict[Any, Any] = {}
    for ref, minute, hub_id in said:
        found.setdefault(ref, (-1, ""))
        if hub_id is not None:
            found[ref] = max(found[ref], (minute, hub_id))
    return {ref: hub_id or None for ref, (_, hub_id) in found.items()}


def naive(world: Any, hubs: dict[Any, str | None]) -> list[tuple[set[Any], set[str]]]:
    """Compare each record with each: the records that keys connect, and where the hub has those among them that it knows."""
    groups: list[set[Any]] = []
    for ref in hubs:
        touching = [
            group
            for group in groups
            if any(one is not None and one == two for other in group for one, two in zip(world[ref], world[other], strict=True))
        ]
        groups = [group for group in groups if group not in touching] + [set().union({ref}, *touching)]
    return [(group, {hub_id for ref in group if (hub_id := hubs[ref]) is not None}) for group in groups]


def run(new_hub: Any, world: Any, said: Any, sizes: Any) -> Any:
    hub = new_hub(MODEL)
    facts = [
        hub.fact(*ref, minute, **dict(zip(KEYS, world[ref], strict=True)), **({"entity_id": hub_id} if hub_id else {}))
        for ref, minute, hub_id in said
    ]
    cut = list(sizes)
    while facts:
        size = cut.pop(0) if cut else len(facts)
        hub.apply(*facts[:size])
        facts = facts[size:]
    return hub


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(worlds, words, st.lists(st.integers(1, 5), max_size=14))
def test_records_are_where_a_naive_model_has_them(new_hub: Any, world: Any, said: Any, sizes: Any) -> None:
    hub = run(new_hub, world, said, sizes)
    hubs = told(said)
    entities = {ref: hub.entity_of(*ref) for ref in hubs}
    for ref, hub_id in hubs.items():
        assert hub_id is None or entities[ref] == hub_id, "the hub's newest word holds"
    for group, known in naive(world, hubs):
        loose = {entities[ref] for ref in group if hubs[ref] is None}
        if len(known) > 1:
            assert all(each in known or not each.startswith("hub:") for each in loose), "with one of those it shares a key with"
        elif known:
            assert loose <= known, "what shares keys with one customer of the hub alone is that customer"
        else:
            assert len(loose) == 1
            assert not loose.pop().startswith("hub:"), "and what shares none is no customer of the hub"


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.data(), worlds, words, st.lists(st.integers(1, 5), max_size=14))
def test_neither_order_nor_batches_nor_repetition_matter(new_hub: Any, data: Any, world: Any, said: Any, sizes: Any) -> None:
    hubs = told(said)
    torn = {ref for group, known in naive(world, hubs) if len(known) > 1 for ref in group if hubs[ref] is None}
    said = [each for each in said if each[0] not in torn]  # between two customers the first one that is known has them
    if not said:
        return
    turned = data.draw(st.permutations(said)) + data.draw(st.lists(st.sampled_from(said), max_size=3))
    assert run(new_hub, world, said, []).golden() == run(new_hub, world, turned, sizes).golden()


CRM, ERP, WEB = RECORDS[0], RECORDS[3], ("web", "9")


def test_an_entity_of_our_own_becomes_the_hubs_as_a_whole(new_hub: Any) -> None:
    hub = new_hub(MODEL)
    hub.apply(hub.fact(*CRM, 0, one="a"), hub.fact(*ERP, 0, one="a"))
    own = hub.entity_of(*CRM)
    result = hub.apply(hub.fact(*CRM, 1, entity_id="hub:1"))
    assert (hub.entity_of(*CRM), hub.entity_of(*ERP), hub.kinds()[own][0]) == ("hub:1", "hub:1", "merged")
    assert (result.merges, result.moves) == (1, 0)


def test_an_entity_that_the_hub_empties_is_deleted_and_lives_again_when_its_id_comes_back(new_hub: Any) -> None:
    hub = new_hub(MODEL)
    hub.apply(hub.fact(*CRM, 0, city="Bern", entity_id="hub:1"))
    assert hub.apply(hub.fact(*CRM, 1, city="Bern", entity_id="hub:2")).moves == 1
    assert hub.kinds() == {"hub:1": ("deleted", 2), "hub:2": ("live", 1)}
    hub.apply(hub.fact(*ERP, 2, city="Zug", entity_id="hub:1"))
    assert (hub.kinds()["hub:1"], hub.entity_of(*CRM)) == (("live", 3), "hub:2")


def test_an_older_word_of_the_hub_that_comes_late_moves_nothing(new_hub: Any) -> None:
    hub = new_hub(MODEL)
    hub.apply(hub.fact(*CRM, 5, city="Bern", entity_id="hub:2"))
    assert hub.apply(hub.fact(*CRM, 1, city="Zug", entity_id="hub:1")).moves == 0
    assert hub.apply(hub.fact(*CRM, 6, city="Rom")).moves == 0
    assert hub.entity_of(*CRM) == "hub:2"


def test_no_rule_unites_two_customers_of_the_hub_and_a_steward_does(new_hub: Any) -> None:
    hub = new_hub(MODEL)
    hub.apply(hub.fact(*CRM, 0, one="a", entity_id="hub:1"), hub.fact(*ERP, 0, one="a", entity_id="hub:2"))
    assert hub.kinds() == {"hub:1": ("live", 1), "hub:2": ("live", 1)}
    hub.apply(hub.decision("merge", 1, record=ERP, into_record=CRM))
    hub.apply(hub.fact(*ERP, 2, city="Bern", entity_id="hub:2"))
    assert hub.entity_of(*ERP) == "hub:1", "what a steward merged holds against the hub too"
    hub.apply(hub.decision("unmerge", 3, entity_id="hub:2"))
    assert hub.entity_of(*ERP) == "hub:2"


def test_what_a_steward_split_off_holds_against_the_hub(new_hub: Any) -> None:
    hub = new_hub(MODEL)
    hub.apply(hub.fact(*CRM, 0, city="Bern", entity_id="hub:1"), hub.fact(*ERP, 0, city="Zug", entity_id="hub:1"))
    hub.apply(hub.decision("unmerge", 1, record=ERP))
    apart = hub.entity_of(*ERP)
    hub.apply(hub.fact(*ERP, 2, city="Rom", entity_id="hub:1"))
    assert hub.entity_of(*ERP) == apart != "hub:1"


def test_so_does_what_was_split_off_to_another_customer_of_the_hub(new_hub: Any) -> None:
    hub = new_hub(MODEL)
    hub.apply(hub.fact(*CRM, 0, city="Bern", entity_id="hub:1"), hub.fact(*ERP, 0, city="Zug", entity_id="hub:2"))
    hub.apply(hub.decision("merge", 1, record=ERP, into_record=CRM))
    hub.apply(hub.decision("unmerge", 2, entity_id="hub:2"))
    assert hub.apply(hub.fact(*ERP, 3, city="Rom", entity_id="hub:1")).moves == 0
    assert hub.entity_of(*ERP) == "hub:2"


def test_a_moved_record_is_at_home_where_the_hub_has_it(new_hub: Any) -> None:
    hub = new_hub(MODEL)
    hub.apply(hub.fact(*CRM, 0, entity_id="hub:1"), hub.fact(*ERP, 0, entity_id="hub:1"), hub.fact(*WEB, 0, entity_id="hub:2"))
    hub.apply(hub.fact(*ERP, 1, entity_id="hub:2"))
    hub.apply(hub.decision("merge", 2, entity_id="hub:2", into_entity_id="hub:1"))
    hub.apply(hub.decision("unmerge", 3, entity_id="hub:2"))
    assert hub.entity_of(*ERP) == hub.entity_of(*WEB) == "hub:2"


def test_a_key_that_did_not_change_unites_still_when_another_one_of_the_record_did(new_hub: Any) -> None:
    hub = new_hub(MODEL)
    hub.apply(hub.fact(*CRM, 0, one="a", two="b"))
    hub.apply(hub.fact(*CRM, 1, one="c"))
    hub.apply(hub.fact(*ERP, 2, two="b"))
    assert hub.entity_of(*ERP) == hub.entity_of(*CRM)


def test_what_shares_a_key_with_a_record_that_stays_stays_too(new_hub: Any) -> None:
    hub = new_hub(MODEL)
    hub.apply(
        hub.fact(*CRM, 0, one="a", entity_id="hub:1"), hub.fact(*ERP, 0, two="b", entity_id="hub:1"),
        hub.fact(*WEB, 0, one="a", two="b"),
    )  # fmt: skip
    assert hub.entity_of(*WEB) == "hub:1"
    hub.apply(hub.fact(*CRM, 1, one="a", entity_id="hub:2"))
    assert [hub.entity_of(*ref) for ref in (CRM, ERP, WEB)] == ["hub:2", "hub:1", "hub:1"]


def test_a_key_that_too_many_share_makes_no_follower(new_hub: Any) -> None:
    rule = MatchRule("one", ("one",), block_limit=2)
    hub = new_hub(Model(types={"Customer": EntityType(attributes={"one": Attribute(), "city": Attribute()}, match=(rule,))}))
    hub.apply(hub.fact(*CRM, 0, one="a", entity_id="hub:1"), hub.fact(*ERP, 0, one="a"))
    hub.apply(hub.fact(*WEB, 0, one="a"))
    hub.apply(hub.fact(*CRM, 1, entity_id="hub:2"))
    assert (hub.entity_of(*CRM), hub.entity_of(*ERP)) == ("hub:2", "hub:1")


def test_a_key_that_just_as_many_share_as_may_makes_a_follower(new_hub: Any) -> None:
    rule = MatchRule("one", ("one",), block_limit=2)
    hub = new_hub(Model(types={"Customer": EntityType(attributes={"one": Attribute()}, match=(rule,))}))
    hub.apply(hub.fact(*CRM, 0, one="a", entity_id="hub:1"), hub.fact(*ERP, 0, one="a"))
    hub.apply(hub.fact(*CRM, 1, entity_id="hub:2"))
    assert (hub.entity_of(*CRM), hub.entity_of(*ERP)) == ("hub:2", "hub:2")


def test_an_entity_that_no_fact_of_the_batch_names_is_found_in_the_store(new_hub: Any) -> None:
    """The hub's newest word about a record may be of an older batch, so its entity is looked for in any case."""
    hub = new_hub(MODEL)
    hub.apply(hub.fact("crm", "1", 1, city="Bern", entity_id="hub:1"))
    hub.apply(hub.fact("crm", "1", 2, city="Rome", entity_id="hub:1"))
    unit = UnitOfWork(hub.workspace)
    assert (unit.open("hub:1", "Customer").version, unit.get_or_create("hub:1", "Customer").version) == (2, 2)
    assert UnitOfWork(hub.workspace).get_or_create("hub:1", "Customer").version == 2
    assert unit.open("hub:9", "Customer").version == 0


def test_an_old_word_of_the_hub_that_comes_late_opens_the_entity_that_the_newest_word_names(new_hub: Any) -> None:
    hub = new_hub(MODEL)
    hub.apply(hub.fact("crm", "1", 5, entity_id="hub:2"), hub.fact("crm", "2", 5, entity_id="hub:1"))
    hub.apply(hub.decision("merge", 6, record=("crm", "1"), into_record=("crm", "2")))
    assert hub.entity_of("crm", "1") == "hub:1"
    assert hub.kinds()["hub:2"] == ("merged", 2)
    hub.apply(hub.fact("crm", "1", 4, entity_id="hub:3"))
    assert hub.kinds()["hub:2"] == ("merged", 2)
    assert hub.entity_of("crm", "1") == "hub:1"
    assert "hub:3" not in hub.kinds()


def test_every_record_that_the_hub_moves_is_counted(new_hub: Any) -> None:
    hub = new_hub(MODEL)
    hub.apply(*[hub.fact(*ref, 0, city="Bern", entity_id="hub:1") for ref in (CRM, ERP, WEB)])
    assert hub.apply(*[hub.fact(*ref, 1, entity_id="hub:2") for ref in (CRM, ERP)]).moves == 2


def test_an_older_word_of_the_hub_about_a_record_that_a_key_brought_there_is_kept(new_hub: Any) -> None:
    hub = new_hub(MODEL)
    hub.apply(hub.fact(*CRM, 0, one="a", entity_id="hub:1"), hub.fact(*ERP, 0, one="a"), hub.fact(*ERP, 5, city="Zug"))
    assert hub.entity_of(*ERP) == "hub:1"
    hub.apply(hub.fact(*ERP, 3, entity_id="hub:1"))
    hub.apply(hub.fact(*CRM, 6, entity_id="hub:2"))
    assert (hub.entity_of(*CRM), hub.entity_of(*ERP)) == ("hub:2", "hub:1"), "the hub has it there, so it does not follow"
