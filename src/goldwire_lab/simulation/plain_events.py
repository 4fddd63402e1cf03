"""The event that a contract makes of a change, and what of it goes into headers, written a second time without the product.

It works on decoded JSON, slowly and plainly: no shapes, no bytes that are passed on. What leaves a relay has to be the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Literal

from msgspec import Struct

from goldwire.changelog.rows import LogRow
from goldwire.contract.spec import mask_name
from goldwire_lab.simulation.plain_masks import masked, plain
from goldwire_lab.simulation.terms import KEYS, WHERES, Terms
from goldwire_lab.simulation.workload import MODEL

BOTH = {"EntityChanged", "EntityDeleted"}

Decision = Literal["shown", "hidden", "undecided"]
"""`undecided`: the contract's `where` has no result for the record."""


class PlainEvent(Struct, frozen=True):
    """What a target has to receive."""

    members: dict[str, Any]
    """Of the body, without `hash`."""
    classification: str
    retention_days: int | None
    base_version: int | None

    @property
    def hash(self) -> bytes:
        """32 bytes."""
        return sha256(plain(self.members).encode()).digest()

    @property
    def body(self) -> bytes:
        """The event as it leaves."""
        return plain({**self.members, "hash": f"sha256:{self.hash.hex()}"}).encode()


def decide(terms: Terms, row: LogRow) -> Decision:
    """Say whether a contract selects a live record."""
    spec, state = terms.spec, json.loads(row.state)
    if spec.types != "all" and row.entity_type not in spec.types:
        return "hidden"
    if spec.golden and state["status"] != "golden":
        return "hidden"
    if spec.approval != "any" and state["approval"] not in spec.approval:
        return "hidden"
    if state["confidence"] < spec.min_confidence:
        return "hidden"
    if spec.where is None:
        return "shown"
    found = WHERES[spec.where](state, row)
    return "undecided" if found is None else "shown" if found else "hidden"


def changed_event(terms: Terms, row: LogRow, previous_hash: bytes | None, base: LogRow | None) -> PlainEvent:
    """Return the EntityChanged of a row.

    Args:
        terms: the contract.
        row: the change.
        previous_hash: of the event that the target received before, or None.
        base: the row that a delta is made against; None: the event is full.
    """
    new = _seen(terms, row)
    attributes, edges, payload = new["attributes"], new["edges"], "full"
    if base is not None:
        old = _seen(terms, base)
        attributes, edges, payload = _changed_attributes(terms, row, base), _changed_edges(old["edges"], new["edges"]), "delta"
    tags = {tag for name in attributes for tag in remaining_tags(terms, row.entity_type, name)}
    tags |= {tag for edge in edges for tag in MODEL.types[row.entity_type].relations[edge["rel"]].tags}
    days = [limit for tag in tags if (limit := MODEL.tags[tag].retention_days) is not None]
    members = _members(terms, row, previous_hash, "EntityChanged")
    members |= {"changes": {"attributes": attributes, "edges": edges}, "payload": payload}
    return PlainEvent(
        members, ",".join(sorted(tags)), min(days, default=None), None if base is None else base.version
    )  # fmt: skip


def deleted_event(terms: Terms, row: LogRow, previous_hash: bytes | None) -> PlainEvent:
    """Return the EntityDeleted of a row: of what is gone, or of what its contract shows no more."""
    members = _members(terms, row, previous_hash, "EntityDeleted")
    members |= {"payload": "full", "reason": "deselected" if row.kind == "live" else row.kind}
    if row.kind == "merged" and row.merged_into is not None:
        members["mergedInto"] = row.merged_into
    return PlainEvent(members, "", None, None)


