"""Says by settings where a target's events go, and compares: the same place, what must not change there, what must differ."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

from goldwire.canonical import canonical
from goldwire.errors import ConfigError
from goldwire.targets.settings import Settings, extras_of, help_of

UNKNOWN = ""
"""Stands for a value that cannot be told."""


class Standing(Struct, frozen=True, forbid_unknown_fields=True):
    """The part of a target's settings that its place depends on."""

    kind: str
    place: dict[str, Any]
    """By setting, the hash of its value: what a reference leads to by mistake may be a secret. Of a list, of each."""
    pinned: dict[str, Any]
    apart: dict[str, Any]

    def __repr__(self) -> str:
        return f"Standing(kind={self.kind!r})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("kind", self.kind)]

    def shares_place(self, other: Standing) -> bool | None:
        """Say whether the other means the same place; None where it may. Of two kinds nobody can tell, so they never do."""
        if self.kind != other.kind:
            return False
        certain = True
        for name, mine in self.place.items():
            theirs = other.place.get(name, UNKNOWN)
            if _unknown(mine) or _unknown(theirs):
                certain = False
            elif _apart(mine, theirs):
                return False
        return True if certain else None


def has_place(settings_type: type[Settings]) -> bool:
    """Say whether a kind declares what its place is.

    Raises:
        ConfigError: it declares what holds at one place, and not what a place is.
    """
    found = bool(_named(settings_type, "place"))
    if not found and (_named(settings_type, "pinned") or _named(settings_type, "apart")):
        raise ConfigError(f"{settings_type.__name__}: settings are `pinned` or `apart`, and none says the `place`")
    return found


def standing_of(kind: str, settings_type: type[Settings], values: Mapping[str, Any]) -> Standing:
    """Return the standing that settings mean.

    Args:
        kind: the target kind.
        settings_type: of the kind.
        values: the settings as plain values, a missing one being the default; `UNKNOWN` what cannot be told.
    """
    plain = {**_defaults(settings_type), **values}
    place = {
        name: _hashed(meaning(plain) if callable(meaning) else plain[name])
        for name, meaning in _named(settings_type, "place").items()
    }
    pinned = {name: _listed(plain[name]) for name in _named(settings_type, "pinned")}
    apart = {name: _hashed(plain[name]) for name in _named(settings_type, "apart")}
    return Standing(kind, place, pinned, apart)


def pinned_changes(settings_type: type[Settings], before: Standing, now: Standing) -> dict[str, str]:
    """Return the pinned settings that differ between two standings, each with the reason why it must not at one place.

    One that was not declared yet had its default.
    """
    found = {}
    for name, reason in _named(settings_type, "pinned").items():
        old = before.pinned.get(name, _listed(_defaults(settings_type)[name]))
        if old != now.pinned[name] and not _unknown(old):
            found[name] = reason
    return found


def not_apart(settings_type: type[Settings], one: Standing, other: Standing) -> dict[str, str]:
    """Return the settings that must differ between targets at one place and are the same, each with the reason."""
    reasons = _named(settings_type, "apart")
    return {name: reason for name, reason in reasons.items() if one.apart.get(name) == other.apart.get(name)}


@lru_cache
def _named(settings_type: type[Settings], wanted: str) -> dict[str, Any]:
    """Return the settings of which `about` was told this, with what it was told."""
    extras = extras_of(settings_type)
    fields = msgspec.structs.fields(settings_type)
    return {field.encode_name: extras[field.name][wanted] for field in fields if extras.get(field.name, {}).get(wanted)}


@lru_cache
def _defaults(settings_type: type[Settings]) -> dict[str, Any]:
    return {one.name: msgspec.to_builtins(one.default) for one in help_of(settings_type)}


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _hashed(value: Any) -> Any:
    """Hash what says a place; texts that differ in case alone are the same to Azure, and to take them so is only stricter."""
    if isinstance(value, list | tuple):
        return [_hashed(one) for one in value]
    if value in {None, UNKNOWN}:
        return value
    return sha256(canonical(value.casefold() if isinstance(value, str) else value)).hexdigest()


def _unknown(value: Any) -> bool:
    return value == UNKNOWN or (isinstance(value, list) and UNKNOWN in value)


def _apart(one: Any, other: Any) -> bool:
    """Say whether two values name different places: lists that share a member, such as brokers, name the same one."""
    if isinstance(one, list) and isinstance(other, list):
        return set(one).isdisjoint(other)
    return bool(one != other)
