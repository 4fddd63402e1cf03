"""Facts become golden records, and only what anybody can see becomes a version."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785
from msgspec.structs import replace

from goldwire.capture.fact import Edge, ExternalId
from goldwire.mastering.golden import decode_attribute, decode_state
from goldwire.mastering.identity import founding_id
from goldwire.mastering.model import Attribute, EntityType, Golden, MatchRule, Model


def test_a_fact_founds_an_entity_with_provenance_confidence_and_last_seen(hub: Any) -> None:
    result = hub.apply(hub.fact("crm", "1", 0, name="Ada", confidence=0.5))
    assert (result.facts, result.versions, result.rejected) == (1, 1, [])
    (head,) = hub.workspace.heads.values()
    assert head.entity_id.startswith("goldwire:entity:")
    assert head.state == (
        b'{"approval":"approved","attributes":{"name":{"confidence":0.5,"lastSeen":"2026-11-23T10:00:00.000000Z",'
        b'"provenance":"crm","value":"Ada"}},"confidence":0.5,"edges":[],"externalIds":[{"id":"1","system":"crm"}],'
        b'"status":"golden"}'
    )
    state = decode_state(head.state)
    assert decode_attribute(state.attributes["name"]).provenance == "crm"


def test_the_state_is_canonical_json_whatever_the_names(new_hub: Any) -> None:
    names = ["z", "a", "\U0001f600", "ﬀ", "hash", "10", "2"]
    hub = new_hub(Model(types={"Customer": EntityType(attributes={name: Attribute() for name in names})}))
    fact = hub.fact("crm", "1", 0, **dict.fromkeys(names, 'x"\\é'))
    hub.apply(fact)
    (head,) = hub.workspace.heads.values()
    assert head.state == rfc8785.dumps(json.loads(head.state))


def test_each_attribute_was_last_seen_when_its_own_fact_was_observed(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, city="Bern"), hub.fact("crm", "1", 1, name="Ada"), hub.fact("crm", "1", 2, email="a@x"))
    attributes = hub.state(hub.entity_of("crm", "1"))["attributes"]
    seen = {name: attribute["lastSeen"] for name, attribute in attributes.items()}
    assert seen == {name: f"2026-11-23T10:0{minute}:00.000000Z" for minute, name in enumerate(("city", "name", "email"))}


def test_what_is_later_than_now_is_not_taken_fact_or_decision(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, city="Bern"))
    entries = [
        hub.fact("crm", "1", 10, city="Basel"), hub.fact("crm", "1", 11, city="Zug"),
        hub.decision("withdraw", 10, record=ExternalId("crm", "1")), hub.decision("approve", 11, record=ExternalId("crm", "1")),
    ]  # fmt: skip
    result = hub.mastering.apply(entries, hub.workspace, "test", latest="2026-11-23T10:10:00.000000Z")
    assert [(row.field, "future" in row.reason) for row in result.rejected] == [("observedAt", True), ("decidedAt", True)]
    assert hub.values("crm", "1")["city"] == "Basel"
    assert hub.state(hub.entity_of("crm", "1"))["approval"] == "withdrawn"


@pytest.mark.parametrize(("city", "name"), [(0.5, 1.0), (1.0, 0.5)])
def test_a_golden_record_is_as_sure_as_the_least_sure_of_its_attributes(hub: Any, city: float, name: float) -> None:
    hub.apply(hub.fact("crm", "1", 0, city="Bern", confidence=city), hub.fact("crm", "1", 1, name="Ada", confidence=name))
    assert hub.state(hub.entity_of("crm", "1"))["confidence"] == 0.5


def test_the_same_fact_again_commits_nothing(hub: Any) -> None:
    fact = hub.fact("crm", "1", 0, name="Ada")
    hub.apply(fact)
    result = hub.apply(fact, fact)
    assert (result.facts, result.versions, result.unchanged) == (2, 0, 2)


def test_a_mere_newer_sight_commits_nothing_but_travels_with_the_next_version(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, name="Ada", city="Bern"))
    assert hub.apply(hub.fact("crm", "1", 5, name="Ada")).versions == 0
    assert hub.apply(hub.fact("crm", "1", 6, city="Basel")).versions == 1
    attributes = hub.state(hub.entity_of("crm", "1"))["attributes"]
    assert attributes["name"]["lastSeen"] == "2026-11-23T10:05:00.000000Z"
    assert hub.workspace.log[-1].changed == "city"


def test_several_facts_of_one_batch_commit_one_version(hub: Any) -> None:
    result = hub.apply(*[hub.fact("crm", "1", minute, name=f"Ada {minute}") for minute in range(5)])
    assert (result.versions, hub.values("crm", "1")) == (1, {"name": "Ada 4"})


def test_a_value_that_comes_and_goes_within_a_batch_commits_nothing(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, name="Ada"))
    assert hub.apply(hub.fact("crm", "1", 1, name="Eve"), hub.fact("crm", "1", 2, name="Ada")).versions == 0


def test_null_says_that_the_system_holds_no_value_any_more(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, name="Ada", city="Bern"))
    hub.apply(hub.fact("crm", "1", 1, city=None))
    assert hub.values("crm", "1") == {"name": "Ada"}
    assert hub.workspace.log[-1].changed == "city"


def test_another_systems_value_stands_where_one_system_says_null(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, email="a@x", city="Bern"), hub.fact("erp", "9", 1, email="a@x", city=None))
    assert hub.values("crm", "1")["city"] == "Bern"


def test_records_with_a_common_key_are_one_entity_in_one_batch_and_over_two(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, email="Ada@X.com"), hub.fact("erp", "9", 0, email="ada@x.com "))
    hub.apply(hub.fact("web", "5", 0, email="ADA@x.com"))
    assert hub.entity_of("crm", "1") == hub.entity_of("erp", "9") == hub.entity_of("web", "5")
    ids = hub.state(hub.entity_of("crm", "1"))["externalIds"]
    assert [each["system"] for each in ids] == ["crm", "erp", "web"]


def test_an_empty_or_missing_attribute_is_no_evidence(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, email=" - "), hub.fact("erp", "9", 0, email=None), hub.fact("web", "5", 0, name="A"))
    hub.apply(hub.fact("crm", "2", 0, email=""), hub.fact("crm", "3", 0, email="?"), hub.fact("crm", "4", 0, name="A"))
    assert len({record.entity_id for record in hub.workspace.stored_records.values()}) == 6


def test_a_record_that_matches_two_entities_merges_them_into_the_earlier_founded(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 3, email="a@x"))
    hub.apply(hub.fact("erp", "9", 1, name="Ada", phone="1"))
    early, late = hub.entity_of("erp", "9"), hub.entity_of("crm", "1")
    result = hub.apply(hub.fact("web", "5", 5, email="a@x", name="ada", phone="1"))
    assert result.merges == 1
    assert hub.kinds() == {early: ("live", 2), late: ("merged", 2)}
    assert hub.workspace.heads[late].merged_into == early
    assert hub.entity_of("crm", "1") == hub.entity_of("web", "5") == early


def test_an_id_from_a_hub_survives_a_merge(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, email="a@x"))
    own = hub.entity_of("crm", "1")
    hub.apply(hub.fact("erp", "9", 5, email="a@x", entity_id="hub:7"))
    assert hub.kinds() == {own: ("merged", 2), "hub:7": ("live", 1)}
    hub.apply(hub.fact("web", "3", 6, entity_id="hub:7", city="Bern"))
    assert hub.entity_of("web", "3") == "hub:7"


def test_a_later_change_of_a_key_does_not_split(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, email="a@x"), hub.fact("erp", "9", 0, email="a@x"))
    hub.apply(hub.fact("erp", "9", 1, email="b@x"))
    assert hub.entity_of("crm", "1") == hub.entity_of("erp", "9")


def test_a_key_that_too_many_share_links_nobody(new_hub: Any) -> None:
    rule = MatchRule("email", ("email",), block_limit=3)
    hub = new_hub(Model(types={"Customer": EntityType(attributes={"email": Attribute()}, match=(rule,))}))
    hub.apply(*[hub.fact("crm", str(number), 0, email="unknown") for number in range(4)])
    hub.apply(hub.fact("crm", "a", 0, email="a@x"), hub.fact("crm", "b", 0, email="a@x"))
    hub.apply(hub.fact("crm", "c", 0, email="a@x"))
    hub.apply(hub.fact("crm", "d", 0, email="a@x"))
    assert len({hub.entity_of("crm", str(number)) for number in range(4)}) == 4
    assert hub.entity_of("crm", "a") == hub.entity_of("crm", "c") != hub.entity_of("crm", "d")


def test_a_deleted_record_leaves_and_the_last_one_takes_the_entity_along(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, email="a@x", name="Ada"), hub.fact("erp", "9", 0, email="a@x", city="Bern"))
    entity_id = hub.entity_of("crm", "1")
    hub.apply(hub.fact("crm", "1", 1, deleted=True))
    assert hub.values("erp", "9") == {"email": "a@x", "city": "Bern"}
    hub.apply(hub.fact("erp", "9", 1, deleted=True))
    assert hub.kinds() == {entity_id: ("deleted", 3)}
    assert hub.state(entity_id)["externalIds"] == [{"id": "9", "system": "erp"}]
    assert hub.apply(hub.fact("erp", "9", 1, city="Bern")).versions == 0, "what was seen before the deletion is stale"
    hub.apply(hub.fact("erp", "9", 2, city="Basel"))
    assert hub.kinds() == {entity_id: ("live", 4)}


def test_a_deletion_that_comes_first_keeps_older_facts_out(hub: Any) -> None:
    assert hub.apply(hub.fact("crm", "1", 5, deleted=True)).versions == 0
    assert hub.apply(hub.fact("crm", "1", 4, name="Ada")).versions == 0
    assert hub.apply(hub.fact("crm", "1", 6, name="Ada")).versions == 1


def test_edges_are_added_removed_and_replaced(hub: Any) -> None:
    acme, other = ExternalId("crm", "acme"), ExternalId("crm", "other")
    hub.apply(hub.fact("crm", "1", 0, edges=[Edge("worksFor", acme), Edge("worksFor", to_entity="hub:1")]))
    entity_id = hub.entity_of("crm", "1")
    assert hub.state(entity_id)["edges"] == [
        {"rel": "worksFor", "to": {"entityId": "hub:1"}},
        {"rel": "worksFor", "to": {"externalId": {"id": "acme", "system": "crm"}}},
    ]
    hub.apply(hub.fact("crm", "1", 1, edges=[Edge("worksFor", acme, removed=True)]))
    assert hub.state(entity_id)["edges"] == [{"rel": "worksFor", "to": {"entityId": "hub:1"}}]
    hub.apply(hub.fact("crm", "1", 3, edges=[Edge("worksFor", other, sole=True)]))
    hub.apply(hub.fact("crm", "1", 2, edges=[Edge("worksFor", acme)]))
    assert hub.state(entity_id)["edges"] == [{"rel": "worksFor", "to": {"externalId": {"id": "other", "system": "crm"}}}]
    hub.apply(hub.fact("crm", "1", 4, edges=[Edge("worksFor", removed=True, sole=True)]))
    assert hub.state(entity_id)["edges"] == []
    assert hub.workspace.log[-1].changed == "@edges"


def test_what_the_model_does_not_know_is_rejected_and_named_beside_good_facts(hub: Any) -> None:
    result = hub.apply(
        hub.fact("crm", "1", 0, nickname="A"),
        hub.fact("crm", "2", 0, name="B", entity_type="Robot"),
        hub.fact("crm", "3", 0, edges=[Edge("owns", ExternalId("crm", "x"))]),
        hub.fact("crm", "4", 0, name="D"),
    )
    assert [(each.origin, each.field) for each in result.rejected] == [
        ("crm.csv:1", "nickname"), ("crm.csv:2", "entityType"), ("crm.csv:3", "edges"),
    ]  # fmt: skip
    assert result.facts == result.versions == 1


def test_a_record_keeps_its_type_and_so_does_a_hubs_id(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, name="A", entity_id="hub:1"))
    result = hub.apply(
        hub.fact("crm", "1", 1, name="A", entity_type="Company"),
        hub.fact("crm", "2", 1, name="A", entity_type="Company", entity_id="hub:1"),
        hub.fact("crm", "3", 1, name="A", entity_type="Company", entity_id="hub:3"),
        hub.fact("crm", "4", 1, name="A", entity_id="hub:3"),
        hub.fact("crm", "5", 1, name="A", entity_type="Company"),
        hub.fact("crm", "5", 1, name="A"),
    )
    assert [each.origin[-1] for each in result.rejected] == ["1", "2", "4", "5"]


def test_golden_needs_its_attributes_and_its_systems(new_hub: Any) -> None:
    entity_type = EntityType(
        attributes={"name": Attribute(), "email": Attribute()},
        match=(MatchRule("email", ("email",)),),
        golden=Golden(required=("name",), minimum_systems=2),
    )
    hub = new_hub(Model(types={"Customer": entity_type}))
    hub.apply(hub.fact("crm", "1", 0, email="a", name="Ada"))
    assert hub.state(hub.entity_of("crm", "1"))["status"] == "provisional"
    hub.apply(hub.fact("erp", "1", 0, email="a"))
    assert hub.state(hub.entity_of("crm", "1"))["status"] == "golden"
    hub.apply(hub.fact("crm", "1", 1, name=None))
    assert hub.state(hub.entity_of("crm", "1"))["status"] == "provisional"
    assert hub.workspace.log[-1].changed == "@status,name"


def test_a_batch_takes_a_handful_of_calls_whatever_its_size(hub: Any) -> None:
    hub.apply(*[hub.fact("crm", str(number), 0, email=f"{number}@x") for number in range(100)])
    hub.workspace.calls.clear()
    hub.apply(*[hub.fact("erp", str(number), 0, email=f"{number}@x") for number in range(200)])
    assert sum(hub.workspace.calls.values()) <= 10


def test_what_was_observed_at_the_very_time_of_a_deletion_goes_with_it_in_either_order(new_hub: Any) -> None:
    for turned in (False, True):
        hub = new_hub()
        entries = [hub.fact("crm", "1", 5, deleted=True), hub.fact("crm", "1", 5, name="Ada")]
        for entry in reversed(entries) if turned else entries:
            hub.apply(entry)
        hub.apply(hub.fact("crm", "1", 6, city="Bern"))
        assert hub.values("crm", "1") == {"city": "Bern"}


def test_a_batch_with_a_decision_in_it_counts_what_comes_before_and_after(hub: Any) -> None:
    result = hub.apply(
        *[hub.fact("crm", str(number), 0, email="a@x") for number in range(2)],
        hub.decision("approve", 1, record=("crm", "0")),
        *[hub.fact("erp", str(number), 2, email=email) for number, email in enumerate(("b@x", "b@x", "a@x"))],
    )
    assert (result.facts, result.decisions, result.versions, result.unchanged, result.joined) == (5, 1, 2, 0, 3)
    assert [(each.records, each.entity_id) for each in result.shared] == [
        (3, hub.entity_of("crm", "0")), (2, hub.entity_of("erp", "0")),
    ]  # fmt: skip
    again = hub.apply(hub.fact("crm", "0", 0, email="a@x"), hub.fact("web", "1", 0, email="c@x"))
    assert (again.facts, again.versions, again.unchanged, again.joined, again.shared) == (2, 1, 1, 0, [])


def test_few_of_the_keys_that_are_shared_are_named_however_many_there_are(hub: Any) -> None:
    def pairs(system: str, letters: str) -> Any:
        return [hub.fact(system, f"{letter}{number}", 0, email=f"{letter}@x") for letter in letters for number in "12"]

    result = hub.apply(*pairs("crm", "abcd"), hub.decision("approve", 1, record=("crm", "a1")), *pairs("erp", "efgh"))
    assert [each.records for each in result.shared] == [2] * 5


def test_a_key_that_a_record_keeps_is_not_counted_again(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, email="a@x", name="Ada"), hub.fact("erp", "9", 0, email="a@x"))
    assert hub.apply(hub.fact("crm", "1", 1, email="a@x", phone="1")).shared == []
    result = hub.apply(
        hub.fact("web", "5", 1, email="z@x"),
        hub.decision("approve", 1, record=("web", "5")),
        hub.fact("web", "5", 2, email="z@x", city="Bern"),
    )
    assert result.shared == [], "it shares its key with nobody"


def test_a_key_that_just_as_many_share_as_may_is_evidence(new_hub: Any) -> None:
    match = (MatchRule("email", ("email",), block_limit=3),)
    hub = new_hub(Model({"Customer": EntityType({"email": Attribute()}, match=match)}))
    [shared] = hub.apply(*[hub.fact("crm", str(number), 0, email="a@x") for number in range(3)]).shared
    assert (shared.records, shared.is_evidence, len(hub.golden())) == (3, True, 1)
    [shared] = hub.apply(hub.fact("crm", "3", 0, email="a@x")).shared
    assert (shared.records, shared.is_evidence, len(hub.golden())) == (4, False, 2)


def test_the_record_that_was_seen_first_founds_the_entity(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 5, email="a@x"), hub.fact("erp", "9", 2, email="a@x"))
    assert hub.entity_of("crm", "1") == founding_id(hub.workspace.entity_key(), ExternalId("erp", "9"))


def test_of_two_rules_that_name_two_entities_which_stay_apart_the_first_one_counts(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, email="a@x", entity_id="hub:1"))
    hub.apply(hub.fact("crm", "2", 0, name="Ada", phone="1", entity_id="hub:2"))
    hub.apply(hub.fact("app", "0", 1, name="Zoe", phone="9"), hub.fact("erp", "9", 1, email="a@x", name="Ada", phone="1"))
    assert hub.entity_of("erp", "9") == "hub:1"


def test_the_hubs_word_counts_also_where_a_later_fact_of_the_batch_has_none(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, name="Ada", entity_id="hub:1"), hub.fact("crm", "1", 1, city="Bern"))
    assert hub.entity_of("crm", "1") == "hub:1"
    assert hub.values("crm", "1") == {"name": "Ada", "city": "Bern"}


def test_entities_that_a_batch_merges_stand_in_the_log_by_who_was_founded_first(hub: Any) -> None:
    numbers = (3, 1, 4, 0, 5, 2)
    hub.apply(*[hub.fact(system, str(number), number, name=f"{number}") for number in numbers for system in ("crm", "erp")])
    survivors = [hub.entity_of("crm", str(number)) for number in sorted(numbers)]
    before = len(hub.workspace.log)
    hub.apply(*[hub.fact(system, str(number), 9, email=f"{number}@x") for number in numbers for system in ("crm", "erp")])
    merged = [change.merged_into for change in hub.workspace.log[before:] if change.kind == "merged"]
    assert merged == survivors


def test_another_confidence_alone_is_a_visible_change_and_the_first_version_names_all_it_has(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, name="Ada", confidence=0.5))
    assert hub.workspace.log[-1].changed == "@approval,@ids,@status,name"
    assert hub.apply(hub.fact("crm", "1", 1, name="Ada", confidence=0.9)).versions == 1
    assert hub.workspace.log[-1].changed == "name"


def test_what_a_batch_founds_and_merges_at_once_is_no_merge(hub: Any) -> None:
    hub.apply(hub.fact("erp", "9", 0, email="a@x"))
    result = hub.apply(
        hub.fact("crm", "1", 5, name="Ada"),
        hub.decision("approve", 6, record=("crm", "1")),
        hub.fact("crm", "1", 7, email="a@x"),
    )
    assert hub.entity_of("crm", "1") == hub.entity_of("erp", "9")
    assert (result.merges, result.versions) == (0, 1)


def test_the_first_by_name_of_what_is_not_known_is_named_and_every_confidence_from_0_to_1_is_taken(hub: Any) -> None:
    result = hub.apply(
        hub.fact("crm", "1", 0, zip="1", nickname="A"),
        *[hub.fact("erp", str(number), 0, name="a", confidence=number / 2) for number in range(3)],
    )
    assert ([each.field for each in result.rejected], result.facts) == (["nickname"], 3)


def test_the_keys_of_a_record_are_those_of_what_it_says_in_the_end(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, email="a@x"))
    hub.apply(hub.fact("crm", "1", 1, email="b@x"), hub.fact("crm", "1", 2, deleted=True), hub.fact("crm", "1", 3, email="b@x"))
    hub.apply(hub.fact("erp", "9", 4, email="b@x"), hub.fact("web", "5", 4, email="a@x"))
    assert hub.entity_of("erp", "9") == hub.entity_of("crm", "1") != hub.entity_of("web", "5")


def test_a_key_that_comes_back_within_a_batch_was_not_gained(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, email="a@x"))
    assert hub.apply(hub.fact("crm", "1", 1, email="b@x"), hub.fact("crm", "1", 2, email="a@x")).shared == []
    assert hub.apply(hub.fact("crm", "1", 3, deleted=True), hub.fact("crm", "1", 4, email="a@x")).shared == []


def test_what_a_deleted_record_said_is_no_evidence(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, email="a@x"))
    hub.apply(hub.fact("crm", "1", 1, deleted=True))
    hub.apply(hub.fact("erp", "9", 2, email="a@x"))
    assert hub.entity_of("erp", "9") != hub.entity_of("crm", "1")


def test_each_attribute_has_the_confidence_of_its_own_fact_also_where_two_are_of_one_moment(hub: Any) -> None:
    sure = hub.fact("crm", "1", 0, name="Ada")
    hub.apply(sure, replace(sure, attributes={"city": b'"Bern"'}, confidence=0.5))
    state = hub.state(hub.entity_of("crm", "1"))
    assert [state["attributes"][name]["confidence"] for name in ("city", "name")] == [0.5, 1]
    assert state["confidence"] == 0.5


def test_each_attribute_names_the_system_that_said_it_also_where_two_said_something_at_one_moment(hub: Any) -> None:
    one = hub.fact("crm", "1", 0, email="a@x", city="Bern")
    hub.apply(one, replace(one, system="erp", external_id="9", attributes={"email": b'"a@x"', "name": b'"Ada"'}))
    attributes = hub.state(hub.entity_of("crm", "1"))["attributes"]
    assert {name: attribute["provenance"] for name, attribute in attributes.items()} == {
        "city": "crm", "email": "crm", "name": "erp",
    }  # fmt: skip


def test_an_attribute_may_be_chosen_otherwise_than_the_others_of_its_type(new_hub: Any) -> None:
    attributes = {
        "name": Attribute(),
        "city": Attribute(survivorship=("longest",)),
        "phone": Attribute(systems=("erp", "crm")),
        "email": Attribute(),
    }
    entity_type = EntityType(
        attributes, match=(MatchRule("email", ("email",)),), survivorship=("source_priority",), systems=("crm", "erp")
    )
    hub = new_hub(Model({"Customer": entity_type}))
    said = {"crm": {"name": "A", "city": "Bern", "phone": "1"}, "erp": {"name": "B", "city": "Basel", "phone": "2"}}
    hub.apply(*[hub.fact(system, "1", 0, email="a@x", **values) for system, values in said.items()])
    assert hub.values("crm", "1") == {"name": "A", "city": "Basel", "phone": "2", "email": "a@x"}
