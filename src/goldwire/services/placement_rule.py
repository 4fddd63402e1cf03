"""Refuses settings that would move a target's entities to other partitions, or lose events to another target's ids (ADR 34)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from goldwire.errors import ConfigError, StoreBusyError
from goldwire.services.application import Application
from goldwire.services.placement_record import Claim, Places, keep_claim, keep_old_claims, type_with_place
from goldwire.targets.clients.backplane import MOVES
from goldwire.targets.placement import Standing, not_apart, pinned_changes
from goldwire.targets.settings import Settings


def refuse_moves(house: Application, names: Sequence[str], *, applying: bool = False) -> None:
    """Compare targets with where they, and others, may have delivered, and with each other.

    Of two at one place it is the one that came second that is refused.

    Args:
        house: what is configured.
        names: the targets.
        applying: their contracts count as they are configured.

    Raises:
        ConfigError: a pinned setting differs, or one that must tell targets apart does not; the text has a line for each, with
            the reason and the ways out.
    """
    places = Places(house, applying=applying)
    standings = {name: found for name in names if (found := places.now(name)) is not None}
    _refuse([line for name in standings for line in _faults(house, places, name, standings)])


def claim_place(house: Application, name: str, mine: Standing) -> None:
    """Remember that a target is about to deliver to its place; a relay does so before it sends anything.

    One claims at a time, so of two that want one place at the same moment the second sees the first.

    Raises:
        ConfigError: as `refuse_moves`; nothing is remembered then.
        StoreBusyError: another process is claiming; this does not wait for it, and may be called again.
    """
    with _alone(house):
        places = Places(house)
        _refuse(_faults(house, places, name, {name: mine}))
        keep_old_claims(house, places, name)
        keep_claim(house, name, mine, places.types(name))


@contextmanager
def _alone(house: Application) -> Iterator[None]:
    """Hold a lock that is no target's, since no target has a blank in its name."""
    with ExitStack() as held:
        try:
            held.enter_context(house.store.lock_target("all places"))
        except StoreBusyError as error:
            raise StoreBusyError(_HELD.format(store=house.loaded.path(house.loaded.config.store.path))) from error
        yield


def shared_places(places: Places, names: Sequence[str], name: str) -> list[str]:
    """Return what to tell of other targets with the same place that send entities of the same types.

    The text is the same from either side. Of those that are not configured any more only a target hears that is new there.

    Args:
        places: where targets are and were.
        names: all that are configured.
        name: the target.
    """
    mine = places.now(name)
    if mine is None:
        return []
    found = []
    is_new = places.rank(name, mine, ())[0]
    for other in sorted({*names, *(places.known if is_new else ())} - {name}):
        now = places.now(other) if other in names else None
        theirs = [now] if now is not None else [claim.standing for claim in places.claims(other)[:1]]
        if any(mine.shares_place(one) for one in theirs) and (types := places.shared_types(name, other)):
            one, two = sorted((name, other))
            found.append(_SHARED.format(one=one, two=two, types=", ".join(types)))
    return found


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        raise ConfigError("\n".join(faults))


def _faults(house: Application, places: Places, name: str, standings: Mapping[str, Standing]) -> list[str]:
    """Return a line for each thing that is to be refused of one target.

    Args:
        house: what is configured.
        places: where targets are and were.
        name: the target.
        standings: its own, and those of others that begin together with it.
    """
    mine = standings[name]
    settings_type = type_with_place(mine.kind)
    assert settings_type is not None, "only a kind with a place has a standing"
    found = _moves(settings_type, mine, places.claims(name))
    for other in sorted({*places.known, *standings} - {name}):
        if not (types := places.shared_types(name, other)):
            continue
        rank = places.rank(name, mine, types)
        theirs = [one.standing for one in places.claims(other) if (False, one.since, other) < rank]
        if other in standings and places.rank(other, standings[other], types) < rank:
            theirs = [standings[other], *theirs]
        if same := [one for one in theirs if mine.shares_place(one)]:
            found += _clashes(settings_type, mine, same, other=other, types=", ".join(types))
    where = house.loaded.where("targets", name, "settings")
    return [f"{where}: target '{name}': {line}" for line in found]


def _moves(settings_type: type[Settings], mine: Standing, claims: Sequence[Claim]) -> list[str]:
    """Compare with the newest settings that meant the same place: a target may have been elsewhere since, and come back.

    Settings that may have meant it are compared as well, and do not end the search: the place may be an older one.
    """
    if claims and claims[0].standing.kind != mine.kind:
        # Two kinds may map keys differently, and their settings do not tell whether they mean the same place.
        return [_MOVED.format(setting=f"kind (it was {claims[0].standing.kind})", reason=MOVES)]
    for claim in claims:
        shared = mine.shares_place(claim.standing)
        changes = pinned_changes(settings_type, claim.standing, mine) if shared is not False else {}
        if changes or shared:
            return [_MOVED.format(setting=setting, reason=reason) for setting, reason in changes.items()]
    return []


def _clashes(settings_type: type[Settings], mine: Standing, same: Sequence[Standing], **named: str) -> list[str]:
    """Compare with another target's settings at the same place: with the newest what is pinned, with all what tells apart.

    Args:
        settings_type: of the kind.
        mine: the target's standing.
        same: those of the other one, the newest first.
        named: the other's name, and the types that both send, for the text.
    """
    moved = pinned_changes(settings_type, same[0], mine)
    taken = {setting: why for one in same for setting, why in not_apart(settings_type, one, mine).items()}
    return [
        *(_DIFFERS.format(setting=setting, reason=reason, **named) for setting, reason in moved.items()),
        *(_TAKEN.format(setting=setting, reason=reason, **named) for setting, reason in taken.items()),
    ]


_HELD = (
    "{store}: another process holds the lock under which a target claims its place, which is a matter of a moment: end that "
    "process, mostly a `goldwire run` that is suspended, then repeat the command"
)
_SHARED = (
    "targets '{one}' and '{two}' have the same place and both send {types}; a subscriber that gets both finds gaps in the "
    "chain of each entity. Give each a place of its own, unless subscribers take one alone"
)
_MOVED = (
    "{setting} cannot change once it has delivered, because {reason}. Change it back, or deliver to a new place under a new "
    "target name"
)
_DIFFERS = (
    "{setting} is not that of target '{other}', which came to this place first and sends {types}, too, and {reason}. Make it "
    "the same, or deliver to another place"
)
_TAKEN = (
    "it needs another {setting} than target '{other}', which came to this place first and sends {types}, too, because "
    "{reason}. Set one, or deliver to another place"
)
