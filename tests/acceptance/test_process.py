"""`goldwire run` as a process that lives for weeks: what people do beside it reaches it without a restart."""

from __future__ import annotations

import http.client
import json
import signal
import socket
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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetched(port: int, path: str) -> tuple[int, str]:
    """Ask the process; 0 while it does not listen yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except ConnectionRefusedError:
        return 0, ""
    finally:
        connection.close()


def metric(port: int, name: str) -> float | None:
    lines = [line.split() for line in fetched(port, "/metrics")[1].splitlines()]
    return next((float(line[1]) for line in lines if line and line[0] == name), None)


def test_metrics_stay_true_after_a_stop_and_a_resume_and_know_what_other_processes_take_in(applied: Any) -> None:
    port = free_port()
    running = applied.start("run", "--metrics-address", f"127.0.0.1:{port}")
    commit(applied, 1, "Ada")
    until(lambda: fetched(port, "/ready") == (200, '{"ready": true, "targets": {"one": "delivering", "two": "delivering"}}\n'),
          running)  # fmt: skip
    assert fetched(port, "/health") == (200, '{"healthy": true}\n')
    assert [fetched(port, path)[0] for path in ("/", "/other", "/metrics/")] == [404] * 3
    until(has(applied, "one.jsonl", "Ada"), running)
    applied.run("stop", "one")
    until(lambda: metric(port, 'goldwire_target_stopped{target="one"}') == 1.0, running)
    commit(applied, 2, "Grace")
    (applied.folder / "bad.csv").write_text("id,name,city\n,Bob,Rome\n3,Eve,Rome\n")
    applied.run("ingest", "s", "bad.csv", code=10)
    until(lambda: metric(port, 'goldwire_lag_changes{target="one"}') == 2.0, running)
    assert json.loads(fetched(port, "/ready")[1])["targets"]["one"] == "stopped"
    assert fetched(port, "/ready")[0] == 503
    until(lambda: metric(port, 'goldwire_ingest_rows_total{source="s"}') == 4.0, running)
    assert metric(port, 'goldwire_ingest_rejected_rows_total{source="s"}') == 1.0
    assert metric(port, 'goldwire_ingest_versions_total{source="s"}') == 3.0
    assert metric(port, 'goldwire_ingest_merges_total{source="s"}') == 0.0
    age = metric(port, 'goldwire_ingest_age_seconds{source="s"}')
    assert age is not None
    assert age < DEADLINE_SECONDS
    applied.run("resume", "one")
    until(lambda: metric(port, 'goldwire_target_stopped{target="one"}') == 0.0, running)
    until(lambda: metric(port, 'goldwire_lag_changes{target="one"}') == 0.0, running)
    until(lambda: fetched(port, "/ready")[0] == 200, running)
    end(running)


def test_an_address_that_is_none_or_taken_is_refused(applied: Any) -> None:
    assert "give HOST:PORT" in applied.fails("run", "--until-caught-up", "--metrics-address", "9464", code=2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "choose another address" in applied.fails("run", "--metrics-address", f"127.0.0.1:{port}", code=2)


def test_a_run_that_a_signal_ends_with_changes_pending_does_not_exit_as_if_all_was_done(applied: Any) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/hook"
        applied.edit("two: {kind: file, contract: c, settings: {path: two.jsonl}}",
                     f"two: {{kind: webhook, contract: c, settings: {{url: '{url}', answer: status}}}}")  # fmt: skip
        applied.run("apply")
        commit(applied, 1, "Ada")
        running = applied.start("run", "--until-caught-up")
        until(has(applied, "one.jsonl", "Ada"), running)
        assert "ended before all was delivered: 1 change pending" in end(running, 130)


def test_with_json_logs_every_line_on_standard_error_is_json_those_of_libraries_and_warnings_included(applied: Any) -> None:
    applied.edit("types:", "log: {format: json, level: info}\ntypes:")
    applied.run("apply")
    applied.write(
        "sitecustomize.py",
        "import logging, os, threading, time, warnings\n"
        "def speak():\n"
        "    while not os.path.exists('speak'):\n"
        "        time.sleep(0.05)\n"
        "    logging.getLogger('asyncio').error('Failing row contains (%s)', 'Ada')\n"
        "    warnings.warn('the row of Ada is odd', UserWarning)\n"
        "    logging.getLogger('goldwire_consumer').warning('a word of our own')\n"
        "    open('spoken', 'w').close()\n"
        "threading.Thread(target=speak, daemon=True).start()\n",
    )
    applied.environment["PYTHONPATH"] = str(applied.folder)
    running = applied.start("run")
    commit(applied, 1, "Ada")
    until(has(applied, "one.jsonl", "Ada"), running)
    applied.run("stop", "one", "--reason", "moving house")
    applied.write("speak", "")
    until((applied.folder / "spoken").exists, running)
    assert running.stderr is not None
    said = [running.stderr.readline()]
    while said[-1] and "moving house" not in said[-1]:  # the process looks for a stop once a second
        said.append(running.stderr.readline())
    lines = [json.loads(line) for line in [*said, *end(running, 7).splitlines()]]
    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)
    by_logger = {line.get("logger", line.get("category")): line for line in lines}
    assert "withheld" in by_logger["asyncio"]["event"]
    assert by_logger["UserWarning"]["where"] == "sitecustomize.py:6"
    assert by_logger["goldwire_consumer"]["event"] == "a word of our own"
    assert any("target one is stopped: moving house" in line["event"] for line in lines)
    assert "Ada" not in json.dumps(lines)


def test_errors_are_json_where_the_result_is(applied: Any) -> None:
    for words, code, kind in (
        (["status", "-c", "none.yaml"], 2, "ConfigMissingError"),
        (["run", "-t", "none"], 11, "NotFoundError"),
        (["status", "--nonsense"], 2, "CommandLineError"),
        (["entity", "show"], 2, "CommandLineError"),
    ):
        done = applied.run(*words, "--json", code=code)
        said = json.loads(done.stderr)
        assert (done.stdout, said["kind"], said["exit_code"], said["level"]) == ("", kind, code, "error")
