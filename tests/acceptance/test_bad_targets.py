"""Targets that answer nonsense, are down or are held by another: reported clearly, tried again, and nothing lost."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

TARGET = """\
  shop:
    kind: webhook
    contract: everything
    clearance: [pii]
    settings:
      url: {url}
      {more}
    delivery: {{ mode: every, backoff_seconds: 0.05, backoff_limit_seconds: 0.2, max_attempts: 3, breaker_failures: 2 }}

log:
"""


@pytest.fixture
def receiver() -> Iterator[str]:
    """The address of a real server in a process of its own, which misbehaves as the path says."""
    process = subprocess.Popen([sys.executable, "-m", "goldwire.testing.webhook_receiver"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process.stdout.readline().split()[-1]
    process.terminate()
    process.communicate(timeout=60)


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port at which no process listens; it is ours, so that no other begins to."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        yield int(silent.getsockname()[1])


def set_up(shell: Any, url: str, more: str = "answer: status") -> None:
    shell.lay_out()
    shell.edit("log:\n", TARGET.format(url=url, more=more))
    shell.run("apply")
    shell.run("ingest", "crm", "data/crm.csv")


def tried_until(shell: Any, said: str) -> str:
    """Run until the target was reported in this way, end the run as a person would, and return all that it printed."""
    relay = shell.start("run", "--until-caught-up", "-t", "shop")
    give_up = time.monotonic() + 60
    while said not in (shell.json("status")["targets"][-1]["last_failure"] or ""):
        assert time.monotonic() < give_up
        assert relay.poll() is None, relay.communicate()
    relay.send_signal(signal.SIGTERM)
    output, errors = relay.communicate(timeout=60)
    assert relay.returncode == 130, errors  # changes are pending
    assert "Traceback" not in errors
    return str(output + errors)


def recovers(shell: Any, url: str, to: str) -> None:
    """The address is mended: everything that was held back arrives, and the ledger balances."""
    [before] = shell.json("ledger", "-t", "shop", "--recount")
    assert (before["delivered"], before["dead"], before["pending"], before["balanced"]) == (0, 0, 4, True)
    shell.edit(url, to)
    shell.run("run", "--until-caught-up", "-t", "shop")
    [after] = shell.json("ledger", "-t", "shop", "--recount")
    assert (after["delivered"], after["pending"], after["balanced"]) == (4, 0, True)


def test_a_page_in_place_of_an_answer_is_no_delivery(shell: Any, receiver: str) -> None:
    set_up(shell, f"{receiver}/html")
    told = tried_until(shell, "a web page answers, no receiver: HTTP 200 (text/html); mend `url`")
    assert "Welcome" not in told
    recovers(shell, f"{receiver}/html", f"{receiver}/")


def test_garbage_in_place_of_results_is_no_delivery(shell: Any, receiver: str) -> None:
    set_up(shell, f"{receiver}/garbage", "answer: results")
    assert "no results in the answer: HTTP 200" in tried_until(shell, "no results in the answer: HTTP 200")
    recovers(shell, f"{receiver}/garbage", f"{receiver}/results")


def test_a_target_that_fails_as_a_whole_kills_no_event(shell: Any, receiver: str) -> None:
    set_up(shell, f"{receiver}/status/500")
    assert "HTTP 500" in tried_until(shell, "HTTP 500")
    recovers(shell, f"{receiver}/status/500", f"{receiver}/")


def test_who_waits_for_a_target_that_is_down_is_told_what_for(shell: Any, receiver: str, free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}/hook"
    set_up(shell, url)
    shell.edit("level: warning", "level: error")
    relay = shell.start("run", "--until-caught-up", "-t", "shop")
    assert relay.stderr is not None
    said = relay.stderr.readline()
    assert said.startswith("goldwire: waiting for shop: 4 pending; the last attempt failed: the receiver cannot be reached")
    relay.send_signal(signal.SIGINT)
    output, errors = relay.communicate(timeout=60)
    assert relay.returncode == 130
    assert "ended before all was delivered: 4 changes pending" in errors
    assert "shop: the last attempt failed: the receiver cannot be reached: the connection was refused" in output
    assert "the connection was refused" in shell.run("status").stdout
    recovers(shell, url, f"{receiver}/")


def test_a_receiver_that_is_gone_stops_its_target_and_a_resume_lifts_that(shell: Any, receiver: str) -> None:
    set_up(shell, f"{receiver}/status/410")
    assert "the receiver is gone for good" in shell.fails("run", "--until-caught-up", "-t", "shop", code=7)
    stopped = shell.json("status")["targets"][-1]
    assert (stopped["state"], stopped["lag"]) == ("stopped", 4)
    assert "HTTP 410" in stopped["stopped"]
    shell.run("resume", "shop")
    recovers(shell, f"{receiver}/status/410", f"{receiver}/")


def test_one_target_that_is_down_holds_up_no_other(shell: Any, free_port: int) -> None:
    set_up(shell, f"http://127.0.0.1:{free_port}/hook")
    relay = shell.start("run", "--until-caught-up")
    give_up = time.monotonic() + 60
    while [one["state"] for one in shell.json("status")["targets"]] != ["caught up", "caught up", "behind"]:
        assert time.monotonic() < give_up
    relay.send_signal(signal.SIGTERM)
    relay.communicate(timeout=60)
    assert len(shell.events("out/events.jsonl")) == 4


DATABASE = """\
  erp:
    kind: sql
    contract: everything
    clearance: [pii]
    settings:
      url: ${env:ERP_URL}
      table: customer
      columns: { city: city }
      connect_timeout_seconds: 3600
      answer_timeout_seconds: 3600
    delivery: { timeout_seconds: 3600 }

