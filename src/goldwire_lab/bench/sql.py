"""The target kind `sql`, on each of its engines beside a bare loop that writes the same rows under the same fence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from goldwire.clock import SystemClock
from goldwire.errors import VerificationError
from goldwire.event.sealed import SealedEvent
from goldwire.targets import registry
from goldwire.targets.base import Delivered, Item
from goldwire.testing.events import sealed
from goldwire_lab.bench import databases, sample, sql_floor
from goldwire_lab.bench.databases import BenchDatabase
from goldwire_lab.bench.figures import Throughput, Wanted, throughput
from goldwire_lab.bench.measurement import in_turns
from goldwire_lab.bench.setting import Setting

AIMS = Wanted(ratio=2)

_STARTS: dict[str, Callable[[Path], AbstractContextManager[BenchDatabase]]] = {
    "sqlite": databases.sqlite,
    "postgresql": databases.postgresql,
    "mariadb": databases.mariadb,
}
_FLOORS: dict[str, Callable[[str, str, Sequence[sql_floor.Send]], None]] = {
    "sqlite": sql_floor.sqlite,
    "postgresql": sql_floor.postgresql,
    "mariadb": sql_floor.mariadb,
}
_WAYS = {
    "sqlite": "one prepared upsert",
    "postgresql": "COPY into a temporary table and one merge",
    "mariadb": "statements of many rows",
}


def installed() -> list[str]:
    """Return which of these figures can be measured here."""
    return [name for engine in _STARTS if databases.installed(engine) for name in (f"sql-{engine}", f"sql-{engine}-newer")]


def figure(engine: str, *, newer: bool) -> Callable[[Setting], Throughput]:
    """Return what measures an engine.

    Args:
        engine: `sqlite`, `postgresql` or `mariadb`.
        newer: each record is there already, in an older version.
    """

    def measure(setting: Setting) -> Throughput:
        with _STARTS[engine](setting.folder) as database:
            return _Measured(setting, engine, database, newer=newer).figure()

    return measure


FIGURES: dict[str, Callable[[Setting], Throughput]] = {
    f"sql-{engine}{'-newer' if newer else ''}": figure(engine, newer=newer) for engine in _STARTS for newer in (False, True)
}


class _Measured:
    def __init__(self, setting: Setting, engine: str, database: BenchDatabase, *, newer: bool) -> None:
        self._setting = setting
        self._engine = engine
        self._database = database
        self._newer = newer
        self._older = _sends(setting.events, 1)
        self._measured = _sends(setting.events, 2) if newer else self._older

    def figure(self) -> Throughput:
        for number in range(self._setting.rounds):
            for table in (f"floor_{number}", f"goldwire_{number}"):
                self._send(table, self._older if self._newer else [])
        rounds = in_turns(self._setting.rounds, self._floor, self._target, also=self._database.cpu_seconds)
        for number in range(self._setting.rounds):
            self._prove(number)
        what = f"{'newer versions of rows that are there' if self._newer else 'new rows'}, sends of {sample.BATCH:,}"
        floor = f"lock, look-up, tombstones, fence, {_WAYS[self._engine]}; nothing is proved"
        name = f"sql, {self._engine}{', newer' if self._newer else ''}"
        server = "" if self._database.pid is None else "; CPU of the server included"
        return throughput(name, what + server, floor, self._setting.events, rounds, AIMS)

    def _floor(self, number: int) -> None:
        _FLOORS[self._engine](self._database.url, f"floor_{number}", self._measured)
        self._setting.tick(self._setting.events)

    def _target(self, number: int) -> None:
        self._send(f"goldwire_{number}", self._measured)
        self._setting.tick(self._setting.events)

    def _send(self, table: str, sends: Sequence[sql_floor.Send]) -> None:
        settings = {
            "url": self._database.url,
            "table": table,
            "columns": {name: name for name in sql_floor.COLUMNS},
            "create_table": True,
        }

        async def run() -> None:
            target = registry.build("sql", "warehouse", settings, SystemClock())
            await target.open()
            for events in sends:
                for outcome in await target.send([Item(event) for event in events]):
                    if not isinstance(outcome, Delivered):
                        raise VerificationError(f"a row was not delivered: {outcome}")
            await target.close()

        asyncio.run(run())

    def _prove(self, number: int) -> None:
        """Check that floor and target wrote the same.

        Raises:
            VerificationError: they did not; a figure would say nothing.
        """

        async def rows(table: str) -> list[dict[str, object]]:
            settings = {"url": self._database.url, "table": table, "columns": {name: name for name in sql_floor.COLUMNS}}
            target = registry.build("sql", "warehouse", settings, SystemClock())
            await target.open()
            found: list[dict[str, object]] = await target.rows()  # type: ignore[attr-defined] # only this kind has it
            await target.close()
            return found

        floor, target = (asyncio.run(rows(f"{table}_{number}")) for table in ("floor", "goldwire"))
        if len(target) != self._setting.events or floor != target:
            raise VerificationError(f"sql on {self._engine}: the table does not hold what was sent")


def _sends(events: int, version: int) -> list[sql_floor.Send]:
    numbers = range(events)
    return [
        [_event(number, version) for number in numbers[begin : begin + sample.BATCH]]
        for begin in range(0, events, sample.BATCH)
    ]


def _event(number: int, version: int) -> SealedEvent:
    attributes = {name: f"value {number} of {name}, version {version}" for name in sql_floor.COLUMNS}
    return sealed(sample.entity_id(number), version, attributes)
