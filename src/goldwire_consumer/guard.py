"""Applies one event once, inside a transaction that the subscriber has opened: the kit at its smallest."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from goldwire_consumer.event import Event
from goldwire_consumer.verdict import Held, Verdict, decide, gap, taken


class Outcome(Enum):
    """What became of a message."""

    APPLIED = "applied"
    JOINED = "joined"
    """Applied; the first event that was seen of its entity, though there were others before it: to a subscriber that joins late
    this is as it should be, to one that was there from the start they were lost. Or the first event of a chain that begins anew
    at the version that is held, because Goldwire has a new target for this stream."""
    HEALED = "healed"
    """Applied; an event before it was lost, and this one made up for it."""
    IGNORED = "ignored"
    """A duplicate, or older than what is held: no harm."""
    PARKED = "parked"
    """Kept as a dead letter until the gap before it is closed."""
    DEAD = "dead"
    """Poison: a dead letter."""


class Guard(Protocol):
    """The version guard, inside one transaction of the database that the subscriber writes to."""

    def held(self, entity_id: str) -> Held | None:
        """Return what is kept of an entity, locked until the transaction ends where the database can."""

    def hold(self, entity_id: str, before: Held | None, after: Held) -> None:
        """Keep `after`, provided that `before` is still what is kept.

        Raises:
            TryAgainError: another subscriber changed it in the meantime.
        """

    def check(self) -> None:
        """See that what was written will be kept when the transaction ends.

        Raises:
            StoppedError: the caller or the handler ended the transaction.
            Exception: the database will not keep it, because a statement failed and that was overlooked.
        """


def apply(guard: Guard, event: Event, handle: Callable[[Event], None]) -> Outcome:
    """Apply one event in the caller's transaction; commit after it returns, roll back if it raises.

    Args:
        guard: in the same transaction as what `handle` writes.
        event: verified, see `parse`.
        handle: writes what the event says; not called for a duplicate.

    Raises:
        GapDetected: an event before it was lost, and it cannot be applied without.
        TryAgainError: see `Guard.hold`.
        StoppedError: there is no transaction, so that nothing binds the guard to what `handle` writes.
    """
    held = guard.held(event.entity_id)
    verdict = decide(event, held)
    if verdict is Verdict.IGNORE:
        return Outcome.IGNORED
    if verdict in {Verdict.GAP, Verdict.WAIT}:
        raise gap(event, held)
    if verdict is Verdict.LINK and held is not None:
        guard.hold(event.entity_id, held, held._replace(hash=event.hash))
        return Outcome.IGNORED
    guard.hold(event.entity_id, held, taken(event))
    handle(event)
    guard.check()
    return APPLIED[verdict]


APPLIED = {
    Verdict.APPLY: Outcome.APPLIED, Verdict.JOIN: Outcome.JOINED, Verdict.ANEW: Outcome.JOINED, Verdict.HEAL: Outcome.HEALED,
}  # fmt: skip
"""What comes of the verdicts that lead to the handler."""
