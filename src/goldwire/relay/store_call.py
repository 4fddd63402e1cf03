"""How the relay, which is asyncio, reaches the store, which is synchronous."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class StoreCall:
    """Calls the store in line, or through an executor of one thread."""

    def __init__(self, executor: Any = None) -> None:
        self._executor = executor

    async def __call__(self, function: Callable[..., T], *args: Any) -> T:
        """Run a store call and return what it returns."""
        if self._executor is None:
            return function(*args)
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *args)
