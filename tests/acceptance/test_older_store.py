"""A store that was restored from an older copy is found out by what its targets hold, and mended; on the command line."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from goldwire.cli.exit_codes import exit_code
from goldwire.errors import TargetStoppedError

CONFIG = """\
store: {path: store.db}
types: {Customer: {attributes: {name: {}, city: {}}}}
contracts: {c: {golden: false}}
targets:
  l:
    kind: sql
    contract: c
    settings: {url: "sqlite:///l.db", table: t, create_table: true, columns: {name: name, city: city}}
  f: {kind: file, contract: c, settings: {path: f.jsonl}}
"""
STOPPED = exit_code(TargetStoppedError)


def ingest(shell: Any, city: str) -> None:
    row = {"system": "crm", "externalId": "1", "entityType": "Customer", "attributes": {"name": "Ann", "city": city}}
    (shell.folder / "in.jsonl").write_text(json.dumps(row))
    shell.run("ingest", "in.jsonl")


@pytest.fixture
def restored(shell: Any) -> Any:
    """Oslo was delivered and copied, Rome was delivered, the copy was restored."""
    (shell.folder / "goldwire.yaml").write_text(CONFIG)
    shell.run("apply")
    ingest(shell, "Oslo")
    shell.run("run", "--until-caught-up")
    begun, kept = (sqlite3.connect(shell.folder / name) for name in ("store.db", "kept.db"))
    with closing(begun), closing(kept):
        begun.backup(kept)
    ingest(shell, "Rome")
    shell.run("run", "--until-caught-up")
    for name in ("store.db", "store.db-wal", "store.db-shm"):
        (shell.folder / name).unlink(missing_ok=True)
    shutil.copy(shell.folder / "kept.db", shell.folder / "store.db")
    return shell


def cities(shell: Any) -> tuple[str, str]:
    with closing(sqlite3.connect(shell.folder / "l.db")) as connection:
        [(table,)] = connection.execute("SELECT city FROM t").fetchall()
    last = (shell.folder / "f.jsonl").read_text().splitlines()[-1]
    return table, json.loads(last)["changes"]["attributes"]["city"]["value"]


@pytest.mark.parametrize("later", [True, False], ids=["after-a-new-change", "before-any-change"])
def test_an_older_store_is_noticed_at_opening_and_mended_by_a_resync(restored: Any, later: bool) -> None:
    if later:
        ingest(restored, "Lima")
    ended = restored.run("run", "--until-caught-up", code=STOPPED)
    assert "it holds what this store did not send" in ended.stderr
    assert cities(restored) == ("Rome", "Rome")
    for target in restored.json("status")["targets"]:
        assert target["state"] == "stopped"
        assert f"`goldwire resync {target['target']}`" in target["stopped"]
    assert "goldwire resume" not in restored.run("status").stdout, "it would stop again at once"
    for report in restored.json("ledger", "--recount"):
        assert (report["balanced"], report["pending"]) == (True, int(later))
    for target in ("l", "f"):
        restored.run("resync", target, "--why", "last night's copy was restored")
    wanted = "Lima" if later else "Oslo"
    assert cities(restored) == (wanted, wanted)
    assert all(report["balanced"] for report in restored.json("ledger", "--recount"))
    restored.run("run", "--until-caught-up")
    assert [target["state"] for target in restored.json("status")["targets"]] == ["caught up", "caught up"]
