"""Decides what an event means for a subscriber that knows what it applied last: pure, and the heart of the kit.

The version decides whether an event is news. The chain decides whether one was lost before it: `previousHash` must be the
`hash` that was applied last. Versions may skip, the chain may not.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from goldwire_consumer.errors import GapDetected, Link
from goldwire_consumer.event import Event


class Held(NamedTuple):
    """What the guard keeps of one entity; it stays when the entity is gone, so that a late event cannot bring it back."""

    version: int
    """The last one that was applied; 0 where nothing was."""
    hash: str | None
    """Of that event; None where nothing was applied."""
    gone: str | None = None
    """The reason of the tombstone; None while the entity lives."""
    parked: bool = False
    """Events of it wait, because one before them was lost or is a dead letter."""


class Verdict(Enum):
    """What to do with an event."""

    APPLY = "apply"
    """It is the next one."""
    JOIN = "join"
    """Nothing of its entity was seen before, though it names a predecessor; it says all there is to know: apply it."""
    HEAL = "heal"
    """Something before it was lost, but it says all there is to know: apply it."""
    IGNORE = "ignore"
    """It was applied before, or something newer was."""
    LINK = "link"
    """The version that is held, sent once more: nothing new, but the chain goes on from it."""
    ANEW = "anew"
    """The version that is held, but a chain begins with it, and it says all there is to know: Goldwire has a new target."""
    GAP = "gap"
    """Something before it was lost, and without that it cannot be applied."""
    WAIT = "wait"
    """The gap before it is known already."""


def decide(event: Event, held: Held | None) -> Verdict:
    """Decide about one event.

    Args:
        event: verified.
        held: what the guard keeps of its entity; None where it keeps nothing.

    A subscriber that joins late holds nothing: an event that begins a chain and one that is whole are applied, a delta
    against something unknown is a gap. That the first events of an entity were lost looks the same.
    """
    if held is not None and event.version <= held.version:
        return _not_newer(event, held)
    if event.previous_hash == (None if held is None else held.hash):
        return Verdict.APPLY
    if event.whole:
        return Verdict.JOIN if held is None else Verdict.HEAL
    return Verdict.WAIT if held is not None and held.parked else Verdict.GAP


def _not_newer(event: Event, held: Held) -> Verdict:
    if event.version < held.version or event.hash == held.hash:
        return Verdict.IGNORE
    if event.previous_hash == held.hash:
        return Verdict.LINK
    for_good = held.gone not in {None, "deselected"} and not event.deleted
    return Verdict.ANEW if event.previous_hash is None and event.whole and not for_good else Verdict.IGNORE


def taken(event: Event, *, parked: bool = False) -> Held:
    """Return what the guard keeps after an event was applied."""
    return Held(event.version, event.hash, event.reason, parked)


def gap(event: Event, held: Held | None) -> GapDetected:
    """Return the news of a gap before an event."""
    last = None if held is None or held.hash is None else Link(held.version, held.hash)
    return GapDetected(event.entity_id, last, Link(event.version, event.hash), event.previous_hash)
