"""What the store keeps of each target's settings: as they were written, and where they led."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from goldwire.app.references import References
from goldwire.app.wiring import House
from goldwire.canonical import canonical
from goldwire.errors import ConfigError
from goldwire.target import registry
from goldwire.target.place import UNKNOWN, has_place, same_place, standing_of
from goldwire.target.settings import Settings


class Standing(Struct, frozen=True):
    """The part of a target's settings by which its place can be compared."""

    kind: str
    values: dict[str, Any]
    """By setting, references resolved: see `place.standing_of`. Never a secret. Empty where the kind had no place."""

    @property
    def settings_type(self) -> type[Settings] | None:
        """The type of the kind's settings where the kind has a place; None also where its package is gone."""
        return _with_place(self.kind)

    def shares_place(self, other: Standing) -> bool | None:
        """Say whether the other means the same place; None where it may. Of two kinds nobody can tell, so they never do."""
        if self.settings_type is None or self.kind != other.kind:
            return False
        return same_place(self.settings_type, self.values, other.values)


def standing(house: House, name: str) -> Standing | None:
    """Return a configured target's standing; None where its kind has no place, or its settings cannot be resolved now."""
    kind = house.target_config(name).kind
    settings_type = _with_place(kind)
    if settings_type is None:
        return None
    try:
        return Standing(kind, standing_of(settings_type, msgspec.to_builtins(house.settings(name))))
    except ConfigError:
        return None


def kept_standings(house: House, name: str) -> list[Standing]:
    """Return what was kept of a target, the newest first."""
    documents = [msgspec.json.decode(document) for _, _, document in reversed(house.store.documents(settings_name(name)))]
    return [Standing(one["kind"], one["standing"] if "standing" in one else _unresolved(one)) for one in documents]


def keep_settings(house: House, name: str) -> None:
    """Remember a target's settings: from now on it may deliver with them. What is known is not written again.

    Settings that cannot be resolved are not kept: nothing can be delivered with them.
    """
    try:
        document = settings_document(house, name)
    except ConfigError:
        return
    kept = house.store.documents(settings_name(name))
    if not kept or kept[-1][2] != document:
        house.store.save_document(settings_name(name), document, house.clock.now())


def settings_document(house: House, name: str) -> bytes:
    """Return a target's settings in the form in which the store keeps them: references to secrets stay references.

    Raises:
        ConfigError: they cannot be resolved, so nobody knows where they lead.
    """
    plain = msgspec.to_builtins(house.target_config(name))
    kept = {field: plain[field] for field in ("kind", "settings", "start", "delivery")}
    house.settings(name)
    found = standing(house, name)
    return canonical(kept if found is None else {**kept, "standing": found.values})


def settings_name(target: str) -> str:
    """Return the name under which a target's settings are kept in the store."""
    return f"target {target}"


def _with_place(kind: str) -> type[Settings] | None:
    try:
        settings_type = registry.settings_type(kind)
    except ConfigError:  # of a third party, and no longer installed
        return None
    return settings_type if has_place(settings_type) else None


def _unresolved(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return as much of a standing as settings tell that were kept without one: before places were, or of another kind."""
    settings_type = _with_place(document["kind"])
    if settings_type is None:
        return {}
    plain = {name: UNKNOWN if References.has_any(value) else value for name, value in document["settings"].items()}
    return standing_of(settings_type, plain)
