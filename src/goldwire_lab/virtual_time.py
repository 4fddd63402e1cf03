"""Virtual time: an event loop that never waits, and a clock that reads it.

Everything that would block is run in line, so one seed always takes the same path.
"""

from __future__ import annotations

import asyncio
from asyncio import base_events
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

from goldwire.clock import Clock

EPOCH = 1_767_225_600.0
"""2026-01-01T00:00:00Z, where every simulation begins, in POSIX seconds."""


_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

STEP_SECONDS = 1e-6
"""How long one round of the loop takes."""


class DeadlockError(RuntimeError):
    """Every task waits for something that will never come."""


class _TimeJumper:
    """Stands where a selector would: instead of waiting for sockets it moves the time to the next timer."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise DeadlockError("nothing is scheduled and nothing is ready")
        # Time that stands still while code runs would let a timer that is a rounding error early wait for ever.
        self._loop.elapsed_seconds += max(timeout, 0.0) + STEP_SECONDS
        return []

    def close(self) -> None:
        """Nothing is held."""


class VirtualLoop(base_events.BaseEventLoop):
    """An asyncio loop whose time is a number."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed_seconds = 0.0
        self._selector = _TimeJumper(self)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self.elapsed_seconds

    def run_in_executor(self, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts) -> asyncio.Future[_T]:
        """Run at once, in line: threads would make the order of things depend on the machine."""
        del executor
        future: asyncio.Future[_T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - an executor hands any error to its caller
            future.set_exception(error)
        return future

    def _process_events(self, event_list: list[Any]) -> None:
        assert not event_list

    def _write_to_self(self) -> None:
        """No other thread needs waking."""


class VirtualClock(Clock):
    """Reads a virtual loop; its wall time can be set back, as a machine's can."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.skew_seconds = 0.0

    def now(self) -> float:
        """POSIX seconds."""
        return EPOCH + self._loop.time() + self.skew_seconds

    def monotonic(self) -> float:
        """Seconds since the simulation began."""
        return self._loop.time()

    async def sleep(self, delay_seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(delay_seconds)
