"""Accepted is stored, on servers whose zone, collation, mode and path are set against it: each type meets each value."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import pytest

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError
from goldwire.targets.base import Delivered, Item, Rejected
from goldwire.targets.sql import ExternalIdKey, SqlSettings, SqlTarget
from goldwire.testing.events import sealed
from support.sql_table import Server, numbers

VALUES: list[Any] = [
    0, 1, -1, 42, 255, 256, 32767, 32768, -32769, 2147483647, 2147483648, 16777217, 9007199254740991,
    "9223372036854775807", "9223372036854775808", "-9223372036854775808", "2033735037361704962", "18446744073709551615",
    "18446744073709551616", "007", "+5", "1e3", "1E-7", "1e400", "12.30", "12.345", "99999999.99", "100000000.00", "0.1",
    0.1, 1.5, 1e300, 0.30000000000000004, "0.1234567890123456789", "NaN", "Infinity", "1_000", " 1", "",
    True, False, "yes", "Y", "t", "no", "N", "f", "on", "off", "TRUE", "ja",
    "2026-11-23", "2026-11-23T00:00:00Z", "2026-11-23T00:00:00+05:30", "2026-11-23 00:00:00", "2026-11-23T10:00:00Z",
    "2026-03-08T02:30:00", "2026-03-08T02:30:00Z", "2026-11-01T01:30:00-05:00", "2026-11-23T23:59:59.999999Z",
    "2026-11-23T10:00:00.1234567Z", "2026-11-23T10:00:00.5Z", "0001-01-01", "9999-12-31T23:59:59Z", "1969-12-31T23:59:59Z",
    "2026-02-30", "a", "A", "ab   ", "abcde", "abcdef", "stra\u00dfe", "\u00e9", "e\u0301", "\u65e5\u672c", "\N{PILE OF POO}",
    "a\\'b\"", "\\N", "x\ty\n", "%s", "%%", ":a", "a\0b", ["x", {"b": 1, "a": None}], {"k": [1.5, "\u00e9"]}, [],
]  # fmt: skip
"""What may stand in a golden record, with what columns like to narrow."""

TYPES = {
    "postgresql": {
        "SMALLINT": "number", "INTEGER": "number", "BIGINT": "number", "NUMERIC(10,2)": "number", "NUMERIC(20,0)": "number",
        "NUMERIC": "number", "REAL": "number", "DOUBLE PRECISION": "number", "BOOLEAN": "boolean", "DATE": "date",
        "TIMESTAMP": "time", "TIMESTAMPTZ": "time", "TIMESTAMP(0)": "time", "TEXT": "text", "VARCHAR(5)": "text",
        "CHAR(5)": "padded", "JSONB": "json", "JSON": "json",
    },
    "mariadb": {
        "TINYINT(1)": "boolean", "SMALLINT": "number", "INT UNSIGNED": "number", "BIGINT": "number",
        "BIGINT UNSIGNED": "number", "DECIMAL(10,2)": "number", "DECIMAL(20,0)": "number", "FLOAT": "number",
        "DOUBLE": "number", "DATE": "date", "DATETIME(6)": "time", "DATETIME": "time", "TIMESTAMP(6) NULL": "time",
        "LONGTEXT": "text", "VARCHAR(5)": "text", "CHAR(5)": "padded", "VARCHAR(20) CHARACTER SET latin1": "text",
        "JSON": "json",
    },
    "sqlite": {
        "INTEGER": "number", "NUMERIC": "number", "REAL": "number", "DECIMAL(10,2)": "number", "BOOLEAN": "boolean",
        "DATE": "date", "TEXT": "text", "TEXT COLLATE NOCASE": "text", "VARCHAR(5)": "text", "JSON": "json",
    },
}  # fmt: skip
"""Column types of each server with what their values mean."""

BOOLEANS = {"true": 1, "yes": 1, "y": 1, "t": 1, "on": 1, "1": 1, "false": 0, "no": 0, "n": 0, "f": 0, "off": 0, "0": 0}


def meaning(kind: str, value: Any) -> Any:
    """Return what a value means to a column of a kind, read naively; None: nothing."""
    try:
        return MEANINGS[kind](value)
    except (ValueError, TypeError, InvalidOperation):
        return None


def number(value: Any) -> Decimal | None:
    if isinstance(value, bool):
        return Decimal(int(value))  # a whole-number column takes true for 1
    found = Decimal(str(value))
    return found if found.is_finite() and "_" not in str(value) else None


def moment(value: Any) -> datetime:
    found = datetime.fromisoformat(value)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC).replace(tzinfo=None)


def text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


MEANINGS: dict[str, Callable[[Any], Any]] = {
    "number": number,
    "boolean": lambda value: BOOLEANS.get(str(value).lower()),
    "date": lambda value: datetime.fromisoformat(value).date().isoformat(),
    "time": moment,
    "json": lambda value: [value],
    "text": text,
    "padded": lambda value: text(value).rstrip(),
}


def held_meaning(kind: str, held: Any) -> Any:
    """Return what a server's own client reads, in the same form."""
    if kind == "number":
        return Decimal(repr(held) if isinstance(held, float) else held)
    if kind == "boolean":
        return int(held)
    if kind == "date":
        return str(held)[:10]
    if kind == "time":
        return held.astimezone(UTC).replace(tzinfo=None) if held.tzinfo else held
    if kind == "json":
        return [json.loads(held) if isinstance(held, str) else held]
    return held.rstrip() if kind == "padded" else held


