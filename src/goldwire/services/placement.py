"""Hands the configured targets to the rule of who may deliver where, and keeps their settings as they were written."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from goldwire.canonical import canonical
from goldwire.changelog.ports.revisions import Revisions
from goldwire.clock import Clock
from goldwire.config.model import TargetConfig
from goldwire.config.reader import Loaded
from goldwire.config.references import References
from goldwire.errors import ConfigError
from goldwire.relay.placement.placements import Placements, PlacementStore
from goldwire.relay.placement.record import save_settings
from goldwire.relay.placement.reservation import AnyPlacement, PlacementGuard, ReservedPlacement
from goldwire.services.targets import TargetMaker
from goldwire.targets import registry
from goldwire.targets.base import UNKNOWN_VALUE, Placement, PlacementTerms
from goldwire.targets.placement import has_destination, placement_of, placement_terms
from goldwire.targets.settings import Settings, shaping_of


class ConfiguredPlacements:
    """The targets of one configuration; see `ConfiguredTargets`.

    Args:
        loaded: the configuration.
        targets: its targets.
    """

    def __init__(self, loaded: Loaded, targets: TargetMaker) -> None:
        self._loaded = loaded
        self._targets = targets

    def placement(self, name: str) -> Placement | None:
        """Return a configured target's placement; None where its kind has no destination, or a setting cannot be resolved."""
        kind = self._targets.config(name).kind
        settings_type = _type_with_destination(kind)
        if settings_type is None:
            return None
        try:
            return placement_of(kind, settings_type, msgspec.to_builtins(self._targets.settings(name)))
        except ConfigError:  # a delivery reports that; here there is nothing to compare
            return None

    def kept_placement(self, document: bytes) -> Placement | None:
        """Return the part of a placement that settings with unresolvable references still give."""
        kept = msgspec.json.decode(document)
        settings_type = _type_with_destination(kept["kind"])
        if settings_type is None:
            return None
        plain = {name: UNKNOWN_VALUE if References.has_any(value) else value for name, value in kept["settings"].items()}
        return placement_of(kept["kind"], settings_type, plain)

    def terms(self, kind: str) -> PlacementTerms | None:
        """Return what a kind declares; None where it has no destination, or its package is gone."""
        settings_type = _type_with_destination(kind)
        return placement_terms(settings_type) if settings_type is not None else None

    def settings(self, name: str) -> bytes | None:
        """Return a target's settings as they would be kept; None where the target is not configured."""
        targets = self._loaded.config.targets
        return settings_document(targets[name]) if name in targets else None

    def types(self, name: str) -> Collection[str] | None:
        """Return the entity types that a target's configured contract selects; None where the target is not configured."""
        config = self._loaded.config
        if name not in config.targets:
            return None
        selected = config.contracts[config.targets[name].contract].types
        return list(config.types) if selected == "all" else selected

    def location(self, name: str) -> str:
        """Say where a target's settings stand: file, line, column and path."""
        return self._loaded.where("targets", name, "settings")

    def store(self) -> str:
        """Name the store, for an error."""
        return str(self._loaded.path(self._loaded.config.store.path))

    def read(self, store: PlacementStore, *, applying: bool = False) -> Placements:
        """Return where these targets, and those of the past, deliver and may have delivered; for one check.

        Args:
            store: where that is kept.
            applying: contracts count as they are configured, not only as they were applied.
        """
        return Placements(store, self, applying=applying)

    def guard(self, name: str, store: PlacementStore, clock: Clock) -> PlacementGuard:
        """Return what a target's relay asks before it sends, for the settings as they are now.

        Args:
            name: the target.
            store: where placements are reserved.
            clock: for the time of the reservation.
        """
        mine = self.placement(name)
        return AnyPlacement() if mine is None else ReservedPlacement(name, mine, lambda: self.read(store), clock)


def keep_settings(store: Revisions, name: str, config: TargetConfig, now: float) -> int:
    """Keep a target's settings as they are written, and return their number. What is known is not written again.

    Args:
        store: where they are kept.
        name: the target.
        config: its part of the configuration.
        now: POSIX seconds.
    """
    return save_settings(store, name, settings_document(config), now)


def settings_document(config: TargetConfig) -> bytes:
    """Return a target's settings in the form in which the store keeps them, references to secrets unresolved."""
    plain = msgspec.to_builtins(config)
    return canonical({field: plain[field] for field in ("kind", "settings", "start", "delivery")})


def reshaped(before: bytes, after: bytes) -> bool:
    """Say whether settings write another thing of an event than those before; both as they are kept."""
    if before == after:
        return False
    old, new = (msgspec.json.decode(document) for document in (before, after))
    settings_type = registry.settings_type(new["kind"])
    return shaping_of(settings_type, old["settings"]) != shaping_of(settings_type, new["settings"])


def _type_with_destination(kind: str) -> type[Settings] | None:
    """Return the type of a kind's settings; None where the kind has no destination, or is of a package that is gone."""
    try:
        settings_type = registry.settings_type(kind)
    except ConfigError:
        return None
    return settings_type if has_destination(settings_type) else None
