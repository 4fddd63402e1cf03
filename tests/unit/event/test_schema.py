from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from goldwire.contract.compiled import CompiledContract
from goldwire.contract.spec import Truncate
from goldwire.event.schema import event_schema
from goldwire.event.seal import seal
from goldwire.event.sealed import SealedEvent
from support.states import control_after, golden_state, log_row

Make = Callable[..., CompiledContract]
ANNA = {"name": "Anna Schmidt", "email": "anna@acme.com", "city": "Ulm", "vip": True}


def full(contract: CompiledContract, **state: Any) -> dict[str, Any]:
    event = seal(contract, log_row(golden_state(ANNA, **state)), None, None)
    assert isinstance(event, SealedEvent)
    parsed: dict[str, Any] = json.loads(event.body)
    return parsed


def accepts(contract: CompiledContract, event: dict[str, Any]) -> bool:
    schema = event_schema(contract)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema).is_valid(event)


@pytest.mark.parametrize(
    "spec",
    [
        {}, {"attributes": ("city",)}, {"edges": "none", "external_ids": "none"}, {"external_ids": ("crm",)},
        {"masks": {"name": "hash", "email": "partial", "city": "redact"}},
        {"masks": {"name": "tokenise", "city": Truncate(2)}}, {"payload": "delta"}, {"kinds": ("EntityChanged",)},
    ],
)  # fmt: skip
def test_the_schema_takes_what_the_contract_lets_out(make: Make, spec: dict[str, Any]) -> None:
    contract = make(**spec)
    owes = [{"rel": "owes", "to": {"externalId": {"system": "erp", "id": "7"}}}]
    assert accepts(contract, full(contract, edges=owes))


@pytest.mark.parametrize("reason", ["deleted", "merged", "erased", "deselected"])
def test_the_schema_takes_deletions(make: Make, reason: Any) -> None:
    contract = make(deselect=True, golden=True)
    first = seal(contract, log_row(golden_state(ANNA)), None, None)
    assert isinstance(first, SealedEvent)
    if reason == "deselected":
        row = log_row(golden_state(ANNA, status="provisional"), version=2)
    else:
        row = log_row(golden_state({}), version=2, kind=reason, merged_into="e2" if reason == "merged" else None)
    gone = seal(contract, row, control_after(first), None)
    assert isinstance(gone, SealedEvent)
    assert accepts(contract, json.loads(gone.body))


def test_a_clear_value_where_a_mask_belongs_does_not_fit(make: Make) -> None:
    clear = full(make())
    for mask in ("redact", "hash", "tokenise", "partial", Truncate(3)):
        contract = make(masks={"name": mask})
        assert accepts(contract, full(contract))
        assert not accepts(contract, clear)


def test_an_attribute_that_the_contract_does_not_show_does_not_fit(make: Make) -> None:
    assert not accepts(make(attributes=("city",)), full(make()))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("version", 0), ("version", "1"), ("hash", "x"), ("previousHash", "x"), ("payload", "delta"), ("specVersion", "2"),
        ("eventType", "EntityDeleted"), ("entityType", "Other"), ("timestamp", "yesterday"), ("externalIds", [{"id": 1}]),
        ("surplus", 1),
    ],
)  # fmt: skip
def test_an_event_that_is_not_as_the_wire_says_does_not_fit(make: Make, member: str, value: object) -> None:
    contract = make()
    event = full(contract)
    assert accepts(contract, event)
    assert not accepts(contract, {**event, member: value})
    without = dict(event)
    if without.pop(member, None) is not None:
        assert not accepts(contract, without)


def test_the_schema_describes_what_is_classified(make: Make) -> None:
    [customer] = [one for one in event_schema(make())["oneOf"] if one["title"] == "Customer changed"]
    attributes = customer["properties"]["changes"]["properties"]["attributes"]["properties"]
    assert attributes["email"]["description"] == "Classified: contact, pii."
    assert "description" not in attributes["city"]


