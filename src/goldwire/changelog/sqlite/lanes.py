"""Open deliveries: lanes, what is due, dead letters, redrive and discard."""

from __future__ import annotations

from collections.abc import Collection

from goldwire.changelog.rows import OpenDelivery
from goldwire.changelog.rules import ordered
from goldwire.changelog.sqlite import queries as query
from goldwire.changelog.sqlite.entities import Part
from goldwire.changelog.sqlite.lane_rows import lanes_of, open_row, update_open
from goldwire.changelog.sqlite.targets import find_target, known_target


class SqliteLanes(Part):
    """The part of the store that knows what has not ended."""

    def lanes(self, target: str, entity_ids: Collection[str]) -> dict[str, list[OpenDelivery]]:
        """See `Store.lanes`."""
        database = self._database
        with database.reading():
            found = find_target(database, target)
            if found is None or database.execute(query.ANY_OPEN, (found.no,)).fetchone() is None:
                return {}
            return lanes_of(database, found.no, entity_ids)

    def due(self, target: str, now: float, limit: int) -> list[OpenDelivery]:
        """See `Store.due`."""
        database = self._database
        with database.reading():
            found = find_target(database, target)
            return [] if found is None else [open_row(row) for row in database.execute(query.DUE, (found.no, now, limit))]

    def next_due(self, target: str) -> float | None:
        """See `Store.next_due`."""
        database = self._database
        with database.reading():
            found = find_target(database, target)
            row = None if found is None else database.execute(query.NEXT_DUE, (found.no,)).fetchone()
            return None if row is None else float(row[0])

    def dead_letters(self, target: str | None = None, limit: int = 1000) -> list[tuple[str, OpenDelivery]]:
        """See `Store.dead_letters`."""
        database = self._database
        with database.reading():
            if target is None:
                rows = database.execute(query.DEAD_LETTERS, (limit,))
            else:
                rows = database.execute(query.DEAD_LETTERS_OF, (target, limit))
            return [(row[0], open_row(row[1:])) for row in rows]

    def dead_letter(self, target: str, seq: int) -> OpenDelivery | None:
        """See `Deliveries.dead_letter`."""
        database = self._database
        with database.reading():
            found = find_target(database, target)
            row = None if found is None else database.execute(query.DEAD_LETTER, (found.no, seq)).fetchone()
        return None if row is None else open_row(row)

    def redrive(self, target: str, seqs: Collection[int], now: float) -> int:
        """See `Store.redrive`; a letter behind one that is still dead becomes `parked`, behind a retrying one `pending`."""
        with self._database.writing("redrive"):
            return self._change(target, seqs, now, redriven=True)

    def discard(self, target: str, seqs: Collection[int], now: float) -> int:
        """See `Store.discard`."""
        with self._database.writing("discard"):
            return self._change(target, seqs, now, redriven=False)

    def _change(self, target: str, seqs: Collection[int], now: float, *, redriven: bool) -> int:
        database = self._database
        number = known_target(database, target).no
        letters = [row for row in map(open_row, database.each(query.OPEN_BY_SEQ, (number,), seqs)) if row.state == "dead"]
        if redriven:
            letters = [row._replace(state="retrying", strikes=0, due_at=now) for row in letters]
        else:
            letters = [row._replace(state="discarded") for row in letters]
        letters = list({row.seq: row for row in letters}.values())
        update_open(database, target, number, letters)
        for lane in lanes_of(database, number, {row.entity_id for row in letters}).values():
            update_open(database, target, number, ordered(lane, now))
        return len(letters)
