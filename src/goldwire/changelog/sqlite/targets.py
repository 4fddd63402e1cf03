"""Targets: their cursors, their control rows, and the rewind of a cursor."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple, cast

from goldwire.changelog.checksums import control_checksum, damaged_control_row
from goldwire.changelog.rows import DELIVERED, FILTERED, SUPERSEDED, Control, Cursor, Mode, Start
from goldwire.changelog.rules import fence
from goldwire.changelog.sqlite import queries as query
from goldwire.changelog.sqlite.entities import EntityNumbers, Part, slot
from goldwire.changelog.sqlite.lock import TargetLocks
from goldwire.changelog.sqlite.transaction import Database
from goldwire.clock import timestamp
from goldwire.errors import InputError, StoreCorruptError

_control = cast("Callable[[tuple[Any, ...]], Control]", partial(tuple.__new__, Control))  # half the time of `_make`

PAGE = 500
"""How many rows a streamed answer holds in memory."""


class KnownTarget(NamedTuple):
    """A target as a transaction finds it."""

    cursor: Cursor
    no: int


def find_target(database: Database, target: str) -> KnownTarget | None:
    """Return where a target stands, None when it was never acquired. Runs inside a transaction."""
    row = database.execute(query.CURSOR, (target,)).fetchone()
    return None if row is None else KnownTarget(Cursor._make(row[:-1]), row[-1])


def known_target(database: Database, target: str) -> KnownTarget:
    """Return where a target stands. Runs inside a transaction.

    Raises:
        InputError: it was never acquired.
    """
    found = find_target(database, target)
    if found is None:
        names = ", ".join(row[0] for row in database.execute(query.CURSORS)) or "none"
        raise InputError(f"target {target}: never ran on this store (known: {names}): mend the name, or run it first")
    return found


def controls_of(database: Database, target: KnownTarget, numbers: Mapping[str, int]) -> dict[str, Control]:
    """Return a target's control rows of these entities, given with their numbers. Runs inside a transaction.

    Raises:
        StoreCorruptError: a row is not what was written.
    """
    lowest = slot(target.no)
    slots = {lowest + no: entity_id for entity_id, no in numbers.items()}
    rows = database.each(query.CONTROLS, (), slots)
    return {(entity_id := slots[row[0]]): _control_row(database.path, target.cursor.target, entity_id, row) for row in rows}


def _control_row(path: str, target: str, entity_id: str, found: tuple[Any, ...]) -> Control:
    """Return a control row from its columns, as `queries.CONTROL_COLUMNS` lists them."""
    row = found[:11]
    if control_checksum(row) != found[11]:
        raise damaged_control_row(path, target, entity_id)
    return _control((entity_id, *row[1:]))


class SqliteTargets(Part):
    """The part of the store that knows where each target stands, and what it was last sent."""

    def __init__(self, database: Database, numbers: EntityNumbers) -> None:
        super().__init__(database, numbers)
        self._locks = TargetLocks(database.path)

    def lock_target(self, target: str, note: bytes = b"") -> AbstractContextManager[None]:
        """See `Store.lock_target`."""
        return self._locks.hold(target, note)

    def target_note(self, target: str) -> bytes | None:
        """See `Store.target_note`."""
        return self._locks.note(target)

    def acquire(self, target: str, start: Start) -> Cursor:
        """See `Store.acquire`."""
        database = self._database
        with database.writing("acquire"):
            found = find_target(database, target)
            if found is None:
                newest = database.execute(query.NEWEST_POSITION).fetchone()[0]
                begin = newest if start == "now" else 0
                bound = 0 if start == "beginning" else newest
                database.execute(query.INSERT_CURSOR, (target, begin, begin, begin, bound))
            else:
                database.execute(query.RAISE_EPOCH, (found.no,))
            return known_target(database, target).cursor

    def cursors(self) -> list[Cursor]:
        """See `Store.cursors`."""
        with self._database.reading():
            return [Cursor._make(row) for row in self._database.execute(query.CURSORS)]

    def cursor(self, target: str) -> Cursor | None:
        """See `Deliveries.cursor`."""
        with self._database.reading():
            found = find_target(self._database, target)
        return None if found is None else found.cursor

    def declare(self, target: str, epoch: int, bound: int, mode: Mode, reach: int | None = None) -> None:
        """See `Store.declare`."""
        with self._database.writing("declare"):
            found = known_target(self._database, target)
            fence(found.cursor, epoch)
            reach = bound if reach is None else reach
            if reach > max(bound, found.cursor.bound):
                raise StoreCorruptError(f"target {target}: position {reach} was declared, beyond its window's end at {bound}")
            self._database.execute(query.DECLARE, (bound, mode, reach, found.no))

    def release(self, target: str, epoch: int) -> None:
        """See `Store.release`."""
        with self._database.writing("release"):
            found = known_target(self._database, target)
            fence(found.cursor, epoch)
            self._database.execute(query.RELEASE, (found.no,))

    def note_unopened(self, target: str, epoch: int, reason: str | None, now: float) -> None:
        """See `Store.note_unopened`."""
        with self._database.writing("note-unopened"):
            found = known_target(self._database, target)
            fence(found.cursor, epoch)
            since = None if reason is None else found.cursor.unopened_since or timestamp(now)
            self._database.execute(query.UNOPENED, (reason, since, found.no))

    def note_loss(self, target: str, epoch: int, reason: str, now: float) -> None:
        """See `Store.note_loss`."""
        with self._database.writing("note-loss"):
            found = known_target(self._database, target)
            fence(found.cursor, epoch)
            self._database.execute(query.LOSS, (reason, timestamp(now), found.no))

    def stop(self, target: str, reason: str | None) -> None:
        """See `Store.stop`."""
        with self._database.writing("stop"):
            self._database.execute(query.STOP, (reason, known_target(self._database, target).no))

    def controls(self, target: str, entity_ids: Collection[str]) -> dict[str, Control]:
        """See `Store.controls`."""
        database = self._database
        with database.reading():
            found = find_target(database, target)
            return {} if found is None else controls_of(database, found, self._numbers.of(entity_ids))

    def all_controls(self, target: str) -> Iterator[Control]:
        """See `Store.all_controls`; read page by page, so a row may be newer than the moment of the call."""
        database = self._database
        after = ""
        while True:
            with database.reading():
                found = find_target(database, target)
                if found is None:
                    return
                page = database.execute(query.ALL_CONTROLS, (slot(found.no), after, PAGE)).fetchall()
            yield from [_control_row(database.path, target, row[12], row) for row in page]
            if len(page) < PAGE:
                return
            after = page[-1][12]

    def rewind(self, target: str, position: int) -> None:
        """See `Store.rewind`.

        Raises:
            InputError: also when the position lies before the target's start, or ahead of its cursor.
        """
        database = self._database
        with database.writing("rewind"):
            (cursor, number) = known_target(database, target)
            if not cursor.start <= position <= cursor.position:
                raise InputError(
                    f"target {target}: position {position} lies outside {cursor.start} to {cursor.position}, where it has been"
                )
            unclear = database.execute(query.UNCLEAR_ABOVE, (number, position)).fetchone()[0]
            if unclear:
                raise InputError(
                    f"target {target}: {unclear} deliveries above position {position} may have arrived without an answer; "
                    "let the target run until they have ended (redrive or discard the dead ones), then rewind"
                )
            span = (number, position, cursor.position, cursor.reach)
            overtaken = database.execute(query.DISCARDED_BEFORE_UNCLEAR, span).fetchone()[0]
            if overtaken:
                raise InputError(
                    f"target {target}: {overtaken} discarded deliveries above position {position} would come back while newer "
                    "ones of their entities may have arrived without being settled; let the target run until it has caught "
                    "up, then rewind"
                )
            codes = _withdraw_settlements(database, number, position)
            ends = dict(database.execute(query.CLOSINGS_ABOVE, (number, position)))
            database.execute(query.DELETE_CLOSINGS, (number, position))
            database.execute(query.DELETE_OPEN_ABOVE, (number, position))
            database.checkpoint("rewind:after-withdrawal")
            withdrawn = [codes.get(code, 0) + ends.get(code, 0) for code in (DELIVERED, FILTERED, SUPERSEDED)]
            database.execute(query.REWIND, (position, *withdrawn, number))


def _withdraw_settlements(database: Database, number: int, position: int) -> dict[int, int]:
    """Remove all codes above a position; return how many there were of each."""
    withdrawn = dict.fromkeys((DELIVERED, FILTERED, SUPERSEDED), 0)
    for begin, codes in database.execute(query.SETTLEMENTS_ABOVE, (number, position)).fetchall():
        keep = max(0, position - begin)
        for code in withdrawn:
            withdrawn[code] += codes[keep:].count(code)
        if keep:
            database.execute(query.CUT_SETTLEMENT, (codes[:keep], number, begin))
    database.execute(query.DELETE_SETTLEMENTS, (number, position))
    return withdrawn
