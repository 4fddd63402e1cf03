"""One thread of its own for a target that blocks: its work never overlaps, not even after a caller gave up waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


class Worker:
    """Runs blocking calls one after the other. A cancelled wait leaves the call running; the next one queues behind it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._executor: ThreadPoolExecutor | None = None

    async def run(self, call: Callable[..., Result], *args: object) -> Result:
        """Run a blocking call on the thread and wait for what it returns or raises."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"target-{self._name}")
        return await asyncio.get_running_loop().run_in_executor(self._executor, call, *args)

    def stop(self) -> None:
        """Let the thread end after what it is doing; a later `run` starts a new one."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)
