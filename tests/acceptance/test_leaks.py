"""The whole path with planted markers: values and secrets are only where they belong, whatever fails, with all logging on."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from goldwire.changelog.sqlite.store import SqliteStore

VALUES = {
    "name": "Qxname Markerson",
    "email": "qxmail.marker.markerson@acme.example",
    "phone": "+99 7331 0944 51",
    "income": 733109445127,
    "notes": ["qxlist marker", {"qxkey": "qxmember marker"}],
}
MARKS = ("Qxname", "qxmail", "7331", "qxlist", "qxkey", "qxmember")
SECRET = "qxsecret"
BASE64 = "cXhzZWNyZXQ"  # how SECRET begins in base64
ENVIRONMENT = {
    "HOOK_URL": f"{SECRET}1?token={SECRET}2",
    "HOOK_SIGN": f"whsec_{BASE64}{BASE64}QUJDREVG",
    "HOOK_TOKEN": f"{SECRET}3",
    "HOOK_KEY": f"{SECRET}4",
    "HASH_KEY": f"{SECRET}5" * 5,
    "TOKEN_KEY": f"{SECRET}6" * 5,
    "DB_PASSWORD": f"{SECRET}7",
}

FAILURES = 3
"""How many of the first answers are HTTP 500; the next ones are 400."""

CONFIGURATION = """\
tags: {{pii: {{retention_days: 30}}, money: {{}}}}
types:
  Customer:
    attributes:
      name: &personal {{tags: [pii]}}
      email: *personal
      phone: *personal
      notes: *personal
      income: {{tags: [pii, money]}}
      city: {{}}
    relations: {{knows: {{}}}}
keys: {{hash: "${{env:HASH_KEY}}", tokenise: "${{env:TOKEN_KEY}}"}}
contracts:
  everything: {{}}
  hashed: {{masks: {{pii: hash, phone: tokenise, notes: redact}}, payload: delta, external_ids: [crm]}}
  shortened:
    masks: {{pii: partial, name: {{truncate: 2}}, phone: {{truncate: 1}}, income: redact}}
    where: has(a.city)
    external_ids: none
targets:
  cleared: {{kind: file, contract: everything, clearance: [pii, money], settings: {{path: out/cleared.jsonl}}}}
  hashed: {{kind: file, contract: hashed, settings: {{path: out/hashed.jsonl}}}}
  shortened: {{kind: file, contract: shortened, settings: {{path: out/shortened.jsonl}}}}
  hook:
    kind: webhook
    contract: everything
    clearance: [money, pii]
    settings:
      url: "http://127.0.0.1:{port}/${{env:HOOK_URL}}"
      signing_secrets: ["${{env:HOOK_SIGN}}"]
      bearer_token: ${{env:HOOK_TOKEN}}
      headers: {{x-api-key: "${{env:HOOK_KEY}}"}}
    delivery: {{mode: every, backoff_seconds: 0.01, max_attempts: 2}}
  table:
    kind: sql
    contract: everything
    clearance: [money, pii]
    settings:
      url: sqlite:///out/table.db
      table: customer
      columns: {{name: name, mail: email, notes: notes, city: city}}
      types: {{notes: json}}
    delivery: {{mode: every, backoff_seconds: 0.01, max_attempts: 2}}
  elsewhere:
    kind: sql
    contract: everything
    clearance: [money, pii]
    settings:
      url: mysql+pymysql://gold:${{env:DB_PASSWORD}}@127.0.0.1:1/golden
      table: customer
      columns: {{name: name}}
      connect_timeout_seconds: 1
    delivery: {{backoff_seconds: 0.01}}
log: {{level: debug, format: {format}}}
"""

TABLE = """
CREATE TABLE customer (
  id TEXT PRIMARY KEY, name TEXT CHECK (name NOT LIKE 'Qx%'), mail TEXT UNIQUE, notes TEXT, city TEXT,
  goldwire_entity_id TEXT, goldwire_version INTEGER, goldwire_timestamp TEXT, goldwire_deleted BOOLEAN, goldwire_hash TEXT);
