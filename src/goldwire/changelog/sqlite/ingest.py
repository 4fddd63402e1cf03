"""One ingest transaction: what mastering reads and saves, and the commit that gives positions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

from goldwire.capture.fact import ExternalId
from goldwire.changelog.rows import IntakeTotals
from goldwire.changelog.sqlite import kept_queries as kept_query
from goldwire.changelog.sqlite import queries as query
from goldwire.changelog.sqlite.entities import Part
from goldwire.changelog.sqlite.heads import Heads
from goldwire.changelog.sqlite.records import Records
from goldwire.changelog.sqlite.transaction import Database
from goldwire.clock import timestamp
from goldwire.mastering.workspace import Change, KeyOwner, Living, StoredEntity, StoredRecord


class SqliteWorkspace:
    """A `Workspace` on SQLite; lives as long as its transaction."""

    def __init__(self, database: Database, now: float) -> None:
        self._database = database
        self._now = now
        self.heads = Heads(database, now)
        self._records = Records(database, self.heads)

    def entity_key(self) -> bytes:
        """See `Workspace.entity_key`."""
        return self.heads.entity_key()

    def records(self, refs: Collection[ExternalId]) -> dict[ExternalId, StoredRecord]:
        """See `Workspace.records`."""
        return self._records.get(refs)

    def records_of(self, entity_ids: Collection[str]) -> dict[str, list[StoredRecord]]:
        """See `Workspace.records_of`."""
        return self._records.of_entities(entity_ids)

    def entities(self, entity_ids: Collection[str]) -> dict[str, StoredEntity]:
        """See `Workspace.entities`."""
        return self.heads.get(entity_ids)

    def living(self, after: int, limit: int) -> list[Living]:
        """See `Workspace.living`."""
        return [Living._make(row) for row in self._database.execute(query.LIVING, (after, limit))]

    def newest_ordinal(self) -> int:
        """See `Workspace.newest_ordinal`."""
        return int(self._database.execute(query.NEWEST_ENTITY_NO).fetchone()[0])

    def key_owners(self, keys: Collection[bytes]) -> dict[bytes, KeyOwner]:
        """See `Workspace.key_owners`."""
        return self._records.key_owners(keys)

    def apart(self, entity_ids: Collection[str]) -> set[tuple[str, str]]:
        """See `Workspace.apart`."""
        return set(self._database.each(query.APART, (), entity_ids, times=2))

    def save_records(self, records: Iterable[StoredRecord]) -> None:
        """See `Workspace.save_records`."""
        self._records.save(records)

    def replace_keys(self, keys: Iterable[tuple[ExternalId, Collection[bytes]]]) -> None:
        """See `Workspace.replace_keys`."""
        self._records.replace_keys(keys)

    def save_apart(self, pairs: Iterable[tuple[str, str]]) -> None:
        """See `Workspace.save_apart`."""
        self._database.executemany(query.SAVE_APART, _ordered(pairs))

    def drop_apart(self, pairs: Iterable[tuple[str, str]]) -> None:
        """See `Workspace.drop_apart`."""
        self._database.executemany(query.DROP_APART, _ordered(pairs))

    def carried_out(self, decisions: Collection[bytes]) -> set[bytes]:
        """See `Workspace.carried_out`."""
        return {row[0] for row in self._database.each(query.CARRIED_OUT, (), decisions)}

    def save_carried_out(self, decisions: Iterable[bytes]) -> None:
        """See `Workspace.save_carried_out`."""
        self._database.executemany(query.SAVE_CARRIED_OUT, [(decision,) for decision in sorted(decisions)])

    def save_steward(self, entity_id: str, steward: bytes) -> None:
        """See `Workspace.save_steward`."""
        self.heads.save_steward(entity_id, steward)

    def commit_changes(self, changes: Iterable[Change]) -> int:
        """See `Workspace.commit_changes`."""
        return self.heads.commit(changes)

    def note_intake(self, source: str, *, rows: int, rejected: int, versions: int, merges: int, unmerges: int) -> None:
        """See `Workspace.note_intake`."""
        counts = (rows, rejected, versions, merges, unmerges)
        self._database.execute(kept_query.ADD_INTAKE, (source, *counts, timestamp(self._now)))

    def flush(self) -> None:
        """Write what was only remembered so far."""
        self._records.flush()


class SqliteIngest(Part):
    """The part of the store that takes facts' results in."""

    @contextmanager
    def ingest(self, now: float) -> Iterator[SqliteWorkspace]:
        """See `Store.ingest`."""
        with self._database.writing("ingest"):
            workspace = SqliteWorkspace(self._database, now)
            yield workspace
            workspace.flush()
        # Only what is committed may be remembered: a rolled back number is given again.
        self._numbers.remember(workspace.heads.committed())

    def intake(self) -> list[IntakeTotals]:
        """See `Intakes.intake`."""
        with self._database.reading():
            return [IntakeTotals._make(row) for row in self._database.execute(kept_query.INTAKE)]


def _ordered(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    listed = sorted(pairs)
    assert all(low < high for low, high in listed), "a pair that is held apart names the lower entity id first"
    return listed
