"""What the store keeps of resyncs: which entities are sent to a target again, because its contract changed or a person asked.

A resync appends rows to the log that are addressed to one target (docs/adr/0044). Everything after that is ordinary delivery.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Literal, NamedTuple

from msgspec import Struct

ResyncState = Literal["held", "open", "done", "cancelled", "superseded", "declined"]
"""`held`: more would leave the target than its guards let go without a yes, so it waits; `superseded`: a newer
revision judges everything again; `declined`: a person applied a revision and did not want it."""

ResyncScope = Literal["stale", "all"]
"""`stale`: what looks different from what was sent; `all`: everything that the target should hold."""

FOREIGN = "it holds what this store did not send:"
"""How the reason begins for which a target was stopped that is ahead of its store; a resync of everything lifts it."""

SAMPLES_MAX = 5
"""So many entities are named for each effect."""


class EffectCounts(Struct, frozen=True):
    """How many entities a revision has which effect on."""

    changes: int = 0
    """The target holds them, and would receive them otherwise."""
    leaves: int = 0
    """The target holds them, and would receive a deletion."""
    enters: int = 0
    """The target does not hold them, and would receive them."""
    stays: int = 0
    """The target holds them, they are selected no more, and the contract sends no deletion for that."""
    undecided: int = 0
    """The contract's `where` has no result for them: they stay as they are."""
    same: int = 0
    """All others that were looked at."""

    @property
    def stale(self) -> int:
        """Entities of which the target does not hold what its contract says."""
        return self.changes + self.leaves + self.enters


class Resync(Struct, frozen=True):
    """The record of one resync."""

    id: str
    """Part of the correlation ids."""
    target: str
    scope: ResyncScope
    revision: int
    """The newest contract revision when it was asked for."""
    requested_by: str
    requested_at: str
    why: str = ""
    entities: tuple[str, ...] = ()
    """Only these; empty: all."""
    state: ResyncState = "open"
    ended_at: str | None = None
    planned: EffectCounts | None = None
    """What was counted when it was asked for; None where nothing was."""
    samples: dict[str, tuple[str, ...]] = {}
    """By effect, some entity ids of what was counted."""
    settings: int = 0
    """Above 0: it is there because settings write another thing of each event. The number of the settings that it waits for: a
    relay with older ones would not write what it is for."""
    turn: Literal[1, 2] = 1
    """The first turn sends what leaves or changes, the second what enters."""
    after: str = ""
    """Entities up to this id were looked at in this turn."""
    resent: int = 0
    """Rows that were appended so far."""
    upto: int = 0
    """The position of the last one: when the target has passed it, all were sent."""


class Owed(NamedTuple):
    """What a target does not hold although it should, as far as that was counted."""

    entities: int = 0
    is_everything: bool = False
    """Settings write another thing of each event now, so contracts alone do not tell which entities these are."""


class OwedHistory(NamedTuple):
    """What the resyncs up to one of them leave owed, whichever come after it: so one that has ended is looked at once."""

    plain: Owed = Owed()
    """Where no later one has mended what the contract changed."""
    contract_holds: Owed = Owed()
    """Where a later one has."""

    def then(self, record: Resync) -> OwedHistory:
        """Return what is left owed with one more resync, which was asked for after these."""
        if record.entities:
            return self  # it cannot mend all
        of_contract = record.scope == "stale"
        left = None if record.planned is None else max(record.planned.stale - record.resent, 0)
        found = []
        for holds, before in ((False, self.plain), (True, self.contract_holds)):
            counts = record.settings > 0 or (of_contract and not holds)
            if record.state == "done" or (counts and left == 0):
                found.append(self.contract_holds if of_contract else Owed())
            elif counts and left is not None:
                found.append(Owed(left, record.settings > 0))
            else:
                found.append(before)
        return OwedHistory(*found)


def owed(records: Iterable[Resync]) -> Owed:
    """Return what no resync has mended yet.

    Args:
        records: all resyncs of the target, in the order in which they were asked for.
    """
    return reduce(OwedHistory.then, records, OwedHistory()).plain


class Resend(NamedTuple):
    """One entity whose newest state is to be appended once more."""

    entity_id: str
    judged: int
    """The version that it was judged at; one that has moved on since is left to its own change."""
    held: int
    """The version that the target is known to hold; the new one goes above it."""
