"""A mass of deletions stops at the guards of its target and waits for a person's yes; on the command line."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from goldwire.cli.exit_codes import exit_code
from goldwire.errors import TargetStoppedError

CONFIG = """\
store: {path: store.db}
types: {C: {attributes: {name: {}, city: {}}}}
sources: {s: {system: s, type: C, id: id}}
contracts:
  c: {golden: false, approval: any, where: "a.city == 'Rome'", deselect: true}
targets:
  t:
    kind: sql
    contract: c
    settings:
      {url: "sqlite:///out.db", table: t, key: {external_id: s}, key_column: id, columns: {name: name}, create_table: true}
    guards: {removal_ratio: 0.1, removal_minimum: 2}
"""
PEOPLE = 30
STOPPED = exit_code(TargetStoppedError)


def export(shell: Any, city: str) -> None:
    rows = "".join(f"{number},n{number},{city}\n" for number in range(PEOPLE))
    (shell.folder / "a.csv").write_text(f"id,name,city\n{rows}")
    shell.run("ingest", "s", "a.csv")


@pytest.fixture
def live(shell: Any) -> Any:
    (shell.folder / "goldwire.yaml").write_text(CONFIG)
    shell.run("apply")
    export(shell, "Rome")
    shell.run("run", "--until-caught-up")
    return shell


def rows(shell: Any) -> int:
    with closing(sqlite3.connect(shell.folder / "out.db")) as connection:
        return connection.execute("SELECT count(*) FROM t WHERE goldwire_deleted = 0").fetchone()[0]


def test_an_export_that_deselects_all_waits_for_a_yes(live: Any) -> None:
    export(live, "Oslo")
    ended = live.run("run", "--until-caught-up", code=STOPPED)
    assert "removals beyond 3 wait for a yes" in ended.stderr
    assert rows(live) == PEOPLE - 3
    status, ledger = live.json("status")["targets"][0], live.json("ledger")[0]
    assert status["state"] == "stopped"
    assert "goldwire resume t --yes" in status["stopped"]
    assert (ledger["pending"], ledger["balanced"], ledger["stopped"]) == (PEOPLE - 3, True, status["stopped"])
    live.run("resume", "t")
    live.run("run", "--until-caught-up", code=STOPPED)
    assert rows(live) == PEOPLE - 3
    given = live.json("resume", "t", "--yes", "--why", "the region was sold")
    assert (given["consent"]["why"], given["resync"]) == ("the region was sold", None)
    live.run("run", "--until-caught-up")
    assert rows(live) == 0
    assert live.json("ledger", "--recount")[0]["balanced"]


def test_a_contract_that_deselects_all_is_said_by_apply_and_waits_for_a_yes(live: Any) -> None:
    live.edit("'Rome'", "'Oslo'")
    shown = live.json("apply", "--check")["targets"][0]
    assert (shown["effects"]["leaves"], shown["needs_yes"]) == (PEOPLE, True)
    applied = live.run("apply")
    assert "goldwire resume t --yes" in applied.stderr
    live.run("run", "--until-caught-up")
    assert rows(live) == PEOPLE
    status = live.json("status")["targets"][0]
    [record] = live.json("resync", "list")
    assert (record["state"], status["held_resync"], status["stale"]) == ("held", record["id"], PEOPLE)
    assert live.json("resume", "t", "--yes")["resync"] == record["id"]
    live.run("run", "--until-caught-up")
    assert rows(live) == 0
    assert live.json("status")["targets"][0]["held_resync"] is None


def test_a_held_resync_can_be_cancelled_and_a_yes_can_come_with_apply(live: Any) -> None:
    live.edit("'Rome'", "'Oslo'")
    live.run("apply")
    [record] = live.json("resync", "list")
    assert live.json("resync", "cancel", record["id"])["cancelled"]
    live.edit("'Oslo'", "'Bonn'")
    assert live.json("apply", "--yes")["targets"][0]["needs_yes"] is False
    live.run("run", "--until-caught-up")
    assert rows(live) == 0
