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


# --- placeholders: values that say nothing

PEOPLE = """
store: {path: store.db}
types:
  C:
    attributes: {name: {}, email: {}, phone: {}}
    match: [{name: same e-mail, equal: [email]}, {name: same phone, equal: [phone], normalise: {phone: [digits]}}]
sources: {s: {system: s, type: C, id: id}}
contracts: {c: {golden: false, approval: any}}
targets: {f: {kind: file, contract: c, settings: {path: out.jsonl}}}
"""
SEVEN = """id,name,email,phone
1,Ann Aller,n/a,
2,Bob Beck,N/A,
3,Cy Carl,unknown,000
4,Di Dorn,Unknown,0000000
5,Ed Eck,none@none.com,000
6,Flo Fink,test@test.com,+49 30 1234
7,Gus Gold,test@test.com,+49 30 9999
"""


def test_seven_people_with_placeholders_stay_seven(shell: Any) -> None:
    shell.write("goldwire.yaml", PEOPLE)
    shell.write("a.csv", SEVEN)
    shell.run("apply")
    done = shell.json("ingest", "s", "a.csv")
    assert (done["versions"], done["merges"], done["joined"], done["shared"]) == (7, 0, 0, [])
    shell.run("run", "--until-caught-up")
    assert len({event["entityId"] for event in shell.events("out.jsonl")}) == 7


def test_a_rule_or_a_source_names_more_placeholders_and_remaster_is_asked_for(shell: Any) -> None:
    shell.write("goldwire.yaml", PEOPLE)
    shell.write(
        "a.csv", "id,name,email,phone\n1,Ann,keine@angabe.example,1\n2,Bob,keine@angabe.example,2\n3,Cy,zzz,3\n4,Di,ZZZ,4\n"
    )
    shell.run("apply")
    done = shell.run("ingest", "s", "a.csv").stdout
    assert "2 records joined the entity of another one, 0 entities merged" in done
    assert "rule 'same e-mail': 2 records share key " in done
    assert "angabe" not in done
    assert "zzz" not in done.lower()
    shell.edit("equal: [email]", 'equal: [email], placeholders: ["keine@*"]')
    assert shell.json("apply")["to_remaster"] == ["C"]
    assert shell.json("remaster")["versions"] == 0, "what is united stays so"
    assert shell.json("apply")["to_remaster"] == []
    shell.edit("type: C, id: id", "type: C, id: id, placeholders: [zzz]")
    assert shell.json("apply")["to_remaster"] == ["C"]
    shell.run("remaster")
    shell.write("b.csv", "id,name,email,phone\n5,Ed,keine@angabe.example,5\n6,Flo,zzz,6\n")
    done = shell.json("ingest", "s", "b.csv")
    assert (done["joined"], done["versions"]) == (0, 2)
