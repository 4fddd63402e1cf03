"""What the store keeps of each target's settings: as they were written, and the places to which it may have delivered."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache, cached_property
from typing import Any, NamedTuple

import msgspec

from goldwire.canonical import canonical
from goldwire.config.references import References
from goldwire.errors import ConfigError
from goldwire.services.application import Application
from goldwire.targets import registry
from goldwire.targets.placement import UNKNOWN, Standing, has_place, standing_of
from goldwire.targets.settings import Settings


class Claim(NamedTuple):
    """That a target may have delivered under a standing."""

    since: str
    """When it first was about to."""
    types: frozenset[str]
    """The entity types of its contract then."""
    standing: Standing


Rank = tuple[bool, str, str]
"""Who came to a place first: without a claim of one's own last, then by time, then by name."""


class Places:
    """Where the targets of a configuration stand, and where they may have delivered; read once for one command.

    Args:
        house: what is configured.
        applying: contracts count as they are configured, not only as they were applied.
    """

    def __init__(self, house: Application, *, applying: bool = False) -> None:
        self._house = house
        self._applying = applying
        self.now = cache(lambda name: standing(house, name))
        """A configured target's standing, as `standing` has it."""
        self.claims = cache(self._claims)
        """What a target claimed, the newest first."""
        self.types = cache(self._types)
        """The entity types that a target selects, by any revision of its contract."""

    @cached_property
    def known(self) -> set[str]:
        """All targets that a relay ever worked for, also those that are not configured any more."""
        return {cursor.target for cursor in self._house.store.cursors()}

    def rank(self, name: str, mine: Standing, types: Collection[str]) -> Rank:
        """Return when a target came to this place with these entity types, and with the settings that count there."""
        same = (
            claim.since
            for claim in self.claims(name)
            if claim.types.issuperset(types)
            and mine.shares_place(claim.standing)
            and (claim.standing.pinned, claim.standing.apart) == (mine.pinned, mine.apart)
        )
        since = min(same, default=None)
        return since is None, since or "", name

    def shared_types(self, name: str, other: str) -> list[str]:
        """Return the entity types that both targets select."""
        return sorted(self.types(name) & self.types(other))

    def _claims(self, name: str) -> list[Claim]:
        house, store = self._house, self._house.store
        if documents := store.documents(_place_name(name)):
            return [_claim(since, document) for _, since, document in reversed(documents)]
        if not any(cursor.target == name and cursor.reach > cursor.start for cursor in store.cursors()):
            return []
        # It was delivered to before claims were kept; the settings were.
        kept = store.documents(settings_name(name))
        found = [(since, _unresolved(msgspec.json.decode(document))) for _, since, document in reversed(kept)]
        if kept and name in house.loaded.config.targets and kept[-1][2] == settings_document(house, name):
            found[0] = kept[-1][1], self.now(name)
        return [Claim(since, self.types(name), one) for since, one in found if one is not None]

    def _types(self, name: str) -> frozenset[str]:
        revisions = self._house.store.revisions(name)
        found = {one for revision in revisions for one in msgspec.json.decode(revision.document)["types"]}
        config = self._house.loaded.config
        if name in config.targets and (self._applying or not revisions):
            selected = config.contracts[config.targets[name].contract].types
            found.update(config.types if selected == "all" else selected)
        return frozenset(found)


def standing(house: Application, name: str) -> Standing | None:
    """Return a configured target's standing; None where its kind has no place, or its settings cannot be resolved now."""
    kind = house.target_config(name).kind
    settings_type = type_with_place(kind)
    if settings_type is None:
        return None
    try:
        return standing_of(kind, settings_type, msgspec.to_builtins(house.settings(name)))
    except ConfigError:  # whoever delivers to it is told; here there is nothing to compare
        return None


def keep_claim(house: Application, name: str, mine: Standing, types: Collection[str]) -> None:
    """Remember that a target may deliver under this standing from now on. What is known is not written again.

    Args:
        house: whose store.
        name: the target.
        mine: its standing.
        types: the entity types of its contract.
    """
    _keep(house, _place_name(name), canonical({"standing": msgspec.to_builtins(mine), "types": sorted(types)}))


def keep_old_claims(house: Application, places: Places, name: str) -> None:
    """Write down what stands for claims in a store from before claims, because the first one written ends that."""
    if not house.store.documents(_place_name(name)):
        for claim in reversed(places.claims(name)):
            keep_claim(house, name, claim.standing, claim.types)


def keep_settings(house: Application, name: str) -> None:
    """Remember a target's settings as they were written. What is known is not written again."""
    _keep(house, settings_name(name), settings_document(house, name))


def settings_document(house: Application, name: str) -> bytes:
    """Return a target's settings in the form in which the store keeps them, references to secrets unresolved."""
    plain = msgspec.to_builtins(house.target_config(name))
    return canonical({field: plain[field] for field in ("kind", "settings", "start", "delivery")})


def settings_name(target: str) -> str:
    """Return the name under which a target's settings are kept in the store."""
    return f"target {target}"


def type_with_place(kind: str) -> type[Settings] | None:
    """Return the type of a kind's settings; None where the kind has no place, or is of a package that is gone."""
    try:
        settings_type = registry.settings_type(kind)
    except ConfigError:
        return None
    return settings_type if has_place(settings_type) else None


def _keep(house: Application, name: str, document: bytes) -> None:
    kept = house.store.documents(name)
    if not kept or kept[-1][2] != document:
        house.store.save_document(name, document, house.clock.now())


def _claim(since: str, document: bytes) -> Claim:
    kept = msgspec.json.decode(document)
    return Claim(since, frozenset(kept["types"]), msgspec.convert(kept["standing"], Standing))


def _place_name(target: str) -> str:
    return f"place {target}"


def _unresolved(document: Mapping[str, Any]) -> Standing | None:
    """Return as much of a standing as settings tell whose references nobody can resolve any more."""
    settings_type = type_with_place(document["kind"])
    if settings_type is None:
        return None
    plain = {name: UNKNOWN if References.has_any(value) else value for name, value in document["settings"].items()}
    return standing_of(document["kind"], settings_type, plain)