def test_the_whole_schema_of_a_small_contract_reads_as_it_should(make: Make) -> None:
    contract = make(types=("Product",), payload="delta", deselect=True, masks={"city": Truncate(2)}, external_ids=("crm",))
    reference = {name: {"$ref": f"#/$defs/{name}"} for name in ("externalIds", "hash", "timestamp")}
    envelope = {
        "entityId": {"type": "string", "description": "Stable identity of the golden record; opaque."},
        "externalIds": reference["externalIds"],
        "hash": reference["hash"],
        "previousHash": {"anyOf": [reference["hash"], {"type": "null"}]},
        "specVersion": {"const": "cluedin-1.0"},
        "timestamp": reference["timestamp"],
        "version": {"type": "integer", "minimum": 1},
    }

    def closed(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
        required = sorted(properties)
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False, **more}

    def attribute(value: Any) -> dict[str, Any]:
        described = {"type": "string", "description": "The system it won from."}
        confidence = {"type": "number", "minimum": 0, "maximum": 1}
        return closed({"confidence": confidence, "lastSeen": reference["timestamp"], "provenance": described, "value": value})

    anything = True
    shown = {
        "city": attribute({"anyOf": [{"type": "string", "maxLength": 2}, {"type": "null"}]}),
        "price": attribute(anything),
    }
    attributes = {"type": "object", "properties": shown, "additionalProperties": False}
    changed = closed(
        envelope
        | {
            "entityType": {"const": "Product"},
            "eventType": {"const": "EntityChanged"},
            "payload": {"enum": ["delta", "full"]},
            "changes": closed({"attributes": attributes, "edges": {"type": "array", "maxItems": 0}}),
        },
        title="Product changed",
    )
    deleted = closed(
        envelope
        | {
            "entityType": {"type": "string"},
            "eventType": {"const": "EntityDeleted"},
            "payload": {"const": "full"},
            "reason": {"enum": ["deleted", "merged", "erased", "deselected"]},
        },
        title="Entity deleted",
        dependentSchemas={"mergedInto": {"properties": {"reason": {"const": "merged"}}}},
    )
    deleted["properties"]["mergedInto"] = {"type": "string", "description": "The surviving entityId."}
    external_id = closed({"id": {"type": "string"}, "system": {"enum": ["crm"]}})
    assert event_schema(contract) == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Events under contract feed, revision 1",
        "type": "object",
        "oneOf": [changed, deleted],
        "$defs": {
            "externalIds": {"type": "array", "items": external_id},
            "hash": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
            "timestamp": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$"},
        },
    }


def test_edges_lead_to_an_entity_or_to_an_external_id_and_a_delta_may_remove_them(make: Make) -> None:
    [customer] = event_schema(make(types=("Customer",), kinds=("EntityChanged",), payload="delta"))["oneOf"]
    edges = customer["properties"]["changes"]["properties"]["edges"]

    def fits(edge: dict[str, Any]) -> bool:
        return jsonschema.Draft202012Validator(edges).is_valid([edge])

    entity, external = {"entityId": "e2"}, {"externalId": {"system": "erp", "id": "7"}}
    for one in (
        {"rel": "owes", "to": entity},
        {"rel": "employs", "to": external},
        {"rel": "owes", "to": entity, "op": "removed"},
    ):
        assert fits(one), one
    for one in (
        {"rel": "knows", "to": entity},
        {"rel": "owes"},
        {"to": entity},
        {"rel": "owes", "to": {}},
        {"rel": "owes", "to": {**entity, **external}},
        {"rel": "owes", "to": {"entityId": 7}},
        {"rel": "owes", "to": {"externalId": {"system": "erp"}}},
        {"rel": "owes", "to": {**entity, "more": 1}},
        {"rel": "owes", "to": {**external, "more": 1}},
        {"rel": "owes", "to": entity, "op": "added"},
        {"rel": "owes", "to": entity, "more": 1},
        "owes",
    ):
        assert not fits(one), one
    [full] = event_schema(make(types=("Customer",), kinds=("EntityChanged",)))["oneOf"]
    assert "op" not in full["properties"]["changes"]["properties"]["edges"]["items"]["properties"]
