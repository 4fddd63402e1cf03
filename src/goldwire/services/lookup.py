"""Finds in the store what a person names on the command line; an error about a missing name gives the nearest known one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.changelog.ports.log import Log
from goldwire.changelog.ports.replays import Replays
from goldwire.changelog.ports.resyncs import Resyncs
from goldwire.changelog.replays import Replay
from goldwire.changelog.resyncs import Resync
from goldwire.changelog.rows import Cursor, LogRow, OpenDelivery
from goldwire.errors import NotFoundError, did_you_mean

Found = TypeVar("Found")


def cursor_of(store: Deliveries, target: str) -> Cursor:
    """Return where a target stands.

    Raises:
        NotFoundError: the store has never seen it.
    """
    cursor = store.cursor(target)
    if cursor is None:
        known = [each.target for each in store.cursors()]
        hint = did_you_mean(target, known) or "; a target is known once `goldwire run` has begun with it"
        raise NotFoundError(f"the store knows no target {target}{hint}")
    return cursor


def history_of(store: Log, name: str) -> list[LogRow]:
    """Return all versions of an entity, oldest first.

    Args:
        store: where it is.
        name: its entity id, or `SYSTEM/ID` of one of its records.

    Raises:
        NotFoundError: there is none.
    """
    history = store.history(name)
    system, slash, external_id = name.partition("/")
    if not history and slash:
        entity_id = store.find_entity(system, external_id)
        history = store.history(entity_id) if entity_id else []
    if not history:
        raise NotFoundError(f"no entity is known as {name}; give an entity id, or SYSTEM/ID of one of its records")
    return history


def dead_letter(store: Deliveries, target: str, seq: int) -> OpenDelivery:
    """Return one dead letter of a target.

    Raises:
        NotFoundError: there is none at this position.
    """
    delivery = store.dead_letter(target, seq)
    if delivery is None:
        raise NotFoundError(f"{target} has no dead letter at position {seq}; `goldwire dead list` shows what there is")
    return delivery


def replay_of(store: Replays, replay_id: str) -> Replay:
    """Return the record of a replay.

    Raises:
        NotFoundError: there is none with this id.
    """
    return _by_id("replay", {one.id: one for one in store.replays()}, replay_id)


def resync_of(store: Resyncs, resync_id: str) -> Resync:
    """Return the record of a resync.

    Raises:
        NotFoundError: there is none with this id.
    """
    return _by_id("resync", {one.id: one for one in store.resyncs()}, resync_id)


def _by_id(word: str, known: Mapping[str, Found], wanted: str) -> Found:
    if wanted not in known:
        raise NotFoundError(f"there is no {word} {wanted}{did_you_mean(wanted, known)}")
    return known[wanted]
