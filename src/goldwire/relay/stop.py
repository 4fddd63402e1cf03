"""A graceful stop: asked for once, and seen by every wait."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Stop:
    """Whether the relay is to end, and a way to wait that ends with it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    @property
    def asked(self) -> bool:
        """Whether a stop was asked for."""
        return self._event.is_set()

    def ask(self) -> None:
        """Ask for a stop."""
        self._event.set()

    async def unless(self, waiting: Coroutine[Any, Any, None]) -> bool:
        """Wait for this, but no longer than until a stop is asked for; say whether it came to its end.

        Raises:
            Exception: whatever it raised.
        """
        tasks = asyncio.ensure_future(waiting), asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            # `wait` and no `await task`, which confuses the task's cancellation with our own, and would swallow ours.
            await asyncio.wait(tasks)
        if tasks[0].cancelled():
            return False
        tasks[0].result()
        return True
