"""Uses a target as the relay does, for tests: opens it (again while no machine answers), uses it, and closes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError
from goldwire.targets.base import Target

_Target = TypeVar("_Target", bound=Target)


class LaterClock(SystemClock):
    """The machine's clock, some time later: what a target sees after a long silence."""

    later_seconds = 0.0

    def monotonic(self) -> float:
        """Seconds that never go backwards, as long as `later_seconds` does not."""
        return super().monotonic() + self.later_seconds


@asynccontextmanager
async def opened(target: _Target) -> AsyncIterator[_Target]:
    """Open a target once; close it in the end."""
    await target.open()
    try:
        yield target
    finally:
        await target.close()


async def failure_to_open(target: Target) -> BaseException | None:
    """Return what ends the opening of a target; None: nothing does."""
    try:
        async with opened(target):
            return None
    except (ConfigError, OSError) as error:
        return error


def use(target: _Target, check: Callable[[_Target], Coroutine[Any, Any, Any]], *, again: bool = True) -> Any:
    """Open a target, do something with it, and close it.

    Args:
        target: not yet open.
        check: what is done.
        again: open it again while no machine answers, as the relay does; otherwise that is an error.
    """

    async def run() -> Any:
        while True:
            try:
                await target.open()
                break
            except ConnectionError:
                if not again:
                    raise
        try:
            return await check(target)
        finally:
            await target.close()

    return asyncio.run(run())
