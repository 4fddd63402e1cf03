"""Copies a store whole: into a backup, and back. What is copied is one state of it, whatever is written meanwhile."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from goldwire.changelog.sqlite.connection import check_version, schema_state
from goldwire.changelog.sqlite.transaction import translated
from goldwire.changelog.sqlite.upgrade import alone
from goldwire.errors import GoldwireError, InputError, StoreBusyError, StoreCorruptError, StoreFullError

PAGES = 1_024
"""How many pages are copied between two reports."""

COPIED_BYTES = 1 << 20
"""How much of a file is copied at a time."""

PRIVATE_MODE = 0o600
"""A copy holds every value unmasked."""

CopyProgress = Callable[[int, int], None]
"""Called with how many pages are copied, and of how many."""


def copy_store(source: Path, target: Path, progress: CopyProgress | None = None) -> None:
    """Copy a store into a new file that only its owner may read, and see that it is on the disk.

    Args:
        source: the store; others may write to it.
        target: an earlier file of this name is replaced.
        progress: called now and then.

    Raises:
        InputError: the source is no Goldwire store.
        StoreBusyError, StoreCorruptError, StoreFullError: as SQLite reports it; there is no new file.
    """
    check_version(sqlite3.sqlite_version_info)
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_MODE))
    try:
        with (
            closing(sqlite3.connect(source, isolation_level=None)) as opened,
            closing(sqlite3.connect(target, isolation_level=None)) as copy,
        ):
            opened.execute("BEGIN")  # one state throughout: without it each write of another process would begin anew
            _refuse_if_other(opened, source)
            opened.backup(copy, pages=PAGES, progress=_reported(progress))
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise translated(error, str(source)) from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    sync(target)


def _refuse_if_other(connection: sqlite3.Connection, path: Path) -> None:
    if schema_state(connection) is None:
        raise InputError(f"{path}: no Goldwire store: name a file that `goldwire store backup` wrote")


def structure_faults(path: Path) -> list[str]:
    """Return what SQLite finds wrong in the structure of a file."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(100)")]
    except sqlite3.Error as error:
        return [type(error).__name__]
    return [] if found == ["ok"] else found


def schema_of(path: Path) -> str | None:
    """Return the schema revision of a store; None where the file is none."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        state = schema_state(connection)
    return None if state is None else state.revision


def overwrite_store(path: Path, copy: Path, kept: Path, *, busy_timeout_seconds: float = 5.0) -> None:
    """Give a store that no process uses the content of another one, in one transaction.

    Args:
        path: the store.
        copy: what it becomes.
        kept: where its present content stays, as a file of its own.
        busy_timeout_seconds: how long to wait for another process.

    Raises:
        InputError: a file may not be read or made, or there is one where the present content is to stay; nothing was changed.
        StoreBusyError: a process uses the store; nothing was changed.
        StoreCorruptError: the store that is there cannot be read; nothing was changed.
        StoreFullError: no room; nothing was changed.
    """
    try:
        # The content is closed last: closing any descriptor of the file would release the locks that this process has on it.
        with (
            path.open("rb") as content,
            closing(sqlite3.connect(path, timeout=busy_timeout_seconds, isolation_level=None)) as connection,
        ):
            connection.execute("PRAGMA synchronous = FULL")
            with alone(connection, str(path), busy_timeout_seconds):
                _keep(content, kept)  # alone, it is whole: the write-ahead log is written back
                with closing(sqlite3.connect(copy, isolation_level=None)) as opened:
                    opened.backup(connection)
    except StoreBusyError:
        raise
    except sqlite3.DatabaseError as error:
        found = translated(error, str(path))
        if isinstance(found, StoreCorruptError):
            raise StoreCorruptError(
                f"{path}: the store that is there cannot be read: move it and its `-wal` away, then repeat the command"
            ) from error
        raise found from error
    except OSError as error:
        raise _unwritable(kept, error) from error


def _keep(content: BinaryIO, kept: Path) -> None:
    """Copy what a file holds into a new one that only its owner may read from the first byte on; whole, or not at all."""
    descriptor = os.open(kept, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_MODE)
    try:
        with open(descriptor, "wb") as copy:  # noqa: PTH123 - a path has no descriptor's `open`
            shutil.copyfileobj(content, copy, COPIED_BYTES)
        sync(kept)
    except BaseException:
        kept.unlink(missing_ok=True)
        raise


def _unwritable(file: Path, error: OSError) -> GoldwireError:
    if isinstance(error, FileExistsError):
        return InputError(f"{file}: is there already, and nothing is overwritten unseen: move it away, then repeat the command")
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        return StoreFullError(
            f"{file}: cannot be written ({error.strerror}): free room on its disk, then repeat the command; nothing is lost"
        )
    return InputError(f"{error.filename or file}: cannot be opened ({error.strerror}): mend its path or permissions")


def put_store(path: Path, copy: Path) -> None:
    """Put a store where none is.

    Raises:
        InputError: the rest of another store lies there.
    """
    for ending in ("-wal", "-journal"):
        if (left := path.with_name(path.name + ending)).exists():
            raise InputError(f"{left}: belongs to a store that is gone: move it away, then repeat the command")
    copy.replace(path)
    sync(path)


def sync(path: Path) -> None:
    """See that a file and its name are on the disk."""
    for one, flags in ((path, os.O_RDWR), (path.absolute().parent, os.O_RDONLY)):
        descriptor = os.open(one, flags)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _reported(progress: CopyProgress | None) -> Callable[[int, int, int], None] | None:
    if progress is None:
        return None

    def report(_: int, remaining: int, total: int) -> None:
        progress(total - remaining, total)

    return report
