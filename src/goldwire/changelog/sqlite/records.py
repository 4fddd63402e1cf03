"""Records and match keys inside one ingest transaction: kept in memory, and written once, sorted, before it ends.

Mastering may save a record and its keys in any order and more than once; what is written is the last word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec import Struct

from goldwire.capture.fact import ExternalId
from goldwire.changelog.checksums import damaged_record, record_checksum
from goldwire.changelog.match_keys import KEY_BYTES, KeyHolder
from goldwire.changelog.sqlite import queries as query
from goldwire.changelog.sqlite.heads import Heads
from goldwire.changelog.sqlite.keys import MatchKeys
from goldwire.changelog.sqlite.transaction import Database
from goldwire.mastering.workspace import KeyOwner, StoredRecord
from goldwire.redaction import shows

_Row = tuple[str, str, str, str | None, bytes, int, bytes, int | None, int | None]
"""The columns of `queries.RECORDS`."""


@shows("no", "entity_id", "entity_type")
class _Known(Struct, gc=False):
    """One record as the database has it and as it shall be."""

    no: int
    """0: not in the database."""
    had_entity: str | None = None
    had_keys: bytes = b""
    had_body: bytes | None = None
    had_type: str = ""
    entity_id: str | None = None
    keys: bytes = b""
    body: bytes = b""
    entity_type: str = ""


class Records:
    """What one ingest transaction knows of records, and what it will write."""

    def __init__(self, database: Database, heads: Heads) -> None:
        self._database = database
        self._heads = heads
        self._known: dict[ExternalId, _Known] = {}
        self._dirty: dict[ExternalId, _Known] = {}
        self._match_keys = MatchKeys(database, heads)
        self._newest_no: int | None = None

    def get(self, refs: Collection[ExternalId]) -> dict[ExternalId, StoredRecord]:
        """Return records as far as they exist, with what was saved in this transaction."""
        self._load(refs)
        known = self._known
        return {
            ref: StoredRecord(ref, found.entity_type, found.entity_id, found.body)
            for ref in refs
            if (found := known[ref]).entity_id is not None
        }

    def of_entities(self, entity_ids: Collection[str]) -> dict[str, list[StoredRecord]]:
        """Return all records of these entities, sorted by ref."""
        self.flush()
        found: dict[str, list[StoredRecord]] = {}
        for row in self._database.each(query.RECORDS_OF, (), entity_ids):
            ref = ExternalId(row[0], row[1])
            self._remember(ref, row)
            found.setdefault(row[3], []).append(StoredRecord(ref, row[2], row[3], row[4]))
        for records in found.values():
            records.sort(key=lambda record: record.ref)
        return found

    def save(self, records: Iterable[StoredRecord]) -> None:
        """Insert or replace, when the transaction ends."""
        listed = list(records)
        self._load([record.ref for record in listed])
        for ref, entity_type, entity_id, body in listed:
            known = self._known[ref]
            known.entity_id, known.entity_type, known.body = entity_id, entity_type, body
            self._dirty[ref] = known

    def replace_keys(self, keys: Iterable[tuple[ExternalId, Collection[bytes]]]) -> None:
        """Make these the keys of these records, when the transaction ends."""
        listed = list(keys)
        self._load([ref for ref, _ in listed])
        for ref, of_record in listed:
            packed = b"".join(sorted(set(of_record)))
            assert all(len(key) == KEY_BYTES for key in of_record), f"a match key of {ref} has not {KEY_BYTES} bytes"
            known = self._known[ref]
            if known.keys != packed:
                known.keys = packed
                self._dirty[ref] = known

    def key_owners(self, keys: Collection[bytes]) -> dict[bytes, KeyOwner]:
        """Return who has these keys."""
        self.flush()
        return self._match_keys.owners(keys)

    def flush(self) -> None:
        """Write what was saved."""
        if not self._dirty:
            return
        changed, self._dirty = self._dirty, {}
        numbers = self._heads.name(
            {known.entity_id: known.entity_type for known in changed.values() if known.entity_id is not None}
        )
        insert: list[tuple[int, str, str, int | None, str, bytes, bytes, int]] = []
        update: list[tuple[str, bytes, bytes, int | None, int]] = []
        move: list[tuple[int | None, int, int]] = []
        for ref, known in changed.items():
            number = None if known.entity_id is None else numbers[known.entity_id]
            if known.no == 0:
                known.no = self._next_no()
                row = (known.no, ref.system, ref.id, number, known.entity_type, known.body, known.keys)
                insert.append((*row, record_checksum(row)))
                continue
            checksum = record_checksum((known.no, *ref, number, known.entity_type, known.body, known.keys))
            moved = known.entity_id != known.had_entity
            if (known.body, known.entity_type, known.keys) != (known.had_body, known.had_type, known.had_keys):
                # Where both statements write the row, the second one brings the checksum of the whole.
                update.append((known.entity_type, known.body, known.keys, None if moved else checksum, known.no))
            if moved:
                move.append((number, checksum, known.no))
        update.sort(key=lambda row: row[4])
        move.sort(key=lambda row: row[2])
        run = self._database.executemany
        run(query.INSERT_RECORD, insert)
        run(query.UPDATE_RECORD, update)
        run(query.MOVE_RECORD, move)
        self._match_keys.write(
            [
                (known.no, KeyHolder(known.had_entity, known.had_keys), KeyHolder(known.entity_id, known.keys))
                for known in changed.values()
                if known.keys != known.had_keys or known.entity_id != known.had_entity
            ]
        )
        for known in changed.values():
            known.had_entity, known.had_keys = known.entity_id, known.keys
            known.had_body, known.had_type = known.body, known.entity_type

    def _load(self, refs: Collection[ExternalId]) -> None:
        known = self._known
        wanted: dict[str, dict[str, ExternalId]] = {}
        for ref in refs:
            if ref not in known:
                wanted.setdefault(ref[0], {})[ref[1]] = ref
        for system, missing in wanted.items():
            for row in self._database.each(query.RECORDS, (system,), missing):
                self._remember(missing.pop(row[1]), row)
            for ref in missing.values():
                known[ref] = _Known(0)

    def _remember(self, ref: ExternalId, row: _Row) -> None:
        if ref not in self._known:
            system, external_id, entity_type, entity_id, body, no, keys, number, checksum = row
            if checksum is not None and record_checksum((no, system, external_id, number, entity_type, body, keys)) != checksum:
                raise damaged_record(self._database.path, system, external_id)
            self._known[ref] = _Known(no, entity_id, keys, body, entity_type, entity_id, keys, body, entity_type)

    def _next_no(self) -> int:
        if self._newest_no is None:
            self._newest_no = self._database.execute(query.NEWEST_RECORD_NO).fetchone()[0]
        self._newest_no += 1
        return self._newest_no
