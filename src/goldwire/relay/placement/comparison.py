"""Compares two placements: whether they mean one destination, which fixed settings differ, which distinct ones do not."""

from __future__ import annotations

from typing import Any

from goldwire.targets.base import UNKNOWN_VALUE, Placement, PlacementTerms


def share_destination(one: Placement, other: Placement) -> bool | None:
    """Say whether two placements mean the same destination; None where they may. Two kinds are never compared: False."""
    if one.kind != other.kind:
        return False
    certain = True
    for name, mine in one.destination.items():
        theirs = other.destination.get(name, UNKNOWN_VALUE)
        if _is_unknown(mine) or _is_unknown(theirs):
            certain = False
        elif _differ(mine, theirs):
            return False
    return True if certain else None


def fixed_changes(terms: PlacementTerms, before: Placement, now: Placement) -> dict[str, str]:
    """Return the fixed settings that differ between two placements, each with the reason why it must not at one destination.

    A setting that was not declared yet had its default.
    """
    found = {}
    for name, reason in terms.fixed.items():
        old = before.fixed.get(name, terms.defaults[name])
        if old != now.fixed[name] and not _is_unknown(old):
            found[name] = reason
    return found


def equal_distinct_settings(terms: PlacementTerms, one: Placement, other: Placement) -> dict[str, str]:
    """Return the settings that must differ between targets at one destination and are the same, each with the reason."""
    return {name: reason for name, reason in terms.distinct.items() if one.distinct.get(name) == other.distinct.get(name)}


def _is_unknown(value: Any) -> bool:
    return value == UNKNOWN_VALUE or (isinstance(value, list) and UNKNOWN_VALUE in value)


def _differ(one: Any, other: Any) -> bool:
    """Say whether two values name different destinations: lists that share a member, such as brokers, name the same one."""
    if isinstance(one, list) and isinstance(other, list):
        return set(one).isdisjoint(other)
    return bool(one != other)
