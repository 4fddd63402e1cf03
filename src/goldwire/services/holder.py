"""Which process delivers to a target, and what of an applied configuration it has not taken up."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec
from msgspec import Struct

from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.changelog.ports.revisions import Revisions
from goldwire.changelog.rows import Cursor
from goldwire.config.reader import Loaded


class Holder(Struct, frozen=True):
    """What a process notes of itself in the lock of a target, for other processes on the same machine."""

    process: int
    """Its number in the operating system."""
    settings: int
    """The number of the target's settings that it works with."""
    reloads: bool
    """Whether it reads the configuration again on SIGHUP."""
    follows_new: bool
    """Whether it begins new targets then, too."""

    def note(self) -> bytes:
        """Return it in the form that the lock keeps."""
        return msgspec.json.encode(self)


class HolderStore(Deliveries, Revisions, Protocol):
    """Which process holds a target, and the settings that were kept."""


class NotTakenUp(Struct, frozen=True):
    """A difference between what is applied and what a running process works with."""

    target: str
    process: int
    why: Literal["older settings", "not running", "no longer configured"]
    """`not running`: the process would deliver to the target as well, once it reads the configuration again."""
    reloads: bool
    """Whether `kill -HUP` mends it; else the process must be ended and started again."""


def holder_of(store: Deliveries, target: str) -> Holder | None:
    """Return which process delivers to a target; None where none does, or it notes nothing of itself."""
    note = store.target_note(target)
    if note is None:
        return None
    try:
        return msgspec.json.decode(note, type=Holder)
    except msgspec.DecodeError:  # it has written half of it so far, or is of another version
        return None


def not_taken_up(loaded: Loaded, store: HolderStore) -> list[NotTakenUp]:
    """Return what running processes have not taken up of the applied configuration. A relay follows contracts by itself.

    Args:
        loaded: the configuration.
        store: its store.
    """
    cursors = {cursor.target: cursor for cursor in store.cursors()}
    holders = {name: holder_of(store, name) for name in sorted({*cursors, *loaded.config.targets})}
    follower = next((one for one in holders.values() if one is not None and one.reloads and one.follows_new), None)
    found: list[NotTakenUp] = []
    for name, holder in holders.items():
        configured = name in loaded.config.targets
        if holder is not None and not configured:
            found.append(NotTakenUp(name, holder.process, "no longer configured", holder.reloads))
        elif holder is not None and holder.settings < store.kept_settings(name)[-1][0]:
            found.append(NotTakenUp(name, holder.process, "older settings", holder.reloads))
        elif holder is None and configured and follower is not None and not _is_stopped(cursors, name):
            found.append(NotTakenUp(name, follower.process, "not running", reloads=True))
    return found


def _is_stopped(cursors: dict[str, Cursor], name: str) -> bool:
    return name in cursors and cursors[name].stopped is not None
