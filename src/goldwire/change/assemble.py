"""Makes the golden state of an entity from its records and its stewards' decisions."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from goldwire.canonical import key_order, number, text
from goldwire.change.desk import Entity
from goldwire.change.golden import State, edges_bytes, external_ids_bytes
from goldwire.change.model import EntityType
from goldwire.change.record import NULL, Record
from goldwire.change.steward import approval_of, overrides_of
from goldwire.change.survivorship import Candidate, Choose, choice, most_recent

STEWARD = "steward"
"""Provenance of an override."""


class Assembler:
    """The survivorship of one entity type, ready to be applied.

    Args:
        entity_type: its model.
    """

    def __init__(self, entity_type: EntityType) -> None:
        self._type = entity_type
        self._order = sorted(entity_type.attributes, key=key_order)
        self._choices: dict[str, Choose] = {
            name: choice(
                attribute.survivorship if attribute.survivorship is not None else entity_type.survivorship,
                attribute.systems if attribute.systems is not None else entity_type.systems,
            )
            for name, attribute in entity_type.attributes.items()
        }

        self._recent = frozenset(name for name, choose in self._choices.items() if choose is most_recent)
        """Chosen on the way: the usual rule needs no list of candidates."""

    def state(self, entity: Entity, records: Sequence[Record]) -> State:
        """Return the golden state.

        Args:
            entity: whose decisions count.
            records: those of its records that live, sorted by ref; at least one.
        """
        if len(records) == 1 and not entity.homes:
            attributes, lowest = self._single(records[0])
        else:
            winners = self._several(records)
            for name, (at, value) in overrides_of(entity.homes).items():
                winners[name] = ((at, 1.0, value), STEWARD)
            attributes, lowest = self._write(winners)
        edges = {edge for record in records if record.edges for edge in record.live_edges()}
        return State(
            approval_of(entity.homes, self._type.approval),
            attributes,
            _confidence(lowest),
            edges_bytes(edges) if edges else b"[]",
            external_ids_bytes([record.ref for record in records]),
            self._status(attributes, records),
        )

    def _single(self, record: Record) -> tuple[dict[str, bytes], float]:
        """Write the attributes of a record that is alone: its claims win. The usual case, and the fastest."""
        claims, system = record.claims, record.ref[0]
        attributes: dict[str, bytes] = {}
        lowest, said_at, said_with, head = 1.0, "", -1.0, b""
        for name in self._order:
            claim = claims.get(name)
            if claim is None:
                continue
            at, confidence, value = claim
            if value == NULL:
                continue
            # Claims of one fact share these objects; where they do not, the head is only made once more.
            if at is not said_at or confidence is not said_with:
                head = _head(at, confidence, system)
                said_at, said_with, lowest = at, confidence, min(lowest, confidence)
            attributes[name] = head + value + b"}"
        return attributes, lowest

    def _write(self, winners: dict[str, Candidate]) -> tuple[dict[str, bytes], float]:
        attributes: dict[str, bytes] = {}
        heads: dict[tuple[str, float, str], bytes] = {}
        lowest = 1.0
        for name in self._order:
            winner = winners.get(name)
            if winner is None:
                continue
            (at, confidence, value), system = winner
            if value == NULL:
                continue
            said = (at, confidence, system)
            head = heads.get(said)
            if head is None:
                head = heads[said] = _head(*said)
                lowest = min(lowest, confidence)
            attributes[name] = head + value + b"}"
        return attributes, lowest

    def _several(self, records: Sequence[Record]) -> dict[str, Candidate]:
        """Choose the winners among several records' claims; a null is none."""
        winners: dict[str, Candidate] = {}
        contested: dict[str, list[Candidate]] = {}
        recent = self._recent
        for record in records:
            system = record.ref[0]
            for name, claim in record.claims.items():
                if claim[2] == NULL:
                    continue
                first = winners.get(name)
                if first is None:
                    winners[name] = (claim, system)
                elif name in recent:
                    at, confidence, _ = first[0]
                    if claim[0] > at or (claim[0] == at and claim[1] > confidence):
                        winners[name] = (claim, system)
                elif name in contested:
                    contested[name].append((claim, system))
                else:
                    contested[name] = [first, (claim, system)]
        for name, candidates in contested.items():
            choose = self._choices.get(name)
            if choose is not None:
                winners[name] = choose(candidates)
        return winners

    def _status(self, attributes: dict[str, bytes], records: Sequence[Record]) -> str:
        golden = self._type.golden
        if golden.minimum_systems > 1 and len({record.ref[0] for record in records}) < golden.minimum_systems:
            return "provisional"
        return "golden" if all(name in attributes for name in golden.required) else "provisional"


def _head(at: str, confidence: float, system: str) -> bytes:
    """An attribute up to its value."""
    return b'{"confidence":%b,"lastSeen":"%b","provenance":%b,"value":' % (
        _confidence(confidence), at.encode(), _system(system),
    )  # fmt: skip


@functools.lru_cache(maxsize=4096)
def _confidence(value: float) -> bytes:
    return number(value)


def _system(name: str) -> bytes:
    found = _SYSTEMS.get(name)
    if found is None:
        # Systems come from the configuration, so there are few.
        found = _SYSTEMS[name] = text(name)
    return found


_SYSTEMS: dict[str, bytes] = {}
