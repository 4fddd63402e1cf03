"""Resyncs: their records, and the rows that they append to the log."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

import msgspec

from goldwire.changelog.resyncs import Resend, Resync
from goldwire.changelog.rules import fence
from goldwire.changelog.sqlite import resync_queries as query
from goldwire.changelog.sqlite.entities import Part
from goldwire.changelog.sqlite.heads import Heads
from goldwire.changelog.sqlite.queries import NEWEST_POSITION
from goldwire.changelog.sqlite.targets import known_target
from goldwire.changelog.sqlite.transaction import Database
from goldwire.clock import timestamp
from goldwire.errors import StoreCorruptError

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Resync)


def insert_resync(database: Database, resync: Resync, now: float) -> None:
    """Keep the record of a new resync, see `Resyncs.add_resync`. Runs inside a transaction."""
    known_target(database, resync.target)
    row = database.execute(query.OPEN_RESYNC, (resync.target,)).fetchone()
    if row is not None:
        _save(database, msgspec.structs.replace(_decoded(database, row), state="superseded", ended_at=timestamp(now)))
    try:
        database.execute(query.INSERT_RESYNC, (resync.id, resync.target, resync.state, _encode(resync)))
    except sqlite3.IntegrityError:
        raise StoreCorruptError(f"resync {resync.id}: there is one with this id") from None


class SqliteResyncs(Part):
    """The part of the store that knows what is sent again."""

    def add_resync(self, resync: Resync, now: float) -> None:
        """See `Resyncs.add_resync`."""
        with self._database.writing("add_resync"):
            insert_resync(self._database, resync, now)

    def resyncs(self, target: str | None = None) -> list[Resync]:
        """See `Resyncs.resyncs`."""
        database = self._database
        with database.reading():
            found = database.execute(*((query.RESYNCS,) if target is None else (query.RESYNCS_OF, (target,))))
            return [_decoded(database, row) for row in found]

    def open_resync(self, target: str) -> Resync | None:
        """See `Resyncs.open_resync`."""
        return self._one(query.OPEN_RESYNC, target)

    def newest_resync(self, target: str) -> Resync | None:
        """See `Resyncs.newest_resync`."""
        return self._one(query.NEWEST_RESYNC, target)

    def resend(self, resync: Resync, wanted: Collection[Resend], epoch: int, now: float) -> Resync | None:
        """See `Resyncs.resend`."""
        database = self._database
        with database.writing("resend"):
            fence(known_target(database, resync.target).cursor, epoch)
            if database.execute(query.OPEN_RESYNC_BY_ID, (resync.id,)).fetchone() is None:
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
            row = database.execute(query.OPEN_RESYNC_BY_ID, (resync_id,)).fetchone()
            if row is None:
                return None
            ended = msgspec.structs.replace(_decoded(self._database, row), state="cancelled", ended_at=timestamp(now))
            _save(database, ended)
            return ended

    def _one(self, statement: str, target: str) -> Resync | None:
        with self._database.reading():
            row = self._database.execute(statement, (target,)).fetchone()
        return None if row is None else _decoded(self._database, row)


def _save(database: Database, resync: Resync) -> None:
    database.execute(query.UPDATE_RESYNC, (resync.state, _encode(resync), resync.id))


def _decoded(database: Database, row: tuple[bytes]) -> Resync:
    try:
        return _decoder.decode(row[0])
    except (msgspec.DecodeError, TypeError):
        raise StoreCorruptError(
            f"{database.path}: the record of a resync is not what was written; restore a copy of the store"
        ) from None
