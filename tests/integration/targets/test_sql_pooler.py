from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest

from goldwire.clock import SystemClock
from goldwire.targets.base import Delivered, Item, Outcome
from goldwire.targets.sql import SqlSettings, SqlTarget
from goldwire.testing.events import sealed
from support.pooler import Pooler
from support.sql_table import numbers

RECORDS = 3_000


@pytest.fixture(params=[1, 3], ids=["one session", "three sessions"])
def pooler(postgresql: Any, request: pytest.FixtureRequest) -> Iterator[Pooler]:
    with tempfile.TemporaryDirectory() as folder:
        found = Pooler(postgresql, folder, request.param)
        yield found
        found.close()


def settings(pooler: Pooler, table: str) -> SqlSettings:
    return SqlSettings(url=pooler.url, table=table, columns={"name": "name", "city": "city"}, create_table=True)


async def deliver(target: SqlTarget, name: str, portion: int) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for first in range(0, RECORDS, portion):
        items = [
            Item(sealed(f"e{n:04}", 1, {"name": name.format(n), "city": f"city {n}"})) for n in range(first, first + portion)
        ]
        outcomes += await target.send(items)
    return outcomes


@pytest.mark.parametrize("portion", [20, 250])
def test_two_targets_of_one_shape_behind_a_pooler_keep_their_own_tables(postgresql: Any, pooler: Pooler, portion: int) -> None:
    number = next(numbers)
    names = {f"clear_{number}": "Clear {}", f"masked_{number}": "REDACTED"}

    async def run() -> Sequence[list[Outcome]]:
        targets = [SqlTarget(table, settings(pooler, table), SystemClock()) for table in names]
        await asyncio.gather(*(target.open() for target in targets))  # both create the table of tombstones
        found = await asyncio.gather(*(deliver(target, names[target.name], portion) for target in targets))
        for target in targets:
            await target.close()
        return found

    for outcomes in asyncio.run(run()):
        assert {type(outcome) for outcome in outcomes} == {Delivered}
    for table, name in names.items():
        rows = postgresql.query(f"SELECT id, name, city FROM {table} ORDER BY id")
        assert rows == [(f"e{n:04}", name.format(n), f"city {n}") for n in range(RECORDS)]


def test_what_another_client_left_in_the_session_changes_nothing(postgresql: Any, pooler: Pooler) -> None:
    table = f"state_{next(numbers)}"
    types = {"name": "timestamp", "city": "number"}
    given = SqlSettings(url=pooler.url, table=table, columns={"name": "name", "city": "city"}, create_table=True, types=types)
    postgresql.query(f"CREATE SCHEMA other_{table}")

    async def send(version: int) -> list[Outcome]:
        target = SqlTarget("warehouse", given, SystemClock())
        await target.open()
        event = sealed("e", version, {"name": "2026-03-29T02:30:00", "city": 0.1234567890123456})
        try:
            return list(await target.send([Item(event)]))
        finally:
            await target.close()

    assert asyncio.run(send(1)) == [Delivered("e")]
    with psycopg.connect(pooler.url, autocommit=True, prepare_threshold=None) as neighbour:
        for _ in range(3):
            neighbour.execute(f"SET search_path = other_{table}")
            neighbour.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {table} (LIKE public.{table} INCLUDING ALL)")
            neighbour.execute("SET extra_float_digits = -10")
            neighbour.execute("SET enable_indexscan = off")
        assert asyncio.run(send(2)) == [Delivered("e")]
        neighbour.execute("DISCARD ALL")
    rows = postgresql.query(f"SELECT name::text, city, goldwire_version FROM public.{table}")
    assert rows == [(rows[0][0], 0.1234567890123456, 2)]
    zone = postgresql.query(f"SELECT extract(epoch FROM name) FROM public.{table}")
    assert int(zone[0][0]) == 1_774_751_400  # 2026-03-29T02:30:00Z
