"""With --json standard output is one document and nothing else, for every command there is."""

from __future__ import annotations

import base64
import json
from typing import Any

import typer

from goldwire.cli.main import app
from goldwire.cli.reference_pages import walk

IN_ORDER = {
    "init": ["elsewhere"],
    "apply": [],
    "ingest": ["crm", "data/crm.csv"],
    "remaster": [],
    "run": ["--until-caught-up"],
    "status": [],
    "ledger": ["--recount"],
    "entity show": ["crm/C-1"],
    "dead list": [],
    "dead redrive": ["events", "--all"],
    "dead discard": ["events", "--all"],
    "resync start": ["events"],
    "resync list": [],
    "replay start": ["events"],
    "replay list": [],
    "stop": ["events"],
    "resume": ["events"],
    "rewind": ["events", "0"],
    "verify": ["out/events.jsonl"],
    "store check": [],
    "store upgrade": [],
    "store backup": ["copy.db"],
    "redate": [],
    "schema": ["events"],
    "target check": ["events"],
    "targets": [],
    "simulate": ["--seeds", "1", "--workers", "1"],
}
ELSEWHERE = {
    "store restore": "test_store_copies.py",
    "demo": "test_demo.py",
    "bench": "test_bench.py",
    "dead show": "test_dead_letters.py",
    "detokenise": "the test below",
    "heads": "test_heads.py",
    "emulator": "test_emulator.py",
    "subscribers": "test_subscribers.py",
    "resync show": "test_resync.py",
    "resync cancel": "test_resync.py",
    "replay show": "test_replay.py",
    "replay cancel": "test_replay.py",
    "servicebus dead-letters list": "test_broker_dead_letters.py",
    "servicebus dead-letters redrive": "test_broker_dead_letters.py",
}


def test_every_command_writes_one_document_and_nothing_beside_it(shell: Any) -> None:
    commands = {name.removeprefix("goldwire ") for name, _ in walk(typer.main.get_command(app), "goldwire")}
    assert commands == {*IN_ORDER, *ELSEWHERE}
    shell.run("init")
    for command, words in IN_ORDER.items():
        done = shell.run(*command.split(), *words, "--json")
        json.loads(done.stdout)
        assert done.stderr == "", command


def test_an_error_leaves_standard_output_empty_so_that_no_half_document_is_read(started: Any) -> None:
    for words, code in ((["entity", "show", "crm/none"], 11), (["status", "-c", "none.yaml"], 2), (["run", "-t", "none"], 11)):
        done = started.run(*words, "--json", code=code)
        assert (done.stdout, done.stderr.count("\n")) == ("", 1)


def test_a_token_and_its_value_are_read_back_as_a_document(started: Any) -> None:
    started.environment["TOKEN_KEY"] = base64.b64encode(b"k" * 32).decode()
    started.edit("# keys:\n#   hash: ${env:GOLDWIRE_HASH_KEY}", "keys:\n  tokenise: ${env:TOKEN_KEY}")
    started.edit("masks: { name: redact, email: partial }", "masks: { name: redact, email: tokenise }")
    started.run("apply")
    started.run("ingest", "crm", "data/crm.csv")
    started.run("run", "--until-caught-up")
    tokens = {event["changes"]["attributes"]["email"]["value"] for event in started.events("out/partners.jsonl")}
    assert not any("@" in token for token in tokens)
    read = started.json("detokenise", "email", *sorted(tokens))
    assert "ada@analytical.example" in json.dumps(read)