def make_table(server: Server, types: Sequence[str]) -> SqlSettings:
    """Make a table with a column of each type, `c0` to the last, as its owner would: no collation is named."""
    table = f"hostile_{next(numbers)}"
    columns = ", ".join(f"c{number} {type_}" for number, type_ in enumerate(types))
    server.query(
        f"CREATE TABLE {server.prefix}{table} (id VARCHAR(200) PRIMARY KEY, {columns}, goldwire_entity_id VARCHAR(200), "
        "goldwire_version BIGINT, goldwire_timestamp VARCHAR(27), goldwire_deleted BOOLEAN, goldwire_hash VARCHAR(71))"
    )
    names = {f"c{number}": f"c{number}" for number in range(len(types))}
    # MariaDB has no JSON of its own: the column is a text with a check.
    known: dict[str, Any] = {f"c{n}": "json" for n, type_ in enumerate(types) if type_ == "JSON"}
    return SqlSettings(url=server.url, table=table, columns=names, key=ExternalIdKey("crm"), create_table=True, types=known)


def test_each_type_meets_each_value_and_holds_it_or_is_named(server: Server) -> None:
    types = TYPES[server.family]
    settings = make_table(server, list(types))
    pairs = [(column, value) for column in range(len(types)) for value in range(len(VALUES))]
    events = [
        sealed(f"e{column}-{n}", 1, {f"c{column}": VALUES[n]}, external_ids=[("crm", f"k{column}-{n}")]) for column, n in pairs
    ]
    outcomes = server.send(settings, events)
    kinds = list(types.values())
    delivered = [0] * len(kinds)
    refused = [0] * len(kinds)
    held = {}
    for column in range(len(kinds)):
        read = f"c{column}::text" if server.family == "postgresql" and kinds[column] == "json" else f"c{column}"
        for key, value in server.query(f"SELECT id, {read} FROM {server.prefix}{settings.table}"):
            held[column, key] = value
    for (column, n), outcome in zip(pairs, outcomes, strict=True):
        kind, key = kinds[column], f"k{column}-{n}"
        where = f"{list(types)[column]} {VALUES[n]!r} {outcome}"
        if isinstance(outcome, Delivered):
            delivered[column] += 1
            assert held_meaning(kind, held[column, key]) == meaning(kind, VALUES[n]), where
        else:
            refused[column] += 1
            assert isinstance(outcome, Rejected), where
            assert re.search(rf"column c{column}\b", outcome.reason), where
            assert (column, key) not in held, where
    for column, kind in enumerate(kinds):
        assert delivered[column] >= 5, list(types)[column]
        assert refused[column] or kind in ("json", "text"), list(types)[column]


def test_targets_that_open_at_once_create_their_tables_without_a_race(server: Server) -> None:
    names = [f"race_{next(numbers)}" for _ in range(6)]
    tombstones = f"tombs_{next(numbers)}"

    async def open_all() -> None:
        targets = []
        for name in [*names, *names]:  # a table of each, and each twice, as two processes of one store do
            settings = SqlSettings(
                url=server.url, table=name, columns={"name": "name"}, create_table=True, tombstone_table=tombstones,
                lock_timeout_seconds=60.0,
            )  # fmt: skip
            target = SqlTarget(name, settings, SystemClock())
            target.claim_for("0" * 32)
            targets.append(target)
        await asyncio.gather(*(target.open() for target in targets))
        for target in targets:
            outcome = (await target.send([Item(sealed(f"{id(target)}", 1, {"name": "n"}))]))[0]
            assert isinstance(outcome, Delivered), outcome
            await target.close()

    asyncio.run(open_all())
    for name in names:
        assert server.query(f"SELECT count(*) FROM {server.created}{name}") == [(2,)]


@pytest.mark.parametrize(
    ("name", "store_id", "who"), [("billing", "0" * 32, "target 'warehouse' of"), ("warehouse", "1" * 32, "another store")]
)
def test_a_table_of_another_target_or_store_is_refused_on_every_server(
    server: Server, name: str, store_id: str, who: str
) -> None:
    settings = make_table(server, ["VARCHAR(5)"])

    def open_once(target_name: str, store: str) -> None:
        async def run() -> None:
            target = SqlTarget(target_name, settings, SystemClock())
            target.claim_for(store)
            try:
                await target.open()
            finally:
                await target.close()

        asyncio.run(run())

    open_once("warehouse", "0" * 32)
    open_once("warehouse", "0" * 32)
    with pytest.raises(ConfigError, match=f"is written by {who}"):
        open_once(name, store_id)


def test_keys_and_entities_that_the_default_collation_takes_for_one_are_two_in_python(hostile_mariadb: Any) -> None:
    server = Server("mariadb", hostile_mariadb.url, hostile_mariadb._connect, "warehouse.")
    settings = make_table(server, ["VARCHAR(9)"])
    assert server.query("SELECT 'a' = 'A' COLLATE utf8mb4_general_ci") == [(1,)]

    def record(entity: str, version: int, key: str, value: str) -> Any:
        return sealed(entity, version, {"c0": value}, external_ids=[("crm", key)])

    first = server.send(settings, [record("ent/a", 1, "AB1", "Ann"), record("ent/A", 1, "K2", "Bob")])
    assert first == [Delivered("AB1"), Delivered("K2")]
    outcomes = server.send(
        settings, [record("ent/b", 9, "ab1", "Eve"), record("ent/A", 2, "K2", "Bo"), record("c", 1, "K3", "C")]
    )
    assert isinstance(outcomes[0], Rejected)
    assert outcomes[0].reason.startswith("column id takes this key for the same")
    assert outcomes[1:] == [Delivered("K2"), Delivered("K3")]
    assert server.query(f"SELECT id, c0, goldwire_entity_id FROM warehouse.{settings.table} ORDER BY id") == [
        ("AB1", "Ann", "ent/a"), ("K2", "Bo", "ent/A"), ("K3", "C", "c")
    ]  # fmt: skip
