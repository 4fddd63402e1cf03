"""An upstream hub corrects itself: a record whose golden record's id it changes moves there, and no two customers are merged.

What only a match key brought to that record's entity follows it, unless the key of a record that the hub left there holds it
back; so the outcome does not depend on whether the correction came first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from goldwire.capture.fact import ExternalId
from goldwire.mastering.arrival import Arrival, is_of_hub
from goldwire.mastering.keys import KeyMaker
from goldwire.mastering.record import Record
from goldwire.mastering.unit_of_work import Entity, UnitOfWork, pair


class Corrections:
    """Moves records to where an upstream hub has them now.

    Args:
        unit: what the batch has open.
        makers: the match rules by entity type.
    """

    def __init__(self, unit: UnitOfWork, makers: Mapping[str, KeyMaker]) -> None:
        self._unit = unit
        self._makers = makers

    def carry_out(self, arrivals: Sequence[Arrival]) -> None:
        """Move each record that the hub has elsewhere.

        What a steward holds apart stays apart. An entity of which the hub has spoken for the first time is left to identity:
        it becomes the hub's as a whole.

        Args:
            arrivals: sorted by ref.
        """
        named = [arrival for arrival in arrivals if arrival.hub_id and arrival.record.entity_id]
        if not named:
            return
        unit = self._unit
        unit.load_entities(arrival.record.entity_id for arrival in named)
        strayed = [
            (arrival, unit.open(arrival.hub_id, arrival.record.entity_type))
            for arrival in named
            if unit.resolve(arrival.hub_id) is not self._holder(arrival.record)
        ]
        if not strayed:
            return
        sources = {arrival.record.entity_id: self._holder(arrival.record) for arrival, _ in strayed}
        unit.load_members([*sources.values(), *(target for _, target in strayed)])
        apart = unit.workspace.apart([*sources, *(target.entity_id for _, target in strayed)])
        moved: dict[ExternalId, Record] = {}
        for arrival, target in strayed:
            record, source = arrival.record, self._holder(arrival.record)
            if source is target or pair(source.entity_id, target.entity_id) in apart:
                continue
            if is_of_hub(source.entity_id) or self._holds_others(source, record, target):
                for each in (record, *self._followers(source, record)):
                    unit.move(each, target)
                    each.home = arrival.hub_id
                    moved[each.ref] = each
                unit.moves += 1
        # A look-up of a key that one of these has must find where it is now.
        unit.workspace.save_records([record.stored() for record in moved.values()])

    def _holder(self, record: Record) -> Entity:
        return self._unit.open(record.entity_id, record.entity_type)

    def _holds_others(self, source: Entity, record: Record, target: Entity) -> bool:
        """Whether the hub has another record of this entity elsewhere."""
        named = [other.hub[2] for other in source.records().values() if other is not record and other.hub[2]]
        self._unit.load_entities(named)
        return any(self._unit.resolve(hub_id) is not target for hub_id in named)

    def _followers(self, source: Entity, record: Record) -> list[Record]:
        """Return the records without a hub's word that share keys with the one that leaves, and with none that it leaves."""
        others = [other for other in source.records().values() if other is not record]
        loose = [other for other in others if not other.hub[2]]
        if not loose:
            return []
        keys = self._evidence([record, *others])
        staying = set().union(*(keys[other.ref] for other in others if other.hub[2]))
        followers: list[Record] = []
        for cluster in _clusters(loose, keys):
            shared = set().union(*(keys[other.ref] for other in cluster))
            if not shared.isdisjoint(keys[record.ref]) and shared.isdisjoint(staying):
                followers += cluster
        return followers

    def _evidence(self, records: Iterable[Record]) -> dict[ExternalId, set[bytes]]:
        """Return the match keys of each record, without those that so many share that they are no evidence."""
        limits: dict[bytes, int] = {}
        found: dict[ExternalId, set[bytes]] = {}
        for record in records:
            maker = self._makers.get(record.entity_type)
            keys = maker.keys(record.claims, record.ref.system) if maker is not None else []
            found[record.ref] = {key for key in keys if key is not None}
            limits.update((key, limit) for key, limit in zip(keys, maker.limits if maker else (), strict=True) if key)
        owners = self._unit.workspace.key_owners(limits) if limits else {}
        weak = {key for key, owner in owners.items() if owner.count > limits[key]}
        return {ref: keys - weak for ref, keys in found.items()}


def _clusters(records: Sequence[Record], keys: Mapping[ExternalId, set[bytes]]) -> list[list[Record]]:
    """Return the records, in order, those together that share keys with one another, also by way of a third."""
    clusters: list[tuple[list[Record], set[bytes]]] = []
    for record in records:
        members, of_all = [record], set(keys[record.ref])
        apart = []
        for cluster in clusters:
            if cluster[1].isdisjoint(of_all):
                apart.append(cluster)
            else:
                members += cluster[0]
                of_all |= cluster[1]
        clusters = [*apart, (members, of_all)]
    return [sorted(members, key=lambda record: record.ref) for members, _ in clusters]
