"""A workspace in memory: what mastering needs of a store, as plain dictionaries, for tests and the simulation."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from goldwire.capture.fact import ExternalId
from goldwire.errors import StoreCorruptError
from goldwire.mastering.workspace import Change, KeyOwner, Living, StoredEntity, StoredRecord

ENTITY_KEY = b"entity-ids-that-a-test-repeats!!"
"""For stores whose ids must be the same each time."""


class MemoryWorkspace:
    """Keeps everything. It has no transaction, so use a fresh one after a batch that raised.

    Args:
        entity_key: what ids of entities are made with; always the same unless given, so that a test can name one.
    """

    def __init__(self, entity_key: bytes = ENTITY_KEY) -> None:
        self._entity_key = entity_key
        self.stored_records: dict[ExternalId, StoredRecord] = {}
        self.heads: dict[str, StoredEntity] = {}
        self.log: list[Change] = []
        """Every committed change, in order."""
        self.pairs: set[tuple[str, str]] = set()
        self.done: set[bytes] = set()
        self.taken: list[tuple[str, int, int, int, int, int]] = []
        """Decisions that were carried out."""
        self.calls: dict[str, int] = {}
        """How often each method was called: a batch must take a handful, whatever its size."""
        self._keys: dict[ExternalId, frozenset[bytes]] = {}
        self._holders: dict[bytes, set[ExternalId]] = {}
        self._members: dict[str, set[ExternalId]] = {}

    def entity_key(self) -> bytes:
        """See `Workspace.entity_key`."""
        self._called("entity_key")
        return self._entity_key

    def records(self, refs: Collection[ExternalId]) -> dict[ExternalId, StoredRecord]:
        """See `Workspace.records`."""
        self._called("records")
        return {ref: self.stored_records[ref] for ref in refs if ref in self.stored_records}

    def records_of(self, entity_ids: Collection[str]) -> dict[str, list[StoredRecord]]:
        """See `Workspace.records_of`."""
        self._called("records_of")
        return {
            entity_id: [self.stored_records[ref] for ref in sorted(self._members[entity_id])]
            for entity_id in entity_ids
            if self._members.get(entity_id)
        }

    def entities(self, entity_ids: Collection[str]) -> dict[str, StoredEntity]:
        """See `Workspace.entities`."""
        self._called("entities")
        return {entity_id: self.heads[entity_id] for entity_id in entity_ids if entity_id in self.heads}

    def living(self, after: int, limit: int) -> list[Living]:
        """See `Workspace.living`."""
        self._called("living")
        found = [
            Living(ordinal, head.entity_id, head.entity_type)
            for ordinal, head in enumerate(self.heads.values(), start=1)
            if ordinal > after and head.kind == "live"
        ]
        return found[:limit]

    def newest_ordinal(self) -> int:
        """See `Workspace.newest_ordinal`."""
        self._called("newest_ordinal")
        return len(self.heads)

    def key_owners(self, keys: Collection[bytes]) -> dict[bytes, KeyOwner]:
        """See `Workspace.key_owners`."""
        self._called("key_owners")
        owners = {}
        for key in keys:
            refs = [ref for ref in self._holders.get(key, ()) if ref in self.stored_records]
            if refs:
                owners[key] = KeyOwner(len(refs), min(self.stored_records[ref].entity_id for ref in refs))
        return owners

    def apart(self, entity_ids: Collection[str]) -> set[tuple[str, str]]:
        """See `Workspace.apart`."""
        self._called("apart")
        wanted = set(entity_ids)
        return {found for found in self.pairs if not wanted.isdisjoint(found)}

    def save_records(self, records: Iterable[StoredRecord]) -> None:
        """See `Workspace.save_records`."""
        self._called("save_records")
        for record in records:
            before = self.stored_records.get(record.ref)
            if before is not None:
                self._members[before.entity_id].discard(record.ref)
            self.stored_records[record.ref] = record
            self._members.setdefault(record.entity_id, set()).add(record.ref)

    def replace_keys(self, keys: Iterable[tuple[ExternalId, Collection[bytes]]]) -> None:
        """See `Workspace.replace_keys`."""
        self._called("replace_keys")
        for ref, of_record in keys:
            for key in self._keys.get(ref, ()):
                self._holders[key].discard(ref)
            self._keys[ref] = frozenset(of_record)
            for key in of_record:
                assert len(key) == 16, "a match key has 16 bytes"
                self._holders.setdefault(key, set()).add(ref)

    def save_apart(self, pairs: Iterable[tuple[str, str]]) -> None:
        """See `Workspace.save_apart`."""
        self._called("save_apart")
        for low, high in pairs:
            assert low < high, "a pair that is held apart names the lower entity id first"
            self.pairs.add((low, high))

    def drop_apart(self, pairs: Iterable[tuple[str, str]]) -> None:
        """See `Workspace.drop_apart`."""
        self._called("drop_apart")
        self.pairs.difference_update(pairs)

    def carried_out(self, decisions: Collection[bytes]) -> set[bytes]:
        """See `Workspace.carried_out`."""
        self._called("carried_out")
        return self.done.intersection(decisions)

    def save_carried_out(self, decisions: Iterable[bytes]) -> None:
        """See `Workspace.save_carried_out`."""
        self._called("save_carried_out")
        self.done.update(decisions)

    def save_steward(self, entity_id: str, steward: bytes) -> None:
        """See `Workspace.save_steward`."""
        self._called("save_steward")
        if entity_id not in self.heads:
            raise StoreCorruptError(f"entity {entity_id} has no version, so nothing can be decided about it")
        self.heads[entity_id] = self.heads[entity_id]._replace(steward=steward)

    def note_intake(self, source: str, *, rows: int, rejected: int, versions: int, merges: int, unmerges: int) -> None:
        """See `Workspace.note_intake`."""
        self._called("note_intake")
        self.taken.append((source, rows, rejected, versions, merges, unmerges))

    def commit_changes(self, changes: Iterable[Change]) -> int:
        """See `Workspace.commit_changes`."""
        self._called("commit_changes")
        count = 0
        for change in changes:
            head = self.heads.get(change.entity_id)
            if change.version != (head.version if head else 0) + 1:
                raise StoreCorruptError(f"entity {change.entity_id}: version {change.version} does not follow")
            self.log.append(change)
            self.heads[change.entity_id] = StoredEntity(
                change.entity_id, change.entity_type, change.version, change.kind, change.merged_into, change.steward,
                change.state,
            )  # fmt: skip
            count += 1
        return count

    def _called(self, method: str) -> None:
        self.calls[method] = self.calls.get(method, 0) + 1
