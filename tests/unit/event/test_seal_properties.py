"""Laws of sealing, over arbitrary records and contracts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import jsonschema
import pytest
import rfc8785
from hypothesis import assume, given
from hypothesis import strategies as st

from goldwire.canonical import MAX_INTEGER, canonical
from goldwire.contract.compiled import CompiledContract
from goldwire.contract.spec import Truncate
from goldwire.event.chain import verify
from goldwire.event.envelope import read_event
from goldwire.event.schema import event_schema
from goldwire.event.seal import seal
from goldwire.event.sealed import SealedEvent
from support.states import MOMENT, control_after, golden_state, log_row

Make = Callable[..., CompiledContract]

NAMES = ("name", "email", "city", "hash", "größe 😀", "ﬡ", "vip")
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.floats(allow_nan=False, allow_infinity=False) | texts
values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(texts, scalars | st.none(), max_size=3)
targets = st.builds(lambda one: {"entityId": one}, texts) | st.builds(
    lambda system, one: {"externalId": {"id": one, "system": system}}, texts, texts
)
edges = st.lists(
    st.builds(lambda rel, to: {"rel": rel, "to": to}, st.sampled_from(["employs", "owes"]), targets),
    max_size=3,
    unique_by=canonical,
)
states = st.builds(
    golden_state,
    st.dictionaries(st.sampled_from(NAMES), values),
    edges=edges,
    external_ids=st.lists(st.tuples(st.sampled_from(["crm", "erp"]), texts), max_size=2, unique=True),
    confidence=st.sampled_from([0.5, 1, 0.123456789]),
    last_seen=st.sampled_from(["2026-11-23T10:00:00.000000Z", "2026-11-23T11:00:00.000000Z"]),
)
masks = st.dictionaries(
    st.sampled_from(NAMES),
    st.sampled_from(["redact", "hash", "tokenise", "partial"]) | st.builds(Truncate, st.integers(1, 30)),
)
specs = st.fixed_dictionaries(
    {
        "masks": masks,
        "payload": st.sampled_from(["delta", "full"]),
        "edges": st.sampled_from(["all", "none", ("employs",)]),
        "external_ids": st.sampled_from(["all", "none", ("crm",)]),
        "attributes": st.just("all") | st.lists(st.sampled_from(NAMES), unique=True).map(tuple),
    }
)
histories = st.lists(st.none() | states, min_size=1, max_size=6)
"""States of one entity; None is a deletion."""


def parsed(body: bytes) -> dict[str, Any]:
    """Read a body with numbers as doubles, as every JSON reader may."""

    def number(digits: str) -> float:
        return int(digits) if abs(int(digits)) <= MAX_INTEGER else float(digits)

    found: dict[str, Any] = json.loads(body, parse_int=number)
    return found


def delivered(contract: CompiledContract, history: list[bytes | None]) -> list[tuple[SealedEvent, bytes]]:
    """Seal a history as a target would receive it, each event with its state."""
    found: list[tuple[SealedEvent, bytes]] = []
    held, bases = None, {}
    for version, state in enumerate(history, 1):
        row = log_row(state or golden_state({}), version=version, kind="live" if state else "deleted")
        result = seal(contract, row, held, bases.get(held.version) if held else None)
        if isinstance(result, SealedEvent):
            held = control_after(result)
            bases[version] = row.state
            found.append((result, row.state))
    return found


@pytest.mark.slow
@given(spec=specs, history=histories)
def test_every_body_is_canonical_and_has_its_hash(make: Make, spec: dict[str, Any], history: list[bytes | None]) -> None:
    for event, _ in delivered(make(**spec), history):
        content = parsed(event.body)
        assert rfc8785.dumps(content) == event.body
        assert content.pop("hash") == "sha256:" + sha256(rfc8785.dumps(content)).hexdigest()
        assert read_event(event.body).entityId == event.entity_id


@pytest.mark.slow
@given(spec=specs, history=histories)
def test_sealing_again_gives_the_same_bytes(make: Make, spec: dict[str, Any], history: list[bytes | None]) -> None:
    assert delivered(make(**spec), history) == delivered(make(**spec), history)


def applied(held: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """Do what a consumer does with an event."""
    if content["eventType"] == "EntityDeleted":
        return {}
    full = content["payload"] == "full"
    attributes = {} if full else dict(held["attributes"])
    known = [] if full else list(held["edges"])
    for name, one in content["changes"]["attributes"].items():
        if one["value"] is None:
            del attributes[name]
        else:
            attributes[name] = one
    for edge in content["changes"]["edges"]:
        plain = {"rel": edge["rel"], "to": edge["to"]}
        if edge.get("op") == "removed":
            known.remove(plain)
        else:
            known.append(plain)
    return {"attributes": attributes, "edges": known, "ids": content["externalIds"]}


@pytest.mark.slow
@given(spec=specs, history=histories)
def test_a_consumer_who_applies_deltas_holds_what_a_full_event_would_show(
    make: Make, spec: dict[str, Any], history: list[bytes | None]
) -> None:
    """Every value, with what was known of it when it last became another one."""
    held: dict[str, Any] = {}
    known: dict[str, Any] = {}
    whole = make(**{**spec, "payload": "full"})
    for event, state in delivered(make(**{**spec, "payload": "delta"}), history):
        content = parsed(event.body)
        held = applied(held, content)
        if event.deleted:
            continue
        full = seal(whole, log_row(state, version=event.version), None, None)
        assert isinstance(full, SealedEvent)
        expected = applied({}, parsed(full.body))
        expected["edges"].sort(key=canonical)
        held["edges"].sort(key=canonical)
        if content["payload"] == "delta":
            for name, entry in expected["attributes"].items():
                if name in known and canonical(known[name]["value"]) == canonical(entry["value"]):
                    expected["attributes"][name] = known[name]
                    assert name not in content["changes"]["attributes"]
        known = dict(expected["attributes"])
        assert held == expected


@pytest.mark.slow
@given(spec=specs, history=histories)
def test_the_schema_accepts_every_event(make: Make, spec: dict[str, Any], history: list[bytes | None]) -> None:
    contract = make(**spec)
    schema = event_schema(contract)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for event, _ in delivered(contract, history):
        validator.validate(json.loads(event.body))


@pytest.mark.slow
@given(spec=specs, history=histories)
def test_every_history_verifies(make: Make, spec: dict[str, Any], history: list[bytes | None]) -> None:
    events = delivered(make(**spec), history)
    result, findings = verify([event.body for event, _ in events])
    assert findings == []
    assert result.events == len(events)


nested = st.just({"value": {"value": ',"value":'}}) | st.just(',"value":"') | values


@given(
    spec=specs,
    attributes=st.dictionaries(st.sampled_from(NAMES), nested),
    system=texts | st.just('a,","value":b"') | st.just(","),
)
def test_an_attribute_is_shown_as_its_mask_alone_would_show_its_value(
    make: Make, spec: dict[str, Any], attributes: dict[str, Any], system: str
) -> None:
    contract = make(**spec)
    event = seal(contract, log_row(golden_state(attributes, provenance=system)), None, None)
    assert isinstance(event, SealedEvent)
    shown = []
    for name, mask, _ in contract.shapes["Customer"].visible:
        if name in attributes:
            value = canonical(attributes[name])
            before = canonical({"confidence": 0.9, "lastSeen": MOMENT, "provenance": system})[:-1]
            shown.append(canonical(name) + b":" + before + b',"value":' + (mask(value) if mask else value) + b"}")
    assert event.body.startswith(b'{"changes":{"attributes":{' + b",".join(shown) + b'},"edges":[')


secrets = st.text("bcdfghjkmnpqrstvwxyz", min_size=12, max_size=30)


@given(
    secret=secrets,
    wrap=st.sampled_from(["plain", "list", "map", "key"]),
    mask=st.sampled_from(["redact", "hash", "tokenise"]),
    payload=st.sampled_from(["delta", "full"]),
)
def test_no_clear_value_survives_anywhere_in_the_sealed_bytes(
    make: Make, secret: str, wrap: str, mask: str, payload: str
) -> None:
    value: Any = {"plain": secret, "list": [secret], "map": {"k": secret}, "key": {secret: 1}}[wrap]
    contract = make(masks={"pii": mask}, payload=payload)
    history: list[bytes | None] = [
        golden_state({"name": value, "email": value, "city": "Ulm"}),
        golden_state({"name": secret[::-1], "email": value, "city": "Bonn"}),
        golden_state({"city": "Kiel"}),
        None,
    ]
    events = delivered(contract, history)
    assert len(events) == 4
    for event, _ in events:
        for clear in (secret, secret[::-1]):
            assert clear.encode() not in event.body
            assert clear not in repr(contract)


@given(secret=texts, mask=st.just("partial") | st.builds(Truncate, st.integers(1, 50)))
def test_a_whole_value_never_survives_partial_or_truncate(make: Make, secret: str, mask: Any) -> None:
    assume(len(secret) > 3)
    [(event, _)] = delivered(make(masks={"name": mask}), [golden_state({"name": secret})])
    shown = json.loads(event.body)["changes"]["attributes"]["name"]["value"]
    assert secret not in shown
