"""Inputs that once hurt a user, of identity and of time, each with the end that is wanted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from goldwire.capture.reader import read_file
from goldwire.clock import SystemClock, timestamp
from goldwire.config.reader import load
from goldwire.services.application import Application

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


# --- same second, and times from the future

RECORDS = """
store: {path: store.db}
types: {C: {attributes: {name: {}, city: {}}}}
sources:
  s: {system: s, type: C, id: id, observed_at: updated_at}
  undated: {system: s, type: C, id: id}
contracts: {c: {golden: false, approval: any}}
targets: {f: {kind: file, contract: c, settings: {path: out.jsonl}}}
"""
ANNA, ZOE = "1,Anna,Bern,2026-11-01 10:00:00\n", "1,Zoe,Aarau,2026-11-01 10:00:00\n"
HEADER = "id,name,city,updated_at\n"


def ingest(shell: Any, rows: str, code: int = 0) -> Any:
    shell.write("rows.csv", HEADER + rows)
    return shell.json("ingest", "s", "rows.csv", code=code)


@pytest.mark.parametrize("batches", [[ANNA, ZOE], [ZOE, ANNA], [ANNA + ZOE], [ZOE + ANNA, ANNA]])
def test_two_rows_of_one_second_end_as_one_of_them(shell: Any, batches: list[str]) -> None:
    shell.write("goldwire.yaml", RECORDS)
    shell.run("apply")
    for rows in batches:
        ingest(shell, rows)
    assert (value(shell, "s/1", "name"), value(shell, "s/1", "city")) == ("Anna", "Bern"), "by the digest of the whole row"


def test_an_empty_value_does_not_beat_a_name_of_the_same_second(shell: Any) -> None:
    shell.write("goldwire.yaml", RECORDS)
    shell.run("apply")
    ingest(shell, "2,Anna,Bern,2026-11-01 10:00:00\n2,,Bern,2026-11-01 10:00:00\n")
    ingest(shell, "3,,Bern,2026-11-01 10:00:00\n3,Anna,Bern,2026-11-01 10:00:00\n")
    assert [value(shell, each, "name") for each in ("s/2", "s/3")] == ["Anna", "Anna"]


def test_a_row_from_the_future_is_rejected_and_freezes_nothing(shell: Any) -> None:
    shell.write("goldwire.yaml", RECORDS)
    shell.run("apply")
    done = ingest(shell, "5,Wrong,Bern,9999-12-31\n", code=10)
    (reject,) = done["first_rejects"]
    assert reject["field"] == "observedAt"
    assert "from the future" in reject["reason"]
    ingest(shell, "5,Right,Bern,2026-11-05 10:00:00\n")
    assert value(shell, "s/5", "name") == "Right"
    forever = {"decision": "withdraw", "record": {"system": "s", "id": "5"}, "decidedAt": "9999-12-31"}
    shell.write("d.jsonl", json.dumps(forever))
    assert shell.json("ingest", "d.jsonl", code=10)["first_rejects"][0]["field"] == "decidedAt"


def test_a_record_that_a_false_time_froze_has_a_way_back(shell: Any) -> None:
    shell.write("goldwire.yaml", RECORDS)
    shell.run("apply")
    shell.write("rows.csv", HEADER + "5,Wrong,Bern,9999-12-31\n")
    with Application(load(shell.folder / "goldwire.yaml")) as application:
        rows = read_file(shell.folder / "rows.csv", application.loaded.config.sources["s"], application.clock.now())
        with application.store.ingest(application.clock.now()) as workspace:
            application.mastering.apply(list(rows), workspace, "before such times were refused")
    ingest(shell, "5,Right,Bern,2026-11-05 10:00:00\n")
    assert value(shell, "s/5", "name") == "Wrong", "frozen"
    rehearsed = shell.json("redate", "--dry-run")
    done = shell.json("redate")
    assert (rehearsed["records"], done["records"], done["versions"]) == (1, 1, 0)
    assert value(shell, "s/5", "name") == "Wrong", "what is known stays until something true is said"
    ingest(shell, "5,Right,Bern,2026-11-05 10:00:00\n")
    assert value(shell, "s/5", "name") == "Right"
    assert shell.json("redate")["records"] == 0


class AheadClock(SystemClock):
    """A machine whose clock is 400 days ahead."""

    def now(self) -> float:
        return super().now() + 400 * 86_400


def test_a_clock_that_was_400_days_ahead_has_a_way_back(shell: Any) -> None:
    shell.write("goldwire.yaml", RECORDS)
    shell.run("apply")
    shell.write("undated.csv", "id,name,city\n7,Anna,Bern\n")
    with Application(load(shell.folder / "goldwire.yaml"), AheadClock()) as ahead:
        ahead.ingest_service().files("undated", [shell.folder / "undated.csv"])
    shell.write("late.csv", HEADER + f"7,Zoe,Zug,{timestamp(SystemClock().now())}\n")
    noted = shell.run("ingest", "s", "late.csv").stderr
    assert "34,5" in noted, "it says how far the log is ahead"
    assert "goldwire redate" in noted
    assert value(shell, "s/7", "name") == "Anna", "frozen for 400 days"
    shell.edit("contracts:", "ingest: {trust_clock: true}\ncontracts:")
    done = shell.run("redate")
    assert "1 record and the decisions about 0 entities dated back" in done.stdout
    assert done.stderr == ""
    shell.run("ingest", "s", "late.csv")
    assert value(shell, "s/7", "name") == "Zoe"
    shell.write("undated.csv", "id,name,city\n8,Eve,Bern\n")
    shell.run("ingest", "undated", "undated.csv")
    eve = shell.json("entity", "show", "s/8")["state"]["attributes"]["name"]
    assert eve["lastSeen"] < timestamp(SystemClock().now() + 3_600), "rows without a time have today's again"
