from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
import rfc8785

from goldwire.changelog.rows import Control
from goldwire.contract.compiled import CompiledContract, compile_contract
from goldwire.contract.spec import ContractSpec, Truncate
from goldwire.event.hash import read
from goldwire.event.seal import seal, seal_again
from goldwire.event.sealed import SealedEvent
from goldwire.mastering.model import Attribute, EntityType, Model
from support.states import control_after, golden_state, log_row

Make = Callable[..., CompiledContract]
ANNA = {"name": "Anna", "email": "anna@acme.com", "city": "Ulm", "vip": True}


def sent(result: object) -> SealedEvent:
    assert isinstance(result, SealedEvent)
    return result


def body(event: object) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(sent(event).body)
    return parsed


def values(event: object) -> dict[str, Any]:
    return {name: one["value"] for name, one in body(event)["changes"]["attributes"].items()}


def first(make: Make, state: bytes, **spec: Any) -> tuple[CompiledContract, SealedEvent, Control]:
    contract = make(**spec)
    event = sent(seal(contract, log_row(state), None, None))
    return contract, event, control_after(event)


def test_a_full_event_has_every_member_that_the_wire_names(make: Make) -> None:
    state = golden_state(
        ANNA, edges=[{"rel": "employs", "to": {"entityId": "e2"}}], external_ids=[("crm", "1"), ("billing", "b1")]
    )
    event = sent(seal(make(), log_row(state, version=7), None, None))
    parsed = body(event)
    assert sorted(parsed) == [
        "changes", "entityId", "entityType", "eventType", "externalIds", "hash", "payload", "previousHash", "specVersion",
        "timestamp", "version",
    ]  # fmt: skip
    assert parsed["specVersion"] == "cluedin-1.0"
    assert parsed["eventType"] == event.event_type == "EntityChanged"
    assert parsed["version"] == event.version == 7
    assert parsed["payload"] == "full"
    assert parsed["previousHash"] is None
    assert parsed["externalIds"] == [{"id": "b1", "system": "billing"}, {"id": "1", "system": "crm"}]
    assert parsed["changes"]["edges"] == [{"rel": "employs", "to": {"entityId": "e2"}}]
    assert parsed["changes"]["attributes"]["city"] == {
        "value": "Ulm", "provenance": "crm", "confidence": 0.9, "lastSeen": "2026-11-23T10:00:00.000000Z",
    }  # fmt: skip


def test_the_hash_is_that_of_the_canonical_event_without_its_hash(make: Make) -> None:
    event = sent(seal(make(), log_row(golden_state({**ANNA, "hash": "no member of mine"})), None, None))
    parsed = body(event)
    stated = parsed.pop("hash")
    assert stated == "sha256:" + sha256(rfc8785.dumps(parsed)).hexdigest() == f"sha256:{event.hash.hex()}"


def test_the_next_event_names_the_hash_of_the_one_before(make: Make) -> None:
    contract, event, held = first(make, golden_state(ANNA))
    later = sent(seal(contract, log_row(golden_state({**ANNA, "city": "Bonn"}), version=2), held, None))
    assert body(later)["previousHash"] == body(event)["hash"]
    assert later.previous_hash == event.hash


def test_a_delta_carries_what_changed_and_nothing_else(make: Make) -> None:
    base = golden_state({"city": "Ulm", "hash": "x", "name": "Anna"}, edges=[{"rel": "employs", "to": {"entityId": "e2"}}])
    new = golden_state({"city": "Bonn", "name": "Anna", "vip": True}, edges=[{"rel": "owes", "to": {"entityId": "e3"}}])
    contract, _, held = first(make, base, payload="delta")
    event = sent(seal(contract, log_row(new, version=3), held, base))
    assert values(event) == {"city": "Bonn", "hash": None, "vip": True}
    assert body(event)["payload"] == "delta"
    assert body(event)["changes"]["edges"] == [
        {"rel": "owes", "to": {"entityId": "e3"}},
        {"op": "removed", "rel": "employs", "to": {"entityId": "e2"}},
    ]
    assert event.base_version == 1


