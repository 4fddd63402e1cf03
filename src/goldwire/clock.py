"""Time as an argument: wall time for what is recorded, monotonic time and sleep for what waits.

Recorded times are RFC 3339 in UTC with exactly six fraction digits, so that order of text is order of time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Protocol

_LAST = datetime.max.replace(tzinfo=UTC)

STEP_SECONDS = 2e-6
"""The least step that two recorded times always differ by: a float of today's time is good for a quarter of a microsecond."""


def timestamp(seconds_since_epoch: float) -> str:
    """Return a moment as recorded text, e.g. `2026-11-23T10:00:00.000000Z`.

    Args:
        seconds_since_epoch: POSIX time in seconds.
    """
    return datetime.fromtimestamp(seconds_since_epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds(recorded: str) -> float:
    """Return the POSIX time in seconds of a text made by `timestamp`."""
    return datetime.fromisoformat(recorded).timestamp()


def just_after(recorded: str) -> str:
    """Return the next moment that can be recorded; of the last one of the year 9999 itself."""
    moment = datetime.fromisoformat(recorded)
    if moment == _LAST:
        return recorded
    return (moment + timedelta(microseconds=1)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def redated(times: Iterable[str], latest: str) -> dict[str, str]:
    """Return new times for those that cannot be true, in the same order: just after the newest that can, else at the epoch.

    Args:
        times: recorded times that belong together; empty ones do not count.
        latest: recorded time; what is later cannot be true.
    """
    known = sorted(set(times))
    new: dict[str, str] = {}
    newest = max((each for each in known if each and each <= latest), default=timestamp(0.0))
    for each in known:
        if each > latest:
            newest = new[each] = just_after(newest)
    return new


class Clock(Protocol):
    """What waits or records takes one of these, so that a simulation can run it under virtual time."""

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


class RisingClock:
    """A clock whose wall time only rises: hardly at all until the other one has caught up, so that later stays later.

    Args:
        clock: the one that is read.
        floor_seconds: POSIX time; it is always later than this.
    """

    def __init__(self, clock: Clock, floor_seconds: float) -> None:
        self._clock = clock
        self._newest = floor_seconds

    def now(self) -> float:
        """POSIX wall time in seconds, later than any answer before."""
        self._newest = max(self._newest + STEP_SECONDS, self._clock.now())
        return self._newest

    def keep_above(self, floor_seconds: float) -> None:
        """From now on always be later than this POSIX time, too."""
        self._newest = max(self._newest, floor_seconds)

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return self._clock.monotonic()

    async def sleep(self, delay_seconds: float) -> None:
        """Wait as the other clock does."""
        await self._clock.sleep(delay_seconds)
