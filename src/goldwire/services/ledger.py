"""The ledger of each target as a report: what became of every committed change, and whether it adds up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self

from msgspec import Struct

from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.changelog.ports.resyncs import Resyncs
from goldwire.changelog.rows import Counts
from goldwire.relay.ledger import ledger
from goldwire.services.guards import held_resync
from goldwire.services.lookup import cursor_of


class LedgerStore(Deliveries, Resyncs, Protocol):
    """The ledgers, and what did not reach the targets."""


class LedgerTerms(Struct, frozen=True):
    """Changes that were committed since a target's start, and what became of them."""

    committed: int
    delivered: int
    filtered: int
    """The target's contract does not select them."""
    superseded: int
    """A newer version of their entity went out in their stead."""
    dead: int
    parked: int
    """They wait behind a dead letter of their entity."""
    pending: int

    @classmethod
    def of(cls, counts: Counts) -> Self:
        """Return what a store has counted."""
        return cls(*counts)


class LedgerReport(Struct, frozen=True):
    """The ledger of one target; `committed` is the sum of the other terms."""

    target: str
    committed: int
    delivered: int
    filtered: int
    superseded: int
    dead: int
    parked: int
    pending: int
    recounted: LedgerTerms | None
    """The same from the rows alone; None where no recount was asked for."""
    stopped: str | None
    """Why the target was stopped, so that what is pending stays so; None while it may run."""
    held_resync: str | None
    """The resync that waits for a yes, because more would leave the target than its guards let go."""
    stale: int
    """Entities of which the target does not hold what its contract says, as far as was counted when that was applied."""
    balanced: bool
    """Whether the terms add up, and a recount gives the same numbers."""

    @property
    def terms(self) -> LedgerTerms:
        """The terms alone, to compare with those of a recount."""
        own = (self.committed, self.delivered, self.filtered, self.superseded, self.dead, self.parked, self.pending)
        return LedgerTerms(*own)


def ledger_reports(store: LedgerStore, targets: Sequence[str] = (), *, recount: bool = False) -> list[LedgerReport]:
    """Return the ledgers of targets.

    Args:
        store: where they are kept.
        targets: their names; none: every target that has begun.
        recount: count all rows too, which reads one byte for each delivery ever made.

    Raises:
        NotFoundError: a target has not begun.
        StoreCorruptError: settlements overlap or leave positions out.
    """
    cursors = [cursor_of(store, name) for name in targets] or store.cursors()
    found = []
    for cursor in cursors:
        name = cursor.target
        one = ledger(store, name, recount=recount)
        recounted = LedgerTerms.of(one.recounted) if one.recounted is not None else None
        held, stale = held_resync(store, name), store.owed(name).entities
        found.append(LedgerReport(name, *one.counts, recounted, cursor.stopped, held, stale, one.balanced))
    return found
