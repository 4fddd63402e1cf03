"""Computes a target's placement from its settings: where they lead, which must not change there, which must differ there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any

import msgspec

from goldwire.canonical import canonical
from goldwire.errors import ConfigError
from goldwire.targets.base import UNKNOWN_VALUE, Placement, PlacementTerms
from goldwire.targets.settings import Settings, defaults_of, extras_of


def has_destination(settings_type: type[Settings]) -> bool:
    """Say whether a kind declares what its destination is.

    Raises:
        ConfigError: it declares what holds at one destination, and not what a destination is.
    """
    found = bool(_declared(settings_type, "destination"))
    if not found and (_declared(settings_type, "fixed") or _declared(settings_type, "distinct")):
        raise ConfigError(f"{settings_type.__name__}: settings are `fixed` or `distinct`, and none says the `destination`")
    return found


def placement_of(kind: str, settings_type: type[Settings], values: Mapping[str, Any]) -> Placement:
    """Return the placement that settings mean.

    Args:
        kind: the target kind.
        settings_type: of the kind.
        values: the settings as plain values, a missing one being the default; `UNKNOWN_VALUE` for one that is not known.
    """
    plain = {**_defaults(settings_type), **values}
    destination = {
        name: _hashed(meaning(plain) if callable(meaning) else plain[name])
        for name, meaning in _declared(settings_type, "destination").items()
    }
    fixed = {name: _listed(plain[name]) for name in _declared(settings_type, "fixed")}
    distinct = {name: _hashed(plain[name]) for name in _declared(settings_type, "distinct")}
    return Placement(kind, destination, fixed, distinct)


@lru_cache
def placement_terms(settings_type: type[Settings]) -> PlacementTerms:
    """Return why settings of a kind are fixed or distinct, and the defaults of the fixed ones."""
    fixed = _declared(settings_type, "fixed")
    defaults = {name: _listed(_defaults(settings_type)[name]) for name in fixed}
    return PlacementTerms(fixed, _declared(settings_type, "distinct"), defaults)


@lru_cache
def _declared(settings_type: type[Settings], wanted: str) -> dict[str, Any]:
    """Return the settings whose `about` gives this argument, each with what it gives."""
    extras = extras_of(settings_type)
    fields = msgspec.structs.fields(settings_type)
    return {field.encode_name: extras[field.name][wanted] for field in fields if extras.get(field.name, {}).get(wanted)}


@lru_cache
def _defaults(settings_type: type[Settings]) -> dict[str, Any]:
    return {name: msgspec.to_builtins(value) for name, value in defaults_of(settings_type).items()}


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _hashed(value: Any) -> Any:
    """Hash a value that names a destination. Azure ignores case, so the hash does too, which is only stricter elsewhere."""
    if isinstance(value, list | tuple):
        return [_hashed(one) for one in value]
    if value in {None, UNKNOWN_VALUE}:
        return value
    return sha256(canonical(value.casefold() if isinstance(value, str) else value)).hexdigest()
