"""Inputs that once hurt a user, of SQL servers: each is what was seen, and ends as is wanted."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from goldwire.testing.target_suite import SECRET
from support.pooler import Pooler

FENCE = (
    "goldwire_entity_id text, goldwire_version bigint, goldwire_timestamp text, goldwire_deleted boolean, goldwire_hash text"
)
TOMBSTONES = (
    "CREATE TABLE IF NOT EXISTS goldwire_tombstone (target_table TEXT NOT NULL, entity_id TEXT NOT NULL, timestamp VARCHAR(27) "
    "NOT NULL, version BIGINT NOT NULL, PRIMARY KEY (target_table, entity_id))"
)
DELIVERY = "delivery: {backoff_seconds: 0.2, backoff_limit_seconds: 1, max_attempts: 3}"
RECORDS = 3_000


class Warehouse:
    """A database of a test's own on a real PostgreSQL server."""

    def __init__(self, server: Any, name: str) -> None:
        self.server = server
        self.name = name
        server.query("SELECT 1")
        with self._connect("postgres") as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name}")
            connection.execute(f"CREATE DATABASE {name}")

    @property
    def url(self) -> str:
        return f"postgresql://postgres:{SECRET}@127.0.0.1:{self.server.wire.port}/{self.name}"

    def query(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements; return the rows of the last one."""
        with self._connect(self.name) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _connect(self, name: str) -> psycopg.Connection[tuple[Any, ...]]:
        url = f"postgresql://postgres:{SECRET}@127.0.0.1:{self.server.wire.port}/{name}"
        return psycopg.connect(url, autocommit=True)


@pytest.fixture
def warehouse(postgresql: Any) -> Warehouse:
    return Warehouse(postgresql, "cases")


def target(name: str, columns: str, *, table: str | None = None, more: str = "") -> str:
    settings = f'url: "${{env:PG}}", table: {table or name}, key: {{external_id: s}}, key_column: id, columns: {{{columns}}}'
    return f"  {name}: {{kind: sql, contract: c, settings: {{{settings}}}, {DELIVERY}{more}}}\n"


def reasons(shell: Any, name: str) -> dict[str, str]:
    return {letter["entity_id"]: letter["reason"] for letter in shell.json("dead", "list", name)}


def entity(shell: Any, external_id: str) -> str:
    return str(shell.json("entity", "show", f"s/{external_id}")["entity_id"])


# --- trigger-refuses: what the table's own rule refuses


def test_a_row_that_a_trigger_refuses_is_a_dead_letter_and_the_rest_goes_through(shell: Any, warehouse: Warehouse) -> None:
    warehouse.query(
        f"CREATE TABLE t (id text PRIMARY KEY, name text, city text, {FENCE})",
        "CREATE INDEX ON t (goldwire_entity_id)",
        TOMBSTONES,
        "CREATE FUNCTION chk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF new.city = 'forbidden' THEN "
        "RAISE EXCEPTION 'city not allowed'; END IF; RETURN new; END $$",
        "CREATE TRIGGER c BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION chk()",
    )
    shell.environment["PG"] = warehouse.url
    shell.write(
        "goldwire.yaml",
        "types: {C: {attributes: {name: {}, city: {}}}}\nsources: {s: {system: s, type: C, id: id}}\n"
        "contracts: {c: {golden: false, approval: any}}\ntargets:\n" + target("t", "name: name, city: city"),
    )
    shell.write("a.csv", "id,name,city\n1,Ann,Rome\n2,Bob,forbidden\n3,Cy,Oslo\n")
    shell.run("apply")
    shell.run("ingest", "s", "a.csv")
    shell.run("run", "--until-caught-up")
    assert warehouse.query("SELECT id, city FROM t ORDER BY id") == [("1", "Rome"), ("3", "Oslo")]
    found = reasons(shell, "t")
    assert list(found) == [entity(shell, "2")]
    assert "forbidden" not in str(found), "a reason shows no value"


def test_a_generated_column_ends_the_run_at_opening(shell: Any, warehouse: Warehouse) -> None:
    warehouse.query(
        f"CREATE TABLE g (id text PRIMARY KEY, name text GENERATED ALWAYS AS (id || 'x') STORED, city text, {FENCE})",
        "CREATE INDEX ON g (goldwire_entity_id)",
        TOMBSTONES,
    )
    shell.environment["PG"] = warehouse.url
    shell.write(
        "goldwire.yaml",
        "types: {C: {attributes: {name: {}, city: {}}}}\nsources: {s: {system: s, type: C, id: id}}\n"
        "contracts: {c: {golden: false, approval: any}}\ntargets:\n" + target("g", "name: name, city: city"),
    )
    shell.write("a.csv", "id,name,city\n1,Ann,Rome\n")
    shell.run("apply")
    shell.run("ingest", "s", "a.csv")
    told = shell.run("run", "--until-caught-up", code=2)
    assert "name" in told.stdout + told.stderr
    assert "generated" in told.stdout + told.stderr
    assert warehouse.query("SELECT count(*) FROM g") == [(0,)]


# --- narrowing: the second part, a column that would round


def test_a_column_that_would_round_is_named_and_keeps_nothing(shell: Any, warehouse: Warehouse) -> None:
    warehouse.query(f"CREATE TABLE t (id text PRIMARY KEY, amount numeric(10,2), r real, {FENCE})", TOMBSTONES)
    shell.environment["PG"] = warehouse.url
    shell.write(
        "goldwire.yaml",
        "types: {C: {attributes: {amount: {}, r: {}}}}\n"
        "sources: {s: {system: s, type: C, id: id, format: jsonl}}\n"
        "contracts: {c: {golden: false, approval: any}}\ntargets:\n" + target("t", "amount: amount, r: r"),
    )
    lines = [
        '{"id":"a","amount":"12.345","r":0.123456789012}',
        '{"id":"b","amount":12.345,"r":16777217}',
        '{"id":"c","amount":12.34,"r":16777217}',
        '{"id":"d","amount":12.34,"r":0.5}',
    ]
    shell.write("in.jsonl", "\n".join(lines) + "\n")
    shell.run("apply")
    shell.run("ingest", "s", "in.jsonl")
    shell.run("run", "--until-caught-up")
    assert warehouse.query("SELECT id, amount::text, r FROM t ORDER BY id") == [("d", "12.34", 0.5)]
    found = reasons(shell, "t")
    assert set(found) == {entity(shell, each) for each in "abc"}
    assert "amount" in found[entity(shell, "b")]
    assert "column r" in found[entity(shell, "c")]


# --- case-insensitive-key: a column that takes two ids for one


def test_a_key_column_of_citext_never_joins_two_ids(shell: Any, warehouse: Warehouse) -> None:
    try:
        warehouse.query("CREATE EXTENSION citext")
    except psycopg.errors.FeatureNotSupported:
        warehouse.query(
            "CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
            f"CREATE TABLE t (id text COLLATE folded PRIMARY KEY, name text, {FENCE})",
        )
    else:
        warehouse.query(f"CREATE TABLE t (id citext PRIMARY KEY, name text, {FENCE})")
    warehouse.query(TOMBSTONES)
    shell.environment["PG"] = warehouse.url
    shell.write(
        "goldwire.yaml",
        "types: {C: {attributes: {name: {}}}}\nsources: {s: {system: s, type: C, id: id, format: jsonl, strip: false}}\n"
        "contracts: {c: {golden: false, approval: any}}\ntargets:\n" + target("t", "name: name"),
    )
    shell.write("in.jsonl", '{"id":"AB1","name":"Ann"}\n{"id":"ab1","name":"Bob"}\n{"id":"ab1 ","name":"Cy"}\n')
    shell.run("apply")
    shell.run("ingest", "s", "in.jsonl")
    done = shell.run("run", "--until-caught-up")
    rows = dict(warehouse.query("SELECT id::text, name FROM t"))
    assert rows.items() <= {"AB1": "Ann", "ab1": "Bob", "ab1 ": "Cy"}.items(), "no row holds the name of another id"
    assert len(rows) + len(reasons(shell, "t")) == 3, done.stdout


# --- values-on-stderr: what libraries write of a row


@pytest.mark.parametrize("style", ["console", "json"])
def test_no_byte_of_a_refused_row_is_written_anywhere(shell: Any, warehouse: Warehouse, style: str) -> None:
    warehouse.query(
        f"CREATE TABLE cust (id text PRIMARY KEY, name text, ssn text, age int CHECK (age < 150), {FENCE})", TOMBSTONES
    )
    shell.environment["PG"] = warehouse.url
    shell.write(
        "goldwire.yaml",
        f"log: {{format: {style}, level: debug}}\ntags: {{pii: {{}}}}\n"
        "types: {C: {attributes: {name: {tags: [pii]}, ssn: {tags: [pii]}, age: {}}}}\n"
        "sources: {s: {system: s, type: C, id: id, format: jsonl}}\n"
        "contracts: {c: {golden: false, approval: any}}\ntargets:\n"
        + target("t", "name: name, ssn: ssn, age: age", table="cust", more=", clearance: [pii]"),
    )
    rows = [
        {"id": "1", "name": "Ann Secretname", "ssn": "SSN-123-45-6789", "age": 400},
        {"id": "2", "name": "Bob\u0000Nul", "ssn": "x-secret", "age": 40},
        {"id": "3", "name": "Cy Goodname", "ssn": "SSN-9", "age": 40},
    ]
    shell.write("in.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    shell.run("apply")
    shell.run("ingest", "s", "in.jsonl")
    done = shell.run("run", "--until-caught-up")
    told = done.stdout + done.stderr + shell.run("dead", "list", "t").stdout + json.dumps(shell.json("dead", "list", "t"))
    told += json.dumps(shell.json("status"))
    for value in ("Secretname", "SSN-123", "Nul", "x-secret", "Goodname", "SSN-9", SECRET):
        assert value not in told
    assert warehouse.query("SELECT id, name FROM cust") == [("3", "Cy Goodname")]
    assert len(reasons(shell, "t")) == 2
    if style == "json":
        assert all(json.loads(line) for line in done.stderr.splitlines() if line.strip())


# --- pooler-swaps-statements: two targets of one shape behind a transaction pooler


@pytest.fixture
def pooler(postgresql: Any) -> Iterator[Pooler]:
    with tempfile.TemporaryDirectory() as folder:
        found = Pooler(postgresql, folder, 3)
        yield found
        found.close()


def test_two_targets_behind_a_pooler_hold_each_its_own_rows(shell: Any, warehouse: Warehouse, pooler: Pooler) -> None:
    warehouse.query(
        f"CREATE TABLE a (id text PRIMARY KEY, name text, city text, {FENCE})",
        "CREATE INDEX ON a (goldwire_entity_id)",
        "CREATE TABLE b (LIKE a INCLUDING ALL)",
        TOMBSTONES,
    )
    both = "".join(
        f'  {name}: {{kind: sql, contract: {contract}, clearance: [pii], settings: {{url: "${{env:PG}}", table: {name}, '
        "key: {external_id: s}, key_column: id, columns: {name: name, city: city}}, "
        "delivery: {batch_size: 20, backoff_seconds: 0.2}}\n"
        for name, contract in (("a", "clear"), ("b", "masked"))
    )
    shell.environment["PG"] = pooler.url.rsplit("/", 1)[0] + "/cases"
    shell.write(
        "goldwire.yaml",
        "tags: {pii: {}}\ntypes: {C: {attributes: {name: {tags: [pii]}, city: {}}}}\n"
        "sources: {s: {system: s, type: C, id: id}}\n"
        "contracts:\n  clear: {golden: false, approval: any}\n"
        "  masked: {golden: false, approval: any, masks: {name: redact}}\ntargets:\n" + both,
    )
    shell.write("a.csv", "id,name,city\n" + "".join(f"{n},Clear {n},city {n}\n" for n in range(RECORDS)))
    shell.run("apply")
    shell.run("ingest", "s", "a.csv")
    shell.run("run", "--until-caught-up")
    order = "ORDER BY id::int"
    assert warehouse.query(f"SELECT id, name, city FROM a {order}") == [
        (f"{n}", f"Clear {n}", f"city {n}") for n in range(RECORDS)
    ]
    assert warehouse.query(f"SELECT id, name, city FROM b {order}") == [
        (f"{n}", "REDACTED", f"city {n}") for n in range(RECORDS)
    ]
