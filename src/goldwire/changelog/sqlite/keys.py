"""Match keys inside one ingest transaction: their rows as they are read and written; `changelog.match_keys` has the rules."""

from __future__ import annotations

from collections.abc import Collection

from goldwire.changelog.match_keys import KeyHolder, KeyRow, KeyWrites, book, holder_changes, touched_keys
from goldwire.changelog.sqlite import queries as query
from goldwire.changelog.sqlite.heads import Heads
from goldwire.changelog.sqlite.transaction import Database
from goldwire.mastering.workspace import KeyOwner


class MatchKeys:
    """What one ingest transaction knows of match keys."""

    def __init__(self, database: Database, heads: Heads) -> None:
        self._database = database
        self._heads = heads
        self._rows: dict[bytes, KeyRow | None] = {}

    def owners(self, keys: Collection[bytes]) -> dict[bytes, KeyOwner]:
        """Return who has these keys, as far as it was written."""
        self._load(keys)
        rows = self._rows
        return {key: KeyOwner(row.records, row.entity_id) for key in keys if (row := rows[key]) is not None}

    def write(self, records: Collection[tuple[int, KeyHolder, KeyHolder]]) -> None:
        """Write what changed about the keys of records that are written already.

        Args:
            records: each with its number, how it was, and how it is.
        """
        if not records:
            return
        changes = holder_changes(records)
        touched = touched_keys(changes)
        self._load(touched)
        self._apply(book(self._rows, touched, changes))

    def _apply(self, writes: KeyWrites) -> None:
        run = self._database.executemany
        run(query.DELETE_LINK, sorted(writes.unlinks))
        run(query.INSERT_LINK, sorted(writes.links))
        for key in writes.in_doubt:
            self._look_up_lowest(key)
        gone: list[tuple[bytes]] = []
        held: list[tuple[bytes, KeyRow]] = []
        for key in sorted(writes.save):
            row = self._rows[key]
            if row is None:
                gone.append((key,))
            else:
                held.append((key, row))
        numbers = self._heads.numbers({row.entity_id for _, row in held})
        run(query.DELETE_KEY, gone)
        run(query.SAVE_KEY, [(key, row.records, numbers[row.entity_id], row.first_no) for key, row in held])

    def _look_up_lowest(self, key: bytes) -> None:
        row = self._rows[key]
        if row is not None:
            row.entity_id = self._database.execute(query.LOWEST_OWNER, (key, row.first_no)).fetchone()[0]

    def _load(self, keys: Collection[bytes]) -> None:
        wanted = [key for key in keys if key not in self._rows]
        self._rows.update(dict.fromkeys(wanted))
        for key, count, entity_id, first_no in self._database.each(query.KEY_OWNERS, (), wanted):
            self._rows[key] = KeyRow(count, entity_id, first_no)
