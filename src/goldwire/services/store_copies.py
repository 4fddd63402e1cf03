"""Backing a store up and restoring it: the copy is checked before it counts, and nothing is ever overwritten unseen."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from msgspec import Struct

from goldwire.changelog.location import StoreLocation
from goldwire.changelog.migrations import NEWEST
from goldwire.changelog.sqlite.copies import (
    CopyProgress,
    copy_store,
    overwrite_store,
    put_store,
    schema_of,
    structure_faults,
    sync,
)
from goldwire.changelog.sqlite.store import SqliteStore
from goldwire.errors import InputError, StoreCorruptError
from goldwire.services.store_check import check_store


class Backup(Struct, frozen=True):
    """A copy of a store that was found sound."""

    file: str
    size_bytes: int
    schema: str
    position: int | None
    """The newest position of its log; None where its schema is not this Goldwire's, and only its structure was checked."""
    targets: tuple[str, ...] = ()
    """Those that have begun by it."""


class Restored(Struct, frozen=True):
    """A store that is as a backup was."""

    store: str
    backup: Backup
    kept: str | None
    """Where the content is that the store had before; None where there was none."""


def back_up(location: StoreLocation, file: Path, progress: CopyProgress | None = None) -> Backup:
    """Copy a store, while others use it, and check the copy.

    Args:
        location: the store.
        file: where the copy goes.
        progress: called while it is copied.

    Raises:
        InputError: there is no store, or the file or no folder for it is there.
        StoreCorruptError: the copy is not sound; there is none then.
        StoreFullError: no room.
    """
    if not location.exists():
        raise InputError(f"{location.path}: there is no store to back up: mend `store.path`")
    if file.exists():
        raise InputError(f"{file}: is there already, and a backup overwrites nothing: name another file")
    if not file.absolute().parent.is_dir():
        raise InputError(f"{file}: there is no folder {file.parent}: make it, then repeat the command")
    part = file.with_name(file.name + ".part")
    copy_store(location.path, part, progress)
    try:
        checked = _checked(part)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    sync(file)
    return Backup(str(file), *checked)


def restore(location: StoreLocation, file: Path, moment: str, progress: CopyProgress | None = None) -> Restored:
    """Make a store as a backup was; what it held before is kept beside it.

    Args:
        location: the store.
        file: the backup; it stays as it is.
        moment: now, as it stands in file names.
        progress: called while it is copied.

    Raises:
        InputError: there is no such backup, or it is no store.
        StoreBusyError: a process uses the store; nothing was changed.
        StoreCorruptError: the backup is damaged, or the store that is there cannot be read; nothing was changed.
        StoreFullError: no room; nothing was changed.
    """
    path = location.path
    if not file.is_file():
        raise InputError(f"{file}: there is no such backup: name a file that `goldwire store backup` wrote")
    if path.exists() and path.samefile(file):
        raise InputError(f"{file}: is the store itself: name a backup of it")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".restoring")
    copy_store(file, part, progress)
    try:
        checked = _checked(part)
        kept = path.with_name(f"{path.name}.before-restore-{moment}") if path.exists() else None
        if kept is not None:
            overwrite_store(path, part, kept)
        else:
            put_store(path, part)
    finally:
        part.unlink(missing_ok=True)
    return Restored(str(path), Backup(str(file), *checked), None if kept is None else str(kept))


def _checked(copy: Path) -> tuple[int, str, int | None, tuple[str, ...]]:
    """Return size, schema, position and targets of a copy.

    Raises:
        StoreCorruptError: it is not sound.
    """
    faults = structure_faults(copy)
    if faults:
        raise StoreCorruptError(f"the copy is damaged ({faults[0]}): `goldwire store check` looks at the store itself")
    schema = schema_of(copy) or ""
    if schema != NEWEST:
        return copy.stat().st_size, schema, None, ()
    with closing(SqliteStore(copy, durable=False)) as store:
        found = check_store(store)
        position, targets = store.position(), tuple(cursor.target for cursor in store.cursors())
    if not found.sound:
        first = found.first_damages[0]
        raise StoreCorruptError(
            f"the copy is damaged in {found.damages:,} places, first {first.part}: {first.where}: {first.text}; "
            "`goldwire store check` looks at the store itself"
        )
    return copy.stat().st_size, schema, position, targets
