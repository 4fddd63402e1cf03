"""Golden states, log rows and control rows to test with, from plain Python values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from goldwire.canonical import canonical
from goldwire.changelog.rows import Control, LogRow, Presence
from goldwire.event.sealed import SealedEvent
from goldwire.mastering.workspace import ChangeKind

MOMENT = "2026-11-23T10:00:00.000000Z"


def golden_state(
    attributes: Mapping[str, Any],
    *,
    edges: Iterable[Mapping[str, Any]] = (),
    external_ids: Iterable[tuple[str, str]] = (("crm", "1"),),
    approval: Literal["approved", "pending", "withdrawn"] = "approved",
    status: Literal["golden", "provisional"] = "golden",
    confidence: float = 0.9,
    provenance: str = "crm",
    last_seen: str = MOMENT,
) -> bytes:
    """Return a golden state: canonical JSON with edges and external ids in their order.

    Args:
        attributes: plain values by name.
        edges: `{"rel": …, "to": …}` each.
        external_ids: (system, id) each.
        approval: the record's approval state.
        status: the record's status.
        confidence: of the record and of each attribute.
        provenance: the system of each attribute.
        last_seen: of each attribute.
    """
    members = {
        name: {"confidence": confidence, "lastSeen": last_seen, "provenance": provenance, "value": value}
        for name, value in attributes.items()
    }
    return canonical(
        {
            "approval": approval,
            "attributes": members,
            "confidence": confidence,
            "edges": sorted(({"rel": edge["rel"], "to": edge["to"]} for edge in edges), key=canonical),
            "externalIds": [{"id": one, "system": system} for system, one in sorted(external_ids)],
            "status": status,
        }
    )


def log_row(
    state: bytes,
    *,
    version: int = 1,
    kind: ChangeKind = "live",
    entity_id: str = "goldwire:entity:1",
    entity_type: str = "Customer",
    changed: str = "",
    merged_into: str | None = None,
    seq: int | None = None,
) -> LogRow:
    """Return a committed change; its position is its version unless given."""
    return LogRow(
        version if seq is None else seq, entity_id, entity_type, version, kind, MOMENT, "request-1", state, changed, merged_into
    )


def control_after(event: SealedEvent, revision: int = 1, presence: Presence | None = None) -> Control:
    """Return the control row of an event that was delivered."""
    return Control(
        event.entity_id, event.version, event.version, presence or event.presence, event.hash, event.previous_hash,
        event.base_version, revision, None, MOMENT, "delivered",
    )  # fmt: skip
