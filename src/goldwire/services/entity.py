"""One golden record: its state, its versions, and what each target was last sent of it."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
from msgspec import Struct

from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.changelog.ports.log import Log
from goldwire.mastering.workspace import ChangeKind
from goldwire.redaction import shows
from goldwire.services.lookup import history_of


class EntityStore(Log, Deliveries, Protocol):
    """The versions of an entity, and what was sent of it."""


class EntityVersion(Struct, frozen=True):
    """One committed version of a golden record."""

    version: int
    position: int
    """In the log."""
    kind: ChangeKind
    committed_at: str
    """RFC 3339, UTC."""
    changed: str
    """The names of what changed, never a value."""
    correlation_id: str
    sent_again_to: str | None
    """The target for which a resync made this version; None: something changed."""


class EntityAtTarget(Struct, frozen=True):
    """What one target was last sent of a golden record."""

    target: str
    version: int | None
    """The last version that was settled; this and the next four are None where nothing was sent."""
    presence: str | None
    """`in`: the target holds the record; `out`: it left the contract's selection; `gone`: its deletion was sent."""
    hash: str | None
    """Of the event."""
    remote_id: str | None
    """The target's own id of the record."""
    settled_at: str | None
    open: list[str]
    """Deliveries without an end yet, such as `retrying version 3`."""


@shows("entity_id", "entity_type", "kind", "version", "versions", "targets")
class EntityHistory(Struct, frozen=True):
    """A golden record, unmasked, with its versions and what each target holds of it."""

    entity_id: str
    entity_type: str
    kind: ChangeKind
    version: int
    merged_into: str | None
    """The entity id of the record that this one was merged into."""
    state: dict[str, Any]
    """The golden record at its newest version."""
    versions: list[EntityVersion]
    """Oldest first."""
    targets: list[EntityAtTarget]
    """Every target that has begun."""


def entity_history(store: EntityStore, name: str) -> EntityHistory:
    """Return a golden record and what became of it.

    Args:
        store: where it is.
        name: its entity id, or `SYSTEM/ID` of one of its records.

    Raises:
        NotFoundError: there is none.
    """
    history = history_of(store, name)
    head = history[-1]
    versions = [
        EntityVersion(row.version, row.seq, row.kind, row.committed_at, row.changed, row.correlation_id, row.addressed_to)
        for row in history
    ]
    targets = [_at_target(store, cursor.target, head.entity_id) for cursor in store.cursors()]
    state = msgspec.json.decode(head.state)
    return EntityHistory(
        head.entity_id, head.entity_type, head.kind, head.version, head.merged_into, state, versions, targets
    )  # fmt: skip


def _at_target(store: Deliveries, target: str, entity_id: str) -> EntityAtTarget:
    held = store.controls(target, [entity_id]).get(entity_id)
    lane = store.lanes(target, [entity_id]).get(entity_id, [])
    return EntityAtTarget(
        target=target,
        version=held.version if held else None,
        presence=held.presence if held else None,
        hash=f"sha256:{held.hash.hex()}" if held else None,
        remote_id=held.remote_id if held else None,
        settled_at=held.settled_at if held else None,
        open=[f"{delivery.state} version {delivery.version}" for delivery in lane],
    )
