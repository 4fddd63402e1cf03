"""The ledger on SQLite: what its rules are fed with."""

from __future__ import annotations

from goldwire.changelog import ledger as rules
from goldwire.changelog.rows import Counts
from goldwire.changelog.sqlite import queries as query
from goldwire.changelog.sqlite.entities import Part
from goldwire.changelog.sqlite.targets import KnownTarget, known_target
from goldwire.changelog.sqlite.transaction import Database


class SqliteLedger(Part):
    """The part of the store that counts."""

    def counts(self, target: str) -> Counts:
        """See `Store.counts`."""
        database = self._database
        with database.reading():
            return counted(database, known_target(database, target))

    def recount(self, target: str) -> Counts:
        """See `Store.recount`; memory stays small, whatever the log's length.

        Raises:
            StoreCorruptError: also when the log has a gap, or an open code has no open delivery and no end, or two.
        """
        database = self._database
        with database.reading():
            return recounted(database, known_target(database, target))


def counted(database: Database, target: KnownTarget) -> Counts:
    """Return the ledger from the counters. Runs inside a transaction."""
    cursor = target.cursor
    newest = database.execute(query.NEWEST_POSITION).fetchone()[0]
    ended = (cursor.delivered, cursor.filtered, cursor.superseded)
    return _terms(database, target, newest, ended)


def recounted(database: Database, target: KnownTarget) -> Counts:
    """Return the ledger from the rows. Runs inside a transaction.

    Raises:
        StoreCorruptError: the rows contradict each other.
    """
    cursor, number = target
    size, oldest, newest = database.execute(query.LOG_SIZE).fetchone()
    rules.check_positions(database.path, size, oldest, newest)
    settlements, ends = database.execute(query.SETTLEMENTS, (number,)), database.execute(query.ENDS, (number, number))
    ended = rules.recounted_ends(cursor, settlements, ends)
    return _terms(database, target, newest, ended)


def _terms(database: Database, target: KnownTarget, newest: int, ended: tuple[int, int, int]) -> Counts:
    cursor, number = target
    # What is sent again to others becomes filtered when the cursor passes it; until then nothing waits because of it.
    others = database.execute(query.OTHERS_ABOVE, (cursor.position, cursor.target)).fetchone()[0]
    return rules.terms(cursor, newest - others, ended, dict(database.execute(query.OPEN_STATES, (number,))))
