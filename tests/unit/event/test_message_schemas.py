"""The schemas that AsyncAPI takes say the same of each event as the JSON Schema of 2020-12."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldwire.contract.compiled import CompiledContract
from goldwire.contract.spec import Truncate
from goldwire.event.message_schemas import (
    EventMessage,
    as_draft_07,
    attribute_schemas,
    event_messages,
    header_schemas,
    structured_schema,
)
from goldwire.event.schema import event_schema
from goldwire.event.seal import seal
from goldwire.event.sealed import SealedEvent
from support.states import control_after, golden_state, log_row

Make = Callable[..., CompiledContract]
ANNA = {"name": "Anna Schmidt", "email": "anna@acme.com", "city": "Ulm", "vip": True}
SPECS: list[dict[str, Any]] = [
    {}, {"attributes": ("city",)}, {"edges": "none", "external_ids": "none"}, {"external_ids": ("crm",)},
    {"masks": {"name": "hash", "email": "partial", "city": "redact"}}, {"masks": {"name": "tokenise", "city": Truncate(2)}},
    {"payload": "delta", "deselect": True, "golden": True}, {"kinds": ("EntityChanged",)}, {"types": ("Customer",)},
]  # fmt: skip


def events(contract: CompiledContract) -> list[dict[str, Any]]:
    """A first event, a merge and a deletion, as far as the contract lets them out."""
    owes = [{"rel": "owes", "to": {"externalId": {"system": "erp", "id": "7"}}}]
    first = seal(contract, log_row(golden_state(ANNA, edges=owes)), None, None)
    assert isinstance(first, SealedEvent)
    found = [first]
    for kind, into in (("merged", "e2"), ("deleted", None)):
        gone = seal(contract, log_row(golden_state({}), version=2, kind=kind, merged_into=into), control_after(first), None)
        if isinstance(gone, SealedEvent):
            found.append(gone)
    return [json.loads(one.body) for one in found]


def accepted(contract: CompiledContract, event: dict[str, Any]) -> tuple[bool, bool]:
    """Whether the schema of 2020-12 takes an event, and whether one of the messages does."""
    schema = event_schema(contract)
    definitions = {name: as_draft_07(one, "#/$defs/") for name, one in schema["$defs"].items()}
    found = []
    for message in event_messages(schema, "#/$defs/"):
        whole = {**message.schema, "$defs": definitions}
        jsonschema.Draft7Validator.check_schema(whole)
        found.append(jsonschema.Draft7Validator(whole).is_valid(event))
    return jsonschema.Draft202012Validator(schema).is_valid(event), any(found)


@pytest.mark.parametrize("spec", SPECS)
def test_what_a_contract_lets_out_fits_one_of_its_messages(make: Make, spec: dict[str, Any]) -> None:
    contract = make(**spec)
    found = events(contract)
    assert found
    for event in found:
        assert accepted(contract, event) == (True, True)


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    found = [here] if here else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += paths(inner, (*here, key))
    return found


@given(data=st.data())
def test_an_event_that_was_changed_anywhere_is_judged_alike_by_both(make: Make, data: st.DataObject) -> None:
    contract = make(**data.draw(st.sampled_from(SPECS)))
    event = deepcopy(data.draw(st.sampled_from(events(contract))))
    *above, last = data.draw(st.sampled_from(paths(event)))
    parent = event
    for key in above:
        parent = parent[key]
    match data.draw(st.sampled_from(["remove", "replace", "rename"])):
        case "remove":
            del parent[last]
        case "replace":
            parent[last] = data.draw(st.sampled_from([None, 1, 0, "x", "merged", "deleted", [], {}, True]))
        case _ if isinstance(last, str):
            parent["another"] = parent.pop(last)
    before, after = accepted(contract, event)
    assert before == after


def keywords(schema: Any) -> set[str]:
    """The keywords of a schema and of those in it."""
    if isinstance(schema, list):
        return set().union(*map(keywords, schema))
    if not isinstance(schema, dict):
        return set()
    inner = [one for name in ("properties", "dependencies") for one in schema.get(name, {}).values()]
    inner += [schema[name] for name in ("items", "additionalProperties", "anyOf", "oneOf", "allOf") if name in schema]
    return set(schema).union(*map(keywords, inner))


def test_no_keyword_is_left_that_draft_07_does_not_know(make: Make) -> None:
    known = set(jsonschema.Draft7Validator.META_SCHEMA["properties"])
    for spec in SPECS:
        schema = event_schema(make(**spec))
        assert "dependentSchemas" in keywords(schema["oneOf"]) or not make(**spec).deleted_sent
        found = [message.schema for message in event_messages(schema, "#/x/")]
        assert keywords([*found, *as_draft_07(list(schema["$defs"].values()), "#/x/")]) <= known


def described(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


ID = described("Unique for each event of the target, and the same on a resend.")
CORRELATION = described("Of the ingest that committed the change.")
KEY = described("Keeps the events of one entity in order.", maxLength=128)
TRACE = described("W3C trace context.", pattern="^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")
CLASSIFICATION = described("The tags of what the event really carries, sorted, joined by commas.")
RETENTION = described("The shortest retention among those tags, in days.", pattern="^[0-9]+$")
ATTRIBUTES: dict[str, Any] = {
    "specversion": {"const": "1.0"},
    "id": ID,
    "source": {"const": "//mdm"},
    "type": {"const": "goldwire.EntityChanged"},
    "subject": {"const": "Customer.EntityChanged"},
    "time": described("When that version was committed.", format="date-time"),
    "partitionkey": KEY,
    "correlationid": CORRELATION,
    "traceparent": TRACE,
    "classification": CLASSIFICATION,
    "retentiondays": RETENTION,
    "version": described("The event's `version`.", pattern="^[1-9][0-9]*$"),
    "hash": described("The event's `hash`.", pattern="^sha256:[0-9a-f]{64}$"),
}
ALWAYS = ["hash", "id", "partitionkey", "source", "specversion", "subject", "time", "traceparent", "type", "version"]


@pytest.fixture
def messages(make: Make) -> tuple[EventMessage, EventMessage]:
    changed, deleted = event_messages(event_schema(make(types=("Customer",))), "#/x/")
    return changed, deleted


def test_a_message_is_named_after_its_type_and_kind(messages: tuple[EventMessage, EventMessage]) -> None:
    changed, deleted = messages
    assert (changed.name, changed.entity_type, changed.event_type) == ("Customer.EntityChanged", "Customer", "EntityChanged")
    assert (deleted.name, deleted.entity_type, deleted.event_type) == ("EntityDeleted", None, "EntityDeleted")
    assert changed.subject == {"const": "Customer.EntityChanged"}
    assert deleted.subject == {"type": "string", "pattern": "^.+\\.EntityDeleted$"}


def test_the_schema_of_headers_has_those_that_there_are_under_their_names(
    messages: tuple[EventMessage, EventMessage],
) -> None:
    names = {
        "messageId": "message-id", "correlationId": "correlation-id", "contentType": "content-type", "subject": "subject",
        "partitionKey": "key", "traceparent": "traceparent", "classification": "classification", "retention-days": "days",
    }  # fmt: skip
    assert header_schemas(messages[0], names, "application/json") == {
        "type": "object",
        "properties": {
            "message-id": ID,
            "correlation-id": CORRELATION,
            "content-type": {"const": "application/json"},
            "subject": {"const": "Customer.EntityChanged"},
            "key": KEY,
            "traceparent": TRACE,
            "classification": CLASSIFICATION,
            "days": RETENTION,
        },
        "required": ["content-type", "correlation-id", "key", "message-id", "subject", "traceparent"],
    }
    assert header_schemas(None, {"subject": "label"}, "text/plain") == {
        "type": "object",
        "properties": {"label": {"type": "string"}},
        "required": ["label"],
    }


def test_the_schema_of_the_attributes_of_cloud_events_is_whole(messages: tuple[EventMessage, EventMessage]) -> None:
    whole = {"type": "object", "properties": ATTRIBUTES, "required": ALWAYS}
    assert attribute_schemas(messages[0], "//mdm", None) == whole
    named = attribute_schemas(messages[0], "//mdm", "https://mdm/schema", "ce_")
    ours = {**ATTRIBUTES, "dataschema": {"const": "https://mdm/schema"}}
    assert named["properties"] == {f"ce_{name}": schema for name, schema in ours.items()}
    assert named["required"] == sorted(f"ce_{name}" for name in (*ALWAYS, "dataschema"))


def test_the_schema_of_a_structured_cloud_event_is_closed(messages: tuple[EventMessage, EventMessage]) -> None:
    assert structured_schema(messages[0], "//mdm", None, {"$ref": "#/x"}) == {
        "type": "object",
        "properties": {**ATTRIBUTES, "datacontenttype": {"const": "application/json"}, "data": {"$ref": "#/x"}},
        "required": sorted([*ALWAYS, "data", "datacontenttype"]),
        "additionalProperties": False,
    }
