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
from goldwire.event.message_schemas import as_draft_07, event_messages
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
