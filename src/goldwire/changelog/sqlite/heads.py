"""Entity heads inside one ingest transaction: numbers, versions, and the append to the log."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from msgspec import Struct

from goldwire.changelog.checksums import damaged_log_row, log_checksum
from goldwire.changelog.resyncs import Resend
from goldwire.changelog.rows import LogRow
from goldwire.changelog.sqlite import queries as query
from goldwire.changelog.sqlite.log_rows import log_rows
from goldwire.changelog.sqlite.transaction import Database
from goldwire.clock import just_after, timestamp
from goldwire.errors import StoreCorruptError
from goldwire.mastering.workspace import Change, StoredEntity


class _Head(Struct, gc=False):
    """Where one entity stands in this transaction."""

    no: int
    """0: has no row."""
    version: int
    """0: has no version."""


class Heads:
    """What one ingest transaction knows of entities."""

    def __init__(self, database: Database, now: float) -> None:
        self._database = database
        self._known: dict[str, _Head] = {}
        row = database.execute(query.NEWEST_ROW).fetchone()
        newest = None if row is None else log_rows(database.path, [row])[0]
        self._seq: int = 0 if newest is None else newest.seq
        # Text order is time order. A clock may stand or go back, but a target sees by this time which of two had a key last.
        self._committed_at: str = timestamp(now) if newest is None else max(timestamp(now), just_after(newest.committed_at))
        self._newest_no: int = database.execute(query.NEWEST_ENTITY_NO).fetchone()[0]

    def entity_key(self) -> bytes:
        """Return what ids of entities are made with."""
        row = self._database.execute(query.ENTITY_KEY).fetchone()
        if row is None:
            raise StoreCorruptError("the store has lost the key that it makes entity ids with: restore a copy of it")
        return bytes(row[0])

    def get(self, entity_ids: Collection[str]) -> dict[str, StoredEntity]:
        """Return heads with their state."""
        found: dict[str, StoredEntity] = {}
        for row in self._database.each(query.ENTITIES, (), entity_ids):
            self._known[row[0]] = _Head(row[7], row[2])
            if row[2]:
                _check_head(self._database.path, row)
                found[row[0]] = StoredEntity._make(row[:7])
        for entity_id in entity_ids:
            if entity_id not in self._known:
                self._known[entity_id] = _Head(0, 0)
        return found

    def numbers(self, entity_ids: Collection[str]) -> dict[str, int]:
        """Return the numbers of entities that have one."""
        self._load(entity_ids)
        return {entity_id: self._known[entity_id].no for entity_id in entity_ids}

    def name(self, entity_types: Mapping[str, str]) -> dict[str, int]:
        """Give a number to each entity that has none; return all numbers.

        Args:
            entity_types: entity id to its type.
        """
        self._load(entity_types)
        new: list[tuple[int, str, str, int, int, str, None, bytes]] = []
        for entity_id, entity_type in entity_types.items():
            head = self._known[entity_id]
            if head.no == 0:
                head.no = self._next_no()
                new.append((head.no, entity_id, entity_type, 0, 0, "live", None, b""))
        self._database.executemany(query.INSERT_ENTITY, new)
        return {entity_id: self._known[entity_id].no for entity_id in entity_types}

    def save_steward(self, entity_id: str, steward: bytes) -> None:
        """Replace the steward part of a head."""
        if self._database.execute(query.UPDATE_STEWARD, (steward, entity_id)).rowcount != 1:
            raise StoreCorruptError(f"entity {entity_id} has no version, so nothing can be decided about it")

    def commit(self, changes: Iterable[Change]) -> int:
        """Append versions and move the heads."""
        listed = list(changes)
        self._load([change.entity_id for change in listed])
        rows: list[tuple[int, str, str, int, str, str, str, bytes, str, str | None, None, int, int]] = []
        last: dict[str, tuple[int, Change]] = {}
        new: list[str] = []
        for change in listed:
            head = self._known[change.entity_id]
            if change.version != head.version + 1:
                raise StoreCorruptError(
                    f"entity {change.entity_id}: version {change.version} does not follow version {head.version}"
                )
            if head.no == 0:
                head.no = self._next_no()
                new.append(change.entity_id)
            head.version = change.version
            self._seq += 1
            last[change.entity_id] = (self._seq, change)
            row = (
                self._seq, change.entity_id, change.entity_type, change.version, change.kind, self._committed_at,
                change.correlation_id, change.state, change.changed, change.merged_into, None,
            )  # fmt: skip
            rows.append((*row, head.no, log_checksum(row, head.no)))
        self._database.executemany(query.INSERT_LOG, rows)
        self._database.checkpoint("ingest:after-log")
        self._move(last, new)
        return len(rows)

    def append(self, wanted: Iterable[Resend], addressed_to: str, correlation_id: str) -> int:
        """Append the newest state of entities once more, addressed to one target; leave out those that moved on meanwhile.

        Returns:
            how many were appended.
        """
        listed = list(wanted)
        found = self._database.each(query.HEADS_OF, (), [one.entity_id for one in listed])
        numbers: dict[str, int] = {}
        newest: dict[str, LogRow] = {}
        for columns in found:
            [row] = log_rows(self._database.path, [columns])
            newest[row.entity_id], numbers[row.entity_id] = row, columns[11]
        rows = []
        for one in listed:
            head = newest.get(one.entity_id)
            if head is None or head.version != one.judged:
                continue
            self._seq += 1
            row = head._replace(
                seq=self._seq, version=max(head.version, one.held) + 1, committed_at=self._committed_at,
                correlation_id=correlation_id, addressed_to=addressed_to,
            )  # fmt: skip
            number = numbers[one.entity_id]
            rows.append((*row, number, log_checksum(row, number)))
            moved = self._database.execute(query.MOVE_ENTITY, (row.version, row.seq, number, head.version)).rowcount
            assert moved == 1, "the head was read in this transaction"
        self._database.executemany(query.INSERT_LOG, rows)
        return len(rows)

    def committed(self) -> list[tuple[str, int]]:
        """Return the numbers that are worth remembering once this is committed."""
        return [(entity_id, head.no) for entity_id, head in self._known.items() if head.no]

    def _move(self, last: dict[str, tuple[int, Change]], new: list[str]) -> None:
        inserts = []
        for entity_id in new:
            seq, change = last.pop(entity_id)
            number = self._known[entity_id].no
            inserts.append(
                (
                    number, entity_id, change.entity_type, change.version, seq, change.kind, change.merged_into,
                    change.steward,
                )
            )  # fmt: skip
        updates = [
            (
                change.entity_type,
                change.version,
                seq,
                change.kind,
                change.merged_into,
                change.steward,
                self._known[entity_id].no,
            )
            for entity_id, (seq, change) in last.items()
        ]
        updates.sort(key=lambda row: row[6])
        self._database.executemany(query.INSERT_ENTITY, inserts)
        self._database.executemany(query.UPDATE_ENTITY, updates)

    def _load(self, entity_ids: Collection[str]) -> None:
        wanted = {entity_id for entity_id in entity_ids if entity_id not in self._known}
        if not wanted:
            return
        for entity_id, no, version in self._database.each(query.ENTITY_VERSIONS, (), wanted):
            self._known[entity_id] = _Head(no, version)
        for entity_id in wanted:
            self._known.setdefault(entity_id, _Head(0, 0))

    def _next_no(self) -> int:
        self._newest_no += 1
        return self._newest_no


def _check_head(path: str, row: tuple[Any, ...]) -> None:
    """Hold a head, with the state it stands for, against the checksum of its row in the log: both say the same.

    Raises:
        StoreCorruptError: one of the two is not what was written.
    """
    entity_id, entity_type, version, kind, merged_into, _, state, no, seq, *of_log, checksum = row
    committed_at, correlation_id, changed, addressed_to = of_log
    written = (
        seq, entity_id, entity_type, version, kind, committed_at, correlation_id, state, changed, merged_into, addressed_to,
    )  # fmt: skip
    if log_checksum(written, no) != checksum:
        raise damaged_log_row(path, seq, entity_id, version)
