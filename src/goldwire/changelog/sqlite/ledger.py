"""The ledger: from the counters that settlements keep, and again from the rows alone."""

from __future__ import annotations

from collections.abc import Iterator

from goldwire.changelog.rows import DELIVERED, FILTERED, OPEN, SUPERSEDED, Counts, Cursor
from goldwire.changelog.sqlite import queries as query
from goldwire.changelog.sqlite.entities import Part
from goldwire.changelog.sqlite.targets import KnownTarget, known_target
from goldwire.changelog.sqlite.transaction import Database
from goldwire.errors import StoreCorruptError

STILL_OPEN = 0
"""What stands for an end while there is none."""


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
    cursor, number = target
    newest = database.execute(query.NEWEST_POSITION).fetchone()[0]
    return _counts(database, cursor, number, newest, (cursor.delivered, cursor.filtered, cursor.superseded))


def recounted(database: Database, target: KnownTarget) -> Counts:
    """Return the ledger from the rows. Runs inside a transaction.

    Raises:
        StoreCorruptError: the rows contradict each other.
    """
    cursor, number = target
    size, oldest, newest = database.execute(query.LOG_SIZE).fetchone()
    if (oldest, newest) != (1, size):
        raise StoreCorruptError(f"{database.path}: the log has {size} rows for positions {oldest} to {newest}")
    ended = dict.fromkeys((DELIVERED, FILTERED, SUPERSEDED), 0)
    ends = iter(database.execute(query.ENDS, (number, number)))
    for position, codes in _settlements(database, cursor, number):
        for code in ended:
            ended[code] += codes.count(code)
        for code in _ends_of(codes, position, ends, cursor.target):
            if code != STILL_OPEN:
                ended[code] += 1
    surplus = next(ends, None)
    if surplus is not None:
        raise _broken(cursor.target, f"position {surplus[0]} has an end or is open, but no open code")
    return _counts(database, cursor, number, newest, tuple(ended.values()))


def _settlements(database: Database, cursor: Cursor, number: int) -> Iterator[tuple[int, bytes]]:
    """Yield all settlements, and check that they cover (start, position] exactly once."""
    covered = cursor.start
    for position, codes in database.execute(query.SETTLEMENTS, (number,)):
        if position != covered:
            raise _broken(cursor.target, f"settlements cover up to {covered}, the next one begins at {position}")
        covered += len(codes)
        yield position, codes
    if covered != cursor.position:
        raise _broken(cursor.target, f"settlements cover up to {covered}, the cursor is at {cursor.position}")


def _ends_of(codes: bytes, position: int, ends: Iterator[tuple[int, int]], target: str) -> Iterator[int]:
    """Yield what became of each position that a settlement left open."""
    at = codes.find(OPEN)
    while at >= 0:
        seq = position + at + 1
        found = next(ends, None)
        if found is None or found[0] != seq:
            other = "" if found is None else f" (the next one is {found[0]})"
            raise _broken(target, f"position {seq} was left open, but is neither open nor ended{other}")
        yield found[1]
        at = codes.find(OPEN, at + 1)


def _counts(database: Database, cursor: Cursor, number: int, newest: int, ended: tuple[int, ...]) -> Counts:
    # What is sent again to others becomes filtered when the cursor passes it; until then nothing waits because of it.
    newest -= database.execute(query.OTHERS_ABOVE, (cursor.position, cursor.target)).fetchone()[0]
    states = dict(database.execute(query.OPEN_STATES, (number,)))
    delivered, filtered, superseded = ended
    return Counts(
        committed=newest - cursor.start,
        delivered=delivered,
        filtered=filtered,
        superseded=superseded,
        dead=states.get("dead", 0) + states.get("discarded", 0),
        parked=states.get("parked", 0),
        pending=newest - cursor.position + states.get("retrying", 0) + states.get("pending", 0),
    )


def _broken(target: str, what: str) -> StoreCorruptError:
    return StoreCorruptError(f"target {target}: the ledger's rows do not fit: {what}; restore a copy of the store")
