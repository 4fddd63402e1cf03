"""What a user does in the first hour: from nothing to delivered, proven changes."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import jsonschema
import pytest

DECISIONS = """\
{"decision": "withdraw", "record": {"system": "crm", "id": "C-2"}, "by": "steward@example"}
{"decision": "merge", "record": {"system": "billing", "id": "B-79"}, "intoRecord": {"system": "crm", "id": "C-3"}}
{"system": "crm", "externalId": "C-4", "entityType": "Customer", "deleted": true, "observedAt": "2026-04-01T00:00:00Z"}
"""


def ingest_both(shell: Any) -> None:
    shell.run("ingest", "crm", "data/crm.csv")
    shell.run("ingest", "billing", "data/billing.csv")


def test_from_nothing_to_delivered_and_proven(shell: Any) -> None:
    assert "goldwire apply" in shell.run("init").stdout
    assert "overwritten" not in shell.fails("init", code=3)
    assert [one["change"] for one in shell.json("apply")["targets"]] == ["new", "new"]
    assert [one["change"] for one in shell.json("apply")["targets"]] == ["unchanged", "unchanged"]

    first = shell.json("ingest", "crm", "data/crm.csv")
    assert (first["facts"], first["versions"], first["rejected"]) == (4, 4, 0)
    second = shell.json("ingest", "billing", "data/billing.csv")
    assert second["facts"] == 4
    again = shell.json("ingest", "billing", "data/billing.csv")
    assert (again["facts"], again["versions"]) == (4, 0)

    shell.run("run", "--until-caught-up")
    status = shell.json("status")
    assert {one["state"] for one in status["targets"]} == {"caught up"}
    for one in shell.json("ledger", "--recount"):
        assert one["balanced"]
        assert one["committed"] == status["position"]
        assert one["recounted"]["delivered"] == one["delivered"] > 0
    for file in ("out/events.jsonl", "out/partners.jsonl"):
        verified = shell.json("verify", file)
        assert verified["whole"]
        assert verified["events"] == len(shell.events(file))


def test_the_targets_that_are_commented_out_are_right_as_they_stand(shell: Any) -> None:
    shell.lay_out()
    shell.environment |= {"SHOP_WEBHOOK_SECRET": "whsec_" + "c2VjcmV0" * 6}
    text = (shell.folder / "goldwire.yaml").read_text()
    targets = text[text.index("targets:\n") :]
    shell.edit(targets, targets.replace("\n#", "\n"))
    told = {one["target"]: one["change"] for one in shell.json("apply")["targets"]}
    assert told == dict.fromkeys(("events", "partners", "shop", "backplane"), "new")


def test_a_partner_sees_masked_values_and_only_golden_records(started: Any) -> None:
    ingest_both(started)
    started.run("run", "--until-caught-up")
    text = (started.folder / "out/partners.jsonl").read_text()
    assert "Lovelace" not in text
    assert "ada@analytical" not in text
    assert "Nowhere" not in text, "without an e-mail the record is provisional"
    assert "Nowhere" in (started.folder / "out/events.jsonl").read_text()
    schema = json.loads(started.run("schema", "partners").stdout)
    validator = jsonschema.Draft202012Validator(schema)
    for event in started.events("out/partners.jsonl"):
        validator.validate(event)


def test_merges_deletes_and_withdrawals_reach_the_targets(started: Any) -> None:
    ingest_both(started)
    started.run("run", "--until-caught-up")
    started.write("decisions.jsonl", DECISIONS)
    done = started.json("ingest", "decisions.jsonl")
    assert (done["facts"], done["decisions"], done["rejected"], done["merges"]) == (1, 2, 0, 1)
    started.run("run", "--until-caught-up")
    reasons = sorted(event["reason"] for event in started.events("out/partners.jsonl") if event["eventType"] == "EntityDeleted")
    assert reasons == ["deleted", "deselected", "merged"]
    assert started.json("verify", "out/partners.jsonl")["whole"]
    assert all(one["balanced"] for one in started.json("ledger", "--recount"))


def test_an_entity_is_found_by_its_id_and_by_any_record_of_it(started: Any) -> None:
    ingest_both(started)
    started.run("run", "--until-caught-up")
    ada = started.json("entity", "show", "crm/C-1")
    assert started.json("entity", "show", "billing/B-77")["entity_id"] == ada["entity_id"]
    assert started.json("entity", "show", ada["entity_id"]) == ada
    assert ada["version"] == len(ada["versions"]) == 2
    assert {one["target"]: one["version"] for one in ada["targets"]} == {"events": 2, "partners": 2}
    assert "London" in started.run("entity", "show", "crm/C-1").stdout
    assert "crm/C-99" in started.fails("entity", "show", "crm/C-99", code=11)


def test_a_changed_contract_becomes_a_revision_and_the_record_is_sent_in_full(started: Any) -> None:
    ingest_both(started)
    started.run("run", "--until-caught-up")
    started.edit("masks: { name: redact, email: partial }", "masks: { pii: redact }")
    check = {one["target"]: one for one in started.json("apply", "--check")["targets"]}
    assert check["partners"]["change"] == "changed"
    assert "goldwire apply" in started.run("status").stdout
    applied = {one["target"]: one for one in started.json("apply")["targets"]}
    assert applied["partners"].pop("resync") is not None
    assert check["partners"].pop("resync") is None
    assert applied == check
    assert (applied["events"]["change"], applied["partners"]["revision"]) == ("unchanged", 2)
    assert applied["partners"]["effective_after"] > 0
    started.write(
        "more.csv",
        "id,full_name,e_mail,phone,city,segment,updated_at\nC-1,Ada L,ada@analytical.example,,Bath,,2026-05-01T00:00:00Z\n",
    )
    started.run("ingest", "crm", "more.csv")
    started.run("run", "--until-caught-up")
    last = started.events("out/partners.jsonl")[-1]
    assert last["payload"] == "full"
    assert last["changes"]["attributes"]["email"]["value"] == "REDACTED"
    assert started.json("verify", "out/partners.jsonl")["whole"]


def test_a_running_relay_picks_up_what_comes_and_ends_gracefully(started: Any) -> None:
    relay = started.start("run")
    started.run("ingest", "crm", "data/crm.csv")
    give_up = time.monotonic() + 60
    while started.json("status")["targets"][0]["state"] != "caught up" or not (started.folder / "out/events.jsonl").exists():
        assert time.monotonic() < give_up
        assert relay.poll() is None
    relay.send_signal(signal.SIGTERM)
    output, errors = relay.communicate(timeout=60)
    assert relay.returncode == 0, errors
    assert "events" in output
    assert len(started.events("out/events.jsonl")) == 4


def test_a_second_relay_of_the_same_target_is_told_who_holds_it(started: Any) -> None:
    relay = started.start("run")
    give_up = time.monotonic() + 60
    while not started.json("ledger"):
        assert time.monotonic() < give_up
    assert "events" in started.fails("run", "--until-caught-up", code=4)
    relay.send_signal(signal.SIGINT)
    relay.communicate(timeout=60)
    assert relay.returncode == 0


def test_a_stopped_target_says_so_until_it_is_resumed(started: Any) -> None:
    started.run("run", "--until-caught-up")
    started.run("stop", "events", "--reason", "maintenance until noon")
    assert "maintenance until noon" in started.fails("run", "--until-caught-up", code=7)
    assert "maintenance until noon" in started.run("status").stdout
    resumed = started.json("resume", "events")
    assert resumed == {"target": "events", "was_stopped": "maintenance until noon", "consent": None, "resync": None}
    started.run("run", "--until-caught-up")


def test_an_altered_event_is_found(started: Any) -> None:
    ingest_both(started)
    started.run("run", "--until-caught-up")
    path = started.folder / "out/events.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines).replace("London", "Lyndon", 1))
    found = started.json("verify", "out/events.jsonl", code=9)
    assert not found["whole"]
    assert found["first_findings"][0]["kind"] == "altered"
    started.write("short.jsonl", "".join(lines[1:]))
    assert "out/nothing" in started.fails("verify", "out/nothing", code=3)


def test_the_configuration_is_found_wherever_the_command_runs(started: Any) -> None:
    (started.folder / "elsewhere").mkdir()
    config = str(started.folder / "goldwire.yaml")
    started.folder = started.folder / "elsewhere"
    started.run("ingest", "crm", "../data/crm.csv", "--config", config)
    started.run("run", "--until-caught-up", "-c", config)
    assert (started.folder / "../out/events.jsonl").exists()
    assert not list(started.folder.iterdir())


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["ingest", "--help"], ["dead", "redrive", "--help"], ["targets"]])
def test_help_needs_no_configuration(shell: Any, words: list[str]) -> None:
    assert shell.run(*words).stdout
