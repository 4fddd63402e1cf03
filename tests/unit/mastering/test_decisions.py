"""Stewards approve, override, delete, merge and unmerge; what they decided holds."""

from __future__ import annotations

from typing import Any

import pytest

from goldwire.capture import decision_from
from goldwire.capture.fact import ExternalId
from goldwire.mastering.engine import Mastering
from goldwire.mastering.model import Attribute, EntityType, Model

CRM, ERP, WEB = ExternalId("crm", "1"), ExternalId("erp", "9"), ExternalId("web", "5")


@pytest.fixture
def two(hub: Any) -> Any:
    hub.apply(hub.fact("crm", "1", 0, email="a@x", city="Bern"), hub.fact("erp", "9", 1, email="b@x", city="Basel"))
    return hub


def test_a_merge_raises_the_survivor_and_leaves_a_tombstone(two: Any) -> None:
    loser, survivor = two.entity_of(*CRM), two.entity_of(*ERP)
    result = two.apply(two.decision("merge", 5, record=CRM, into_record=ERP))
    assert (result.decisions, result.merges, result.versions) == (1, 1, 2)
    assert two.kinds() == {loser: ("merged", 2), survivor: ("live", 2)}
    assert two.state(loser)["externalIds"] == [{"id": "1", "system": "crm"}]
    assert "@ids" in next(change for change in two.workspace.log[2:] if change.kind == "live").changed


def test_merging_what_is_merged_changes_nothing(two: Any) -> None:
    two.apply(two.decision("merge", 5, record=CRM, into_record=ERP))
    assert two.apply(two.decision("merge", 6, record=CRM, into_record=ERP)).versions == 0


def test_a_decision_that_comes_again_does_not_undo_a_later_one(two: Any) -> None:
    merge = two.decision("merge", 5, record=CRM, into_record=ERP)
    two.apply(merge)
    two.apply(two.decision("unmerge", 6, record=CRM))
    result = two.apply(merge)
    assert (result.decisions, result.repeated, result.versions) == (0, 1, 0)
    assert two.entity_of(*CRM) != two.entity_of(*ERP)


def test_a_decision_that_comes_twice_in_one_batch_is_carried_out_once(two: Any) -> None:
    merge = two.decision("merge", 5, record=CRM, into_record=ERP)
    result = two.apply(merge, two.decision("unmerge", 6, record=CRM), merge)
    assert (result.decisions, result.repeated) == (2, 1)


def test_a_refused_decision_may_come_again_when_it_can_be_carried_out(hub: Any) -> None:
    approve = hub.decision("withdraw", 5, record=CRM)
    assert len(hub.apply(approve).rejected) == 1
    hub.apply(hub.fact("crm", "1", 0, email="a@x"))
    assert hub.apply(approve).decisions == 1


def test_an_unmerge_brings_both_back_as_they_were_and_keeps_them_apart(two: Any) -> None:
    loser, survivor = two.entity_of(*CRM), two.entity_of(*ERP)
    before = two.golden()
    two.apply(two.decision("merge", 5, record=CRM, into_record=ERP))
    result = two.apply(two.decision("unmerge", 6, entity_id=loser))
    assert result.unmerges == 1
    assert two.golden() == before
    assert two.kinds() == {loser: ("live", 3), survivor: ("live", 3)}
    two.apply(two.fact("crm", "1", 7, email="b@x"))
    assert two.entity_of(*CRM) != two.entity_of(*ERP), "a rule does not undo what a steward split"
    two.apply(two.decision("merge", 8, record=CRM, into_record=ERP))
    assert two.entity_of(*CRM) == two.entity_of(*ERP)


def test_a_merge_and_its_unmerge_in_one_batch_commit_nothing(two: Any) -> None:
    result = two.apply(two.decision("merge", 5, record=CRM, into_record=ERP), two.decision("unmerge", 6, record=CRM))
    assert (result.decisions, result.versions) == (2, 0)


