"""Watches what leaves under a replay: nothing that the contract of that moment keeps back, and nothing that was erased before.

It reads contracts, golden states and events by itself, as plain values; what masks make of a value it knows by itself too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from goldwire.changelog.ports.store import Store
from goldwire.changelog.rows import LogRow
from goldwire.targets.base import Item
from goldwire_lab.simulation.plain_events import decide, mask_of, shows
from goldwire_lab.simulation.plain_masks import masked, plain
from goldwire_lab.simulation.terms import KEYS, Terms
from goldwire_lab.simulation.workload import MODEL


class Leaks:
    """What must not leave to one target.

    A relay looks at the contracts once in a turn. So what it sends must be allowed by the newest contract of some moment
    between the beginning of its turn and the send.

    Args:
        target: its name.
        report: called with each broken promise. It must not raise: a relay takes a target's errors for the target's.
    """

    def __init__(self, target: str, report: Callable[[str], None]) -> None:
        self._target = target
        self._report = report
        self._store: Store
        self._revision = 0
        self._position = 0

    def turn(self, store: Store) -> None:
        """A relay begins a turn: from now on it knows all that was applied and erased up to here."""
        self._store = store
        revisions = store.revisions(self._target)
        self._revision = revisions[-1].revision if revisions else 0
        self._position = store.position()

    def leaving(self, items: Iterable[Item]) -> None:
        """Look at what is handed to the network."""
        for item in items:
            if item.replay_id is None:
                continue
            history = self._store.history(item.event.entity_id)
            name = f"{self._target}: {item.replay_id}: version {item.event.version} of {item.event.entity_id}"
            if any(row.kind == "erased" and item.event.version < row.version and row.seq <= self._position for row in history):
                self._report(f"{name} was repeated after the record was erased")
            row = next(row for row in history if row.version == item.event.version)
            current = [one for one in self._store.revisions(self._target) if one.revision >= self._revision]
            found = [list(leaks(Terms.of(revision), row, item.event.body)) for revision in current]
            if all(found):
                self._report(f"{name} was repeated, and the contract of that moment does not let out {' and '.join(found[0])}")


def leaks(terms: Terms, row: LogRow, body: bytes) -> Iterator[str]:
    """Yield what of an event a contract does not let out.

    Args:
        terms: the contract.
        row: the version that the event is about.
        body: of the event.
    """
    spec, event, state = terms.spec, msgspec.json.decode(body), msgspec.json.decode(row.state)
    for one in event["externalIds"]:
        if not shows(spec.external_ids, one["system"]):
            yield f"an external id of {one['system']}"
    if event["eventType"] not in spec.kinds:
        yield "its kind"
    if event["eventType"] == "EntityDeleted":
        return
    if decide(terms, row) != "shown":
        yield "the record"
    for edge in event["changes"]["edges"]:
        external = edge["to"].get("externalId")
        if not (shows(spec.edges, edge["rel"]) and (external is None or shows(spec.external_ids, external["system"]))):
            yield f"a relation {edge['rel']}"
    for name, entry in event["changes"]["attributes"].items():
        if not _attribute_shown(terms, row.entity_type, name, entry["value"], state["attributes"].get(name, {}).get("value")):
            yield f"attribute {name}"


def _attribute_shown(terms: Terms, entity_type: str, name: str, sent: Any, value: Any) -> bool:
    """Say whether a value may leave under this name: masked as the contract says, or clear where it may be clear."""
    if not shows(terms.spec.attributes, name):
        return False
    mask = mask_of(terms, entity_type, name)
    if sent is None:
        return True  # a name, and no value
    if mask is None:
        return set(MODEL.types[entity_type].attributes[name].tags) <= set(terms.clearance)
    return plain(sent) == plain(masked(mask, name, value, KEYS[terms.keys]))