def test_a_delta_without_a_visible_change_is_filtered(make: Make) -> None:
    base = golden_state({"city": "Ulm", "vip": True})
    contract, _, held = first(make, base, payload="delta", attributes=("city",))
    assert seal(contract, log_row(golden_state({"city": "Ulm", "vip": False}), version=2), held, base) == "in"


def test_a_newer_time_a_source_or_a_confidence_alone_is_no_change_of_an_attribute(make: Make) -> None:
    base = golden_state({"city": "Ulm", "name": "Anna"}, provenance="crm", last_seen="2026-11-23T10:00:00.000000Z")
    seen = golden_state(
        {"city": "Ulm", "name": "Anna"}, provenance="erp", last_seen="2026-11-24T10:00:00.000000Z", confidence=0.5
    )
    moved = golden_state({"city": "Bonn", "name": "Anna"}, provenance="erp", last_seen="2026-11-24T10:00:00.000000Z")
    contract, _, held = first(make, base, payload="delta")
    assert seal(contract, log_row(seen, version=2), held, base) == "in"
    event = sent(seal(contract, log_row(moved, version=3), held, base))
    assert values(event) == {"city": "Bonn"}
    assert body(event)["changes"]["attributes"]["city"]["lastSeen"] == "2026-11-24T10:00:00.000000Z"
    whole, _, held = first(make, base)
    assert values(seal(whole, log_row(seen, version=2), held, None)) == {"city": "Ulm", "name": "Anna"}


def test_a_value_that_becomes_another_behind_a_mask_that_shows_the_same_is_no_change(make: Make) -> None:
    base = golden_state({"name": "Anna"}, last_seen="2026-11-23T10:00:00.000000Z")
    new = golden_state({"name": "Anne"}, last_seen="2026-11-24T10:00:00.000000Z")
    contract, _, held = first(make, base, payload="delta", masks={"name": "redact"})
    assert seal(contract, log_row(new, version=2), held, base) == "in"


def test_a_revision_from_before_that_seals_as_it_did(make: Make) -> None:
    """What may have been sent under it is sealed again byte for byte."""
    base = golden_state({"city": "Ulm"}, last_seen="2026-11-23T10:00:00.000000Z")
    seen = golden_state({"city": "Ulm"}, last_seen="2026-11-24T10:00:00.000000Z")
    contract, _, held = first(make, base, payload="delta")
    contract.delta_by_value = False
    assert values(seal(contract, log_row(seen, version=2), held, base)) == {"city": "Ulm"}


def test_a_change_of_external_ids_alone_is_a_visible_change(make: Make) -> None:
    base = golden_state({"city": "Ulm"})
    new = golden_state({"city": "Ulm"}, external_ids=[("crm", "1"), ("erp", "9")])
    contract, _, held = first(make, base, payload="delta")
    assert values(seal(contract, log_row(new, version=2), held, base)) == {}
    hidden, _, held = first(make, base, payload="delta", external_ids=("crm",))
    assert seal(hidden, log_row(new, version=2), held, base) == "in"


def test_a_change_behind_a_mask_that_hides_it_is_filtered(make: Make) -> None:
    base, new = golden_state({"name": "Anna"}), golden_state({"name": "Anne"})
    redacting, _, held = first(make, base, payload="delta", masks={"name": "redact"})
    assert seal(redacting, log_row(new, version=2), held, base) == "in"
    hashing, _, held = first(make, base, payload="delta", masks={"name": "hash"})
    assert sent(seal(hashing, log_row(new, version=2), held, base)).base_version == 1


