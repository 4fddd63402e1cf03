"""Which records are one entity: those with one external id, one id from an upstream hub, or one match key.

A key only unites: a later change of it splits nothing, only a steward splits, and what a steward split stays apart. The hub's
word is stronger than any key: two of its ids are two entities, and a record whose id the hub corrects moves
(`goldwire.mastering.corrections`). Work and look-ups grow linearly with the batch: a key links its records to one anchor, never
each to each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from heapq import nlargest

from msgspec import Struct

from goldwire.capture.fact import ExternalId
from goldwire.mastering.arrival import OWN_PREFIX, Arrival, is_of_hub
from goldwire.mastering.corrections import Corrections
from goldwire.mastering.keys import KeyMaker
from goldwire.mastering.record import Record
from goldwire.mastering.unit_of_work import Entity, UnitOfWork, pair
from goldwire.mastering.workspace import KeyOwner

_NO_FOUNDER = ("~", ExternalId("", ""))
"""Founder of an entity without records: later than any."""

Node = ExternalId | str
"""A record without an entity, or an entity's id."""


def founding_id(key: bytes, ref: ExternalId, attempt: int = 0) -> str:
    """Return the id of the entity that a record founds: keyed BLAKE2b (RFC 7693), 128 bits.

    Without the key no reader can find the record an id was made from, even by trying all of them (docs/adr/0014).

    Args:
        key: the store's (`Workspace.entity_key`).
        ref: the founding record.
        attempt: counts up where the id before is taken (after an unmerge).
    """
    # The length keeps ("ab", "c") and ("a", "bc") apart.
    seed = f"{attempt}:{len(ref.system)}:{ref.system}{ref.id}"
    return OWN_PREFIX + blake2b(seed.encode(), key=key, digest_size=16).hexdigest()


class SharedKey(Struct, frozen=True):
    """A match key that several records have; it shows no value of theirs."""

    entity_type: str
    rule: str
    key: str
    """8 hex digits that stand for the value: the same in each run on one store."""
    records: int
    """How many have it."""
    entity_id: str
    """The entity of one of them."""
    is_evidence: bool
    """So few have it that it unites them."""


class _Groups:
    """Nodes that belong together; two that a steward or an upstream hub holds apart never do."""

    def __init__(self) -> None:
        self.apart: set[tuple[str, str]] = set()
        self._parent: dict[Node, Node] = {}
        self._entities: dict[Node, list[str]] = {}

    def root(self, node: Node) -> Node:
        parent = self._parent
        top = node
        while (above := parent.get(top, top)) != top:
            top = above
        while node != top:
            parent[node], node = top, parent.get(node, top)
        return top

    def unite(self, one: Node, other: Node) -> None:
        one, other = self.root(one), self.root(other)
        if one == other:
            return
        here, there = self.entities(one), self.entities(other)
        if here and there and self._held_apart(here, there):
            return
        self._parent[other] = one
        self._entities[one] = here + there

    def _held_apart(self, here: Sequence[str], there: Sequence[str]) -> bool:
        """Whether a steward split these, or an upstream hub gave them two ids."""
        if any(map(is_of_hub, here)) and any(map(is_of_hub, there)):
            return True
        return bool(self.apart) and any(pair(one, other) in self.apart for one in here for other in there)

    def entities(self, root: Node) -> list[str]:
        """Entity ids among a group's nodes."""
        found = self._entities.get(root)
        return found if found is not None else [root] if isinstance(root, str) else []

    def __contains__(self, node: Node) -> bool:
        return node in self._parent


