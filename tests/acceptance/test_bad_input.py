"""Bad input to commands: one clear line, an exit code, and nothing lost."""

from __future__ import annotations

import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

TABLE = """\
  table:
    kind: sql
    contract: hashed
    settings:
      url: sqlite:///table.db
      table: customer
      key: { external_id: crm }
      columns: { hash: hash, version: version }
      create_table: true

log:
"""
HEADER = "id,full_name,e_mail,phone,city,segment,updated_at\n"


def proven(shell: Any, delivered: int) -> None:
    """Everything that was committed arrived at `events`, in whole chains, and every ledger balances."""
    shell.run("run", "--until-caught-up")
    for one in shell.json("ledger", "--recount"):
        assert (one["balanced"], one["pending"], one["dead"]) == (True, 0, 0)
        assert one["committed"] == delivered
    assert len(shell.events("out/events.jsonl")) == delivered
    assert shell.json("verify", "out/events.jsonl")["whole"]


def test_a_bad_row_never_stops_the_good_ones(started: Any) -> None:
    rows = [
        "C-1,Ada,ada@x.example,,London,,2026-01-01T00:00:00Z",
        ",Nameless,no@x.example,,London,,2026-01-01T00:00:00Z",
        "C-2,Grace,grace@x.example,,Arlington,,not a time",
        "C-3,Edsger,edsger@x.example,,Nuenen,,2026-01-01T00:00:00Z",
    ]
    started.write("some.csv", HEADER + "\n".join(rows) + "\n")
    done = started.json("ingest", "crm", "some.csv", "--rejects", "rejects.jsonl", code=10)
    assert (done["facts"], done["versions"], done["rejected"]) == (2, 2, 2)
    rejects = started.events("rejects.jsonl")
    assert [reject["origin"].rpartition("/")[2] for reject in rejects] == ["some.csv:3", "some.csv:4"]
    assert "not a time" not in (started.folder / "rejects.jsonl").read_text()
    proven(started, 2)


def test_a_quote_that_is_never_closed_costs_its_own_row_alone(started: Any) -> None:
    started.write(
        "some.csv",
        HEADER + 'C-1,"Ada,ada@x.example,,London,,\nC-2,Grace,grace@x.example,,Arlington,,\nC-3,Edsger,e@x.example,,,,\n',
    )
    done = started.json("ingest", "crm", "some.csv", code=10)
    assert (done["facts"], done["rejected"]) == (2, 1)
    assert done["first_rejects"][0]["origin"].endswith("some.csv:2")
    assert "never closed" in done["first_rejects"][0]["reason"]
    proven(started, 2)


