"""Refuses settings that would move a live target's entities to other partitions, or lose events to another target's ids."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from goldwire.app.standing import Standing, kept_standings, standing
from goldwire.app.wiring import House
from goldwire.errors import ConfigError
from goldwire.target.backplane import MOVES
from goldwire.target.place import not_apart, pinned_changes


def refuse_moves(house: House, names: Sequence[str]) -> None:
    """Compare targets with what they, and others, have delivered to the same place, and with each other.

    A target that may have delivered is compared with its own settings that were applied, or ran, at the same place last. Every
    target is compared with the others that may have delivered there, and with those of `names` that come before it: those that
    may have delivered first.

    Raises:
        ConfigError: a pinned setting differs, or one that must tell targets apart does not; the text has a line for each, with
            the reason and the ways out.
    """
    live = _live(house)
    found: list[str] = []
    before: dict[str, Standing] = {}
    for name in sorted(names, key=lambda name: (name not in live, name)):
        mine = standing(house, name)
        if mine is None:
            continue
        where = f"{house.loaded.where('targets', name, 'settings')}: target '{name}': "
        if name in live:
            found += [where + line for line in _moves(mine, kept_standings(house, name))]
        for other in sorted({*live, *before} - {name}):
            theirs = kept_standings(house, other) if other in live else []
            if other in before:
                theirs = [before[other], *theirs]
            clashes = _clashes(mine, other, theirs)
            if clashes and _shared_types(house, name, other):
                found += [where + line for line in clashes]
        before[name] = mine
    if found:
        raise ConfigError("\n".join(found))


def shared_places(house: House, name: str, *, retired: bool = False) -> list[str]:
    """Return what to tell of the other targets with the same place that send entities of the same types.

    The text is the same from either side.

    Args:
        house: what is configured.
        name: the target.
        retired: also of targets that are not configured any more, by the place that they had last.
    """
    mine = standing(house, name)
    others = set(house.loaded.config.targets)
    if retired:
        others |= _live(house)
    found = []
    for other in sorted(others - {name}) if mine else ():
        theirs = standing(house, other) if other in house.loaded.config.targets else None
        last = [theirs] if theirs else kept_standings(house, other)[:1]
        if mine and any(mine.shares_place(one) for one in last) and (types := _shared_types(house, name, other)):
            one, two = sorted((name, other))
            found.append(_SHARED.format(one=one, two=two, types=", ".join(types)))
    return found


def _live(house: House) -> set[str]:
    """Return the targets that may have delivered something."""
    return {cursor.target for cursor in house.store.cursors() if cursor.reach > cursor.start}


def _shared_types(house: House, name: str, other: str) -> list[str]:
    """Return the entity types that both targets select, by any revision of their contracts or as they are configured."""
    return sorted(_types(house, name) & _types(house, other))


def _types(house: House, name: str) -> set[str]:
    found = {one for revision in house.store.revisions(name) for one in msgspec.json.decode(revision.document)["types"]}
    config = house.loaded.config
    if name in config.targets:
        selected = config.contracts[config.targets[name].contract].types
        found.update(config.types if selected == "all" else selected)
    return found


def _moves(mine: Standing, kept: Sequence[Standing]) -> list[str]:
    """Compare with the newest settings that meant the same place: a target may have been elsewhere since, and come back.

    Settings that may have meant it are compared as well, and do not end the search: the place may be an older one.
    """
    last_broker = next((one.kind for one in kept if one.values), mine.kind)
    if last_broker != mine.kind:
        # Two kinds may map keys differently, and their settings do not tell whether they mean the same place.
        return [_MOVED.format(setting=f"kind (it was {last_broker})", reason=MOVES)]
    assert mine.settings_type is not None, "a kind without a place has no standing"
    for before in kept:
        shared = mine.shares_place(before)
        changes = pinned_changes(mine.settings_type, before.values, mine.values) if shared is not False else {}
        if changes or shared:
            return [_MOVED.format(setting=setting, reason=reason) for setting, reason in changes.items()]
    return []


def _clashes(mine: Standing, other: str, theirs: Sequence[Standing]) -> list[str]:
    """Compare with another target's settings at the same place: with the newest what is pinned, with all what tells apart."""
    assert mine.settings_type is not None, "a kind without a place has no standing"
    same = [one for one in theirs if mine.shares_place(one)]
    moved = pinned_changes(mine.settings_type, same[0].values, mine.values) if same else {}
    taken = {setting: why for one in same for setting, why in not_apart(mine.settings_type, one.values, mine.values).items()}
    return [
        *(_DIFFERS.format(setting=setting, other=other, reason=reason) for setting, reason in moved.items()),
        *(_TAKEN.format(setting=setting, other=other, reason=reason) for setting, reason in taken.items()),
    ]


_SHARED = (
    "targets '{one}' and '{two}' have the same place and both send {types}; a subscriber that gets both finds gaps in the "
    "chain of each entity. Give each a place of its own, unless subscribers take one alone"
)
_MOVED = (
    "{setting} cannot change once it has delivered, because {reason}. Change it back, or deliver to a new place under a new "
    "target name"
)
_DIFFERS = (
    "{setting} is not that of target '{other}', which has the same place and sends entities of the same types, and {reason}. "
    "Make it the same, or deliver to another place"
)
_TAKEN = (
    "it needs another {setting} than target '{other}', which has the same place and sends entities of the same types, because "
    "{reason}. Set one, or deliver to another place"
)