def headers_of(event: Mapping[str, Any], row: LogRow, sealed: PlainEvent, replay_id: str | None) -> dict[str, str]:
    """Return the headers that travel beside an event (wire.md).

    Args:
        event: the members of its body.
        row: the change.
        sealed: the event.
        replay_id: of a replay.
    """
    named = f"{event['entityType']}:{event['entityId']}:{event['version']}"
    identity = _short(named)
    found = {
        "messageId": identity if replay_id is None else _short(f"{identity}~{replay_id}"),
        "correlationId": row.correlation_id,
        "contentType": "application/json",
        "subject": f"{event['entityType']}.{event['eventType']}",
        "partitionKey": _short(event["entityId"]),
        "traceparent": f"00-{_hex(row.correlation_id)[:32]}-{_hex(identity)[:16]}-01",
    }
    if sealed.classification:
        found["classification"] = sealed.classification
    if sealed.retention_days is not None:
        found["retention-days"] = str(sealed.retention_days)
    return found


def remaining_tags(terms: Terms, entity_type: str, name: str) -> tuple[str, ...]:
    """Return the tags that an attribute's value still carries once it is masked, sorted."""
    mask = mask_of(terms, entity_type, name)
    tags = MODEL.types[entity_type].attributes[name].tags
    return tuple(tag for tag in sorted(tags) if mask is None or mask_name(mask) not in MODEL.tags[tag].cleared_by)


def mask_of(terms: Terms, entity_type: str, name: str) -> Any:
    """Return an attribute's mask: its own, else that of one of its tags."""
    tags = MODEL.types[entity_type].attributes[name].tags
    return next((terms.spec.masks[one] for one in (name, *tags) if one in terms.spec.masks), None)


def shows(names: str | tuple[str, ...], name: str) -> bool:
    """Say whether a list of a contract holds a name."""
    return names == "all" or (names != "none" and name in names)


def _members(terms: Terms, row: LogRow, previous_hash: bytes | None, event_type: str) -> dict[str, Any]:
    known = json.loads(row.state)["externalIds"]
    return {
        "entityId": row.entity_id,
        "entityType": row.entity_type,
        "eventType": event_type,
        "externalIds": [one for one in known if shows(terms.spec.external_ids, one["system"])],
        "previousHash": None if previous_hash is None else f"sha256:{previous_hash.hex()}",
        "specVersion": "cluedin-1.0",
        "timestamp": row.committed_at,
        "version": row.version,
    }


def _seen(terms: Terms, row: LogRow) -> dict[str, Any]:
    """Return the attributes and edges of a record as the contract shows them."""
    spec, state = terms.spec, json.loads(row.state)
    attributes = {}
    for name, entry in state["attributes"].items():
        if shows(spec.attributes, name):
            mask = mask_of(terms, row.entity_type, name)
            value = entry["value"] if mask is None else masked(mask, name, entry["value"], KEYS[terms.keys])
            attributes[name] = {**entry, "value": value}
    edges = []
    for edge in state["edges"]:
        external = edge["to"].get("externalId")
        if shows(spec.edges, edge["rel"]) and (external is None or shows(spec.external_ids, external["system"])):
            edges.append(edge)
    return {"attributes": attributes, "edges": edges}


def _changed_attributes(terms: Terms, row: LogRow, base: LogRow) -> dict[str, Any]:
    """Return what of the attributes looks different, also where it is gone."""
    new, old = _seen(terms, row)["attributes"], _seen(terms, base)["attributes"]
    clear_new, clear_old = (json.loads(one.state)["attributes"] for one in (row, base))
    found = {}
    for name in sorted(new.keys() | old.keys()):
        if name not in new:
            found[name] = {**old[name], "value": None}
        elif name not in old or not (_alike(terms, clear_new[name], clear_old[name]) or _alike(terms, new[name], old[name])):
            found[name] = new[name]
    return found


def _alike(terms: Terms, new: Any, old: Any) -> bool:
    return plain(new["value"]) == plain(old["value"]) if terms.by_value else plain(new) == plain(old)


def _changed_edges(old: list[Any], new: list[Any]) -> list[Any]:
    return [edge for edge in new if edge not in old] + [{"op": "removed", **edge} for edge in old if edge not in new]


def _short(text: str) -> str:
    return text if len(text) <= 128 else f"sha256:{_hex(text)}"


def _hex(text: str) -> str:
    return sha256(text.encode()).hexdigest()
