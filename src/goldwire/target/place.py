"""Compares settings of one kind: whether events go to the same place, what must not change there, what must differ there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from goldwire.target.settings import Settings, extras_of, help_of

UNKNOWN = ""
"""Stands for a value that cannot be told."""


def has_place(settings_type: type[Settings]) -> bool:
    """Say whether a kind declares what its place is, and what is pinned there."""
    return any(extra.get("pinned") for extra in extras_of(settings_type).values())


def standing_of(settings_type: type[Settings], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what comparing needs of settings: those that say the place, are pinned, or must tell targets apart.

    Args:
        settings_type: of the kind.
        values: the settings as plain values, a missing one being the default; `UNKNOWN` what cannot be told.
    """
    extras = extras_of(settings_type)
    plain = {one.name: msgspec.to_builtins(one.default) for one in help_of(settings_type)} | dict(values)
    found = {}
    for field in msgspec.structs.fields(settings_type):
        extra = extras.get(field.name, {})
        if callable(place := extra.get("place")):
            found[field.encode_name] = place(plain)
        elif any(extra.get(wanted) for wanted in ("place", "pinned", "apart")):
            value = plain[field.encode_name]
            found[field.encode_name] = list(value) if isinstance(value, tuple) else value
    return found


def same_place(settings_type: type[Settings], one: Mapping[str, Any], other: Mapping[str, Any]) -> bool | None:
    """Say whether two standings mean the same place; None where they may, and nobody can tell."""
    certain = True
    for name in _named(settings_type, "place"):
        mine, theirs = one.get(name), other.get(name)
        if _unknown(mine) or _unknown(theirs):
            certain = False
        elif _apart(mine, theirs):
            return False
    return True if certain else None


def pinned_changes(settings_type: type[Settings], one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, str]:
    """Return the pinned settings that differ between two standings, each with the reason why it must not at one place."""
    return {
        name: reason
        for name, reason in _named(settings_type, "pinned").items()
        if one.get(name) != other.get(name) and not _unknown(one.get(name)) and not _unknown(other.get(name))
    }


def not_apart(settings_type: type[Settings], one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that must differ between targets at one place and are the same, each with the reason."""
    return {name: reason for name, reason in _named(settings_type, "apart").items() if one.get(name) == other.get(name)}


def _named(settings_type: type[Settings], wanted: str) -> dict[str, Any]:
    extras = extras_of(settings_type)
    fields = msgspec.structs.fields(settings_type)
    return {field.encode_name: extras[field.name][wanted] for field in fields if extras.get(field.name, {}).get(wanted)}


def _unknown(value: Any) -> bool:
    return value == UNKNOWN or (isinstance(value, list) and UNKNOWN in value)


def _apart(one: Any, other: Any) -> bool:
    """Say whether two values name different places: lists that share a member, such as brokers, name the same one.

    Names that differ in case alone are the same to Azure; to take them so elsewhere is only stricter.
    """
    if isinstance(one, str) and isinstance(other, str):
        return one.casefold() != other.casefold()
    if isinstance(one, list) and isinstance(other, list):
        return {name.casefold() for name in one}.isdisjoint(name.casefold() for name in other)
    return bool(one != other)
