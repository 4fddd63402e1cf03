"""Random histories of records that pass keys to one another, delivered in any order that the relay may choose."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from goldwire.clock import SystemClock, timestamp
from goldwire.event.sealed import SealedEvent
from goldwire.targets.base import Delivered, Duplicate, Item, Outcome
from goldwire.targets.sql import ExternalIdKey, SqlSettings, SqlTarget
from goldwire.testing.events import sealed

ENTITIES = ["e1", "e2", "e3", "e4"]
KEYS = ["K1", "K2", "K3", "K4", "K5"]


class History:
    """A hub in small: each key belongs to one record at a time, each commit has a moment of its own."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.owner: dict[str, str] = {}
        self.version = dict.fromkeys(ENTITIES, 0)
        self.live: dict[str, int] = {}
        self.events: dict[str, list[SealedEvent]] = {entity: [] for entity in ENTITIES}
        for moment in range(random.randint(5, 40)):
            self._commit(timestamp(1_800_000_000 + moment))

    def keys(self, entity: str) -> list[str]:
        return [key for key in KEYS if self.owner.get(key) == entity]

    def _commit(self, at: str) -> None:
        entity = self.random.choice(ENTITIES)
        if self.live.get(entity) and self.random.random() < 0.25:
            reason = self.random.choice(["deleted", "merged", "erased", "deselected"])
            self._emit(entity, at, reason)
            for key in self.keys(entity):
                del self.owner[key]
            return
        key = self.random.choice(KEYS)
        before = self.owner.get(key)
        if self.random.random() < 0.6:
            self.owner[key] = entity
            if before not in (None, entity):
                self._emit(before or "", at)
        self._emit(entity, at)

    def _emit(self, entity: str, at: str, reason: str | None = None) -> None:
        self.version[entity] += 1
        version = self.version[entity]
        ids = [("crm", key) for key in self.keys(entity)]
        values = {"name": f"{entity} {version}"}
        self.events[entity].append(sealed(entity, version, values, external_ids=ids, reason=reason, committed_at=at))
        self.live[entity] = 0 if reason else version


class Relay:
    """Delivers a history as the relay may: lanes in order, versions superseded, batches of any size, late repeats."""

    def __init__(self, history: History, target: SqlTarget) -> None:
        self.random, self.target = history.random, target
        self.lanes = {entity: list(events) for entity, events in history.events.items() if events}
        self.sent: list[Item] = []
        self.remote: dict[str, str | None] = {}

    async def run(self) -> None:
        while self.lanes:
            batch = []
            for entity in self.random.sample(sorted(self.lanes), self.random.randint(1, len(self.lanes))):
                skipped = self.random.choice([0, 0, 1, 2])
                lane = self.lanes[entity]
                del lane[: min(skipped, len(lane) - 1)]
                batch.append(Item(lane.pop(0), self.remote.get(entity)))
                if not lane:
                    del self.lanes[entity]
            await self._send(batch)
            self.sent.extend(batch)
            for item in self.random.sample(self.sent, min(2, len(self.sent))):
                await self.target.send([item])

    async def _send(self, batch: Sequence[Item]) -> None:
        outcomes: Sequence[Outcome] = await self.target.send(batch)
        for item, outcome in zip(batch, outcomes, strict=True):
            assert isinstance(outcome, Delivered | Duplicate), outcome
            if outcome.remote_id is not None and self.random.random() < 0.8:  # a crash may lose what was answered
                self.remote[item.event.entity_id] = outcome.remote_id


@pytest.mark.parametrize("delete", ["soft", "physical"])
@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_order_the_table_ends_as_the_records_are(seed: int, delete: str, tmp_path: Path) -> None:
    history = History(Random(seed))

    async def run() -> None:
        settings = SqlSettings(
            url=f"sqlite:///{tmp_path}/t.db",
            table="customer",
            columns={"name": "name"},
            key=ExternalIdKey("crm"),
            missing_key="skip",
            delete="soft" if delete == "soft" else "physical",
            create_table=True,
        )
        target = SqlTarget("warehouse", settings, SystemClock())
        await target.open()
        await Relay(history, target).run()
        await target.close()

    asyncio.run(run())
    connection = sqlite3.connect(tmp_path / "t.db")
    rows = connection.execute("SELECT goldwire_entity_id, name, id FROM customer WHERE NOT goldwire_deleted").fetchall()
    connection.close()
    expected = sorted((entity, f"{entity} {v}") for entity, v in history.live.items() if v and history.keys(entity))
    assert sorted(row[:2] for row in rows) == expected
    for entity, _, key in rows:
        assert key in history.keys(entity)
