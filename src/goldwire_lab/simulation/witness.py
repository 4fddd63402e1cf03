"""What stands at the other side: it remembers everything that arrived, in order, and reports each broken promise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from goldwire.canonical import canonical
from goldwire.event.sealed import SealedEvent
from goldwire.targets.base import Item


class Held(Struct, frozen=True):
    """What a subscriber that applied every event holds of a golden record."""

    attributes: dict[str, Any]
    edges: list[dict[str, Any]]
    """`rel` and `to`, in canonical order."""
    external_ids: list[dict[str, str]]


def after(held: Held | None, body: dict[str, Any]) -> Held:
    """Return what is held after an EntityChanged.

    Args:
        held: before; None where there was nothing.
        body: of the event.
    """
    changes = body["changes"]
    if held is None or body["payload"] == "full":
        held = Held({}, [], [])
        attributes = changes["attributes"]
    else:
        attributes = {**held.attributes, **changes["attributes"]}
        attributes = {name: entry for name, entry in attributes.items() if entry["value"] is not None}
    edges = {canonical(edge): edge for edge in held.edges}
    for change in changes["edges"]:
        edge = {"rel": change["rel"], "to": change["to"]}
        if change.get("op") == "removed":
            edges.pop(canonical(edge), None)
        else:
            edges[canonical(edge)] = edge
    return Held(attributes, [edges[key] for key in sorted(edges)], body["externalIds"])


class _Repeats(Struct):
    """What one replay repeated of one entity."""

    versions: list[int]
    """In the order of their first arrival."""
    live: int
    """How many events of the entity had arrived when the first of these did,"""
    newest: int
    """and the newest version among them."""
    last_hash: bytes = b""
    gaps: list[int] = []
    """Versions that were repeated without the event before them."""
    again: bool = False
    """A relay has begun since: it repeats from the first event on, which an earlier contract may have kept back."""


class Witness:
    """All arrivals at one target.

    Args:
        target: its name, for messages.
        report: called with each broken promise. It must not raise: a relay takes a target's errors for the target's.
    """

    def __init__(self, target: str, report: Callable[[str], None]) -> None:
        self._target = target
        self._report = report
        self._first: dict[str, list[SealedEvent]] = defaultdict(list)
        self._seen: dict[tuple[str, int], bytes] = {}
        self._repeats: dict[tuple[str, str], _Repeats] = {}
        self._lost = False
        self._ahead: set[str] = set()
        """Entities that may be ahead of a store that has lost something."""

    def store_lost(self) -> None:
        """Take note that the store is an older one now: it makes versions again that this target holds with other content."""
        self._lost = True
        self._ahead = set(self._first)
        self._seen.clear()

    def relay_begins(self) -> None:
        """Take note that a relay begins: what it finds half repeated it begins again."""
        for repeats in self._repeats.values():
            repeats.again = True

    def arrived(self, item: Item, *, late: bool = False) -> None:
        """Take note of an arrival, and check it against what came before.

        Args:
            item: what arrived.
            late: after its sender had given up waiting; by then it may have been given up for good.
        """
        event = item.event
        key = (event.entity_id, event.version)
        before = self._seen.get(key)
        if item.replay_id is not None:
            if not self._lost:  # the past is another one since
                self._repeated(item.replay_id, event, before, late=late)
            return
        if late and self._lost:
            self._arrived_from_before(event)
            return
        if before is not None:
            if before != event.body:
                self._report(f"{self._target}: version {event.version} of {event.entity_id} was resent with other bytes")
            return
        arrivals = self._first[event.entity_id]
        if self._lost and arrivals and event.version <= arrivals[-1].version and event.entity_id in self._ahead:
            return  # the target refuses it, and answers what it holds; a later contract may make another event of it
        self._seen[key] = event.body
        if arrivals and event.version <= arrivals[-1].version:
            self._report(
                f"{self._target}: {event.entity_id} arrived in version {event.version} after version {arrivals[-1].version}"
            )
        expected = arrivals[-1].hash if arrivals else None
        if event.previous_hash != expected and event.entity_id not in self._ahead:
            self._report(f"{self._target}: the chain of {event.entity_id} breaks before version {event.version}")
        self._ahead.discard(event.entity_id)
        arrivals.append(event)

    def refused(self, item: Item) -> None:
        """Take an arrival back: the target has not written it."""
        event = item.event
        arrivals = self._first[event.entity_id]
        if item.replay_id is None and arrivals and arrivals[-1].version == event.version:
            arrivals.pop()
            self._seen.pop((event.entity_id, event.version), None)
            if self._lost:
                self._ahead.add(event.entity_id)

    def _arrived_from_before(self, event: SealedEvent) -> None:
        """What was under way when the store lost something may bring the target further ahead of it."""
        arrivals = self._first[event.entity_id]
        if not arrivals or event.version > arrivals[-1].version:
            arrivals.append(event)
            self._ahead.add(event.entity_id)

    def _repeated(self, replay_id: str, event: SealedEvent, before: bytes | None, *, late: bool) -> None:
        """A replay repeats what arrived before, in order, with nothing live of its entity in between."""
        name = f"{self._target}: {replay_id}: version {event.version} of {event.entity_id}"
        if before is None:
            self._report(f"{name} was repeated, and never sent")
        elif before != event.body:
            self._report(f"{name} was repeated with other bytes")
        arrivals = self._first[event.entity_id]
        newest = arrivals[-1].version if arrivals else 0
        repeats = self._repeats.setdefault((replay_id, event.entity_id), _Repeats([], len(arrivals), newest))
        if late or event.version in repeats.versions:
            return
        begins = repeats.again and bool(repeats.versions) and event.version < repeats.versions[-1]
        repeats.again = False
        if repeats.versions and event.version < repeats.versions[-1] and not begins:
            self._report(f"{name} was repeated after version {repeats.versions[-1]}")
        if repeats.versions and len(arrivals) != repeats.live:
            self._report(f"{name} was repeated after a live event went between it and those before")
        if repeats.versions and event.previous_hash != repeats.last_hash and not begins:
            repeats.gaps.append(event.version)
        repeats.versions.append(event.version)
        repeats.last_hash = event.hash

    def repeated(self, replay_id: str, entity_id: str) -> int:
        """Return the newest version of an entity that a replay repeated; 0 for none."""
        repeats = self._repeats.get((replay_id, entity_id))
        return max(repeats.versions, default=0) if repeats is not None else 0

    def gaps(self, replay_id: str) -> list[str]:
        """Return a sentence for each event that a replay repeated although the one before it was not."""
        return [
            f"{self._target}: {replay_id}: version {version} of {entity_id} was repeated without the event before it"
            for (of, entity_id), repeats in self._repeats.items()
            for version in repeats.gaps
            if of == replay_id
        ]

    def last_words(self, replay_id: str) -> list[str]:
        """Return a sentence for each entity of which a replay ended with an older version than had arrived when it began."""
        return [
            f"{self._target}: {replay_id}: {entity_id} ended with version {max(repeats.versions)}, not with {repeats.newest}"
            for (of, entity_id), repeats in self._repeats.items()
            if of == replay_id and repeats.versions and max(repeats.versions) < repeats.newest
        ]

    def record(self, entity_id: str) -> Held | None:
        """Return what a faithful subscriber holds of an entity now; None when it holds none."""
        held: Held | None = None
        for event in self._first.get(entity_id, ()):
            body = msgspec.json.decode(event.body)
            if held is None and not event.deleted and body["payload"] == "delta" and not self._lost:
                self._report(f"{self._target}: {entity_id} got a delta at version {event.version} before any full record")
            held = None if event.deleted else after(held, body)
        return held

    def has_seen(self, entity_id: str, version: int) -> bool:
        """Say whether an event arrived, be it more than once."""
        return (entity_id, version) in self._seen

    def entities(self) -> list[str]:
        """Every entity of which an event ever arrived."""
        return list(self._first)
