"""Time as an argument, so that a test can run the emulator under virtual time."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What waits or records takes one of these."""

    def now(self) -> float:
        """POSIX wall time in seconds; may go backwards."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards, from an arbitrary start."""
        ...

    async def sleep(self, delay_seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """POSIX wall time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic()

    async def sleep(self, delay_seconds: float) -> None:
        """Wait on the running event loop."""
        await asyncio.sleep(delay_seconds)
