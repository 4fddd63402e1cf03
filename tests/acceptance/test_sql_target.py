"""A `sql` target as a user meets it: what is refused by `apply`, what is a dead letter, and what is stored."""

from __future__ import annotations

import sqlite3
from typing import Any

HEAD = """\
store: {path: store.db}
types: {C: {attributes: {name: {}, city: {}, tier: {}, big: {}, amount: {}}}}
sources:
  s: {system: s, type: C, id: id, format: jsonl, strip: false}
  n: {system: n, type: C, id: id, attributes: {amount: {column: amount, type: number}}}
contracts: {c: {golden: false, approval: any}}
targets:
"""
FENCE = (
    "goldwire_entity_id varchar(255), goldwire_version bigint, goldwire_timestamp varchar(27), goldwire_deleted boolean, "
    "goldwire_hash varchar(71)"
)


def target(name: str = "t", *, columns: str = "name: name, city: city", more: str = "") -> str:
    settings = f'url: "sqlite:///out.db", table: t, key: {{external_id: s}}, key_column: id, columns: {{{columns}}}'
    return f"  {name}: {{kind: sql, contract: c, settings: {{{settings}, create_table: true{more}}}}}\n"


def rows(shell: Any, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(shell.folder / "out.db")
    try:
        with connection:
            return connection.execute(query).fetchall()
    finally:
        connection.close()


def reasons(shell: Any) -> list[str]:
    return [letter["reason"] for letter in shell.json("dead", "list", "t")]


def test_ids_that_differ_in_case_never_share_a_row(shell: Any) -> None:
    shell.write("goldwire.yaml", HEAD + target(columns="name: name"))
    shell.write("in.jsonl", '{"id":"AB1","name":"Ann"}\n{"id":"ab1","name":"Bob"}\n{"id":"ab1 ","name":"Cy"}\n')
    rows(shell, f"CREATE TABLE t (id text collate nocase primary key, name varchar(50), {FENCE})")
    shell.run("apply")
    shell.run("ingest", "s", "in.jsonl")
    shell.run("run", "--until-caught-up")
    assert rows(shell, "SELECT id, name FROM t ORDER BY id") == [("AB1", "Ann"), ("ab1 ", "Cy")]
    (reason,) = reasons(shell)
    assert reason.startswith("column id takes this key for the same as that of another row")


def test_nineteen_digits_are_stored_as_a_text_and_as_a_number(shell: Any) -> None:
    shell.write("goldwire.yaml", HEAD + target(columns="big: big", more=", types: {big: integer}"))
    given = ("2033735037361704962", "203373503736170496")
    lines = [f'{{"id":"a","big":"{given[0]}"}}', f'{{"id":"b","big":"{given[1]}"}}', f'{{"id":"c","big":{given[0]}}}']
    shell.write("in.jsonl", "\n".join(lines) + "\n")
    shell.run("apply")
    shell.run("ingest", "s", "in.jsonl")
    shell.run("run", "--until-caught-up")
    assert rows(shell, "SELECT id, big FROM t ORDER BY id") == [
        ("a", int(given[0])), ("b", int(given[1])), ("c", int(given[0]))
    ]  # fmt: skip


def test_a_number_that_would_change_on_its_way_in_is_rejected_with_its_column(shell: Any) -> None:
    shell.write("goldwire.yaml", HEAD + target())
    numbers = ["1234567890123456.78", "0.1234567890123456789", "99999999999999.99", "1e-400", "0.30"]
    shell.write("n.csv", "id,amount\n" + "".join(f"{n},{number}\n" for n, number in enumerate(numbers, 1)))
    shell.run("apply")
    told = shell.run("ingest", "n", "n.csv", code=10)
    assert "5 rows: 1 fact " in told.stdout
    assert told.stderr.count("amount: is a number with more digits than JSON carries exactly") == 4
    assert not [number for number in numbers[:4] if number in told.stderr]


def test_a_second_name_on_one_table_is_refused_by_apply_and_at_opening(shell: Any) -> None:
    shell.write("goldwire.yaml", HEAD + target())
    shell.write("in.jsonl", '{"id":"1","name":"Ann"}\n')
    shell.run("apply")
    shell.run("ingest", "s", "in.jsonl")
    shell.run("run", "--until-caught-up")
    text = (shell.folder / "goldwire.yaml").read_text(encoding="utf-8")
    shell.write("goldwire.yaml", text + target("t2"))
    assert "target 't2' writes where target 't' writes" in shell.fails("apply", code=2)
    shell.write("goldwire.yaml", HEAD + target("t2"))
    shell.run("apply")
    told = shell.run("run", "--until-caught-up", code=2)
    assert "table t is written by target 't' of this store" in told.stdout + told.stderr
    assert rows(shell, "SELECT id, name FROM t") == [("1", "Ann")]


def test_a_new_column_is_filled_for_all_that_was_delivered(shell: Any) -> None:
    shell.write("goldwire.yaml", HEAD + target())
    people = (f'{{"id":"{n}","name":"n{n}","city":"c","tier":"gold"}}\n' for n in range(20))
    shell.write("in.jsonl", "".join(people))
    shell.run("apply")
    shell.run("ingest", "s", "in.jsonl")
    shell.run("run", "--until-caught-up")
    shell.edit("city: city}", "city: city, tier: tier}")
    rows(shell, "ALTER TABLE t ADD COLUMN tier text")
    shell.run("apply")
    shell.run("run", "--until-caught-up")
    assert rows(shell, "SELECT count(*), count(tier) FROM t") == [(20, 20)]
    rows(shell, "DELETE FROM t")
    shell.run("resync", "t")
    assert rows(shell, "SELECT count(*), count(tier) FROM t") == [(20, 20)]


def test_a_table_that_another_store_wrote_is_refused(shell: Any) -> None:
    shell.write("goldwire.yaml", HEAD + target())
    shell.write("in.jsonl", '{"id":"1","name":"Ann"}\n')
    shell.run("apply")
    shell.run("ingest", "s", "in.jsonl")
    shell.run("run", "--until-caught-up")
    shell.edit("store.db", "other.db")
    shell.write("in.jsonl", '{"id":"1","name":"Bob"}\n')
    shell.run("apply")
    shell.run("ingest", "s", "in.jsonl")
    told = shell.run("run", "--until-caught-up", code=2)
    assert "table t is written by another store" in told.stdout + told.stderr
    assert rows(shell, "SELECT id, name FROM t") == [("1", "Ann")]


def test_two_targets_on_one_file_are_refused_by_apply(shell: Any) -> None:
    file = "  {}: {{kind: file, contract: c, settings: {{path: {}}}}}\n"
    both = file.format("f", "o.jsonl") + file.format("g", "./o.jsonl")
    shell.write("goldwire.yaml", HEAD + both)
    assert "target 'g' writes where target 'f' writes" in shell.fails("apply", code=2)


def test_an_attribute_that_no_type_declares_is_refused_with_its_line(shell: Any) -> None:
    shell.write("goldwire.yaml", HEAD + target(columns="name: nane"))
    told = shell.fails("apply", code=2)
    assert "goldwire.yaml:8:" in told
    assert "nane is no known attribute; did you mean 'name'?" in told