log:
"""


@pytest.mark.parametrize("family", ["mariadb", "postgresql"])
def test_a_database_that_is_down_is_waited_for_and_said_to_be(started: Any, free_port: int, family: str) -> None:
    started.environment["ERP_URL"] = f"{family}://user:secret@127.0.0.1:{free_port}/erp"
    started.edit("log:\n", DATABASE)
    started.run("apply")
    relay = started.start("run", "-t", "erp")
    assert relay.stderr is not None
    said = relay.stderr.readline()
    assert "not reachable target=erp" in said
    assert "the database is not available" in said
    assert "secret" not in said
    relay.send_signal(signal.SIGTERM)
    relay.communicate(timeout=60)
    assert relay.returncode == 0


@pytest.mark.parametrize("family", ["mariadb", "postgresql"])
def test_a_database_that_never_finishes_its_handshake_does_not_hold_up_the_end(started: Any, family: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started.environment["ERP_URL"] = f"{family}://user:secret@127.0.0.1:{silent.getsockname()[1]}/erp"
        started.edit("log:\n", DATABASE)
        started.run("apply")
        relay = started.start("run", "-t", "erp")
        silent.settimeout(60)
        connected, _ = silent.accept()
        with connected:
            relay.send_signal(signal.SIGTERM)
            _, errors = relay.communicate(timeout=60)
    assert (relay.returncode, "Traceback" in errors) == (0, False), errors


def test_a_target_that_another_run_holds_is_busy_and_not_stopped(started: Any) -> None:
    started.run("ingest", "crm", "data/crm.csv")
    holding = started.start("run", "-t", "events")
    give_up = time.monotonic() + 60
    while not started.json("ledger"):
        assert time.monotonic() < give_up
    second = started.run("run", "--until-caught-up", code=4)
    rows = {line.split()[0]: line.split()[-1] for line in second.stdout.splitlines() if line.startswith(("events", "partners"))}
    assert (rows["events"], rows["partners"]) == ("busy", "0")
    assert "target events: another relay is working on it" in second.stderr
    states = {one["target"]: one["state"] for one in started.json("run", "--until-caught-up", code=4)}
    assert states == {"events": "busy", "partners": "caught up"}
    assert {one["state"] for one in started.json("status")["targets"]} == {"caught up"}
    holding.send_signal(signal.SIGTERM)
    holding.communicate(timeout=60)
    assert holding.returncode == 0


def test_a_certificate_file_starts_at_the_configurations_folder_like_every_path(shell: Any) -> None:
    set_up(shell, "https://127.0.0.1:9/hook", "ca_file: certificates/own.pem")
    shell.write("certificates/own.pem", "no certificate\n")
    (shell.folder / "elsewhere").mkdir()
    shell.folder = shell.folder / "elsewhere"
    said = shell.run("run", "--until-caught-up", "-t", "shop", "-c", "../goldwire.yaml", code=2).stderr
    assert "target 'shop': ca_file holds no certificate in PEM form" in said


def test_a_killed_run_goes_on_where_it_was(shell: Any, receiver: str) -> None:
    set_up(shell, f"{receiver}/slow/0.2")
    rows = [f"N-{n},Name {n},n{n}@x.example,,Rome,,2026-04-01T00:00:00Z" for n in range(200)]
    shell.write("many.csv", "id,full_name,e_mail,phone,city,segment,updated_at\n" + "\n".join(rows) + "\n")
    shell.run("ingest", "crm", "many.csv")
    relay = shell.start("run", "--until-caught-up")
    give_up = time.monotonic() + 60
    while not (shell.folder / "out/events.jsonl").exists() or not (shell.folder / "out/events.jsonl").stat().st_size:
        assert time.monotonic() < give_up
    relay.kill()
    relay.communicate(timeout=60)
    shell.run("run", "--until-caught-up")
    for one in shell.json("ledger", "--recount"):
        assert one["balanced"]
        assert (one["committed"], one["delivered"], one["pending"]) == (204, 204, 0)
    assert len(shell.events("out/events.jsonl")) == 204
    assert shell.json("verify", "out/events.jsonl")["whole"]


def test_a_second_signal_ends_at_once_and_what_was_not_settled_is_sent_again(shell: Any, receiver: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}/hang"
        set_up(shell, url)
        relay = shell.start("run", "-t", "shop")
        hanging.settimeout(60)
        connected, _ = hanging.accept()
        with connected:
            assert connected.recv(1), "an event is on its way"
            relay.send_signal(signal.SIGINT)
            relay.send_signal(signal.SIGTERM)  # two of a kind that come at once are one
            _, errors = relay.communicate(timeout=60)
    assert relay.returncode == 130
    assert "Traceback" not in errors
    recovers(shell, url, f"{receiver}/")


HUB = """\
  hub:
    kind: event_hubs
    contract: everything
    clearance: [pii]
    settings:
      hub: nowhere
      connection_string: ${{file:hub.key}}
    delivery: {{ backoff_seconds: 0.05, backoff_limit_seconds: 0.2 }}

