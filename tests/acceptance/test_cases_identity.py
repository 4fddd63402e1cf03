"""Inputs that once hurt a user, of identity and of time, each with the end that is wanted."""

from __future__ import annotations

import json
from typing import Any

CUSTOMERS = """
store: {path: store.db}
types: {C: {attributes: {name: {}, email: {}}, match: [{name: mail, equal: [email]}]}}
sources: {crm: {system: crm, type: C, id: id}}
contracts: {c: {golden: false}}
targets: {f: {kind: file, contract: c, settings: {path: f.jsonl}}}
"""


def say(shell: Any, system: str, external_id: str, name: str, email: str, hub_id: str) -> None:
    """Take one fact in, as an upstream hub sends it."""
    fact = {
        "system": system,
        "externalId": external_id,
        "entityType": "C",
        "attributes": {"name": name, "email": email},
        "entityId": hub_id,
    }
    shell.write("one.jsonl", json.dumps(fact))
    shell.run("ingest", "one.jsonl")


def entity(shell: Any, record: str) -> str:
    return str(shell.json("entity", "show", record)["entity_id"])


def value(shell: Any, record: str, attribute: str) -> Any:
    found = shell.json("entity", "show", record)["state"]["attributes"].get(attribute)
    return None if found is None else found["value"]


# --- identity, third part: an upstream hub corrects itself


def test_a_hub_that_corrects_itself_moves_a_record_and_merges_nobody(shell: Any) -> None:
    shell.write("goldwire.yaml", CUSTOMERS)
    shell.run("apply")
    say(shell, "crm", "1", "Ann", "a@x.example", "hub:1")
    say(shell, "erp", "1", "Ann", "a1@x.example", "hub:1")
    say(shell, "crm", "5", "Eve", "e@x.example", "hub:2")
    say(shell, "erp", "1", "Eve", "e@x.example", "hub:2")
    assert [entity(shell, each) for each in ("crm/1", "erp/1", "crm/5")] == ["hub:1", "hub:2", "hub:2"]
    shell.run("run", "--until-caught-up")
    ends = {event["entityId"]: event for event in shell.events("f.jsonl")}
    assert [each["id"] for each in ends["hub:1"]["externalIds"]] == ["1"]
    assert {each["system"] for each in ends["hub:2"]["externalIds"]} == {"crm", "erp"}
    say(shell, "erp", "1", "Eva", "e@x.example", "hub:3")
    assert entity(shell, "erp/1") == "hub:3", "a new id splits, also where a match key is shared"
    assert entity(shell, "crm/5") == "hub:2"
