"""Resyncs: their records, and the rows that they append to the log."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

import msgspec

from goldwire.changelog.resyncs import Owed, OwedHistory, Resend, Resync
from goldwire.changelog.rules import fence
from goldwire.changelog.sqlite.entities import EntityNumbers, Part
from goldwire.changelog.sqlite.heads import Heads
from goldwire.changelog.sqlite.queries import NEWEST_POSITION
from goldwire.changelog.sqlite.targets import known_target
from goldwire.changelog.sqlite.transaction import Database
from goldwire.changelog.sqlite.work_queries import RESYNCS, UNENDED
from goldwire.changelog.sqlite.work_records import RESYNC_RECORDS, encode_record
from goldwire.clock import timestamp
from goldwire.errors import StoreCorruptError


def insert_resync(database: Database, resync: Resync, now: float) -> None:
    """Keep the record of a new resync, see `Resyncs.add_resync`. Runs inside a transaction."""
    known_target(database, resync.target)
    row = database.execute(RESYNCS.unended, (resync.target,)).fetchone()
    if row is not None:
        _save(
            database,
            msgspec.structs.replace(RESYNC_RECORDS.read(database.path, *row), state="superseded", ended_at=timestamp(now)),
        )
    try:
        database.execute(RESYNCS.insert, (resync.id, resync.target, resync.state, encode_record(resync)))
    except sqlite3.IntegrityError:
        raise StoreCorruptError(f"resync {resync.id}: there is one with this id") from None


def release_held(database: Database, target: str) -> None:
    """Open the resync of a target that waits for a yes. Runs inside a transaction."""
    row = database.execute(RESYNCS.held, (target,)).fetchone()
    if row is not None:
        _save(database, msgspec.structs.replace(RESYNC_RECORDS.read(database.path, *row), state="open"))


class SqliteResyncs(Part):
    """The part of the store that knows what is sent again."""

    def __init__(self, database: Database, numbers: EntityNumbers) -> None:
        super().__init__(database, numbers)
        self._ended: dict[str, tuple[int, OwedHistory]] = {}
        """By target, up to which of its resyncs all have ended, and what they leave owed: a resync that has ended stays."""

    def add_resync(self, resync: Resync, now: float) -> None:
        """See `Resyncs.add_resync`."""
        with self._database.writing("add_resync"):
            insert_resync(self._database, resync, now)

    def resyncs(self, target: str | None = None) -> list[Resync]:
        """See `Resyncs.resyncs`."""
        database = self._database
        with database.reading():
            found = database.execute(*((RESYNCS.all,) if target is None else (RESYNCS.of_target, (target,))))
            return [RESYNC_RECORDS.read(database.path, *row) for row in found]

    def owed(self, target: str) -> Owed:
        """See `Resyncs.owed`."""
        database = self._database
        upto, found = self._ended.get(target, (0, OwedHistory()))
        with database.reading():
            rows = database.execute(RESYNCS.of_target_after, (target, upto)).fetchall()
        ended = True
        for number, state, record_id, raw in rows:
            found = found.then(RESYNC_RECORDS.read(database.path, record_id, raw))
            ended = ended and state not in UNENDED
            if ended:
                self._ended[target] = number, found
        return found.plain

    def open_resync(self, target: str) -> Resync | None:
        """See `Resyncs.open_resync`."""
        return self._one(RESYNCS.open, target)

    def newest_resync(self, target: str) -> Resync | None:
        """See `Resyncs.newest_resync`."""
        return self._one(RESYNCS.newest, target)

    def resend(self, resync: Resync, wanted: Collection[Resend], epoch: int, now: float) -> Resync | None:
        """See `Resyncs.resend`."""
        database = self._database
        with database.writing("resend"):
            fence(known_target(database, resync.target).cursor, epoch)
            if database.execute(RESYNCS.open_by_id, (resync.id,)).fetchone() is None:
                return None
            if wanted:
                heads = Heads(database, now)
                resent = heads.append(wanted, resync.target, f"resync:{resync.id}")
                upto = database.execute(NEWEST_POSITION).fetchone()[0] if resent else resync.upto
                resync = msgspec.structs.replace(resync, resent=resync.resent + resent, upto=upto)
            database.checkpoint("resend:after-log")
            _save(database, resync)
        return resync

    def cancel_resync(self, resync_id: str, now: float) -> Resync | None:
        """See `Resyncs.cancel_resync`."""
        database = self._database
        with database.writing("cancel_resync"):
            row = database.execute(RESYNCS.unended_by_id, (resync_id,)).fetchone()
            if row is None:
                return None
            ended = msgspec.structs.replace(
                RESYNC_RECORDS.read(self._database.path, *row), state="cancelled", ended_at=timestamp(now)
            )
            _save(database, ended)
            return ended

    def _one(self, statement: str, target: str) -> Resync | None:
        with self._database.reading():
            row = self._database.execute(statement, (target,)).fetchone()
        return None if row is None else RESYNC_RECORDS.read(self._database.path, *row)


def _save(database: Database, resync: Resync) -> None:
    database.execute(RESYNCS.update, (resync.state, encode_record(resync), resync.id))
