"""What the store keeps of a target's settings and of its reservations; nothing else knows how these documents are kept."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import msgspec

from goldwire.canonical import canonical
from goldwire.changelog.ports.revisions import Revisions
from goldwire.redaction import shows
from goldwire.targets.base import Placement

_BEFORE = {"placement": "standing", "destination": "place", "fixed": "pinned", "distinct": "apart"}
"""The members of a document, and how they were named in stores before these names."""


class Reservation(NamedTuple):
    """The record that a target may have delivered with a placement."""

    since: str
    """When the target first was about to deliver."""
    types: frozenset[str]
    """The entity types of its contract then."""
    placement: Placement


@shows("since")
class KeptSettings(NamedTuple):
    """A target's settings as they were written in the configuration."""

    since: str
    document: bytes


def reservations(store: Revisions, target: str) -> list[Reservation]:
    """Return what a target has reserved, the oldest first."""
    return [_reservation(since, document) for _, since, document in store.placements(target)]


def save_reservation(store: Revisions, target: str, placement: Placement, types: Collection[str], now: float) -> None:
    """Record that a target may deliver with this placement from now on; the newest record is not written again.

    Args:
        store: where it is kept.
        target: the target's name.
        placement: what its settings mean.
        types: the entity types of its contract.
        now: seconds since the epoch.
    """
    kept = reservations(store, target)
    if not kept or kept[-1][1:] != (frozenset(types), placement):
        document = canonical({"placement": msgspec.to_builtins(placement), "types": sorted(types)})
        store.reserve_placement(target, document, now)


def kept_settings(store: Revisions, target: str) -> list[KeptSettings]:
    """Return a target's settings as they were kept, the oldest first."""
    return [KeptSettings(since, document) for _, since, document in store.kept_settings(target)]


def save_settings(store: Revisions, target: str, document: bytes, now: float) -> int:
    """Keep a target's settings as they are written, and return their number; the newest ones are not written again.

    Args:
        store: where they are kept.
        target: the target's name.
        document: the settings, references to secrets unresolved.
        now: seconds since the epoch.
    """
    return store.keep_settings(target, document, now)


def _reservation(since: str, document: bytes) -> Reservation:
    kept = msgspec.json.decode(document)
    placement = _member(kept, "placement")
    members = {name: _member(placement, name) for name in ("destination", "fixed", "distinct")}
    return Reservation(since, frozenset(kept["types"]), Placement(placement["kind"], **members))


def _member(kept: dict[str, Any], name: str) -> Any:
    return kept[name] if name in kept else kept[_BEFORE[name]]
