"""A `sql` target on a table of its own in a real server, driven without asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count
from typing import Any

from goldwire.clock import SystemClock
from goldwire.event.sealed import SealedEvent
from goldwire.targets.base import Item, Outcome
from goldwire.targets.sql import ExternalIdKey, SqlSettings, SqlTarget
from goldwire.testing.events import sealed

numbers = count(1)
COLUMNS = {"name": "name", "city": "city"}


class Server:
    """One server, with what a test needs to make tables there and to look into them with a client of its own."""

    def __init__(self, family: str, url: str, connect: Any, prefix: str = "", created: str | None = None) -> None:
        """Describe it.

        Args:
            family: of the database.
            url: of the target.
            connect: returns a client's connection.
            prefix: the schema in which a test makes its tables, with a dot.
            created: the one in which the target makes its own; None: the same.
        """
        self.family, self.url, self.prefix = family, url, prefix
        self.created = prefix if created is None else created
        self._connect = connect

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        connection = self._connect()
        try:
            cursor = connection.cursor()
            cursor.execute(sql)
            rows = list(cursor.fetchall()) if cursor.description else []
            connection.commit()
            return rows
        finally:
            connection.close()

    def send(self, settings: SqlSettings, events: Sequence[Any]) -> list[Outcome]:
        async def run() -> list[Outcome]:
            target = SqlTarget("warehouse", settings, SystemClock())
            await target.open()
            try:
                return list(await target.send([Item(event) for event in events]))
            finally:
                await target.close()

        return asyncio.run(run())


class Table:
    """One target on a table of its own, driven without asyncio."""

    def __init__(self, database: Any, **settings: Any) -> None:
        self.database = database
        self.name = f"t_{next(numbers)}"
        self.full = f"warehouse.{self.name}" if database.url.startswith("mariadb") else self.name
        defaults: dict[str, Any] = {"columns": COLUMNS, "create_table": True, "key": ExternalIdKey("crm")}
        self.settings = SqlSettings(**{"url": database.url, "table": self.name, **defaults, **settings})

    def send(self, *items: SealedEvent | Item) -> list[Outcome]:
        async def run() -> Sequence[Outcome]:
            target = SqlTarget("warehouse", self.settings, SystemClock())
            await target.open()
            try:
                return await target.send([item if isinstance(item, Item) else Item(item) for item in items])
            finally:
                await target.close()

        return list(asyncio.run(run()))

    def live(self) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self.database.query(
            f"SELECT id, goldwire_entity_id, goldwire_version, name FROM {self.full} WHERE NOT goldwire_deleted ORDER BY id"
        )
        return rows


def crm(entity: str, version: int, *ids: str, name: str = "n", **more: Any) -> SealedEvent:
    return sealed(entity, version, {"name": name}, external_ids=[("crm", id_) for id_ in ids], **more)