@pytest.mark.parametrize("why", ["revision", "presence", "no base"])
def test_a_delta_without_its_ground_becomes_a_full_event(make: Make, why: str) -> None:
    base = golden_state(ANNA)
    contract, _, held = first(make, base, payload="delta")
    if why == "revision":
        held = held._replace(revision=9)
    if why == "presence":
        held = held._replace(presence="out")
    event = sent(seal(contract, log_row(base, version=2), held, None if why == "no base" else base))
    assert body(event)["payload"] == "full"
    assert values(event) == ANNA
    assert event.base_version is None


def test_a_record_that_leaves_the_selection_is_deselected_where_asked(make: Make) -> None:
    inside, outside = golden_state({"city": "Ulm"}), golden_state({"city": "Bonn"})
    where = 'a.city == "Ulm"'
    contract, event, held = first(make, inside, where=where, deselect=True)
    gone = sent(seal(contract, log_row(outside, version=2), held, None))
    assert (gone.event_type, gone.reason, gone.presence) == ("EntityDeleted", "deselected", "gone")
    assert "changes" not in body(gone)
    assert body(gone)["payload"] == "full"
    assert body(gone)["externalIds"] == [{"id": "1", "system": "crm"}]
    assert seal(contract, log_row(outside, version=3), control_after(gone), None) == "gone"
    back = sent(seal(contract, log_row(inside, version=4), control_after(gone), None))
    assert body(back)["payload"] == "full"
    assert body(back)["previousHash"] == body(gone)["hash"] != body(event)["hash"]


def test_a_record_that_leaves_quietly_is_out_and_comes_back_in_full(make: Make) -> None:
    inside, outside = golden_state({"city": "Ulm"}), golden_state({"city": "Bonn"})
    contract, _, held = first(make, inside, where='a.city == "Ulm"', payload="delta")
    assert seal(contract, log_row(outside, version=2), held, inside) == "out"
    assert seal(contract, log_row(outside, version=3), held._replace(presence="out"), inside) == "out"
    assert body(seal(contract, log_row(inside, version=4), held._replace(presence="out"), inside))["payload"] == "full"


def test_what_was_never_sent_is_neither_deselected_nor_deleted(make: Make) -> None:
    contract = make(where='a.city == "Ulm"', deselect=True)
    assert seal(contract, log_row(golden_state({"city": "Bonn"})), None, None) == "gone"
    assert seal(contract, log_row(golden_state({}), version=2, kind="deleted"), None, None) == "gone"


@pytest.mark.parametrize("presence", ["in", "out"])
@pytest.mark.parametrize("kind", ["deleted", "merged", "erased"])
def test_a_tombstone_reaches_whoever_may_hold_the_record(make: Make, kind: Any, presence: Any) -> None:
    contract, event, held = first(make, golden_state(ANNA))
    row = log_row(golden_state({}), version=2, kind=kind, merged_into="e9" if kind == "merged" else None)
    gone = sent(seal(contract, row, held._replace(presence=presence), None))
    assert gone.reason == body(gone)["reason"] == kind
    assert body(gone).get("mergedInto") == ("e9" if kind == "merged" else None)
    assert body(gone)["previousHash"] == body(event)["hash"]
    assert seal(contract, row._replace(version=3), control_after(gone), None) == "gone"
    parsed = body(gone)
    assert rfc8785.dumps(parsed) == gone.body


def test_a_target_without_deletions_is_not_told_of_them(make: Make) -> None:
    contract, _, held = first(make, golden_state(ANNA), kinds=("EntityChanged",))
    assert seal(contract, log_row(golden_state({}), version=2, kind="deleted"), held, None) == "in"


def test_a_target_of_deletions_alone_is_told_of_each_once(make: Make) -> None:
    contract = make(kinds=("EntityDeleted",))
    assert seal(contract, log_row(golden_state(ANNA)), None, None) == "gone"
    gone = sent(seal(contract, log_row(golden_state({}), version=2, kind="erased"), None, None))
    assert gone.reason == "erased"
    assert seal(contract, log_row(golden_state({}), version=2, kind="erased"), control_after(gone), None) == "gone"
    pending = golden_state({}, approval="pending")
    assert seal(contract, log_row(pending, version=2, kind="erased"), None, None) == "gone"