def test_a_record_split_off_its_own_home_gets_an_entity_of_its_own(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, email="a@x"), hub.fact("erp", "9", 1, email="a@x"))
    home = hub.entity_of(*CRM)
    hub.apply(hub.decision("unmerge", 5, record=CRM))
    assert hub.entity_of(*ERP) == home != hub.entity_of(*CRM)
    hub.apply(hub.fact("crm", "1", 6, email="a@x"), hub.fact("erp", "9", 6, email="a@x"))
    assert hub.entity_of(*CRM) != hub.entity_of(*ERP)


def test_whoever_joins_later_does_not_unite_what_is_apart(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, email="a@x", name="A", phone="1"), hub.fact("erp", "9", 1, email="a@x"))
    hub.apply(hub.decision("unmerge", 5, record=ERP))
    hub.apply(hub.fact("erp", "9", 6, email="c@x", name="C", phone="3"))
    hub.apply(hub.fact("web", "5", 7, email="c@x", name="A", phone="1"))
    assert hub.entity_of(*CRM) != hub.entity_of(*ERP)
    assert hub.entity_of(*WEB) == hub.entity_of(*ERP), "the first rule is the stronger one"


def test_what_is_held_apart_stays_so_through_a_merge(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, email="a@x"), hub.fact("erp", "9", 1, email="a@x"), hub.fact("web", "5", 2, email="w@x"))
    hub.apply(hub.decision("unmerge", 5, record=ERP))
    hub.apply(hub.decision("merge", 6, record=ERP, into_record=WEB))
    hub.apply(hub.fact("web", "5", 7, email="a@x"))
    assert hub.entity_of(*WEB) != hub.entity_of(*CRM)


def test_an_old_id_stands_for_what_it_was_merged_into_through_a_chain(hub: Any) -> None:
    hub.apply(*[hub.fact(system, "1", minute, email=f"{system}@x") for minute, system in enumerate(("a", "b", "c"))])
    first, second, third = (hub.entity_of(system, "1") for system in ("a", "b", "c"))
    hub.apply(hub.decision("merge", 5, entity_id=first, into_entity_id=second))
    hub.apply(hub.decision("merge", 6, entity_id=second, into_entity_id=third))
    hub.apply(hub.decision("override", 7, entity_id=first, attribute="city", value="Bern"))
    assert hub.state(third)["attributes"]["city"] == {
        "confidence": 1, "lastSeen": "2026-11-23T10:07:00.000000Z", "provenance": "steward", "value": "Bern",
    }  # fmt: skip
    hub.apply(hub.decision("unmerge", 8, entity_id=first))
    assert hub.entity_of("a", "1") == first
    assert hub.entity_of("b", "1") == third


def test_what_is_merged_along_a_chain_in_one_batch_names_the_last_survivor(two: Any) -> None:
    two.apply(two.fact("web", "5", 2, email="c@x"))
    first, last = two.entity_of(*CRM), two.entity_of(*WEB)
    two.apply(two.decision("merge", 5, record=CRM, into_record=ERP), two.decision("merge", 6, record=ERP, into_record=WEB))
    assert two.workspace.heads[first].merged_into == last


def test_there_is_nothing_to_split_off_a_single_record(two: Any) -> None:
    result = two.apply(two.decision("unmerge", 5, record=CRM), two.decision("unmerge", 5, entity_id=two.entity_of(*ERP)))
    assert (result.decisions, [each.field for each in result.rejected]) == (0, ["record", "entityId"])


@pytest.mark.parametrize("turned", [False, True])
def test_the_later_override_holds_whatever_came_first(hub: Any, turned: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, city="Bern"))
    decisions = [
        hub.decision("override", 5, record=CRM, attribute="city", value="Basel"),
        hub.decision("override", 6, record=CRM, attribute="city", value="Chur"),
    ]
    for decision in reversed(decisions) if turned else decisions:
        hub.apply(decision)
    hub.apply(hub.fact("crm", "1", 30, city="Genf"))
    assert hub.values(*CRM) == {"city": "Chur"}
    hub.apply(hub.decision("release", 7, record=CRM, attribute="city"))
    assert hub.values(*CRM) == {"city": "Genf"}


