"""Where targets deliver by the configuration, and where they may have delivered by the store; read once for one check."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache, cached_property
from typing import Protocol

import msgspec

from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.changelog.ports.revisions import Revisions
from goldwire.relay.placement.comparison import share_destination
from goldwire.relay.placement.record import Reservation, kept_settings, reservations
from goldwire.targets.base import Placement, PlacementTerms

Rank = tuple[bool, str, str]
"""Sorts who came to a destination first: by time, then by name; a target without a reservation comes last."""


class ConfiguredTargets(Protocol):
    """What a configuration says about targets, and what their kinds declare."""

    def placement(self, name: str) -> Placement | None:
        """Return a configured target's placement; None where its kind has no destination, or a setting cannot be resolved."""
        ...

    def kept_placement(self, document: bytes) -> Placement | None:
        """Return the placement of settings that were kept; None where their kind has no destination, or is gone."""
        ...

    def terms(self, kind: str) -> PlacementTerms | None:
        """Return what a kind declares; None where it has no destination, or its package is gone."""
        ...

    def settings(self, name: str) -> bytes | None:
        """Return a target's settings as they would be kept; None where the target is not configured."""
        ...

    def types(self, name: str) -> Collection[str] | None:
        """Return the entity types that a target's configured contract selects; None where the target is not configured."""
        ...

    def location(self, name: str) -> str:
        """Say where a target's settings stand: file, line, column and path."""
        ...

    def store(self) -> str:
        """Name the store, for an error."""
        ...


class PlacementStore(Deliveries, Revisions, Protocol):
    """Which targets have begun, and what is kept of their settings, contracts and placements."""


class Placements:
    """What a check of placements compares.

    Args:
        store: where the reservations are kept.
        configured: the targets of the configuration.
        applying: contracts count as they are configured, not only as they were applied.
    """

    def __init__(self, store: PlacementStore, configured: ConfiguredTargets, *, applying: bool = False) -> None:
        self.store = store
        self.configured = configured
        self._applying = applying
        self.now = cache(configured.placement)
        """A configured target's placement, as `ConfiguredTargets` has it."""
        self.reserved = cache(self._reserved)
        """What a target has reserved, the newest first."""
        self.types = cache(self._types)
        """The entity types that a target selects, by any revision of its contract."""

    @cached_property
    def known(self) -> set[str]:
        """All targets that a relay ever worked for, also those that are not configured any more."""
        return {cursor.target for cursor in self.store.cursors()}

    def rank(self, name: str, mine: Placement, types: Collection[str]) -> Rank:
        """Return when a target came to this destination with these entity types, and with the settings that count there."""
        same = (
            one.since
            for one in self.reserved(name)
            if one.types.issuperset(types)
            and share_destination(mine, one.placement)
            and (one.placement.fixed, one.placement.distinct) == (mine.fixed, mine.distinct)
        )
        since = min(same, default=None)
        return since is None, since or "", name

    def shared_types(self, name: str, other: str) -> list[str]:
        """Return the entity types that both targets select."""
        return sorted(self.types(name) & self.types(other))

    def _reserved(self, name: str) -> list[Reservation]:
        if found := reservations(self.store, name):
            return found[::-1]
        if not any(cursor.target == name and cursor.reach > cursor.start for cursor in self.store.cursors()):
            return []
        # The target was delivered to before the store kept reservations; it kept the settings.
        kept = kept_settings(self.store, name)
        known = [(one.since, self.configured.kept_placement(one.document)) for one in reversed(kept)]
        if kept and kept[-1].document == self.configured.settings(name):
            known[0] = kept[-1].since, self.now(name)
        return [Reservation(since, self.types(name), one) for since, one in known if one is not None]

    def _types(self, name: str) -> frozenset[str]:
        revisions = self.store.revisions(name)
        found = {one for revision in revisions for one in msgspec.json.decode(revision.document)["types"]}
        if self._applying or not revisions:
            found.update(self.configured.types(name) or ())
        return frozenset(found)
