"""One connection and its transactions: whole or not at all, with SQLite's errors raised as Goldwire's.

Named checkpoints stand inside and after each transaction, so that a simulation can crash there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Any, Self

from goldwire.changelog.compatibility import SchemaState, lost, refused
from goldwire.changelog.migrations import NEWEST
from goldwire.changelog.ports.integrity import Damage
from goldwire.changelog.sqlite.queries import CHUNK_SIZES, OLDEST_CODE, SCHEMA_REVISION, many
from goldwire.errors import GoldwireError, InputError, StoreBusyError, StoreCorruptError, StoreFullError

Checkpoint = Callable[[str], None]

_NO_TEXT = "Could not decode to UTF-8"
"""How `sqlite3` begins when the bytes of a text are none."""


def translated(error: sqlite3.Error, path: str) -> GoldwireError:
    """Return the error that says what a person can do about SQLite's."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreBusyError(f"{path}: another process is writing to it: wait for it or stop it, then repeat the command")
    if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
        return StoreFullError(
            f"{path}: cannot be written ({error}): free room on its disk, then repeat the command; nothing is lost"
        )
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return StoreCorruptError(f"{path}: damaged, or no SQLite database ({error}): restore a copy of the store")
    if code == sqlite3.SQLITE_CONSTRAINT:
        return StoreCorruptError(f"{path}: a row contradicts one that is there ({error}): do not go on writing")
    if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}:
        return InputError(f"{path}: cannot be opened for writing ({error}): mend its path or permissions")
    return GoldwireError(f"{path}: SQLite reports: {error}")


class Database:
    """A store's connection, with what every part of the engine needs of it."""

    def __init__(self, connection: sqlite3.Connection, path: str, checkpoint: Checkpoint | None) -> None:
        self.connection = connection
        self.path = path
        self.checkpoint: Checkpoint = checkpoint or _pass
        self.execute = connection.execute
        self.executemany = connection.executemany
        self.damaged_row: Callable[[], Damage | None] = _none
        """Finds the row that is damaged, when SQLite only says that some text is none."""

    def error_of(self, error: sqlite3.Error) -> GoldwireError:
        """Return the error that says what to do about SQLite's. Runs outside a transaction."""
        if _NO_TEXT not in str(error):
            return translated(error, self.path)
        damage = self.damaged_row()
        where = "a row" if damage is None else f"{damage.part}: {damage.where}"
        return StoreCorruptError(
            f"{self.path}: {where}: holds bytes that are no text, so it is not what was written; `goldwire store check` lists "
            "all that is damaged, then restore a copy of the store"
        )

    def check_schema(self) -> None:
        """See that this code may still use the store, which another process may have upgraded. Ends the transaction if not.

        Raises:
            InputError: a migration shut this code out.
            StoreCorruptError: the store does not say it any more.
        """
        row = self.execute(OLDEST_CODE).fetchone()
        if row is not None and row[0] <= NEWEST:
            return
        revision = self.execute(SCHEMA_REVISION).fetchone()
        self.connection.rollback()
        if row is None or revision is None:
            raise lost(self.path)
        raise refused(self.path, SchemaState(revision[0], row[0]))

    def writing(self, name: str) -> Writing:
        """Open a write transaction; its checkpoints begin with `name`."""
        return Writing(self, name)

    def reading(self) -> Reading:
        """See one state of the store throughout, while others write."""
        return Reading(self)

    def each(self, query: str, before: Sequence[Any], values: Collection[Any], *, times: int = 1) -> list[Any]:
        """Run a `(MANY)` query over as many values as wanted, a chunk at a time, and return all rows.

        Args:
            query: with `(MANY)` in it `times` times, after the parameters `before`.
            before: parameters before the list.
            values: the list; repeated values are harmless.
            times: how often the query takes the list.
        """
        found: list[Any] = []
        listed = sorted(values)
        largest = CHUNK_SIZES[-1]
        for begin in range(0, len(listed), largest):
            chunk = listed[begin : begin + largest]
            size = next(size for size in CHUNK_SIZES if size >= len(chunk))
            chunk += [chunk[-1]] * (size - len(chunk))
            found += self.execute(many(query, size), [*before, *(chunk * times)]).fetchall()
        return found


class Reading:
    """A read transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> Self:
        database = self._database
        if database.connection.in_transaction:
            raise _still_writing(database)
        try:
            database.execute("BEGIN")
            database.check_schema()
        except sqlite3.Error as error:
            raise translated(error, database.path) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._database.connection.rollback()
        if isinstance(error, sqlite3.Error):
            raise self._database.error_of(error) from error


class Writing:
    """A write transaction: commits when the block ends, rolls back when it raises anything at all."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name

    def __enter__(self) -> Self:
        database = self._database
        if database.connection.in_transaction:
            raise _still_writing(database)
        try:
            database.execute("BEGIN IMMEDIATE")
            database.check_schema()
        except sqlite3.Error as error:
            raise translated(error, database.path) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self._undo(error)
            return
        database = self._database
        try:
            database.checkpoint(f"{self._name}:before-commit")
            database.execute("COMMIT")
        except BaseException as failed:
            self._undo(failed)
            raise
        database.checkpoint(f"{self._name}:after-commit")

    def _undo(self, error: BaseException) -> None:
        # After some errors SQLite has rolled back by itself; then this does nothing.
        self._database.connection.rollback()
        if isinstance(error, sqlite3.Error):
            raise self._database.error_of(error) from error


def _still_writing(database: Database) -> StoreBusyError:
    return StoreBusyError(
        f"{database.path}: a transaction of this very store object is open: end it first, or open a second one"
    )


def _none() -> None:
    """Find nothing."""


def _pass(_step: str) -> None:
    """Do nothing at a checkpoint."""