def test_an_override_with_null_hides_the_value(hub: Any) -> None:
    hub.apply(
        hub.fact("crm", "1", 0, city="Bern", name="A"), hub.decision("override", 1, record=CRM, attribute="city", value=None)
    )
    assert hub.values(*CRM) == {"name": "A"}


def test_an_override_survives_a_merge_and_returns_with_the_unmerge(two: Any) -> None:
    two.apply(two.decision("override", 4, record=CRM, attribute="city", value="Chur"))
    two.apply(two.decision("merge", 5, record=CRM, into_record=ERP))
    assert two.values(*ERP)["city"] == "Chur"
    two.apply(two.decision("unmerge", 6, record=CRM))
    assert (two.values(*CRM)["city"], two.values(*ERP)["city"]) == ("Chur", "Basel")


@pytest.mark.parametrize("turned", [False, True])
def test_the_later_approval_holds_whatever_came_first(new_hub: Any, turned: Any) -> None:
    hub = new_hub(Model(types={"Customer": EntityType(attributes={"name": Attribute()}, approval="pending")}))
    hub.apply(hub.fact("crm", "1", 0, name="A"))
    assert hub.state(hub.entity_of(*CRM))["approval"] == "pending"
    decisions = [hub.decision("approve", 5, record=CRM), hub.decision("withdraw", 6, record=CRM)]
    for decision in reversed(decisions) if turned else decisions:
        hub.apply(decision)
    assert hub.state(hub.entity_of(*CRM))["approval"] == "withdrawn"


def test_a_merge_does_not_publish_what_was_withdrawn(two: Any) -> None:
    two.apply(two.decision("withdraw", 4, record=CRM), two.decision("approve", 5, record=ERP))
    two.apply(two.decision("merge", 6, record=CRM, into_record=ERP))
    assert two.state(two.entity_of(*ERP))["approval"] == "withdrawn"
    two.apply(two.decision("approve", 7, record=ERP))
    assert two.state(two.entity_of(*ERP))["approval"] == "approved"


def test_a_stewards_delete_holds_against_older_facts_and_yields_to_newer_ones(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, email="a@x", name="Ada"))
    entity_id = hub.entity_of(*CRM)
    hub.apply(hub.decision("delete", 5, record=CRM))
    assert hub.kinds() == {entity_id: ("deleted", 2)}
    assert hub.apply(hub.fact("crm", "1", 4, name="Eve")).versions == 0
    assert hub.apply(hub.fact("erp", "9", 4, email="a@x", city="Bern")).versions == 0, "nor by another system's old word"
    hub.apply(hub.fact("erp", "9", 6, email="a@x", city="Bern"))
    assert hub.kinds() == {entity_id: ("live", 3)}
    assert hub.values(*ERP) == {"email": "a@x", "city": "Bern"}


def test_a_decision_about_nobody_or_nothing_is_rejected_beside_good_ones(two: Any) -> None:
    result = two.apply(
        two.decision("approve", 5, entity_id="nobody"),
        two.decision("approve", 5, record=ExternalId("crm", "404")),
        two.decision("merge", 5, record=CRM, into_entity_id="nobody"),
        two.decision("override", 5, record=CRM, attribute="nickname", value="x"),
        two.decision("withdraw", 5, record=CRM),
    )
    assert [each.field for each in result.rejected] == ["entityId", "record", "intoEntityId", "attribute"]
    assert result.decisions == 1


def test_two_types_are_never_merged(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, name="A"), hub.fact("crm", "2", 0, name="A", entity_type="Company"))
    result = hub.apply(hub.decision("merge", 1, record=CRM, into_record=ExternalId("crm", "2")))
    assert len(result.rejected) == 1