CREATE TABLE goldwire_tombstone (
  target_table TEXT, entity_id TEXT, timestamp TEXT, version INTEGER, PRIMARY KEY (target_table, entity_id));
"""


class Echo(BaseHTTPRequestHandler):
    """Takes ordinary people; answers everything else with an error that repeats it, in body, headers and media type."""

    failed: int
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
        status = 200 if "Ordinary" in sent else 500 if type(self).failed < FAILURES else 400
        type(self).failed += status == 500
        echoed = f"<html>{sent} {self.headers} {self.path}</html>".encode() if status != 200 else b"ok"
        self.send_response(status, f"Refused {SECRET} Qxname" if status != 200 else None)
        self.send_header("Content-Type", "text/Qxname" if status == 500 else "text/html; charset=Qxname")
        self.send_header("X-Echo", self.headers["Authorization"] or "")
        self.send_header("Content-Length", str(len(echoed)))
        self.end_headers()
        self.wfile.write(echoed)

    def log_message(self, format: str, *words: object) -> None:  # noqa: A002 - the base class names it so
        pass


@pytest.fixture
def port() -> Iterator[int]:
    Echo.failed = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def fact(external_id: str, **attributes: Any) -> dict[str, Any]:
    """A fact about a customer, who knows somebody of whom another system holds the id."""
    told = {"system": "crm", "externalId": external_id, "entityType": "Customer", "attributes": attributes}
    edge = {"rel": "knows", "to": {"externalId": {"system": "tax", "id": "qxmember-9"}}}
    return {**told, "edges": [edge], "observedAt": "2026-01-01T00:00:00Z"}


def facts() -> str:
    """Four customers, two of them marked, then rows that cannot be taken; everything bad holds a marker too."""
    ordinary = {"name": "Ordinary Person", "city": "Ulm"}
    lines: list[Any] = [
        fact("C-2", **ordinary),
        fact("C-3", **ordinary, email="ord@acme.example"),
        fact("C-1", **VALUES, city="Ulm"),
        fact("C-4", **VALUES, city="Bonn"),
        {**fact("C-5", **VALUES), "observedAt": "Qxname is no time"},
        {**fact("C-6", **VALUES), "confidence": "Qxname"},
        {**fact("C-7", **VALUES), "entityType": ["Qxname"]},
        {**fact("C-8", **VALUES), "edges": [{"rel": "knows", "to": {}, "op": "Qxname"}]},
        {**fact("C-9", **VALUES), "unknown": "Qxname"},
        {"decision": "Qxname", "record": {"system": "crm", "id": "C-1"}},
    ]
    return "\n".join(json.dumps(line) for line in lines) + '\n{"system": "Qxname\n"Qxname"\n'


COMMANDS = (
    ("status",), ("ledger", "--recount"), ("dead", "list"), ("dead", "list", "hook"), ("dead", "show", "hook", "4"),
    ("dead", "show", "table", "4"), ("targets",), ("schema", "hook"), ("schema", "hashed"), ("schema", "--configuration"),
    ("verify", "out/cleared.jsonl"), ("verify", "out/hashed.jsonl"), ("apply", "--check"),
)  # fmt: skip


@pytest.mark.parametrize("style", ["json", "console"])
def test_values_and_secrets_are_only_where_they_belong(shell: Any, port: int, style: str) -> None:
    shell.write("goldwire.yaml", CONFIGURATION.format(port=port, format=style))
    shell.write("facts.jsonl", facts())
    shell.environment.update(ENVIRONMENT, PYTHONASYNCIODEBUG="1")
    (shell.folder / "out").mkdir()
    database = sqlite3.connect(shell.folder / "out/table.db")
    database.executescript(TABLE)
    database.close()

    shown = [shell.run("apply"), shell.run("ingest", "facts.jsonl", "--rejects", "rejects.jsonl", code=10)]
    shown.append(shell.run("ingest", "facts.jsonl", "--json", code=10))
    reachable = [word for name in ("cleared", "hashed", "shortened", "hook", "table") for word in ("-t", name)]
    shown.append(shell.run("run", "--until-caught-up", *reachable))
    assert "refuses the event: HTTP 400" in shown[-1].stderr, "the failing targets were logged"
    assert "CHECK constraint" in shown[-1].stderr
    shell.write("later.jsonl", json.dumps({**fact("C-1", name="Qxname the Second"), "observedAt": "2026-02-01T00:00:00Z"}))
    shown += [shell.run("ingest", "later.jsonl"), shell.run("run", "--until-caught-up", *reachable)]
    hanging = shell.start("run", "-t", "elsewhere")
    for words in COMMANDS:
        shown += [shell.run(*words), shell.run(*words, "--json")]
    unmasked = [shell.run("entity", "show", "crm/C-1"), shell.run("entity", "show", "crm/C-1", "--json")]
    hanging.terminate()
    said = "".join(hanging.communicate(timeout=60))

    dead = {(one["target"], one["state"]) for one in shell.json("dead", "list")}
    assert dead >= {("hook", "dead"), ("table", "dead")}, dead
    outputs = "\n".join(one.stdout + one.stderr for one in shown) + said
    masked = {name: (shell.folder / name).read_text() for name in ("out/hashed.jsonl", "out/shortened.jsonl", "rejects.jsonl")}
    for name, text in {"the outputs": outputs, **masked}.items():
        assert [mark for mark in MARKS if mark.lower() in text.lower()] == [], name

    cleared = (shell.folder / "out/cleared.jsonl").read_text()
    assert all(mark in cleared for mark in MARKS), "the markers did go through"
    assert all(mark in unmasked[1].stdout for mark in MARKS)
    assert len(masked["out/hashed.jsonl"].splitlines()) == 5
    assert "hmac-sha256:" in masked["out/hashed.jsonl"]
    assert "tok_" in masked["out/hashed.jsonl"]
    assert "REDACTED" in masked["out/shortened.jsonl"]

    everything = outputs + "".join(one.stdout + one.stderr for one in unmasked)
    assert SECRET not in everything
    assert BASE64 not in everything
    for file in files(shell.folder):
        content = file.read_bytes()
        assert SECRET.encode() not in content, file
        assert BASE64.encode() not in content, file


def files(folder: Path) -> list[Path]:
    """Every file below a folder."""
    return [file for file in folder.rglob("*") if file.is_file()]


def test_a_tightened_contract_holds_for_all_that_was_never_sent(started: Any) -> None:
    started.run("ingest", "crm", "data/crm.csv")
    obstacle = started.folder / "out/events.jsonl"
    obstacle.mkdir(parents=True)
    started.run("run", "--until-caught-up", "-t", "events", code=2)
    started.edit("    golden: false", "    masks: {pii: redact}\n    golden: false")
    assert "still holds" not in started.run("apply").stderr
    obstacle.rmdir()
    started.run("run", "--until-caught-up", "-t", "events")
    sent = obstacle.read_text(encoding="utf-8")
    assert "REDACTED" in sent
    assert "Lovelace" not in sent


def test_who_tightens_a_contract_is_told_what_still_goes_out_under_the_one_before(started: Any) -> None:
    started.run("apply")
    started.run("ingest", "crm", "data/crm.csv")
    store = SqliteStore(started.folder / ".goldwire/store.db")
    cursor = store.acquire("events", "snapshot")
    store.declare("events", cursor.epoch, 4, "every")  # a relay that was killed between this and its first settlement
    store.close()
    started.edit("    golden: false", "    masks: {pii: redact}\n    golden: false")
    assert (
        "up to position 4 the revision before still holds, because 4 of these may be on their way already"
        in started.run("apply").stderr
    )
    assert "still holds" not in started.run("apply").stderr
