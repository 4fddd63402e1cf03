"""Registers `sql`, and takes its blocking work to a thread. Light to import: the database code loads when it is opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from goldwire.clock import Clock
from goldwire.targets.base import Item, Outcome, TakenEvent
from goldwire.targets.clients.worker import Worker
from goldwire.targets.registry import target_kind
from goldwire.targets.sql.settings import SqlSettings

if TYPE_CHECKING:
    from goldwire.targets.sql.writer import Writer

Result = TypeVar("Result")


@target_kind("sql", settings=SqlSettings)
class SqlTarget:
    """Writes golden records into tables. A send is one transaction; the fence stands in each write."""

    batch_limit: ClassVar[int] = 5_000

    def __init__(self, name: str, settings: SqlSettings, clock: Clock) -> None:
        self.name = name
        self.settings = settings
        self._clock = clock
        self._worker = Worker(name)
        self._writer: Writer | None = None
        self._store_id: str | None = None

    def claim_for(self, store_id: str) -> None:
        """Write the tables for this store alone, from the next `open` on."""
        self._store_id = store_id

    async def open(self) -> None:
        """Connect, create what `create_table` asks for, and check the tables.

        Raises:
            ConfigError: the URL, the credentials, the table or a column is wrong; or the driver is not installed.
            OSError: the database cannot be reached now.
        """
        await self._worker.run(self._open)

    async def send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        """Write the items in one transaction. `Delivered.remote_id` is the row's key."""
        return await self._call(lambda writer: writer.send(items))

    async def close(self) -> None:
        """Wait for a send under way, and disconnect."""
        if self._writer is not None:
            await self._worker.run(self._close)
        self._worker.stop()

    async def held_versions(self, items: Sequence[Item]) -> Sequence[int | None]:
        """The version held of each item's entity, as a row or as a tombstone."""
        return await self._call(lambda writer: writer.held_versions(items))

    async def newest(self, limit: int) -> Sequence[TakenEvent]:
        """Return the events that the table's rows were written from last, the newest first."""
        return await self._call(lambda writer: writer.newest(limit))

    async def read(self, keys: Sequence[str], entity_type: str | None = None) -> list[dict[str, Any]]:
        """Return the rows of some keys by column name; those missing or deleted are left out. JSON columns as text.

        Args:
            keys: as texts.
            entity_type: the one in whose table they are, where each has its own.
        """
        return await self._call(lambda writer: writer.rows(keys, entity_type))

    async def rows(self, entity_type: str | None = None) -> list[dict[str, Any]]:
        """Return all rows of records that are not deleted by column name, ordered by key. JSON columns as text.

        Args:
            entity_type: the one whose table is read, where each has its own.
        """
        return await self._call(lambda writer: writer.rows(None, entity_type))

    async def edges(self, relation: str) -> list[dict[str, Any]]:
        """Return the rows of the table in which a relation's edges are, by column name."""
        return await self._call(lambda writer: writer.edges(relation))

    async def _call(self, work: Callable[[Writer], Result]) -> Result:
        writer = self._writer
        assert writer is not None, "used before open"
        return await self._worker.run(work, writer)

    def _open(self) -> None:
        from goldwire.targets.sql.writer import Writer  # noqa: PLC0415 - loads SQLAlchemy only where it is used

        self._close()
        self._writer = Writer(self.settings, self.name, self._store_id)

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
