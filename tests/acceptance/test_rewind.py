"""A rewind has the relay look again at what it filtered, and sends nothing again that the target holds."""

from __future__ import annotations

from typing import Any

import pytest

CONFIG = """\
store: {path: store.db}
types: {C: {attributes: {name: {}, city: {}}}}
sources: {s: {system: s, type: C, id: id}}
contracts: {c: {golden: false, approval: any, where: "a.city == 'Oslo'"}}
targets: {f: {kind: file, contract: c, settings: {path: f.jsonl}}}
"""


@pytest.fixture
def delivered(shell: Any) -> Any:
    """Two records, of which one was filtered."""
    shell.write("goldwire.yaml", CONFIG)
    shell.write("a.csv", "id,name,city\n1,Ada,Oslo\n2,Eve,Rome\n")
    for words in (["apply"], ["ingest", "s", "a.csv"], ["run", "--until-caught-up"]):
        shell.run(*words)
    return shell


def test_what_was_worked_on_is_pending_again_and_nothing_that_is_held_is_sent_twice(delivered: Any) -> None:
    done = delivered.json("rewind", "f", "0")
    assert (done["position"], done["before"], done["ledger"]["pending"], done["ledger"]["delivered"]) == (0, 2, 2, 0)
    delivered.run("run", "--until-caught-up")
    assert [event["changes"]["attributes"]["name"]["value"] for event in delivered.events("f.jsonl")] == ["Ada"]
    [report] = delivered.json("ledger", "--recount")
    assert (report["balanced"], report["superseded"], report["filtered"], report["pending"]) == (True, 1, 1, 0)


def test_a_position_that_is_not_behind_it_and_a_target_that_is_none_are_refused(delivered: Any) -> None:
    for position in ("2", "3"):
        assert "is nowhere behind it: give a lower one" in delivered.fails("rewind", "f", position, code=3)
    assert "the store knows no target g" in delivered.fails("rewind", "g", "0", code=11)
    assert delivered.json("status")["targets"][0]["position"] == 2
