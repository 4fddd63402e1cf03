"""A subscriber that mirrors records into SQLite, and messages as a broker would bring them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from goldwire.event.headers import headers
from goldwire.event.sealed import SealedEvent
from goldwire_consumer import Consumer, Event, Message, Outcome, Record, Settings, SqliteStore, fold


class Mirror:
    """A database of a subscriber, with the table `customer` and the kit's own."""

    def __init__(self, path: Path, settings: Settings | None = None) -> None:
        self.store = SqliteStore(path)
        with self.store.transaction() as transaction:
            transaction.connection.execute("CREATE TABLE IF NOT EXISTS customer (id TEXT PRIMARY KEY, record TEXT)")
        self.fault: Callable[[Event], None] = lambda _: None
        """Raises what the handler is to raise, after it wrote."""
        self.waits: list[float] = []
        self.consumer = self.subscribe(settings)

    def fail_at(self, version: int, error: Exception) -> None:
        """Let the handler raise this at a version of entity `e1`."""

        def fault(event: Event) -> None:
            if event.version == version and event.entity_id == "e1":
                raise error

        self.fault = fault

    def subscribe(self, settings: Settings | None = None) -> Consumer[sqlite3.Connection]:
        return Consumer(self.store, self.write, settings, sleep=self.waits.append)

    def write(self, event: Event, connection: sqlite3.Connection) -> None:
        found = connection.execute("SELECT record FROM customer WHERE id = ?", (event.entity_id,)).fetchone()
        record = fold(None if found is None else msgspec.json.decode(found[0], type=Record), event)
        if record is None:
            connection.execute("DELETE FROM customer WHERE id = ?", (event.entity_id,))
        else:
            row = (event.entity_id, msgspec.json.encode(record).decode())
            connection.execute("INSERT OR REPLACE INTO customer (id, record) VALUES (?, ?)", row)
        self.fault(event)

    def receive(self, events: Iterable[SealedEvent], replay_id: str | None = None) -> list[Outcome]:
        """Process events as one batch of messages."""
        return [result.outcome for result in self.consumer.process([self.message(event, replay_id) for event in events])]

    @staticmethod
    def message(event: SealedEvent, replay_id: str | None = None) -> Message:
        return Message(body=event.body, headers=headers(event, replay_id=replay_id), source=f"test@{event.version}")

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.store.transaction() as transaction:
            return transaction.connection.execute(sql, values).fetchall()

    @property
    def table(self) -> dict[str, dict[str, Any]]:
        """By entity id, the value of each attribute."""
        rows = self.query("SELECT id, record FROM customer")
        return {
            id_: {name: one["value"] for name, one in msgspec.json.decode(record)["attributes"].items()} for id_, record in rows
        }

    @property
    def letters(self) -> list[tuple[str, int | None]]:
        """Kind and version of each dead letter."""
        return self.query("SELECT kind, version FROM goldwire_dead_letter ORDER BY entity_id, version")

    def guard(self, entity_id: str) -> tuple[Any, ...]:
        [found] = self.query("SELECT version, hash, gone, parked FROM goldwire_guard WHERE entity_id = ?", entity_id)
        return found


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    found = Mirror(tmp_path / "mirror.db")
    yield found
    found.store.close()


@pytest.fixture
def open_mirror(tmp_path: Path) -> Iterator[Callable[..., Mirror]]:
    """Open databases anew, e.g. one for each example."""
    opened: list[Mirror] = []

    def build(settings: Settings | None = None) -> Mirror:
        opened.append(Mirror(tmp_path / f"mirror-{len(opened)}.db", settings))
        return opened[-1]

    yield build
    for one in opened:
        one.store.close()
