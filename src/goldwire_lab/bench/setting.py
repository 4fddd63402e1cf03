"""What every figure gets: where to work, on which log, how much, how often, and the callback for progress."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

Tick = Callable[[int], None]
"""Called, again and again, with the amount of work done since the last call."""


class Size(Struct, frozen=True):
    """How much is measured."""

    events: int
    """In each round of a throughput figure."""
    rounds: int
    log_rows: int
    """Of the long log that is tailed and recovered from."""

    @property
    def long_log_entities(self) -> int:
        """Entities of the long log: each has ten versions, so that a target holds all of them after the first tenth."""
        return self.log_rows // 10

    @property
    def recovered(self) -> int:
        """Rows at the end of the long log that the killed relay is about."""
        return self.log_rows // 10


FULL = Size(events=50_000, rounds=5, log_rows=1_000_000)
QUICK = Size(events=2_000, rounds=1, log_rows=20_000)


class Setting(Struct):
    """Where and how one figure is measured."""

    folder: Path
    """Its own, empty."""
    store: Path
    """A store whose log has `events` rows, each of another entity."""
    events: int
    rounds: int
    tick: Tick
    """Called with the number of events, the floors' too."""
