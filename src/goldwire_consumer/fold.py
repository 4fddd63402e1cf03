"""Keeps a whole record out of full events and deltas, for a handler that mirrors records."""

from __future__ import annotations

from typing import Any

import rfc8785
from msgspec import Struct, to_builtins

from goldwire_consumer.event import Edge, Event


class Record(Struct, frozen=True, kw_only=True):
    """A golden record as the contract shows it; plain JSON, so that it can be kept in a JSON column."""

    attributes: dict[str, dict[str, Any]]
    """By name: `value`, `provenance`, `confidence`, `lastSeen`."""
    edges: list[dict[str, Any]] = []
    """`rel` and `to`."""
    external_ids: list[dict[str, str]] = []
    """`system` and `id`."""

    def __repr__(self) -> str:
        return "Record(…)"

    def value(self, name: str, default: Any = None) -> Any:
        """Return the value of an attribute, or the default where the record has none."""
        found = self.attributes.get(name)
        return default if found is None else found["value"]


def fold(record: Record | None, event: Event) -> Record | None:
    """Return the record after an event; None after a tombstone.

    Args:
        record: before; None where there was none, or where the event is whole anyway.
        event: the next one of the same entity, see `apply`.
    """
    if event.changes is None:
        return None
    before = Record(attributes={}) if record is None or event.payload == "full" else record
    attributes = dict(before.attributes)
    for name, attribute in event.changes.attributes.items():
        if attribute.value is None and event.payload == "delta":
            attributes.pop(name, None)
        else:
            attributes[name] = to_builtins(attribute)
    return Record(
        attributes=attributes,
        edges=_edges(before.edges, event.changes.edges),
        external_ids=to_builtins(event.external_ids),
    )


def _edges(before: list[dict[str, Any]], changes: list[Edge]) -> list[dict[str, Any]]:
    found = {rfc8785.dumps(edge): edge for edge in before}
    for change in changes:
        edge: dict[str, Any] = {"rel": change.rel, "to": change.to}
        key = rfc8785.dumps(edge)
        if change.op == "removed":
            found.pop(key, None)
        else:
            found[key] = edge
    return [found[key] for key in sorted(found)]