def test_a_decision_sees_the_facts_before_it_in_its_batch_and_facts_see_the_decision(hub: Any) -> None:
    hub.apply(
        hub.fact("crm", "1", 0, email="a@x"),
        hub.fact("erp", "9", 0, email="b@x"),
        hub.decision("merge", 1, record=CRM, into_record=ERP),
        hub.fact("web", "5", 2, email="a@x"),
    )
    assert hub.entity_of(*CRM) == hub.entity_of(*ERP) == hub.entity_of(*WEB)


def test_what_was_merged_into_an_entity_that_never_lived_still_leads_somewhere(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, email="b@x"), hub.decision("delete", 1, record=CRM))
    hub.apply(hub.fact("erp", "9", 2, email="a@x"))
    loser = hub.entity_of(*ERP)
    hub.apply(hub.fact("crm", "1", 3, email="a@x"), hub.decision("delete", 4, record=CRM))
    survivor = hub.entity_of(*ERP)
    assert hub.kinds() == {loser: ("merged", 2), survivor: ("deleted", 1)}
    hub.apply(hub.fact("erp", "9", 5, email="a@x"))
    assert hub.kinds()[survivor] == ("live", 2)


def test_nothing_can_be_decided_about_what_was_erased(two: Any) -> None:
    entity_id = two.entity_of(*CRM)
    two.apply(two.decision("delete", 4, record=CRM))
    two.workspace.heads[entity_id] = two.workspace.heads[entity_id]._replace(kind="erased")
    result = two.apply(two.decision("approve", 5, record=CRM), two.decision("merge", 6, record=ERP, into_record=CRM))
    assert [(each.field, entity_id in each.reason) for each in result.rejected] == [("record", True), ("intoRecord", True)]
    assert (result.decisions, result.versions) == (0, 0)


def test_a_decision_that_comes_from_another_file_is_the_same_decision(two: Any) -> None:
    given = {"kind": "merge", "record": CRM, "into_record": ERP, "decided_at": "2026-11-23T11:00:00Z"}
    assert two.apply(decision_from(**given, origin="one.csv:1")).decisions == 1
    result = two.apply(decision_from(**given, origin="two.csv:7"), decision_from(**given, origin="two.csv:8"))
    assert (result.decisions, result.repeated) == (0, 2)


def test_an_earlier_delete_that_comes_later_takes_nothing_back(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, name="Ada", entity_id="hub:1"))
    for minute in (10, 5):
        hub.apply(hub.decision("delete", minute, record=CRM))
    hub.apply(hub.fact("erp", "9", 7, city="Bern", entity_id="hub:1"))
    assert hub.golden() == set(), "who joins brings nothing from before the later one"


def test_a_record_that_got_an_entity_of_its_own_is_split_off_to_it_again(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, email="a@x"), hub.fact("erp", "9", 1, email="a@x"))
    both = hub.entity_of(*CRM)
    hub.apply(hub.decision("unmerge", 2, record=CRM))
    own = hub.entity_of(*CRM)
    hub.apply(hub.decision("merge", 3, record=CRM, into_record=ERP))
    assert hub.entity_of(*CRM) == both
    assert hub.apply(hub.decision("unmerge", 4, entity_id=own)).rejected == []
    assert (hub.entity_of(*CRM), hub.entity_of(*ERP)) == (own, both)


def test_a_survivor_is_not_split_off_itself(two: Any) -> None:
    two.apply(two.decision("merge", 5, record=CRM, into_record=ERP))
    result = two.apply(two.decision("unmerge", 6, entity_id=two.entity_of(*ERP)))
    assert [each.field for each in result.rejected] == ["entityId"]
    assert two.entity_of(*CRM) == two.entity_of(*ERP)


@pytest.fixture
def three(hub: Any) -> Any:
    """Two records of one entity, which was merged into a third's; one of them was split off since."""
    hub.apply(hub.fact("crm", "1", 0, email="a@x"), hub.fact("erp", "9", 1, email="a@x"), hub.fact("web", "5", 2, name="Zoe"))
    hub.first = hub.entity_of(*CRM)
    hub.apply(hub.decision("merge", 3, record=CRM, into_record=WEB))
    hub.apply(hub.decision("unmerge", 4, record=CRM))
    assert (hub.entity_of(*CRM), hub.entity_of(*ERP)) == (hub.first, hub.entity_of(*WEB))
    return hub


