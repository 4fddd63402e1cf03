"""Where the log and every target stand."""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct

from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.changelog.ports.log import Log
from goldwire.changelog.ports.replays import Replays
from goldwire.changelog.ports.resyncs import Resyncs
from goldwire.changelog.ports.revisions import Revisions
from goldwire.changelog.rows import Counts, Cursor
from goldwire.config.reader import Loaded
from goldwire.errors import ConfigError
from goldwire.relay.ledger import balances
from goldwire.services.backlog import behind
from goldwire.services.contract_documents import contract_differs
from goldwire.services.guards import held_resync

TargetState = Literal["not configured", "not applied", "not begun", "stopped", "caught up", "behind", "stale"]
"""`stale`: nothing is pending, and the target does not hold what its contract says."""


class StatusStore(Log, Deliveries, Replays, Resyncs, Revisions, Protocol):
    """How long the log is, how far targets are, what was applied to them, and what of that did not reach them."""


class TargetStatus(Struct, frozen=True):
    """Where one target stands."""

    target: str
    kind: str | None
    """None where it is no longer configured."""
    state: TargetState
    position: int
    """Everything up to this position of the log is settled or open."""
    lag: int | None
    """Pending changes; this and the next two are None before the target has begun."""
    dead: int | None
    parked: int | None
    revision: int | None
    """The newest revision of its contract."""
    configuration_differs: bool | None
    """Whether its contract was edited since it was applied; None where a key is not at hand to compare it."""
    balanced: bool | None
    stale: int
    """Entities of which it does not hold what its contract says, as far as was counted when that was applied."""
    stopped: str | None
    """Why it was stopped."""
    unopened: str | None
    """Why it cannot be opened,"""
    unopened_since: str | None
    """and since when."""
    loss: str | None
    """What it said to have lost of what it had acknowledged, unless a resync or a replay was asked for since,"""
    loss_since: str | None
    """and when that was seen."""
    last_failure: str | None
    """Its last answer to a delivery that will be tried again."""
    held_resync: str | None
    """The resync that waits for a yes, because more would leave the target than its guards let go."""


class Status(Struct, frozen=True):
    """Where the log and every target stand."""

    position: int
    """The newest position of the log; 0 while it is empty."""
    targets: list[TargetStatus]


def status(loaded: Loaded, store: StatusStore) -> Status:
    """Return where the log and every target stand: those that are configured, and those that once were.

    Args:
        loaded: the configuration.
        store: its store.
    """
    cursors = {cursor.target: cursor for cursor in store.cursors()}
    names = sorted(set(cursors) | set(loaded.config.targets))
    return Status(store.position(), [_target(loaded, store, name, cursors.get(name)) for name in names])


def _target(loaded: Loaded, store: StatusStore, name: str, cursor: Cursor | None) -> TargetStatus:
    counts = store.counts(name) if cursor else None
    stale = store.owed(name).entities
    revisions = store.revisions(name)
    configured = name in loaded.config.targets
    waits = behind(store, name) if cursor and configured else None
    loss = _unmended_loss(store, cursor) if cursor else None
    return TargetStatus(
        target=name,
        kind=loaded.config.targets[name].kind if configured else None,
        state=_state(configured, bool(revisions), cursor, counts, stale),
        position=cursor.position if cursor else 0,
        lag=counts.pending if counts else None,
        dead=counts.dead if counts else None,
        parked=counts.parked if counts else None,
        revision=revisions[-1].revision if revisions else None,
        configuration_differs=_differs(loaded, store, name) if configured else False,
        balanced=balances(counts) if counts else None,
        stale=stale,
        stopped=cursor.stopped if cursor else None,
        unopened=cursor.unopened if cursor else None,
        unopened_since=cursor.unopened_since if cursor else None,
        loss=loss,
        loss_since=cursor.loss_since if cursor and loss else None,
        last_failure=waits.reason or None if waits else None,
        held_resync=held_resync(store, name),
    )


def _unmended_loss(store: StatusStore, cursor: Cursor) -> str | None:
    """Return what a target has lost, unless it was asked for again since."""
    asked = [
        *(one.requested_at for one in store.resyncs(cursor.target) if one.scope == "all" and not one.entities),
        *(one.requested_at for one in store.replays(cursor.target)),
    ]
    return None if any(moment > (cursor.loss_since or "") for moment in asked) else cursor.loss


def _differs(loaded: Loaded, store: Revisions, name: str) -> bool | None:
    try:
        return contract_differs(loaded, store, name)
    except ConfigError:  # showing the status must not need the keys
        return None


def _state(configured: bool, applied: bool, cursor: Cursor | None, counts: Counts | None, stale: int) -> TargetState:
    if not configured:
        return "not configured"
    if not applied:
        return "not applied"
    if cursor is None or counts is None:
        return "not begun"
    if cursor.stopped:
        return "stopped"
    if counts.pending:
        return "behind"
    return "stale" if stale else "caught up"
