"""What mastering needs of a store, inside one transaction. The changelog's engines implement it.

Everything is asked for and saved in batches: one ingest batch is a handful of statements, whatever its size.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from goldwire.capture.fact import ExternalId
from goldwire.redaction import shows

ChangeKind = Literal["live", "deleted", "merged", "erased"]
"""`live`: the record exists at this version; the others are the tombstones of wire.md."""


@shows("ref", "entity_type", "entity_id")
class StoredRecord(NamedTuple):
    """What one system has said of one record so far; `body` belongs to mastering; the store does not read it."""

    ref: ExternalId
    entity_type: str
    entity_id: str
    body: bytes


@shows("entity_id", "entity_type", "version", "kind")
class StoredEntity(NamedTuple):
    """The head of one entity. `steward` belongs to mastering (overrides, approval); the store does not read it."""

    entity_id: str
    entity_type: str
    version: int
    kind: ChangeKind
    merged_into: str | None
    steward: bytes
    state: bytes
    """The golden state at `version`."""


class Living(NamedTuple):
    """An entity that lives, and its number in the order in which entities were first met (1 and up, with gaps)."""

    ordinal: int
    entity_id: str
    entity_type: str


class KeyOwner(NamedTuple):
    """The owners of a match key: how many records, and one entity among theirs (the lowest entity id)."""

    count: int  # type: ignore[assignment]  # shadows tuple.count, which no caller uses here
    entity_id: str


@shows("entity_id", "entity_type", "version", "kind", "changed")
class Change(Struct, gc=False):
    """One new version of one entity, to be committed. The store gives it its position and its time."""

    entity_id: str
    entity_type: str
    version: int
    kind: ChangeKind
    state: bytes
    """The full golden state (`goldwire.mastering.golden`), canonical JSON."""
    changed: str
    """Names of the attributes that changed, sorted, joined by commas; `@edges`, `@approval`, `@status`, `@ids` for the rest."""
    correlation_id: str
    steward: bytes
    merged_into: str | None = None


class Workspace(Protocol):
    """One ingest transaction: reads see what was saved before in the same transaction."""

    def entity_key(self) -> bytes:
        """The store's own secret, 32 random bytes made when it was created: ids of new entities are made with it.

        Raises:
            StoreCorruptError: it is gone. Mastering must create no entity then: a record could get a second id.
        """
        ...

    def records(self, refs: Collection[ExternalId]) -> dict[ExternalId, StoredRecord]:
        """The records of these external ids, as far as they exist."""
        ...

    def records_of(self, entity_ids: Collection[str]) -> dict[str, list[StoredRecord]]:
        """All records of these entities, each list sorted by ref."""
        ...

    def entities(self, entity_ids: Collection[str]) -> dict[str, StoredEntity]:
        """The heads of these entities with their state, as far as they exist."""
        ...

    def living(self, after: int, limit: int) -> list[Living]:
        """Entities that live, in the order in which they were first met, at most `limit`.

        Args:
            after: the ordinal of the last one that is known; 0 begins.
            limit: how many.
        """
        ...

    def newest_ordinal(self) -> int:
        """The ordinal of the entity that was first met last; 0 where there is none."""
        ...

    def key_owners(self, keys: Collection[bytes]) -> dict[bytes, KeyOwner]:
        """The owners of these match keys (16 bytes each), where there are any."""
        ...

    def apart(self, entity_ids: Collection[str]) -> set[tuple[str, str]]:
        """Pairs of entities, lower id first, that a steward holds apart and that touch one of these."""
        ...

    def save_records(self, records: Iterable[StoredRecord]) -> None:
        """Insert or replace."""
        ...

    def replace_keys(self, keys: Iterable[tuple[ExternalId, Collection[bytes]]]) -> None:
        """Make these the match keys of these records; earlier ones are dropped."""
        ...

    def save_apart(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Hold these pairs of entities apart (lower id first)."""
        ...

    def drop_apart(self, pairs: Iterable[tuple[str, str]]) -> None:
        """No longer hold these apart: a steward merged them."""
        ...

    def carried_out(self, decisions: Collection[bytes]) -> set[bytes]:
        """Those of these decisions (16 bytes each) that were carried out before."""
        ...

    def save_carried_out(self, decisions: Iterable[bytes]) -> None:
        """Remember that these decisions were carried out; one that is known already may come again."""
        ...

    def save_steward(self, entity_id: str, steward: bytes) -> None:
        """Replace the steward part of a head without a new version (no reader sees a change)."""
        ...

    def note_intake(self, source: str, *, rows: int, rejected: int, versions: int, merges: int, unmerges: int) -> None:
        """Add to what was ever taken in from a source; it is kept only if the transaction commits."""
        ...

    def commit_changes(self, changes: Iterable[Change]) -> int:
        """Append versions to the log and move the heads; return how many.

        Raises:
            StoreCorruptError: a version is not the head's plus one.
        """
        ...