@pytest.mark.parametrize(
    ("spec", "state", "selected"),
    [
        ({}, {"status": "provisional"}, False),
        ({"golden": False}, {"status": "provisional"}, True),
        ({"min_confidence": 0.9}, {"confidence": 0.9}, True),
        ({"min_confidence": 0.91}, {"confidence": 0.9}, False),
        ({}, {"approval": "pending"}, False),
        ({}, {"approval": "withdrawn"}, False),
        ({"approval": "any"}, {"approval": "withdrawn"}, True),
        ({"approval": ("pending",)}, {"approval": "approved"}, False),
        ({"types": ("Product",)}, {}, False),
        ({"where": 'record.status == "golden" && a.city == "Ulm"'}, {}, True),
        ({"where": "a.price > 1.0"}, {}, False),
    ],
)
def test_a_record_is_selected_as_the_contract_says(
    make: Make, spec: dict[str, Any], state: dict[str, Any], selected: bool
) -> None:
    result = seal(make(**spec), log_row(golden_state(ANNA, **state)), None, None)
    assert isinstance(result, SealedEvent) is selected


def test_a_type_that_a_revision_dropped_is_deselected_with_its_external_ids(make: Make) -> None:
    _, _, held = first(make, golden_state(ANNA))
    contract = make(types=("Product",), deselect=True, revision=2)
    gone = sent(seal(contract, log_row(golden_state(ANNA), version=2), held, None))
    assert gone.reason == "deselected"
    assert body(gone)["externalIds"] == [{"id": "1", "system": "crm"}]


def test_only_what_the_contract_names_is_carried(make: Make) -> None:
    state = golden_state(
        ANNA,
        edges=[{"rel": "employs", "to": {"entityId": "e2"}}, {"rel": "owes", "to": {"entityId": "e3"}}],
        external_ids=[("crm", "1"), ("billing", 'x","system":"crm"}')],
    )
    contract = make(attributes=("city",), edges=("employs",), external_ids=("crm",), where='a.name == "Anna"')
    event = seal(contract, log_row(state), None, None)
    assert values(event) == {"city": "Ulm"}
    assert [edge["rel"] for edge in body(event)["changes"]["edges"]] == ["employs"]
    assert body(event)["externalIds"] == [{"id": "1", "system": "crm"}]
    bare = make(attributes=(), edges="none", external_ids="none")
    parsed = body(seal(bare, log_row(state), None, None))
    assert (parsed["changes"], parsed["externalIds"]) == ({"attributes": {}, "edges": []}, [])


def test_an_attribute_or_relation_that_the_model_does_not_know_does_not_get_out(make: Make) -> None:
    state = golden_state({**ANNA, "salary": 9}, edges=[{"rel": "dates", "to": {"entityId": "e2"}}])
    event = seal(make(), log_row(state), None, None)
    assert "salary" not in values(event)
    assert body(event)["changes"]["edges"] == []


def test_an_edge_to_an_id_of_a_hidden_system_is_left_out_whatever_stands_beside_it(make: Make) -> None:
    hidden = {"rel": "owes", "to": {"externalId": {"id": "7", "system": "billing"}}}
    shown = [{"rel": "employs", "to": {"entityId": "e2"}}, {"rel": "owes", "to": {"externalId": {"id": "7", "system": "crm"}}}]
    event = seal(make(external_ids=("crm",)), log_row(golden_state({}, edges=[*shown, hidden])), None, None)
    assert body(event)["changes"]["edges"] == shown


