"""Sets the cursor of a target back, so that the relay works on a part of the log again."""

from __future__ import annotations

from msgspec import Struct

from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.errors import InputError
from goldwire.services.ledger import LedgerTerms
from goldwire.services.lookup import cursor_of


class RewindResult(Struct, frozen=True):
    """How far a target was set back, and what that does to its ledger."""

    target: str
    position: int
    """Everything above this position of the log is worked on again."""
    before: int
    """Where it stood."""
    ledger: LedgerTerms
    """After it: what was withdrawn is pending again."""


def rewind(store: Deliveries, target: str, position: int) -> RewindResult:
    """Set a cursor back. What the target holds by its control table is not sent again.

    Args:
        store: where the target stands.
        target: its name.
        position: of the log; work begins again above it.

    Raises:
        NotFoundError: the store has never seen the target.
        InputError: the position is not behind the target, or deliveries above it may have arrived without an answer.
    """
    before = cursor_of(store, target)
    if position >= before.position:
        raise InputError(
            f"target {target}: it stands at position {before.position}, so {position} is nowhere behind it: give a lower one"
        )
    store.rewind(target, position)
    return RewindResult(target, position, before.position, LedgerTerms.of(store.counts(target)))
