"""Hands the configured targets to the rule of who may deliver where, and keeps their settings as they were written."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from goldwire.canonical import canonical
from goldwire.config.references import References
from goldwire.errors import ConfigError
from goldwire.relay.placement.placements import Placements
from goldwire.relay.placement.record import save_settings
from goldwire.relay.placement.reservation import AnyPlacement, PlacementGuard, ReservedPlacement
from goldwire.services.application import Application
from goldwire.targets import registry
from goldwire.targets.base import UNKNOWN_VALUE, Placement, PlacementTerms
from goldwire.targets.placement import has_destination, placement_of, placement_terms
from goldwire.targets.settings import Settings


class ConfiguredPlacements:
    """The targets of one configuration; see `ConfiguredTargets`."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def placement(self, name: str) -> Placement | None:
        """Return a configured target's placement; None where its kind has no destination, or a setting cannot be resolved."""
        kind = self._application.target_config(name).kind
        settings_type = _type_with_destination(kind)
        if settings_type is None:
            return None
        try:
            return placement_of(kind, settings_type, msgspec.to_builtins(self._application.settings(name)))
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
        return settings_document(self._application, name) if name in self._application.loaded.config.targets else None

    def types(self, name: str) -> Collection[str] | None:
        """Return the entity types that a target's configured contract selects; None where the target is not configured."""
        config = self._application.loaded.config
        if name not in config.targets:
            return None
        selected = config.contracts[config.targets[name].contract].types
        return list(config.types) if selected == "all" else selected

    def location(self, name: str) -> str:
        """Say where a target's settings stand: file, line, column and path."""
        return self._application.loaded.where("targets", name, "settings")

    def store(self) -> str:
        """Name the store, for an error."""
        loaded = self._application.loaded
        return str(loaded.path(loaded.config.store.path))


def placements_of(application: Application, *, applying: bool = False) -> Placements:
    """Return where the targets of a configuration deliver and may have delivered.

    Args:
        application: what is configured.
        applying: contracts count as they are configured, not only as they were applied.
    """
    return Placements(application.store, ConfiguredPlacements(application), applying=applying)


def placement_guard(application: Application, name: str) -> PlacementGuard:
    """Return what a target's relay asks before it sends, for the settings as they are now."""
    mine = ConfiguredPlacements(application).placement(name)
    return (
        AnyPlacement() if mine is None else ReservedPlacement(name, mine, lambda: placements_of(application), application.clock)
    )


def keep_settings(application: Application, name: str) -> None:
    """Keep a target's settings as they are written. What is known is not written again."""
    save_settings(application.store, name, settings_document(application, name), application.clock.now())


def settings_document(application: Application, name: str) -> bytes:
    """Return a target's settings in the form in which the store keeps them, references to secrets unresolved."""
    plain = msgspec.to_builtins(application.target_config(name))
    return canonical({field: plain[field] for field in ("kind", "settings", "start", "delivery")})


def _type_with_destination(kind: str) -> type[Settings] | None:
    """Return the type of a kind's settings; None where the kind has no destination, or is of a package that is gone."""
    try:
        settings_type = registry.settings_type(kind)
    except ConfigError:
        return None
    return settings_type if has_destination(settings_type) else None