def test_a_deletion_shows_no_more_external_ids_than_a_change_even_of_a_type_that_is_selected_no_more(make: Make) -> None:
    ids = [("crm", "1"), ("billing", "b1")]
    state = golden_state(ANNA, external_ids=ids)
    _, _, held = first(make, state)
    shown = {"all": 2, "none": 0, ("crm",): 1}
    for types in ("all", ("Product",)):
        for external_ids, count in shown.items():
            contract = make(types=types, external_ids=external_ids)
            gone = log_row(golden_state({}, external_ids=ids), version=2, kind="deleted")
            assert len(body(seal(contract, gone, held, None))["externalIds"]) == count
            left = make(types=types, external_ids=external_ids, deselect=True, min_confidence=1.0)
            assert len(body(seal(left, log_row(state, version=2), held, None))["externalIds"]) == count


def test_a_selection_is_by_status_approval_and_confidence(make: Make) -> None:
    def selected(state: bytes, **spec: Any) -> bool:
        return isinstance(seal(make(**spec), log_row(state), None, None), SealedEvent)

    provisional = golden_state(ANNA, status="provisional")
    assert (selected(provisional), selected(provisional, golden=False)) == (False, True)
    assert selected(golden_state(ANNA), golden=False)
    for approval in ("approved", "pending", "withdrawn"):
        state = golden_state(ANNA, approval=approval)
        assert selected(state) is (approval == "approved")
        assert selected(state, approval="any")
        assert selected(state, approval=("pending", "withdrawn")) is (approval != "approved")
    assert selected(golden_state(ANNA, confidence=0.5), min_confidence=0.5)
    assert not selected(golden_state(ANNA, confidence=0.5), min_confidence=0.51)


def test_a_delta_of_an_older_revision_names_what_only_came_from_elsewhere_too() -> None:
    spec, model = ContractSpec(payload="delta"), Model({"Customer": EntityType({"city": Attribute(), "name": Attribute()})})
    base = golden_state({"city": "Ulm", "name": "Anna"})
    new = golden_state({"city": "Ulm", "name": "Ada"}, provenance="erp")
    for by_value, named in ((True, ["name"]), (False, ["city", "name"])):
        contract = compile_contract("feed", spec, model, "crm", (), {}, 1, delta_by_value=by_value)
        held = control_after(sent(seal(contract, log_row(base), None, None)))
        assert list(values(seal(contract, log_row(new, version=2), held, base))) == named


def test_the_classification_is_that_of_what_the_event_carries(make: Make) -> None:
    def carried(contract: CompiledContract, **state: Any) -> tuple[str, int | None]:
        event = sent(seal(contract, log_row(golden_state(**state)), None, None))
        return event.classification, event.retention_days

    owes = [{"rel": "owes", "to": {"entityId": "e3"}}]
    assert carried(make(), attributes={"city": "Ulm"}) == ("", None)
    assert carried(make(), attributes={"name": "Anna"}) == ("pii", 365)
    assert carried(make(), attributes=ANNA) == ("contact,internal,pii", 30)
    assert carried(make(masks={"email": "hash"}), attributes=ANNA) == ("internal,pii", 365)
    assert carried(make(masks={"pii": Truncate(2)}), attributes=ANNA) == ("internal", None)
    assert carried(make(), attributes={}, edges=owes) == ("internal", None)
    employs = [{"rel": "employs", "to": {"entityId": "e2"}}]
    assert carried(make(), attributes={}, edges=employs + owes) == ("internal", None)
    assert carried(make(), attributes={}, edges=employs) == ("", None)


def test_the_classification_of_a_delta_is_that_of_its_changes(make: Make) -> None:
    base, new = golden_state(ANNA), golden_state({**ANNA, "vip": False})
    contract, _, held = first(make, base, payload="delta")
    assert sent(seal(contract, log_row(new, version=2), held, base)).classification == "internal"


@pytest.mark.parametrize("entity_id", ['quote"back\\slash', "new\nline", "ünï😀", "x" * 300, "\u2028", ""])
def test_an_upstream_entity_id_may_be_any_text(make: Make, entity_id: str) -> None:
    event = sent(seal(make(), log_row(golden_state(ANNA), entity_id=entity_id), None, None))
    assert body(event)["entityId"] == entity_id
    assert rfc8785.dumps(body(event)) == event.body


