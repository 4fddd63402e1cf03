"""What one batch has open: records and entities as the store has them and as they shall be, loaded in few, large look-ups."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from goldwire.capture.fact import ExternalId
from goldwire.mastering.record import Record, open_record
from goldwire.mastering.steward import NOTHING, Decided, decode_steward, encode_steward
from goldwire.mastering.workspace import ChangeKind, StoredEntity, Workspace


class Entity:
    """An entity while a batch has it open."""

    __slots__ = ("absorbed", "entity_id", "entity_type", "homes", "members", "merged_into", "stored")

    def __init__(self, entity_id: str, entity_type: str, stored: StoredEntity | None) -> None:
        self.entity_id = entity_id
        self.entity_type = entity_type
        self.absorbed = False
        """Another entity was merged into it in this batch, so a look-up of that id must find it."""
        self.stored = stored
        """As the store has it; None before its first version."""
        self.merged_into = stored.merged_into if stored is not None and stored.kind == "merged" else None
        self.members: dict[ExternalId, Record] | None = None
        """Its records; None until they are loaded."""
        self.homes: dict[str, Decided] = {} if stored is None else decode_steward(stored.steward)
        """Decisions, by the entity they were made about (itself, or one merged into it)."""

    @property
    def version(self) -> int:
        """The version the store has, 0 for none."""
        return 0 if self.stored is None else self.stored.version

    @property
    def kind(self) -> ChangeKind | None:
        """The kind of the version the store has."""
        return None if self.stored is None else self.stored.kind

    @property
    def steward(self) -> bytes:
        """The decisions as the store keeps them."""
        return encode_steward(self.homes) if self.homes else NOTHING

    def decided(self) -> list[Decided]:
        """Return every part that a decision made now is written to."""
        self.homes.setdefault(self.entity_id, Decided())
        return list(self.homes.values())

    def records(self) -> dict[ExternalId, Record]:
        """Return its records, which are loaded."""
        assert self.members is not None, f"the records of {self.entity_id} are not loaded"
        return self.members


class UnitOfWork:
    """All that one batch has open.

    Args:
        workspace: the transaction.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.records: dict[ExternalId, Record] = {}
        self.entities: dict[str, Entity] = {}
        self.touched: dict[str, Entity] = {}
        """Entities whose golden state may change, in the order they were touched."""
        self.merges = 0
        self.unmerges = 0
        self.moves = 0
        """Records that an upstream hub moved."""
        self._looked_for: set[str] = set()

    # --- loading
    def load_records(self, refs: Iterable[ExternalId]) -> None:
        """Open the records of these external ids, as far as they exist."""
        wanted = {ref for ref in refs if ref not in self.records}
        if wanted:
            for ref, stored in self.workspace.records(wanted).items():
                self.records[ref] = open_record(stored)

    def load_entities(self, entity_ids: Iterable[str]) -> None:
        """Open these entities as far as they exist, and those they were merged into."""
        wanted = {entity_id for entity_id in entity_ids if entity_id not in self._looked_for}
        while wanted:
            self._looked_for |= wanted
            found = self.workspace.entities(wanted)
            wanted = set()
            for entity_id, stored in found.items():
                if entity_id not in self.entities:
                    entity = self.entities[entity_id] = Entity(entity_id, stored.entity_type, stored)
                    into = entity.merged_into
                    if into is not None and into not in self._looked_for:
                        wanted.add(into)

    def load_members(self, entities: Iterable[Entity]) -> None:
        """Load the records of these entities."""
        wanted = {entity.entity_id: entity for entity in entities if entity.members is None}
        if not wanted:
            return
        of_entity = self.workspace.records_of(wanted.keys())
        for entity_id, entity in wanted.items():
            entity.members = {}
            for stored in of_entity.get(entity_id, ()):
                record = self.records.get(stored.ref)
                if record is None:
                    record = self.records[stored.ref] = open_record(stored)
                if record.entity_id == entity_id:
                    entity.members[stored.ref] = record

    # --- finding
    def resolve(self, entity_id: str) -> Entity | None:
        """Return the entity that an id stands for today, through all merges; the id was loaded."""
        entity = self.entities.get(entity_id)
        while entity is not None and entity.merged_into is not None:
            entity = self.entities[entity.merged_into]
        return entity

    def get_or_create(self, entity_id: str, entity_type: str) -> Entity:
        """Return the entity of an id; without a version the method creates it, without records."""
        entity = self._known(entity_id)
        if entity is None:
            entity = self.entities[entity_id] = Entity(entity_id, entity_type, None)
            entity.members = {}
        return entity

    def open(self, entity_id: str, entity_type: str) -> Entity:
        """Return the entity of an id; without a version it may still have records, all of them deleted."""
        entity = self._known(entity_id)
        if entity is None:
            entity = self.entities[entity_id] = Entity(entity_id, entity_type, None)
        return entity

    def _known(self, entity_id: str) -> Entity | None:
        if entity_id not in self._looked_for:  # one that was never looked for is not new
            self.load_entities([entity_id])
        return self.resolve(entity_id)

    # --- changing
    def touch(self, entity: Entity) -> None:
        """Have the entity's golden state computed at the end."""
        self.touched[entity.entity_id] = entity

    def join(self, record: Record, entity: Entity) -> None:
        """Give a record without an entity its first one."""
        record.entity_id = record.home = entity.entity_id
        record.changed = True
        entity.records()[record.ref] = record
        deleted_at = max((decided.deleted_at for decided in entity.homes.values()), default="")
        if deleted_at:
            record.delete_until(deleted_at)
        self.touch(entity)

    def move(self, record: Record, entity: Entity) -> None:
        """Move a record from its entity to another one."""
        source = self.entities[record.entity_id]
        del source.records()[record.ref]
        entity.records()[record.ref] = record
        record.entity_id = entity.entity_id
        record.changed = True
        self.touch(source)
        self.touch(entity)

    def merge(self, survivor: Entity, loser: Entity, apart: Collection[tuple[str, str]]) -> None:
        """Merge one entity into another, whose records are both loaded.

        Args:
            survivor: stays.
            loser: becomes a tombstone; its records and decisions move.
            apart: the pairs held apart that touch the loser.
        """
        assert survivor.merged_into is None
        assert loser.merged_into is None
        assert survivor is not loser
        for record in list(loser.records().values()):
            self.move(record, survivor)
        survivor.homes.update(loser.homes)
        loser.homes = {}
        loser.merged_into = survivor.entity_id
        survivor.absorbed = True
        self.touch(loser)
        self.touch(survivor)
        # An entity that was held apart from the loser is held apart from the survivor now.
        others = {low if high == loser.entity_id else high for low, high in apart if loser.entity_id in {low, high}}
        # One batch may merge two entities that are held apart, each into another one.
        others |= {found.entity_id for found in map(self.resolve, others) if found is not None}
        pairs = [pair(survivor.entity_id, other) for other in others if other != survivor.entity_id]
        if pairs:
            self.workspace.save_apart(pairs)
        self.merges += loser.version > 0

    def save(self) -> None:
        """Save the records that changed, so that the workspace's look-ups see them."""
        changed = [record for record in self.records.values() if record.changed]
        self.workspace.save_records([record.stored() for record in changed])
        for record in changed:
            record.changed = False


def pair(one: str, other: str) -> tuple[str, str]:
    """Return two entity ids, the lower first, as the store holds them apart."""
    return (one, other) if one < other else (other, one)
