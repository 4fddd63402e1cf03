"""The port that a relay reports to: attempts, settlements, how far its target is. It knows no metric and no log line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from goldwire.changelog.rows import Counts
from goldwire.targets.base import Item, Outcome


class Observer(Protocol):
    """Hears of all that the relay of one target does. It is called on the event loop, so it must not wait."""

    def attempt(self, items: Sequence[Item], outcomes: Sequence[Outcome], duration_seconds: float) -> None:
        """One send came back, with an outcome for each item."""
        ...

    def asked_for_too_long(self, asked_seconds: float, limit_seconds: float) -> None:
        """The target asked for a longer wait than its settings allow."""
        ...

    def ended(self, *, delivered: int, filtered: int, superseded: int, dead: int) -> None:
        """A settlement was committed; so many deliveries ended in each way."""
        ...

    def latency(self, seconds: float) -> None:
        """Changes that were committed together are settled, this long after."""
        ...

    def status(self, counts: Counts, *, balanced: bool, stopped: bool, stale: int) -> None:
        """How far the target is now: its ledger, whether that balances, whether it is stopped, how many entities are stale."""
        ...

    def guarded(self, kind: str, count: int) -> None:
        """So many events, removals or changes, are kept back before a person says yes; the target stops."""
        ...

    def diverged(self, count: int) -> None:
        """The target holds so many events, or more, that this store did not send; it stops."""
        ...

    def replayed(self, outcome: str, count: int) -> None:
        """So many events of a replay ended this way."""
        ...

    def replaying(self, *, open_now: bool) -> None:
        """A replay was taken up, or is in hand no more."""
        ...

    def unreachable(self, reason: str) -> None:
        """The target did not open; it is tried again."""
        ...

    def event(self, name: str, **fields: Any) -> None:
        """Something about the relay itself: started, resting, stopped."""
        ...
