"""Sealed events made by hand, for tests of targets: the wire's form, without contracts and without a log."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from goldwire.canonical import canonical
from goldwire.clock import timestamp
from goldwire.event.sealed import SPEC_VERSION, SealedEvent

FIRST_MOMENT_SECONDS = 1_800_000_000.0
"""When version 0 would have been committed; each version is a second later."""


def sealed(
    entity_id: str,
    version: int,
    attributes: Mapping[str, Any] | None = None,
    *,
    entity_type: str = "Customer",
    external_ids: Sequence[tuple[str, str]] = (),
    edges: Sequence[Mapping[str, Any]] = (),
    base_version: int | None = None,
    previous_hash: bytes | None = None,
    reason: str | None = None,
    committed_at: str | None = None,
    correlation_id: str = "test",
    classification: str = "",
    retention_days: int | None = None,
) -> SealedEvent:
    """Return an event as the wire has it, hash included.

    Args:
        entity_id: whose.
        version: which.
        attributes: value of each attribute; None means removed.
        entity_type: its type.
        external_ids: pairs of system and id.
        edges: as the wire has them: `rel`, `to`, and `op` where one was removed.
        base_version: makes it a delta against that version; else it is the whole record.
        previous_hash: the predecessor's 32 bytes.
        reason: makes it an `EntityDeleted` with this reason.
        committed_at: recorded time; else the version in seconds after `FIRST_MOMENT_SECONDS`.
        correlation_id: of the cause of the change.
        classification: tags, joined by commas.
        retention_days: of the tags.
    """
    moment = committed_at or timestamp(FIRST_MOMENT_SECONDS + version)
    event: dict[str, Any] = {
        "entityId": entity_id,
        "entityType": entity_type,
        "eventType": "EntityDeleted" if reason else "EntityChanged",
        "externalIds": [{"id": id_, "system": system} for system, id_ in sorted(external_ids)],
        "payload": "full" if base_version is None else "delta",
        "previousHash": None if previous_hash is None else f"sha256:{previous_hash.hex()}",
        "specVersion": SPEC_VERSION,
        "timestamp": moment,
        "version": version,
    }
    event |= {"reason": reason} if reason else {"changes": _changes(attributes or {}, edges, moment)}
    digest = hashlib.sha256(canonical(event)).digest()
    body = canonical({**event, "hash": f"sha256:{digest.hex()}"})
    return SealedEvent(
        entity_type=entity_type,
        entity_id=entity_id,
        version=version,
        deleted=reason is not None,
        reason=reason,
        body=body,
        hash=digest,
        previous_hash=previous_hash,
        base_version=base_version,
        timestamp=moment,
        correlation_id=correlation_id,
        classification=classification,
        retention_days=retention_days,
    )


def _changes(attributes: Mapping[str, Any], edges: Sequence[Mapping[str, Any]], moment: str) -> dict[str, Any]:
    facts = {"confidence": 1, "lastSeen": moment, "provenance": "crm"}
    shown = {name: {**facts, "value": value} for name, value in attributes.items()}
    return {"attributes": shown, "edges": [dict(edge) for edge in edges]}


def deleted(entity_id: str, version: int, *, reason: str = "deleted", **more: Any) -> SealedEvent:
    """Return an `EntityDeleted`; `more` as for `sealed`."""
    return sealed(entity_id, version, reason=reason, **more)


def chain(*cities: str | None, entity_id: str = "e1", first: int = 1) -> list[SealedEvent]:
    """Deltas that follow each other; the first one is full, None is a deletion."""
    found: list[SealedEvent] = []
    for version, city in enumerate(cities, first):
        previous = found[-1].hash if found else None
        if city is None:
            found.append(deleted(entity_id, version, previous_hash=previous))
        else:
            full = not found or found[-1].deleted
            base = None if full else version - 1
            found.append(sealed(entity_id, version, {"city": city}, previous_hash=previous, base_version=base))
    return found
