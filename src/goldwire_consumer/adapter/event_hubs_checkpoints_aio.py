"""The checkpoint store of `event_hubs_checkpoints` for the Event Hubs SDK's asyncio client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from goldwire_consumer.adapter.event_hubs_checkpoints import Row, SqlCheckpointStore, parts_of
from goldwire_consumer.extra import extra
from goldwire_consumer.store.base import Store

with extra("azure"):
    from azure.eventhub.aio import CheckpointStore


class AsyncSqlCheckpointStore(CheckpointStore):
    """Keeps ownership and checkpoints in the tables of a `SqliteStore` or a `PostgresStore`, by a thread of its own."""

    def __init__(self, store: Store[Any]) -> None:
        """Use the tables of a store.

        Args:
            store: the one of the consumer, so that a checkpoint can stand in its transaction.
        """
        self._rows = SqlCheckpointStore(store)
        self._watch: Callable[[str, str, str], Awaitable[bool]] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="goldwire_checkpoints")

    async def _do(self, verb: Any, *given: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, verb, *given)

    async def close(self) -> None:
        """Wait for what was begun, and end the thread; the store stays open."""
        await asyncio.to_thread(self._thread.shutdown)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()

    async def list_ownership(
        self, fully_qualified_namespace: str, eventhub_name: str, consumer_group: str, **_: Any
    ) -> Iterable[Row]:
        """Return who owns which partition; see the SDK's `CheckpointStore`."""
        found: list[Row] = await self._do(self._rows.list_ownership, fully_qualified_namespace, eventhub_name, consumer_group)
        return found

    def watch(self, allows: Callable[[str, str, str], Awaitable[bool]] | None) -> None:
        """Ask this before partitions are claimed, each time; see `SqlCheckpointStore.watch`."""
        self._watch = allows

    async def claim_ownership(self, ownership_list: Iterable[Row], **_: Any) -> Iterable[Row]:
        """Claim partitions, and return those that were won; see the SDK's `CheckpointStore`."""
        claims = list(ownership_list)
        if claims and self._watch is not None and not await self._watch(*parts_of(claims[0])):
            return []
        won: list[Row] = await self._do(self._rows.claim_ownership, claims)
        return won

    async def update_checkpoint(self, checkpoint: Row, **_: Any) -> None:
        """Keep a checkpoint outside of a consumer's transaction; see the SDK's `CheckpointStore`."""
        await self._do(self._rows.update_checkpoint, checkpoint)

    async def list_checkpoints(
        self, fully_qualified_namespace: str, eventhub_name: str, consumer_group: str, **_: Any
    ) -> Iterable[Row]:
        """Return the checkpoints of a hub; see the SDK's `CheckpointStore`."""
        found: list[Row] = await self._do(self._rows.list_checkpoints, fully_qualified_namespace, eventhub_name, consumer_group)
        return found

    async def forget(self, fully_qualified_namespace: str, eventhub_name: str, consumer_group: str) -> int:
        """Forget the checkpoints of a consumer group; see `SqlCheckpointStore.forget`."""
        found: int = await self._do(self._rows.forget, fully_qualified_namespace, eventhub_name, consumer_group)
        return found

    async def identity(self, fully_qualified_namespace: str, eventhub_name: str, consumer_group: str) -> str | None:
        """Return which hub the checkpoints are of; None where that was not kept."""
        found: str | None = await self._do(self._rows.identity, fully_qualified_namespace, eventhub_name, consumer_group)
        return found

    async def keep_identity(
        self, fully_qualified_namespace: str, eventhub_name: str, consumer_group: str, identity: str
    ) -> None:
        """Keep which hub the checkpoints are of from now on."""
        await self._do(self._rows.keep_identity, fully_qualified_namespace, eventhub_name, consumer_group, identity)