def test_a_parquet_file_that_breaks_off_is_told_and_mending_it_takes_the_rest(started: Any) -> None:
    columns = {"id": ["C-1", "C-2"], "full_name": ["Ada", "Grace"], "e_mail": ["a@x.example", "g@x.example"]}
    columns |= {name: ["", ""] for name in ("phone", "city", "segment", "updated_at")}
    parquet.write_table(pa.table(columns), started.folder / "some.parquet")
    whole = (started.folder / "some.parquet").read_bytes()
    (started.folder / "some.parquet").write_bytes(whole[: len(whole) // 2])
    said = started.fails("ingest", "crm", "some.parquet", code=3)
    assert "some.parquet: cannot be read as Parquet; check that the file is whole" in said
    assert started.json("status")["position"] == 0
    (started.folder / "some.parquet").write_bytes(whole)
    assert started.json("ingest", "crm", "some.parquet")["versions"] == 2
    proven(started, 2)


def test_a_file_that_is_not_utf_8_is_told_or_its_rows_are_rejected(started: Any) -> None:
    (started.folder / "wide.csv").write_text(HEADER, encoding="utf-16")
    assert "UTF-16" in started.fails("ingest", "crm", "wide.csv", code=3)
    good = "C-1,Ada,ada@x.example,,London,,2026-01-01T00:00:00Z\n"
    latin = HEADER + good + "C-2,Jos\xe9,jose@x.example,,Madrid,,2026-01-01T00:00:00Z\n"
    (started.folder / "latin.csv").write_bytes(latin.encode("latin-1"))
    done = started.json("ingest", "crm", "latin.csv", code=10)
    assert (done["facts"], done["rejected"]) == (1, 1)
    assert (done["first_rejects"][0]["field"], "UTF-8" in done["first_rejects"][0]["reason"]) == ("full_name", True)
    proven(started, 1)


def test_a_value_of_ten_megabytes_is_rejected_by_name(started: Any) -> None:
    huge = f"C-1,{'x' * 10_000_000},ada@x.example,,London,,2026-01-01T00:00:00Z\n"
    started.write("huge.csv", HEADER + huge + "C-2,Grace,grace@x.example,,Arlington,,2026-01-01T00:00:00Z\n")
    done = started.json("ingest", "crm", "huge.csv", code=10)
    assert (done["facts"], done["rejected"]) == (1, 1)
    assert "xxxx" not in done["first_rejects"][0]["reason"]
    proven(started, 1)


def test_a_value_of_ten_megabytes_that_is_allowed_arrives_whole(started: Any) -> None:
    started.edit("    observed_at: updated_at\n", "    observed_at: updated_at\n    max_value_bytes: 20000000\n")
    huge = "\xe9" * 5_000_000
    started.write("huge.csv", HEADER + f"C-1,{huge},ada@x.example,,London,,2026-01-01T00:00:00Z\n")
    assert started.json("ingest", "crm", "huge.csv")["versions"] == 1
    proven(started, 1)
    assert started.events("out/events.jsonl")[0]["changes"]["attributes"]["name"]["value"] == huge


def test_json_lines_that_are_corrupt_are_rejected_with_their_line(started: Any) -> None:
    fact = '{"system":"crm","externalId":"C-1","entityType":"Customer","attributes":{"name":"Ada"}}\n'
    started.write(
        "facts.jsonl", fact + '{"system": "crm", \n' + fact.replace("name", "hash") + fact.replace("Customer", "Custmer")
    )
    done = started.json("ingest", "facts.jsonl", code=10)
    assert (done["facts"], done["rejected"]) == (1, 3)
    assert [one["origin"].rpartition(":")[2] for one in done["first_rejects"]] == ["2", "3", "4"]


def test_a_file_or_a_source_that_is_not_there_is_named(started: Any) -> None:
    assert "nothing.csv" in started.fails("ingest", "crm", "nothing.csv", code=3)
    assert "did you mean 'crm'" in started.fails("ingest", "crn", "data/crm.csv", code=3)
    assert "data: is no file" in started.fails("ingest", "crm", "data", code=3)
    said = started.fails("ingest", "data/crm.csv", code=3)
    assert "`goldwire ingest SOURCE data/crm.csv`; known are billing, crm" in said


def test_a_port_for_metrics_that_is_taken_is_named_before_anything_is_sent(started: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = started.fails("run", "--until-caught-up", "--metrics-port", port, code=2)
    assert f"--metrics-port {port}: Address already in use; choose another port" in said
    assert started.json("ledger") == []


def test_a_locked_store_says_so_and_the_command_can_be_repeated(started: Any) -> None:
    other = sqlite3.connect(started.folder / ".goldwire/store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    said = started.fails("ingest", "crm", "data/crm.csv", code=4)
    assert "store.db" in said
    other.execute("ROLLBACK")
    other.close()
    assert started.json("ingest", "crm", "data/crm.csv")["versions"] == 4
    proven(started, 4)


def test_a_store_that_is_none_or_damaged_is_refused(started: Any) -> None:
    started.write("other.txt", "this is no database, and long enough to be read as a page of one " * 100)
    started.edit("path: .goldwire/store.db", "path: other.txt")
    assert "other.txt" in started.fails("status", code=6)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("contract: masked", "conract: masked", "conract: unknown field; did you mean 'contract'?"),
        ("retention_days: 365", "retention_days: many", "expected a whole number"),
        ("required: [name, email]", "required: [name, mail]", "did you mean 'email'?"),
        ("kind: file\n    contract: masked", "kind: fil\n    contract: masked", "did you mean 'file'"),
        ("  partners:\n", "  events:\n", "stands twice"),
        ("      path: out/partners.jsonl", "      path: ${env:NOT_SET_ANYWHERE}/p.jsonl", "NOT_SET_ANYWHERE is not set"),
        ("# keys:\n#   hash: ${env:GOLDWIRE_HASH_KEY}", "keys:\n  hash: hunter2hunter2 #", "a secret is never written here"),
        ("    clearance: [pii]", "    clearance: []", "pii"),
        ("    contract: masked", "    contract: masked\n    contract: masked", "stands twice"),
        ("      path: out/partners.jsonl", "      path: ${file:secrets/path}", "cannot read the file"),
        ("      path: out/partners.jsonl", "      path: [out, partners]", "expected text, found a list"),
        ("      path: out/partners.jsonl", "      path: out/partners.jsonl\n      fsink: false", "did you mean 'fsync'?"),
    ],
)
def test_what_is_wrong_with_the_configuration_is_told_with_its_line(shell: Any, old: str, new: str, said: str) -> None:
    shell.lay_out()
    shell.edit(old, new)
    told = shell.fails("apply", code=2)
    assert said in told
    assert "hunter2" not in told
    assert all(line.startswith("goldwire: ") for line in told.splitlines()), told
    assert "goldwire.yaml:" in told
    if (shell.folder / ".goldwire/store.db").exists():
        shell.edit(new, old)
        assert {target["revision"] for target in shell.json("status")["targets"]} == {None}


def test_an_attribute_named_hash_is_an_attribute_like_any_other(started: Any) -> None:
    started.edit("      city: {}\n", "      city: {}\n      hash: {}\n      payload: {}\n")
    started.run("apply")
    fact = '{"system":"crm","externalId":"C-1","entityType":"Customer","attributes":{"hash":"#1","payload":"p","name":"Ada"}}\n'
    started.write("facts.jsonl", fact)
    started.run("ingest", "facts.jsonl")
    started.run("run", "--until-caught-up")
    event = started.events("out/events.jsonl")[0]
    assert event["changes"]["attributes"]["hash"]["value"] == "#1"
    proven(started, 1)


def test_an_attribute_named_hash_can_be_selected_masked_and_kept_in_a_table(started: Any) -> None:
    started.edit("      city: {}\n", "      city: {}\n      hash: { tags: [pii] }\n      version: {}\n")
    started.edit(
        "    payload: full\n",
        '    payload: full\n  hashed:\n    golden: false\n    where: a.version == "v"\n    masks: { pii: redact }\n',
    )
    started.edit("log:\n", TABLE)
    started.run("apply")
    fact = '{"system":"crm","externalId":"C-1","entityType":"Customer","attributes":{"hash":"#1","version":"v","name":"Ada"}}\n'
    started.write("facts.jsonl", fact)
    started.run("ingest", "facts.jsonl")
    proven(started, 1)
    with closing(sqlite3.connect(started.folder / "table.db")) as table:
        assert table.execute("SELECT id, hash, version FROM customer").fetchall() == [("C-1", "REDACTED", "v")]


def test_commands_without_a_configuration_name_the_one_that_writes_it(shell: Any) -> None:
    for words in (["status"], ["apply"], ["run"], ["ledger"], ["ingest", "crm", "x.csv"]):
        assert "goldwire init" in shell.fails(*words, code=2)


def test_a_run_before_apply_is_refused_before_any_target_begins(shell: Any) -> None:
    shell.lay_out()
    assert "goldwire apply" in shell.fails("run", code=2)
    assert shell.json("ledger") == []


def test_targets_and_dead_letters_that_are_not_there_are_named(started: Any) -> None:
    started.run("run", "--until-caught-up")
    assert "did you mean 'events'" in started.fails("run", "-t", "event", code=11)
    assert "event" in started.fails("resume", "event", code=11)
    assert "position 7" in started.fails("dead", "show", "events", "7", code=11)
    assert "position 7" in started.fails("dead", "redrive", "events", "7", code=11)
    assert started.json("dead", "list") == []
    assert started.run("dead", "redrive", "events", code=2).stderr


@pytest.mark.parametrize(("given", "said"), [("none/rejects.jsonl", "no folder"), ("data", "is a folder")])
def test_a_rejects_file_that_cannot_be_written_is_told_before_the_first_row_is_taken(
    started: Any, given: str, said: str
) -> None:
    assert said in started.fails("ingest", "crm", "data/crm.csv", "--rejects", given, code=3)
    assert started.json("status")["position"] == 0


# --- slips of a person at the keyboard


def test_a_target_named_twice_is_run_once(started: Any) -> None:
    assert [one["target"] for one in started.json("run", "-t", "events", "-t", "events", "--until-caught-up")] == ["events"]


def test_a_file_without_any_event_is_told_in_one_line(started: Any) -> None:
    done = started.run("verify", "data/crm.csv", code=9)
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert "none of the 5 lines is an event" in done.stderr


def test_a_word_that_is_no_decision_is_told_with_those_that_are(started: Any) -> None:
    started.write("some.jsonl", '{"decision": "kill", "record": {"system": "crm", "id": "C-1"}}\n')
    [reject] = started.json("ingest", "some.jsonl", code=10)["first_rejects"]
    assert reject["field"] == "decision"
    assert "merge" in reject["reason"]
    assert "kill" not in reject["reason"]


@pytest.mark.parametrize(
    ("written", "said"), [('a.city = "Rome"', "=="), ("has(a.city) & has(a.name)", "&&"), ("has(a.city) | has(a.name)", "||")]
)
def test_an_operator_of_another_language_is_told_with_the_one_of_cel(shell: Any, written: str, said: str) -> None:
    shell.lay_out()
    shell.edit("    payload: full\n", f"    payload: full\n    where: '{written}'\n")
    assert f"`{said}`" in shell.fails("apply", code=2)


def test_status_names_the_next_step_before_anything_was_applied(shell: Any) -> None:
    shell.lay_out()
    assert "no contract was applied yet for events, partners; `goldwire apply` does it" in shell.run("status").stdout


def test_status_needs_no_key_of_a_mask(shell: Any) -> None:
    shell.lay_out()
    shell.edit("# keys:\n#   hash: ${env:GOLDWIRE_HASH_KEY}", "keys:\n  hash: ${env:MASK_KEY}")
    shell.edit("email: partial }", "email: hash }")
    shell.environment["MASK_KEY"] = "k" * 32
    shell.run("apply")
    del shell.environment["MASK_KEY"]
    assert [one["configuration_differs"] for one in shell.json("status")["targets"]] == [False, None]
    assert "goldwire apply --check" in shell.run("status").stdout
    assert "MASK_KEY is not set" in shell.fails("apply", "--check", code=2)


def test_rejects_are_named_beside_the_store_where_no_file_was_asked_for(started: Any) -> None:
    started.write("some.jsonl", "\n".join(["not json"] * 8) + "\n")
    done = started.json("ingest", "some.jsonl", code=10)
    file = Path(done["rejects_file"])
    assert file.parent == started.folder / ".goldwire"
    assert len(file.read_text().splitlines()) == 8
    assert f"all of them are named in {file.parent}" in started.run("ingest", "some.jsonl", code=10).stderr


def test_an_object_with_a_name_twice_is_rejected_and_not_guessed_at(started: Any) -> None:
    fact = '{"system":"crm","externalId":"X9","entityType":"Customer","attributes":{"name":"a"%s}}'
    twice = fact % ',"name":"b"'
    colons = fact % ',"city":"a\\": b"'
    started.write("some.jsonl", f"{twice}\n{colons}\n")
    done = started.json("ingest", "some.jsonl", code=10)
    assert (done["facts"], done["rejected"]) == (1, 1)
    [reject] = done["first_rejects"]
    assert "twice" in reject["reason"]
    assert reject["origin"].endswith("some.jsonl:1")


def test_a_configuration_that_is_not_there_is_named_with_the_option_for_another_one(started: Any) -> None:
    said = started.fails("status", "--config", "nowhere.yaml", code=2)
    assert "nowhere.yaml: no such file; `goldwire init` writes one, `--config FILE` names another" in said
