"""Match rules and survivorship change: `apply` says so, `remaster` brings all records to them."""

from __future__ import annotations

from typing import Any

import pytest

HINT = "match rules or survivorship changed since all records were last mastered"


@pytest.fixture
def mastered(started: Any) -> Any:
    started.run("ingest", "crm", "data/crm.csv")
    started.run("ingest", "billing", "data/billing.csv")
    return started


def loosen(shell: Any) -> None:
    shell.edit("systems: [crm, billing]", "systems: [billing, crm]")
    shell.edit("    match:\n", "    match:\n      - { name: same city, equal: [city] }\n")


def test_a_changed_model_reaches_all_records_and_their_targets(mastered: Any) -> None:
    mastered.run("run", "--until-caught-up")
    loosen(mastered)
    told = mastered.run("apply")
    assert f"Customer: {HINT}" in told.stderr
    assert "goldwire remaster" in told.stderr
    assert mastered.json("apply", "--check")["to_remaster"] == ["Customer"]

    rehearsed = mastered.json("remaster", "--dry-run")
    assert (rehearsed["entities"], rehearsed["merges"], rehearsed["dry_run"]) == (6, 1, True)
    assert mastered.json("status")["position"] == 8, "a dry run commits nothing"
    assert not list((mastered.folder / ".goldwire").glob(".*")), "nor does it leave a copy behind"
    assert mastered.json("apply")["to_remaster"] == ["Customer"]

    done = mastered.json("remaster")
    assert (done["versions"], done["merges"]) == (rehearsed["versions"], rehearsed["merges"])
    assert done["position"] == rehearsed["position"] == 8 + done["versions"]
    ada = mastered.json("entity", "show", "crm/C-1")
    assert ada["state"]["attributes"]["name"]["provenance"] == "billing"
    johnson, jackson = mastered.json("entity", "show", "crm/C-3"), mastered.json("entity", "show", "billing/B-79")
    assert johnson["entity_id"] == jackson["entity_id"], "both live in Hampton"
    assert ada["versions"][-1]["correlation_id"] == done["correlation_id"]

    assert mastered.json("apply")["to_remaster"] == []
    assert HINT not in mastered.run("apply").stderr
    assert mastered.json("remaster")["versions"] == 0
    mastered.run("run", "--until-caught-up")
    assert mastered.json("verify", "out/events.jsonl")["whole"]
    assert {one["reason"] for one in mastered.events("out/events.jsonl") if one["eventType"] == "EntityDeleted"} == {"merged"}


def test_only_what_decides_about_records_asks_for_it(mastered: Any) -> None:
    mastered.edit(
        "      city: {}\n", "      city: { description: where, survivorship: [source_priority, most_recent] }\n      zip: {}\n"
    )
    mastered.edit("name: same e-mail", "name: the same e-mail")
    assert mastered.json("apply")["to_remaster"] == []
    mastered.edit("      zip: {}\n", "      zip: { survivorship: [longest] }\n")
    assert mastered.json("apply")["to_remaster"] == ["Customer"], "the attribute was known since the configuration was applied"


def test_one_type_alone_leaves_the_others_to_be_done(mastered: Any) -> None:
    company = "types:\n  Company:\n    attributes: { name: {} }\n    relations: {}\n    survivorship: [most_recent]\n"
    mastered.edit("types:\n", company)
    assert mastered.json("apply")["to_remaster"] == []
    loosen(mastered)
    mastered.edit("    survivorship: [most_recent]\n", "    survivorship: [longest]\n")
    assert mastered.json("apply")["to_remaster"] == ["Company", "Customer"]
    done = mastered.run("remaster", "--type", "Company")
    assert "0 entities looked at: 0 versions committed, 0 entities merged" in done.stdout
    assert "Customer: still mastered under other rules" in done.stderr
    assert mastered.json("apply")["to_remaster"] == ["Customer"]
    assert mastered.json("remaster", "--type", "Customer")["merges"] == 1
    assert mastered.json("apply")["to_remaster"] == []


def test_an_empty_store_asks_for_nothing(started: Any) -> None:
    loosen(started)
    assert started.json("apply")["to_remaster"] == []
    started.edit("equal: [city]", "equal: [segment]")
    started.run("ingest", "crm", "data/crm.csv")
    assert started.json("apply")["to_remaster"] == [], "it was mastered under these rules, applied or not"


def test_a_type_that_is_not_there_is_named(mastered: Any) -> None:
    assert "did you mean 'Customer'?" in mastered.fails("remaster", "--type", "Custommer", code=11)