class Identity:
    """Finds the entity of each record in one run of facts.

    Args:
        unit: what the batch has open.
        makers: the match rules by entity type.
        counted: the keys that the arrivals gained are in the store already, so that its counts hold them.
    """

    def __init__(self, unit: UnitOfWork, makers: dict[str, KeyMaker], *, counted: bool = False) -> None:
        self._unit = unit
        self._makers = makers
        self._counted = counted
        self.joined = 0
        """New records that joined the entity of another one."""
        self._shared: list[tuple[int, bytes, str, int, Node]] = []
        self._key = b""
        """The store's, once records were resolved."""

    def shared(self, limit: int) -> list[SharedKey]:
        """Return the keys that most records share, among those that a record gained; call it after `resolve`.

        Args:
            limit: how many at most.
        """
        found = []
        for records, key, entity_type, rule, holder in nlargest(limit, self._shared):
            maker = self._makers[entity_type]
            entity_id = holder if isinstance(holder, str) else self._unit.records[holder].entity_id
            # Keyed, so that no reader can try values against it.
            shown = blake2b(key, key=self._key, digest_size=4).hexdigest()
            is_evidence = records <= maker.limits[rule]
            found.append(
                SharedKey(entity_type, maker.names[rule], shown, records, self._entity(entity_id).entity_id, is_evidence)
            )
        return found

    def resolve(self, arrivals: Sequence[Arrival]) -> None:
        """Give each record without an entity one, and merge entities that turn out to be one.

        Args:
            arrivals: sorted by ref, so that the outcome does not depend on the order of facts.
        """
        Corrections(self._unit, self._makers).carry_out(arrivals)
        links = self._links(arrivals)
        groups = _Groups()
        entity_ids = {node for link in links for node in link if isinstance(node, str)}
        if len(entity_ids) > 1:
            groups.apart = self._unit.workspace.apart(entity_ids)
        for one, other in links:
            groups.unite(one, other)
        gathered: dict[Node, list[Record]] = {}
        roots: set[Node] = set()
        for arrival in arrivals:
            record = arrival.record
            node = record.entity_id or record.ref
            root = groups.root(node) if node in groups else node
            roots.add(root)
            if not record.entity_id:
                gathered.setdefault(root, []).append(record)
        self._unite(roots, groups)
        self._join(gathered, groups)

    def _links(self, arrivals: Sequence[Arrival]) -> list[tuple[Node, Node]]:
        """Pairs of nodes that belong together, the strongest evidence first: the hub's word, then rule by rule."""
        unit = self._unit
        by_rule: dict[tuple[str, int], dict[bytes, list[Node]]] = {}
        for arrival in arrivals:
            record = arrival.record
            node: Node = record.entity_id or record.ref
            for rule, key in enumerate(arrival.gained):
                if key is not None:
                    by_rule.setdefault((record.entity_type, rule), {}).setdefault(key, []).append(node)
        keys = {key for holders in by_rule.values() for key in holders}
        owners = unit.workspace.key_owners(keys) if keys else {}
        unit.load_entities(
            [
                *(owner.entity_id for owner in owners.values()),
                *(arrival.record.entity_id for arrival in arrivals if arrival.record.entity_id),
            ]
        )
        links: list[tuple[Node, Node]] = []
        for arrival in arrivals:
            record = arrival.record
            if record.entity_id:
                unit.open(record.entity_id, record.entity_type)
            if arrival.hub_id:
                hub = unit.open(arrival.hub_id, record.entity_type).entity_id
                links.append((hub, record.entity_id or record.ref))
        for entity_type, rule in sorted(by_rule):
            limit = self._makers[entity_type].limits[rule]
            holders = by_rule[entity_type, rule]
            for_rule = _by_keys(holders, owners, limit, counted=self._counted)
            self._note_shared(entity_type, rule, holders, owners)
            for anchor, _ in for_rule:
                if isinstance(anchor, str):
                    unit.open(anchor, entity_type)
            links += for_rule
        return links

    def _note_shared(
        self, entity_type: str, rule: int, holders: dict[bytes, list[Node]], owners: dict[bytes, KeyOwner]
    ) -> None:
        if not self._counted:
            self._shared += [
                (len(nodes) + owners[key].count if key in owners else len(nodes), key, entity_type, rule, nodes[0])
                for key, nodes in holders.items()
                if key in owners or len(nodes) > 1
            ]

    def _unite(self, roots: Iterable[Node], groups: _Groups) -> None:
        """Merge the entities of each group that has several."""
        several = [
            {self._entity(entity_id): None for entity_id in ids} for root in roots if len(ids := groups.entities(root)) > 1
        ]
        if not several:
            return
        self._unit.load_members(entity for entities in several for entity in entities)
        # The groups are disjoint, but the roots are a set: their order must have no effect.
        for entities in sorted((sorted(each, key=_rank) for each in several if len(each) > 1), key=lambda each: _rank(each[0])):
            survivor = entities[0]
            for loser in entities[1:]:
                self._unit.merge(survivor, loser, groups.apart)

    def _join(self, gathered: dict[Node, list[Record]], groups: _Groups) -> None:
        """Give the new records of each group its entity, or let the earliest of them found one."""
        founders: dict[Node, str] = {}
        key = self._key = self._unit.workspace.entity_key()
        for root, records in gathered.items():
            if not groups.entities(root):
                first = records[0] if len(records) == 1 else min(records, key=lambda record: (record.founded, record.ref))
                founders[root] = founding_id(key, first.ref)
        self._unit.load_entities(founders.values())
        homes: list[tuple[Entity, list[Record]]] = []
        for root, records in gathered.items():
            founding = founders.get(root)
            entity = (
                self._entity(groups.entities(root)[0])
                if founding is None
                else self._unit.get_or_create(founding, records[0].entity_type)
            )
            homes.append((entity, records))
        self._unit.load_members(entity for entity, _ in homes)
        for entity, records in homes:
            self.joined += len(records) - (0 if entity.records() else 1)
            for record in records:
                self._unit.join(record, entity)

    def _entity(self, entity_id: str) -> Entity:
        entity = self._unit.resolve(entity_id)
        assert entity is not None, f"entity {entity_id} is linked but not open"
        return entity


def _by_keys(
    holders: dict[bytes, list[Node]], owners: dict[bytes, KeyOwner], limit: int, *, counted: bool
) -> list[tuple[Node, Node]]:
    """Link those that share a key, unless so many share it that it is no evidence."""
    links: list[tuple[Node, Node]] = []
    for key, nodes in holders.items():
        owner = owners.get(key)
        if (owner.count if owner else 0) + (0 if counted else len(nodes)) > limit:
            continue
        anchor = owner.entity_id if owner else nodes[0]
        links += [(anchor, node) for node in nodes if node != anchor]
    return links


def _rank(entity: Entity) -> tuple[bool, tuple[str, ExternalId], str]:
    """Return who survives a merge, lowest first: an id of a hub, then the earliest founded, then the first external id."""
    first = min(((record.founded, record.ref) for record in entity.records().values()), default=_NO_FOUNDER)
    return entity.entity_id.startswith(OWN_PREFIX), first, entity.entity_id
