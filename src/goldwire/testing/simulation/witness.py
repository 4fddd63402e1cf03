"""What stands at the other side: it remembers everything that arrived, in order, and reports each broken promise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import msgspec

from goldwire.event.sealed import SealedEvent
from goldwire.target.base import Item


class Witness:
    """All arrivals at one target.

    Args:
        target: its name, for messages.
        report: told of each broken promise. It must not raise: a relay takes a target's errors for the target's.
    """

    def __init__(self, target: str, report: Callable[[str], None]) -> None:
        self._target = target
        self._report = report
        self._first: dict[str, list[SealedEvent]] = defaultdict(list)
        self._seen: dict[tuple[str, int], bytes] = {}

    def arrived(self, item: Item) -> None:
        """Take note of an arrival, and check it against what came before."""
        event = item.event
        key = (event.entity_id, event.version)
        before = self._seen.get(key)
        if before is not None:
            if before != event.body:
                self._report(f"{self._target}: version {event.version} of {event.entity_id} was resent with other bytes")
            return
        self._seen[key] = event.body
        arrivals = self._first[event.entity_id]
        if arrivals and event.version <= arrivals[-1].version:
            self._report(
                f"{self._target}: {event.entity_id} arrived in version {event.version} after version {arrivals[-1].version}"
            )
        expected = arrivals[-1].hash if arrivals else None
        if event.previous_hash != expected:
            self._report(f"{self._target}: the chain of {event.entity_id} breaks before version {event.version}")
        arrivals.append(event)

    def record(self, entity_id: str) -> dict[str, Any] | None:
        """Return the attributes that a faithful subscriber holds of an entity now; None when it holds none."""
        held: dict[str, Any] | None = None
        for event in self._first.get(entity_id, ()):
            body = msgspec.json.decode(event.body)
            if event.deleted:
                held = None
                continue
            attributes = body["changes"]["attributes"]
            if body["payload"] == "full":
                held = dict(attributes)
                continue
            if held is None:
                self._report(f"{self._target}: {entity_id} got a delta at version {event.version} before any full record")
                held = {}
            held.update(attributes)
            held = {name: entry for name, entry in held.items() if entry["value"] is not None}
        return held

    def entities(self) -> list[str]:
        """Every entity that was ever heard of."""
        return list(self._first)
