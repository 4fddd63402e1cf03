"""Why a target is behind: how much is open, and what the target said last. For people who wait for it."""

from __future__ import annotations

from msgspec import Struct

from goldwire.changelog.ports.deliveries import Deliveries

_LOOKED_AT = 100
"""So many open deliveries are looked at for a reason; in an outage all of them say the same."""

FIRST_LOOK_SECONDS = 1.0
FIRST_WORD_SECONDS = 10.0
"""The command reports a target without progress after so long; then after twice as long each time, up to"""
RAREST_WORD_SECONDS = 300.0


class Behind(Struct, frozen=True):
    """A target that has not taken everything."""

    pending: int
    reason: str
    """Its last answer to a delivery that will be tried again; empty where it gave none."""
    attempts: int
    """How often that one was sent."""

    @property
    def summary(self) -> str:
        """The same in words."""
        last = f"; the last attempt failed: {self.reason}" if self.reason else ""
        return f"{self.pending:,} pending{last}"


def behind(store: Deliveries, target: str) -> Behind | None:
    """Return what keeps a target, or None where nothing is pending.

    Args:
        store: where it is asked.
        target: a target that has begun.
    """
    pending = store.counts(target).pending
    if pending == 0:
        return None
    tried = [one for one in store.due(target, float("inf"), _LOOKED_AT) if one.reason]
    last = max(tried, key=lambda one: one.last_attempt_at or "", default=None)
    return Behind(pending, last.reason if last else "", last.attempts if last else 0)
