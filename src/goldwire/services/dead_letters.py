"""Dead letters: the list, the target's answer to each, and the two ways out."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from msgspec import Struct

from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.changelog.ports.log import Log
from goldwire.changelog.rows import OpenDelivery, OpenState
from goldwire.clock import Clock
from goldwire.services.lookup import cursor_of, dead_letter

EVERY = 1_000_000
"""More dead letters than a target ever has: it is stopped long before."""


class DeadLetterStore(Log, Deliveries, Protocol):
    """Deliveries that were given up, and the changes in them."""


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A delivery that was given up."""

    target: str
    seq: int
    """The position of the change in the log."""
    entity_id: str
    entity_type: str
    version: int
    state: OpenState
    """`dead`, or `discarded` by a person."""
    attempts: int
    """How often it was sent."""
    strikes: int
    """How many of these counted towards giving up."""
    ambiguous: bool
    """It may have arrived without an answer."""
    first_attempt_at: str | None
    last_attempt_at: str | None
    due_at: float
    """POSIX seconds."""
    reason: str
    """The target's last answer; never a value of the record."""
    revision: int
    """The contract revision that sealed it last."""


class DeadLetterDetail(DeadLetter, frozen=True, kw_only=True):
    """A dead letter, the change in it, and what waits behind it."""

    committed_at: str
    changed: str
    """The names of what changed, never a value."""
    correlation_id: str
    parked_versions: list[int]
    """Newer versions of the entity that wait for this one."""


class RedriveResult(Struct, frozen=True):
    """What a redrive did."""

    target: str
    redrive: int
    """How many dead letters are due for delivery again; a discarded one is not among them."""


class DiscardResult(Struct, frozen=True):
    """What a discard did."""

    target: str
    discard: int
    """How many dead letters were given up."""
    may_have_arrived: list[int]
    """The positions of those that had no answer: the chain of their entity is broken if they did arrive."""


def dead_letters(store: Deliveries, target: str | None = None, limit: int = 1000) -> list[DeadLetter]:
    """Return dead and discarded letters, oldest first.

    Args:
        store: where they are.
        target: only of this one.
        limit: the most that are returned.

    Raises:
        NotFoundError: the store has never seen the target.
    """
    if target is not None:
        cursor_of(store, target)
    return [DeadLetter(target=name, **letter._asdict()) for name, letter in store.dead_letters(target, limit)]


def dead_letter_detail(store: DeadLetterStore, target: str, position: int) -> DeadLetterDetail:
    """Return one dead letter with the change in it and what waits behind it.

    Raises:
        NotFoundError: the store has never seen the target, or there is none at this position.
    """
    cursor_of(store, target)
    letter = dead_letter(store, target, position)
    lane = store.lanes(target, [letter.entity_id]).get(letter.entity_id, [])
    row = store.rows([position])[position]
    return DeadLetterDetail(
        target=target,
        **letter._asdict(),
        committed_at=row.committed_at,
        changed=row.changed,
        correlation_id=row.correlation_id,
        parked_versions=[one.version for one in lane if one.seq > position],
    )


def named_letters(store: Deliveries, target: str, positions: Collection[int] | None) -> list[OpenDelivery]:
    """Return the dead letters of a target at these positions; None: all.

    Raises:
        NotFoundError: the store has never seen the target, or there is none at a position.
    """
    cursor_of(store, target)
    if positions is None:
        return [letter for _, letter in store.dead_letters(target, limit=EVERY)]
    return [dead_letter(store, target, position) for position in positions]


def redrive(store: Deliveries, clock: Clock, target: str, positions: Collection[int] | None) -> RedriveResult:
    """Make dead letters due for delivery again, in order; what is parked behind them follows. The next run delivers them.

    Args:
        store: where they are.
        clock: the time.
        target: whose they are.
        positions: which; None: all.

    Raises:
        NotFoundError: the store has never seen the target, or there is none at a position.
    """
    letters = named_letters(store, target, positions)
    return RedriveResult(target, store.redrive(target, [letter.seq for letter in letters], clock.now()) if letters else 0)


def discard(store: Deliveries, clock: Clock, target: str, letters: Collection[OpenDelivery]) -> DiscardResult:
    """Give dead letters up: they stay dead in the ledger, and no longer hold up what is parked behind them.

    Args:
        store: where they are.
        clock: the time.
        target: whose they are.
        letters: which. One that is `ambiguous` breaks the chain if it did arrive; the caller has asked a person about it.
    """
    count = store.discard(target, [letter.seq for letter in letters], clock.now()) if letters else 0
    return DiscardResult(target, count, unanswered(letters))


def unanswered(letters: Iterable[OpenDelivery]) -> list[int]:
    """Return the positions of those that may have arrived without an answer."""
    return [letter.seq for letter in letters if letter.ambiguous]
