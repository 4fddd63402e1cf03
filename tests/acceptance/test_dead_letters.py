"""A target that refuses: dead letters, what a person sees of them, and the two ways out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


class Shop(ThreadingHTTPServer):
    """Takes events, except of the people it refuses: these get a page of HTML."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Hook)
        self.refused: set[str] = set()
        self.unanswered: set[str] = set()
        self.taken: list[dict[str, Any]] = []


class Hook(BaseHTTPRequestHandler):
    server: Shop
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = {one["id"] for one in event["externalIds"]}
        refuse = bool(known & self.server.refused)
        if not refuse:
            self.server.taken.append(event)
        if known & self.server.unanswered:
            self.close_connection = True
            return
        body = b"<html><body>Bad Request</body></html>" if refuse else b"\xff\xfe garbage, not JSON"
        self.send_response(400 if refuse else 200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *words: object) -> None:  # noqa: A002 - the base class names it so
        pass


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    thread = threading.Thread(target=shop.serve_forever)
    thread.start()
    yield shop
    shop.shutdown()
    thread.join()
    shop.server_close()


TARGET = """\
  shop:
    kind: webhook
    contract: everything
    clearance: [pii]
    settings:
      url: http://127.0.0.1:{port}/hook
      signing_secrets: ["${{env:SHOP_SECRET}}"]
    delivery: {{ mode: every, backoff_seconds: 0.01, max_attempts: 2 }}

log:
"""


@pytest.fixture
def selling(shell: Any, shop: Shop) -> Any:
    shell.lay_out()
    shell.environment["SHOP_SECRET"] = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    shell.edit("log:\n", TARGET.format(port=shop.server_port))
    shell.run("apply")
    shell.run("ingest", "crm", "data/crm.csv")
    shell.run("ingest", "billing", "data/billing.csv")
    return shell


def test_what_a_target_refuses_is_a_dead_letter_and_what_follows_waits_behind_it(selling: Any, shop: Shop) -> None:
    shop.refused = {"C-1"}
    selling.run("run", "--until-caught-up", "-t", "shop")
    [letter] = selling.json("dead", "list", "shop")
    assert (letter["state"], letter["version"]) == ("dead", 1)
    assert "400" in letter["reason"]
    assert "<html>" not in letter["reason"]
    shown = selling.json("dead", "show", "shop", str(letter["seq"]))
    assert shown["parked_versions"] == [2]
    [ledger] = selling.json("ledger", "-t", "shop", "--recount")
    assert (ledger["dead"], ledger["parked"], ledger["pending"], ledger["balanced"]) == (1, 1, 0, True)

    shop.refused = set()
    assert selling.json("dead", "redrive", "shop", str(letter["seq"])) == {"target": "shop", "redrive": 1}
    selling.run("run", "--until-caught-up", "-t", "shop")
    assert selling.json("dead", "list") == []
    versions = [event["version"] for event in shop.taken if {"id": "C-1", "system": "crm"} in event["externalIds"]]
    assert versions == [1, 2]


def test_a_discarded_letter_stays_dead_in_the_ledger_and_lets_the_next_one_through(selling: Any, shop: Shop) -> None:
    shop.refused = {"C-1"}
    selling.run("run", "--until-caught-up", "-t", "shop")
    shop.refused = set()
    assert selling.json("dead", "discard", "shop", "--all") == {"target": "shop", "discard": 1, "may_have_arrived": []}
    selling.run("run", "--until-caught-up", "-t", "shop")
    [ledger] = selling.json("ledger", "-t", "shop", "--recount")
    assert (ledger["dead"], ledger["parked"], ledger["balanced"]) == (1, 0, True)
    assert [one["state"] for one in selling.json("dead", "list")] == ["discarded"]
    assert [event["version"] for event in shop.taken if event["version"] == 2].count(2) >= 1


def test_a_letter_that_may_have_arrived_is_discarded_only_by_who_says_so(selling: Any, shop: Shop) -> None:
    shop.unanswered = {"C-1"}
    selling.run("run", "--until-caught-up", "-t", "shop")
    [letter] = selling.json("dead", "list", "shop")
    assert (letter["state"], letter["ambiguous"]) == ("dead", True)
    position = letter["seq"]
    for words in (["shop", str(position)], ["shop", "--all"], ["shop", "--all", "--json"]):
        said = selling.run("dead", "discard", *words, code=3).stderr
        assert f"may have arrived without an answer: {position}" in said
        assert "breaks the chain" in said
        assert "--yes" in said
    assert [one["state"] for one in selling.json("dead", "list")] == ["dead"]

    discarded = selling.json("dead", "discard", "shop", "--all", "--yes")
    assert discarded == {"target": "shop", "discard": 1, "may_have_arrived": [position]}
    assert [one["state"] for one in selling.json("dead", "list")] == ["discarded"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a terminal of its own")
@pytest.mark.parametrize(("answer", "state", "code"), [("n", "dead", 3), ("y", "discarded", 0)])
def test_on_a_terminal_a_person_is_asked(selling: Any, shop: Shop, answer: str, state: str, code: int) -> None:
    shop.unanswered = {"C-1"}
    selling.run("run", "--until-caught-up", "-t", "shop")
    ours, theirs = os.openpty()
    os.write(ours, f"{answer}\n".encode())
    done = subprocess.run(
        [str(Path(sys.executable).parent / "goldwire"), "dead", "discard", "shop", "--all"],
        cwd=selling.folder, env=selling.environment, stdin=theirs, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    os.close(ours)
    os.close(theirs)
    assert (done.returncode, "Discard all the same?" in done.stderr) == (code, True), done.stderr
    assert [one["state"] for one in selling.json("dead", "list")] == [state]


def test_a_secret_that_is_missing_names_its_variable_and_its_target(selling: Any) -> None:
    del selling.environment["SHOP_SECRET"]
    said = selling.fails("run", "--until-caught-up", code=2)
    assert "SHOP_SECRET is not set" in said
    assert "targets.shop.settings.signing_secrets[0]" in said


def test_nothing_secret_reaches_the_store_or_any_output(selling: Any, shop: Shop) -> None:
    secret = selling.environment["SHOP_SECRET"]
    shown = [selling.run(*words) for words in (["apply"], ["run", "--until-caught-up"], ["status"], ["targets"])]
    assert all(secret not in done.stdout + done.stderr for done in shown)
    assert shop.taken
    stored = b"".join(file.read_bytes() for file in (selling.folder / ".goldwire").iterdir())
    assert secret.encode() not in stored