@pytest.mark.parametrize("payload", ["full", "delta"])
def test_what_was_settled_can_be_sealed_again_byte_for_byte(make: Make, payload: str) -> None:
    states = [golden_state({**ANNA, "city": city}) for city in ("Ulm", "Bonn", "Kiel")]
    contract = make(payload=payload)
    held: Control | None = None
    for version, state in enumerate(states, 1):
        row = log_row(state, version=version)
        event = sent(seal(contract, row, held, states[version - 2] if held else None))
        held = control_after(event)
        base = states[held.base_version - 1] if held.base_version else None
        assert seal_again(contract, row, held, base) == event
    tombstone = log_row(golden_state({}), version=4, kind="deleted")
    gone = sent(seal(contract, tombstone, held, None))
    assert seal_again(contract, tombstone, control_after(gone), None) == gone


def test_what_was_settled_in_full_is_not_sealed_again_as_a_delta(make: Make) -> None:
    base, new = golden_state(ANNA), golden_state({**ANNA, "city": "Bonn"})
    contract, _, held = first(make, base, payload="delta")
    row = log_row(new, version=2)
    whole = sent(seal(contract, row, held, None))
    assert seal_again(contract, row, control_after(whole), base) == whole


def test_what_left_the_selection_unsaid_is_deleted_once_deletions_are_sent_for_that(make: Make) -> None:
    _, _, held = first(make, golden_state(ANNA))
    row = log_row(golden_state(ANNA, status="provisional"), version=2)
    assert seal(make(), row, held, None) == "out"
    out = held._replace(presence="out")
    assert seal(make(), row, out, None) == "out"
    assert body(seal(make(deselect=True), row, out, None))["reason"] == "deselected"
    assert seal(make(deselect=True), row, held._replace(presence="gone"), None) == "gone"
    assert seal(make(deselect=True), row, None, None) == "gone"


def test_a_record_that_lives_again_is_news_once_more_for_who_takes_deletions_alone(make: Make) -> None:
    contract = make(kinds=("EntityDeleted",))
    row = log_row(golden_state(ANNA))
    gone = control_after(sent(seal(contract, log_row(golden_state(ANNA), kind="deleted"), None, None)))
    assert seal(contract, row, None, None) == "gone"
    assert seal(contract, row, gone, None) == "out"
    assert seal(contract, row, gone._replace(presence="in"), None) == "in"


def test_only_a_merge_names_what_a_record_was_merged_into(make: Make) -> None:
    _, _, held = first(make, golden_state(ANNA))
    for kind in ("merged", "erased", "deleted"):
        row = log_row(golden_state({}), version=2, kind=kind, merged_into="e2")
        assert body(seal(make(), row, held, None)).get("mergedInto") == ("e2" if kind == "merged" else None)


def test_a_sealed_event_stays_as_it_is(make: Make) -> None:
    _, event, _ = first(make, golden_state(ANNA))
    with pytest.raises(AttributeError):
        event.body = b""  # type: ignore[misc]


def test_a_ten_megabyte_value_is_sealed_like_any_other(make: Make) -> None:
    event = sent(seal(make(), log_row(golden_state({"city": "x" * 10_000_000})), None, None))
    assert len(event.body) > 10_000_000


def test_attributes_stand_in_the_order_of_utf_16_as_canonical_json_wants_it(make: Make) -> None:
    names = ("\N{GRINNING FACE}", "\N{HEBREW LETTER WIDE ALEF}", "a")  # by code points the first would be the last
    model = Model({"Customer": EntityType({name: Attribute() for name in names})})
    event = sent(seal(make(model=model, clearance=()), log_row(golden_state(dict.fromkeys(names, 1))), None, None))
    assert list(values(event)) == ["a", names[0], names[1]]
    assert read(event.body)[1]
