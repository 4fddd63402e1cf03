"""Lets a program with an event loop await a consumer, whose work waits for a database: it is done in one thread of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

from goldwire_consumer.consumer import Consumer, Result
from goldwire_consumer.guard import Outcome
from goldwire_consumer.message import Message
from goldwire_consumer.settings import Settings

T = TypeVar("T")


class AsyncConsumer(Generic[T]):
    """A consumer that many tasks can await, e.g. one for each partition: what they hand in is done one after another.

    The handler stays a plain function and runs in that thread. Who is cancelled does not wait for the end; what was begun is
    finished all the same, and is ignored when it comes again.
    """

    def __init__(self, consumer: Consumer[T]) -> None:
        """Take over a consumer; no other code may call it from now on."""
        self._consumer = consumer
        self.settings: Settings = consumer.settings
        """Of the consumer."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="goldwire_consumer")

    async def process(self, messages: Iterable[Message]) -> list[Result]:
        """Process messages in order; see `Consumer.process`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._consumer.process, list(messages))

    async def redrive(self, entity_id: str | None = None) -> Counter[Outcome]:
        """Process the dead letters of the store again; see `Consumer.redrive`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._consumer.redrive, entity_id)

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
