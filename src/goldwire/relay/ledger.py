"""The ledger of a target: every committed change is accounted for exactly once, and a recount from the rows agrees.

committed = delivered + filtered + superseded + dead + parked + pending
"""

from __future__ import annotations

from msgspec import Struct

from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.changelog.rows import Counts


class Ledger(Struct, frozen=True):
    """The accounts of one target at one moment."""

    target: str
    counts: Counts
    recounted: Counts | None
    """The same from the rows alone, when that was asked for."""

    @property
    def balanced(self) -> bool:
        """Whether the terms add up, and the recount gives the same numbers."""
        return balances(self.counts) and self.recounted in (None, self.counts)


def balances(counts: Counts) -> bool:
    """Say whether a ledger's terms add up."""
    ended = counts.delivered + counts.filtered + counts.superseded
    return counts.committed == ended + counts.dead + counts.parked + counts.pending and min(counts) >= 0


def ledger(store: Deliveries, target: str, *, recount: bool = False) -> Ledger:
    """Return a target's ledger.

    Args:
        store: where it is kept.
        target: its name.
        recount: also count all rows, which reads one byte for each delivery ever made.

    Raises:
        StoreCorruptError: settlements overlap or leave positions out.
    """
    return Ledger(target, store.counts(target), store.recount(target) if recount else None)
