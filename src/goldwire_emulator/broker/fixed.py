"""What the service fixes when a queue, topic or subscription is made: kept with its messages, and compared at every start."""

from __future__ import annotations

from typing import Literal

import msgspec

from goldwire_emulator.broker.bus_context import BusContext
from goldwire_emulator.errors import InputError

Kind = Literal["queue", "topic", "subscription"]


class Fixed(msgspec.Struct, frozen=True, omit_defaults=True):
    """What cannot change any more; the names in the store are those of Config.json.

    Attributes:
        kind: what it was made as.
        requires_session: of a queue or a subscription.
        requires_duplicate_detection: of a queue or a topic; how long ids are remembered may change.
    """

    kind: Kind
    requires_session: bool = msgspec.field(default=False, name="RequiresSession")
    requires_duplicate_detection: bool = msgspec.field(default=False, name="RequiresDuplicateDetection")


def keep_fixed(context: BusContext, location: str, path: str, fixed: Fixed) -> None:
    """Keep what an entity is made with; one that was made before must be the same.

    Args:
        context: has the store.
        location: the entity as an error names it.
        path: its address.
        fixed: as it is configured.

    Raises:
        InputError: the store holds it otherwise, and with messages that were taken so.
    """
    row = context.entity(path)
    with context.store.transaction() as database:
        (text,) = database.execute("SELECT fixed FROM entities WHERE id = ?", (row,)).fetchone()
        if text is None:
            database.execute("UPDATE entities SET fixed = ? WHERE id = ?", (msgspec.json.encode(fixed).decode(), row))
            return
    difference = _difference(msgspec.json.decode(text, type=Fixed), fixed)
    if difference:
        raise InputError(
            f"{location}: {difference}; the service fixes that when it is made: "
            "change it back, or give the entity another name, or another folder"
        )


def _difference(kept: Fixed, configured: Fixed) -> str:
    """Say what differs; empty: nothing does."""
    if kept.kind != configured.kind:
        return f"it is a {kept.kind} in its store, and a {configured.kind} in Config.json"
    for name, setting in zip(kept.__struct_fields__[1:], kept.__struct_encode_fields__[1:], strict=True):
        before, now = getattr(kept, name), getattr(configured, name)
        if before != now:
            return f"{setting} is {_json(now)} in Config.json, and {_json(before)} in its store"
    return ""


def _json(value: bool) -> str:
    return msgspec.json.encode(value).decode()
