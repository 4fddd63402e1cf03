"""The installed command against a PostgreSQL of the test: blame, exactness, and what reaches standard error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.sql_table import numbers

GOLDWIRE = Path(sys.executable).parent / "goldwire"
FENCE = (
    "goldwire_entity_id text, goldwire_version bigint, goldwire_timestamp text, goldwire_deleted boolean, goldwire_hash text"
)
CONFIGURATION = """\
store: {{path: store.db}}
tags: {{pii: {{}}}}
types: {{C: {{attributes: {{name: {{tags: [pii]}}, city: {{}}, amount: {{}}, r: {{}}, age: {{}}}}}}}}
sources: {{s: {{system: s, type: C, id: id, format: jsonl}}}}
contracts: {{c: {{golden: false, approval: any}}}}
targets:
  t:
    kind: sql
    contract: c
    clearance: [pii]
    settings:
      url: "${{env:DB}}"
      table: {table}
      key: {{external_id: s}}
      key_column: id
      columns: {{{columns}}}
      create_table: true
    delivery: {{backoff_seconds: 0.05, backoff_limit_seconds: 0.2, max_attempts: 3, dead_letter_minimum: 100}}
"""


class Folder:
    """A folder with a configuration, and the command."""

    def __init__(self, path: Path, database: Any, columns: str) -> None:
        self.path, self.database = path, database
        self.table = f"c_{next(numbers)}"
        names = ", ".join(f"{column.split()[0]}: {column.split()[0]}" for column in columns.split("; "))
        self.database.query(f"CREATE TABLE {self.table} (id text PRIMARY KEY, {columns.replace('; ', ', ')}, {FENCE})")
        (path / "goldwire.yaml").write_text(CONFIGURATION.format(table=self.table, columns=names))

    def deliver(self, *records: dict[str, Any], code: int) -> str:
        """Take records in, deliver them, and return all that the command wrote."""
        (self.path / "in.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        return "".join(
            self.run(*words, code=expected)
            for words, expected in ((("apply",), 0), (("ingest", "s", "in.jsonl"), 0), (("run", "--until-caught-up"), code))
        )

    def run(self, *words: str, code: int = 0) -> str:
        environment = {**os.environ, "DB": self.database.url, "COLUMNS": "200"}
        done = subprocess.run(
            [str(GOLDWIRE), *words], cwd=self.path, env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def dead(self) -> list[dict[str, Any]]:
        """Return the dead letters."""
        found: list[dict[str, Any]] = json.loads(self.run("dead", "list", "t", "--json"))
        return found


def test_a_row_that_the_tables_own_rule_refuses_is_dead_after_its_attempts(postgresql: Any, tmp_path: Path) -> None:
    folder = Folder(tmp_path, postgresql, "name text; city text")
    postgresql.query(
        "CREATE FUNCTION chk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF new.city = 'forbidden' THEN "
        "RAISE EXCEPTION 'city not allowed'; END IF; RETURN new; END $$"
    )
    postgresql.query(f"CREATE TRIGGER c BEFORE INSERT OR UPDATE ON {folder.table} FOR EACH ROW EXECUTE FUNCTION chk()")
    cities = ["Rome", "forbidden", "Oslo"]
    written = folder.deliver(*({"id": str(n), "name": "n", "city": city} for n, city in enumerate(cities)), code=0)
    (letter,) = folder.dead()
    assert letter["attempts"] == 3
    assert "gave up after 3 attempts" in letter["reason"]
    assert "a rule of the table" in letter["reason"]
    assert "forbidden" not in written + json.dumps(letter)
    assert postgresql.query(f"SELECT id FROM {folder.table} ORDER BY id") == [("0",), ("2",)]


def test_no_byte_of_a_row_that_the_server_refuses_is_written_anywhere(postgresql: Any, tmp_path: Path) -> None:
    folder = Folder(tmp_path, postgresql, "name text; city text; age int CHECK (age < 150)")
    written = folder.deliver(
        {"id": "1", "name": "Ann Secretname", "city": "SSN-123-45-6789", "age": 400},
        {"id": "2", "name": "Bob\0Nul", "city": "x", "age": 40},
        {"id": "3", "name": "Cy", "city": "x", "age": 40},
        code=0,
    )
    assert not [mark for mark in ("Secretname", "SSN-123", "Nul", "400") if mark in written]
    assert sorted(letter["reason"].split(":")[0] for letter in folder.dead()) == [
        "column name takes no character U+0000, and the value holds one",
        "the database refuses the row",
    ]
    assert postgresql.query(f"SELECT id FROM {folder.table}") == [("3",)]


def test_what_a_column_would_round_is_a_dead_letter_with_its_name(postgresql: Any, tmp_path: Path) -> None:
    folder = Folder(tmp_path, postgresql, "amount numeric(10,2); r real")
    folder.deliver(
        {"id": "a", "amount": "12.345", "r": 1},
        {"id": "b", "amount": 12.345, "r": 1},
        {"id": "c", "amount": 12.34, "r": 0.123456789012},
        {"id": "d", "amount": 12.34, "r": 16777217},
        {"id": "e", "amount": "12.34", "r": 0.5},
        code=0,
    )
    assert sorted(letter["reason"].split()[1] for letter in folder.dead()) == ["amount", "amount", "r", "r"]
    assert postgresql.query(f"SELECT id, amount::text, r::text FROM {folder.table}") == [("e", "12.34", "0.5")]


@pytest.mark.parametrize("generated", ["text GENERATED ALWAYS AS (id || 'x') STORED"])
def test_a_generated_column_stops_the_target_with_the_reason(postgresql: Any, tmp_path: Path, generated: str) -> None:
    folder = Folder(tmp_path, postgresql, f"name {generated}; city text")
    written = folder.deliver({"id": "1", "name": "n", "city": "Rome"}, code=2)
    assert "column name of" in written
    assert "is generated by the database" in written
