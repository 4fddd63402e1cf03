"""Read the log: stretches, single rows, histories and heads."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from goldwire.changelog.checksums import damaged_record, record_checksum
from goldwire.changelog.rows import LogRow
from goldwire.changelog.sqlite import queries as query
from goldwire.changelog.sqlite.entities import Part
from goldwire.changelog.sqlite.log_rows import log_rows

SCAN_LIMIT = 65_536
"""How many positions one `read_latest` looks at, so that one settlement of superseded ones stays small."""

PAGE = 500
"""How many rows a streamed answer holds in memory."""


class SqliteLog(Part):
    """The part of the store that reads committed versions."""

    def position(self) -> int:
        """See `Store.position`."""
        with self._database.reading():
            return self._newest()

    def read(self, after: int, upto: int, limit: int) -> list[LogRow]:
        """See `Store.read`."""
        with self._database.reading():
            return self._rows(self._database.execute(query.READ, (after, upto, limit)).fetchall())

    def read_latest(self, target: str, after: int, upto: int, horizon: int, limit: int) -> tuple[list[LogRow], int]:
        """See `Store.read_latest`; one call looks at no more than `SCAN_LIMIT` positions."""
        with self._database.reading():
            upto = max(after, min(upto, after + SCAN_LIMIT, self._newest()))
            found = self._rows(self._database.execute(query.READ_LATEST, (after, upto, horizon, target, limit)).fetchall())
        return found, found[-1].seq if 0 < limit == len(found) else upto

    def rows(self, seqs: Collection[int]) -> dict[int, LogRow]:
        """See `Store.rows`."""
        with self._database.reading():
            return {row.seq: row for row in self._rows(self._database.each(query.ROWS, (), seqs))}

    def versions(self, wanted: Collection[tuple[str, int]]) -> dict[tuple[str, int], LogRow]:
        """See `Store.versions`."""
        found: dict[tuple[str, int], LogRow] = {}
        execute = self._database.execute
        with self._database.reading():
            numbers = self._numbers.of({entity_id for entity_id, _ in wanted})
            for pair in wanted:
                number = numbers.get(pair[0])
                row = None if number is None else execute(query.VERSION, (number, pair[1])).fetchone()
                if row is not None:
                    [found[pair]] = log_rows(self._database.path, [row])
        return found

    def history(self, entity_id: str) -> list[LogRow]:
        """See `Store.history`."""
        with self._database.reading():
            return log_rows(self._database.path, self._database.execute(query.HISTORY, (entity_id,)))

    def find_entity(self, system: str, external_id: str) -> str | None:
        """See `Store.find_entity`."""
        with self._database.reading():
            row = self._database.execute(query.FIND_RECORD, (system, external_id)).fetchone()
        if row is None:
            return None
        if row[7] is not None and record_checksum(row[:7]) != row[7]:
            raise damaged_record(self._database.path, system, external_id)
        return None if row[8] is None else str(row[8])

    def heads(self, entity_type: str | None = None) -> Iterator[LogRow]:
        """See `Store.heads`; read page by page, so a head may be newer than the moment of the call."""
        after = ""
        while True:
            with self._database.reading():
                if entity_type is None:
                    page = self._database.execute(query.HEADS, (after, PAGE)).fetchall()
                else:
                    page = self._database.execute(query.HEADS_OF_TYPE, (after, entity_type, PAGE)).fetchall()
            yield from log_rows(self._database.path, page)
            if len(page) < PAGE:
                return
            after = page[-1][1]

    def head_page(self, after: str, limit: int) -> list[LogRow]:
        """See `Log.head_page`."""
        with self._database.reading():
            return log_rows(self._database.path, self._database.execute(query.HEADS, (after, limit)))

    def heads_of(self, entity_ids: Collection[str]) -> list[LogRow]:
        """See `Log.heads_of`."""
        with self._database.reading():
            return log_rows(self._database.path, self._database.each(query.HEADS_OF, (), entity_ids))

    def _newest(self) -> int:
        return int(self._database.execute(query.NEWEST_POSITION).fetchone()[0])

    def _rows(self, found: list[tuple[Any, ...]]) -> list[LogRow]:
        """Make rows, and keep the entity numbers that stand behind their columns."""
        rows = log_rows(self._database.path, found)
        self._numbers.remember({row[1]: row[11] for row in found})
        return rows
