"""Finds settings that would move a target's entities to other partitions, or lose events to another target's ids (ADR 34)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from goldwire.errors import ConfigError
from goldwire.relay.placement.comparison import equal_distinct_settings, fixed_changes, share_destination
from goldwire.relay.placement.placements import Placements
from goldwire.relay.placement.record import Reservation
from goldwire.targets.base import MOVES, Placement, PlacementTerms


class PlacementConflict(Struct, frozen=True):
    """One setting with which a target may not deliver."""

    location: str
    """Where the target's settings stand."""
    target: str
    setting: str
    text: str
    """What is wrong, why, and the ways out."""

    def __str__(self) -> str:
        return f"{self.location}: target '{self.target}': {self.text}"


def check_placement(placements: Placements, names: Sequence[str]) -> list[PlacementConflict]:
    """Compare targets with where they, and others, may have delivered, and with each other.

    Of two at one destination it refuses the one that came second.

    Args:
        placements: where targets deliver and may have delivered.
        names: the targets, which begin together.

    Returns:
        a conflict for each fixed setting that differs, and for each distinct one that does not.
    """
    beginning = {name: found for name in names if (found := placements.now(name)) is not None}
    return [conflict for name in beginning for conflict in conflicts_of(placements, name, beginning)]


def refuse(conflicts: Sequence[PlacementConflict]) -> None:
    """Refuse to go on where there are conflicts.

    Raises:
        ConfigError: there are; the text has a line for each.
    """
    if conflicts:
        raise ConfigError("\n".join(str(conflict) for conflict in conflicts))


def conflicts_of(placements: Placements, name: str, beginning: Mapping[str, Placement]) -> list[PlacementConflict]:
    """Return the conflicts of one target.

    Args:
        placements: where targets deliver and may have delivered.
        name: the target.
        beginning: its own placement, and those of others that begin together with it.
    """
    mine = beginning[name]
    terms = placements.configured.terms(mine.kind)
    assert terms is not None, "only a kind with a destination has a placement"
    found = _changes(terms, mine, placements.reserved(name))
    for other in sorted({*placements.known, *beginning} - {name}):
        if not (types := placements.shared_types(name, other)):
            continue
        rank = placements.rank(name, mine, types)
        theirs = [one.placement for one in placements.reserved(other) if (False, one.since, other) < rank]
        if other in beginning and placements.rank(other, beginning[other], types) < rank:
            theirs = [beginning[other], *theirs]
        if same := [one for one in theirs if share_destination(mine, one)]:
            found += _clashes(terms, mine, same, other=other, types=", ".join(types))
    location = placements.configured.location(name)
    return [PlacementConflict(location, name, setting, text) for setting, text in found]


def shared_destinations(placements: Placements, names: Sequence[str], name: str) -> list[str]:
    """Say which other targets deliver entities of the same types to the same destination.

    The text is the same from either side. Targets that are not configured any more are named only for one that is new there.

    Args:
        placements: where targets deliver and may have delivered.
        names: all that are configured.
        name: the target.
    """
    mine = placements.now(name)
    if mine is None:
        return []
    found = []
    is_new = placements.rank(name, mine, ())[0]
    for other in sorted({*names, *(placements.known if is_new else ())} - {name}):
        now = placements.now(other) if other in names else None
        theirs = [now] if now is not None else [one.placement for one in placements.reserved(other)[:1]]
        if any(share_destination(mine, one) for one in theirs) and (types := placements.shared_types(name, other)):
            one, two = sorted((name, other))
            found.append(_SHARED.format(one=one, two=two, types=", ".join(types)))
    return found


def _changes(terms: PlacementTerms, mine: Placement, reserved: Sequence[Reservation]) -> list[tuple[str, str]]:
    """Compare with the newest settings that meant the same destination: a target may have moved since, and come back.

    Settings that may have meant it are compared as well, and do not end the search: the destination may be an older one.
    """
    if reserved and reserved[0].placement.kind != mine.kind:
        # Two kinds may map keys differently, and their settings do not say whether they mean the same destination.
        return [("kind", _CHANGED.format(setting=f"kind (it was {reserved[0].placement.kind})", reason=MOVES))]
    for one in reserved:
        shared = share_destination(mine, one.placement)
        changes = fixed_changes(terms, one.placement, mine) if shared is not False else {}
        if changes or shared:
            return [(setting, _CHANGED.format(setting=setting, reason=reason)) for setting, reason in changes.items()]
    return []


def _clashes(terms: PlacementTerms, mine: Placement, same: Sequence[Placement], **named: str) -> list[tuple[str, str]]:
    """Compare with another target at the same destination: with its newest the fixed settings, with all the distinct ones.

    Args:
        terms: what the kind declares.
        mine: the target's placement.
        same: those of the other one, the newest first.
        named: the other's name, and the types that both send, for the text.
    """
    changed = fixed_changes(terms, same[0], mine)
    taken = {setting: why for one in same for setting, why in equal_distinct_settings(terms, one, mine).items()}
    return [
        *((setting, _DIFFERS.format(setting=setting, reason=reason, **named)) for setting, reason in changed.items()),
        *((setting, _TAKEN.format(setting=setting, reason=reason, **named)) for setting, reason in taken.items()),
    ]


_SHARED = (
    "targets '{one}' and '{two}' have the same destination and both send {types}; a subscriber that gets both finds gaps in "
    "the chain of each entity. Give each a destination of its own, unless subscribers take one alone"
)
_CHANGED = (
    "{setting} cannot change once it has delivered, because {reason}. Change it back, or deliver to a new destination under a "
    "new target name"
)
_DIFFERS = (
    "{setting} is not that of target '{other}', which came to this destination first and sends {types}, too, and {reason}. "
    "Make it the same, or deliver to another destination"
)
_TAKEN = (
    "it needs another {setting} than target '{other}', which came to this destination first and sends {types}, too, because "
    "{reason}. Set one, or deliver to another destination"
)
