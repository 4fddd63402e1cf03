"""`goldwire run` as a process that lives for weeks: what people do beside it reaches it without a restart."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DEADLINE_SECONDS = 60.0

CONFIG = """\
store: {path: store.db}
types: {C: {attributes: {name: {}, city: {}}}}
sources: {s: {system: s, type: C, id: id}}
contracts: {c: {golden: false, approval: any}}
targets:
  one: {kind: file, contract: c, settings: {path: one.jsonl}}
  two: {kind: file, contract: c, settings: {path: two.jsonl}}
"""
ROW = "id,name,city\n{id},{name},Rome\n"


@pytest.fixture
def applied(shell: Any) -> Any:
    """A folder with two targets, applied."""
    (shell.folder / "goldwire.yaml").write_text(CONFIG)
    shell.run("apply")
    return shell


def until(seen: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    """Wait until something is so, while the process runs."""
    give_up = time.monotonic() + DEADLINE_SECONDS
    while not seen():
        assert time.monotonic() < give_up
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def commit(shell: Any, number: int, name: str) -> None:
    (shell.folder / f"{number}.csv").write_text(ROW.format(id=number, name=name))
    shell.run("ingest", "s", f"{number}.csv")


def has(shell: Any, file: str, name: str) -> Callable[[], bool]:
    path: Path = shell.folder / file
    return lambda: path.exists() and f'"value":"{name}"' in path.read_text(encoding="utf-8")


def end(process: subprocess.Popen[str], code: int = 0) -> str:
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    return errors


def test_a_stop_and_a_resume_reach_a_running_process(applied: Any) -> None:
    running = applied.start("run")
    commit(applied, 1, "Ada")
    until(has(applied, "one.jsonl", "Ada"), running)
    applied.run("stop", "one", "--reason", "moving house")
    assert running.stderr is not None
    assert "target one is stopped: moving house" in running.stderr.readline()
    commit(applied, 2, "Grace")
    until(has(applied, "two.jsonl", "Grace"), running)
    assert not has(applied, "one.jsonl", "Grace")()
    applied.run("resume", "one")
    until(has(applied, "one.jsonl", "Grace"), running)
    end(running)


def test_a_process_whose_only_target_is_stopped_waits_for_its_resume(applied: Any) -> None:
    running = applied.start("run", "-t", "one")
    commit(applied, 1, "Ada")
    until(has(applied, "one.jsonl", "Ada"), running)
    applied.run("stop", "one")
    assert running.stderr is not None
    assert "stopped" in running.stderr.readline()
    commit(applied, 2, "Grace")
    applied.run("resume", "one")
    until(has(applied, "one.jsonl", "Grace"), running)
    applied.run("stop", "one")
    assert "stopped" in running.stderr.readline()
    end(running, 7)


def test_a_hangup_takes_up_new_removed_and_changed_targets_and_apply_says_before_what_is_not_taken_up(applied: Any) -> None:
    running = applied.start("run")
    commit(applied, 1, "Ada")
    until(has(applied, "one.jsonl", "Ada"), running)
    until(has(applied, "two.jsonl", "Ada"), running)
    assert applied.json("apply")["not_taken_up"] == []
    applied.edit("path: one.jsonl", "path: other.jsonl")
    applied.edit("two: {kind: file, contract: c, settings: {path: two.jsonl}}",
                 "three: {kind: file, contract: c, settings: {path: three.jsonl}}")  # fmt: skip
    said = applied.run("apply").stderr
    assert f"process {running.pid} delivers to one with older settings; `kill -HUP {running.pid}`" in said
    assert {(one["target"], one["why"], one["reloads"]) for one in applied.json("apply")["not_taken_up"]} == {
        ("one", "older settings", True), ("two", "no longer configured", True), ("three", "not running", True),
    }  # fmt: skip
    running.send_signal(signal.SIGHUP)
    until(has(applied, "three.jsonl", "Ada"), running)
    commit(applied, 2, "Grace")
    until(has(applied, "other.jsonl", "Grace"), running)
    assert not has(applied, "two.jsonl", "Grace")()
    assert applied.json("apply")["not_taken_up"] == []
    assert "began: three; ended: two; began anew: one" in end(running)


def test_a_configuration_that_is_wrong_is_refused_and_the_process_goes_on(applied: Any) -> None:
    running = applied.start("run")
    commit(applied, 1, "Ada")
    until(has(applied, "one.jsonl", "Ada"), running)
    applied.edit("kind: file, contract: c, settings: {path: one.jsonl}", "kind: fil")
    running.send_signal(signal.SIGHUP)
    assert running.stderr is not None
    while "refused; everything goes on as before" not in running.stderr.readline():
        assert running.poll() is None
    applied.edit("kind: fil}", "kind: file, contract: c, settings: {path: one.jsonl}}")
    commit(applied, 2, "Grace")
    until(has(applied, "one.jsonl", "Grace"), running)
    end(running)


def test_a_process_for_one_target_begins_no_other(applied: Any) -> None:
    running = applied.start("run", "-t", "one")
    commit(applied, 1, "Ada")
    until(has(applied, "one.jsonl", "Ada"), running)
    applied.edit("targets:\n", "targets:\n  three: {kind: file, contract: c, settings: {path: three.jsonl}}\n")
    assert applied.json("apply")["not_taken_up"] == []
    running.send_signal(signal.SIGHUP)
    assert running.stderr is not None
    assert "no target changed" in running.stderr.readline()
    end(running)
    assert not (applied.folder / "three.jsonl").exists()
    assert {one["target"] for one in json.loads(applied.run("ledger", "--json").stdout)} == {"one"}