def test_who_is_split_off_returns_to_a_home_where_others_live_again(three: Any) -> None:
    three.apply(three.decision("unmerge", 5, record=ERP))
    assert three.entity_of(*ERP) == three.first


def test_who_is_split_off_does_not_return_to_a_home_that_was_merged_elsewhere(three: Any) -> None:
    three.apply(three.fact("app", "3", 5, name="Max"))
    three.apply(three.decision("merge", 6, record=CRM, into_record=ExternalId("app", "3")))
    three.apply(three.decision("unmerge", 7, record=ERP))
    assert three.entity_of(*ERP) not in {three.first, three.entity_of(*CRM), three.entity_of(*WEB)}


def test_nor_to_a_home_that_was_erased(two: Any) -> None:
    home = two.entity_of(*CRM)
    two.apply(two.decision("merge", 5, record=CRM, into_record=ERP))
    two.workspace.heads[home] = two.workspace.heads[home]._replace(kind="erased", merged_into=None)
    two.apply(two.decision("unmerge", 6, record=CRM))
    assert two.entity_of(*CRM) not in {home, two.entity_of(*ERP)}
    assert two.kinds()[home][0] == "erased"


def test_an_id_that_came_and_went_within_a_batch_is_nothing_to_decide_about(hub: Any) -> None:
    result = hub.apply(
        hub.fact("crm", "1", 0, name="Ada", entity_id="hub:1"),
        hub.decision("approve", 1, entity_id="hub:1"),
        hub.fact("crm", "1", 2, name="Ada", entity_id="hub:2"),
        hub.decision("withdraw", 3, entity_id="hub:1"),
    )
    assert (result.decisions, [each.field for each in result.rejected]) == (1, ["entityId"])
    assert hub.entity_of(*CRM) == "hub:2"


def test_what_the_hub_moved_away_since_cannot_be_split_off(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, city="Bern", entity_id="hub:1"), hub.fact("erp", "9", 0, city="Zug", entity_id="hub:2"))
    hub.apply(hub.decision("merge", 1, record=ERP, into_record=CRM))
    hub.apply(hub.fact("erp", "9", 2, entity_id="hub:3"))
    assert hub.entity_of(*ERP) == "hub:3"
    result = hub.apply(hub.decision("unmerge", 3, entity_id="hub:2"))
    assert [each.field for each in result.rejected] == ["entityId"]


def test_an_override_of_a_type_that_left_the_model_is_refused(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, name="Ada"))
    hub.mastering = Mastering(Model({"Company": EntityType({"name": Attribute()})}))
    result = hub.apply(hub.decision("override", 1, record=CRM, attribute="name", value="Zoe"))
    assert [each.field for each in result.rejected] == ["attribute"]


def test_an_override_stays_with_the_entity_that_it_was_made_about_however_often_that_was_merged(hub: Any) -> None:
    hub.apply(*[hub.fact(*ref, 0, name=ref.system) for ref in (CRM, ERP, WEB)])
    first = hub.entity_of(*CRM)
    hub.apply(hub.decision("override", 1, record=WEB, attribute="city", value="Rome"))
    hub.apply(hub.decision("merge", 2, record=WEB, into_record=CRM))
    hub.apply(hub.decision("merge", 3, record=CRM, into_record=ERP))
    hub.apply(hub.decision("unmerge", 4, entity_id=first))
    assert hub.values(*CRM) == {"name": "crm"}
    assert hub.values(*ERP)["city"] == "Rome"
    assert hub.entity_of(*WEB) == hub.entity_of(*ERP)