log:
"""


def test_status_tells_why_a_target_cannot_be_opened_and_since_when(shell: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]  # no process listens there from the end of this block until the emulator does
    address = f"Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE"
    shell.lay_out()
    shell.write("hub.key", f"{address};UseDevelopmentEmulator=true")
    shell.edit("log:\n", HUB.format())
    shell.run("apply")
    shell.run("ingest", "crm", "data/crm.csv")

    def told() -> dict[str, Any]:
        return next(one for one in shell.json("status")["targets"] if one["target"] == "hub")

    relay = shell.start("run", "--until-caught-up", "-t", "hub")
    give_up = time.monotonic() + 60
    while (away := told())["unopened"] is None:
        assert time.monotonic() < give_up
        assert relay.poll() is None, relay.communicate()
    reason = "target 'hub': hub nowhere: not reachable"
    assert away["unopened"].startswith(reason)
    assert f"hub: cannot be opened since {away['unopened_since']}: {reason}" in shell.run("status").stdout
    emulator = shell.start("emulator", "--port", str(port))
    assert emulator.stdout.readline().startswith("ready: ")
    _, errors = relay.communicate(timeout=60)
    assert relay.returncode == 2, errors
    wrong = told()
    assert "hub nowhere" in wrong["unopened"]
    assert "create it" in wrong["unopened"]
    assert wrong["unopened_since"] == away["unopened_since"]
    shell.edit("hub: nowhere", "hub: nowhere\n      key: [entityType, entityId]")
    shell.run("apply")  # nothing was ever sent there, so nothing is fixed
    shell.edit("hub: nowhere", "hub: eh1")
    shell.run("run", "--until-caught-up", "-t", "hub")
    mended = told()
    assert (mended["state"], mended["unopened"], mended["unopened_since"]) == ("caught up", None, None)