def test_an_entity_that_the_hub_emptied_can_be_merged_and_leads_somewhere(hub: Any) -> None:
    hub.apply(hub.fact("crm", "1", 0, city="Bern", entity_id="hub:1"))
    hub.apply(hub.fact("crm", "1", 1, city="Bern", entity_id="hub:2"))
    result = hub.apply(hub.decision("merge", 2, entity_id="hub:1", into_entity_id="hub:2"))
    assert (result.merges, hub.kinds()["hub:1"], hub.workspace.heads["hub:1"].merged_into) == (1, ("merged", 3), "hub:2")


def test_what_comes_late_about_an_erased_entity_makes_no_new_version(two: Any) -> None:
    entity_id = two.entity_of(*CRM)
    two.apply(two.decision("delete", 4, record=CRM))
    two.workspace.heads[entity_id] = two.workspace.heads[entity_id]._replace(kind="erased")
    assert two.apply(two.fact("crm", "1", 5, deleted=True)).versions == 0
    assert two.kinds()[entity_id] == ("erased", 2)


def test_an_id_of_the_hub_that_is_merged_in_its_first_batch_leads_somewhere_and_counts_as_no_merge(hub: Any) -> None:
    result = hub.apply(
        hub.fact("crm", "1", 0, city="Bern", entity_id="hub:1"), hub.fact("erp", "9", 0, city="Zug", entity_id="hub:2"),
        hub.fact("web", "5", 0, name="Zoe"),
        hub.decision("merge", 1, record=ERP, into_record=CRM), hub.decision("merge", 2, record=WEB, into_record=CRM),
    )  # fmt: skip
    assert hub.kinds() == {"hub:1": ("live", 1), "hub:2": ("merged", 1)}
    assert (result.merges, result.versions) == (0, 2)


def test_an_unmerge_and_the_merge_again_in_one_batch_commit_no_second_tombstone(two: Any) -> None:
    loser = two.entity_of(*CRM)
    two.apply(two.decision("merge", 5, record=CRM, into_record=ERP))
    result = two.apply(two.decision("unmerge", 6, record=CRM), two.decision("merge", 7, record=CRM, into_record=ERP))
    assert (result.versions, two.kinds()[loser]) == (0, ("merged", 2))
    two.apply(two.fact("web", "5", 8, name="Zoe"))
    two.apply(two.decision("unmerge", 9, record=CRM), two.decision("merge", 10, record=CRM, into_record=WEB))
    assert (two.kinds()[loser], two.workspace.heads[loser].merged_into) == (("merged", 3), two.entity_of(*WEB))


@pytest.mark.parametrize("kinds", [("approve", "withdraw"), ("withdraw", "approve")])
def test_of_two_approvals_of_one_time_the_withdrawal_holds(hub: Any, kinds: tuple[str, str]) -> None:
    hub.apply(hub.fact("crm", "1", 0, name="Ada"))
    hub.apply(*[hub.decision(kind, 5, record=CRM) for kind in kinds])
    assert hub.state(hub.entity_of(*CRM))["approval"] == "withdrawn"


def test_what_begins_as_pending_is_approved_by_an_approval_and_by_no_other_decision(new_hub: Any) -> None:
    hub = new_hub(Model({"Customer": EntityType({"name": Attribute()}, approval="pending")}))
    hub.apply(hub.fact("crm", "1", 0, name="Ada"))
    approvals = []
    for kind, given in (("override", {"attribute": "name", "value": "Zoe"}), ("approve", {})):
        hub.apply(hub.decision(kind, 5, record=CRM, **given))
        approvals.append(hub.state(hub.entity_of(*CRM))["approval"])
    assert approvals == ["pending", "approved"]


@pytest.mark.parametrize(("loser", "survivor"), [(CRM, ERP), (ERP, CRM)])
def test_of_two_overrides_that_a_merge_brings_together_the_later_one_holds(two: Any, loser: Any, survivor: Any) -> None:
    for record, minute, value in ((CRM, 5, "Rome"), (ERP, 3, "Oslo")):
        two.apply(two.decision("override", minute, record=record, attribute="city", value=value))
    two.apply(two.decision("merge", 6, record=loser, into_record=survivor))
    assert two.values(*CRM)["city"] == "Rome"
