"""Makes the golden state of an entity from its records and its stewards' decisions."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from goldwire.canonical import key_order, number, text
from goldwire.mastering.golden import GoldenView, edges_bytes, external_ids_bytes
from goldwire.mastering.model import EntityType
from goldwire.mastering.record import NULL, Claim, Record
from goldwire.mastering.steward import approval_of, overrides_of
from goldwire.mastering.survivorship import Choose, choice
from goldwire.mastering.unit_of_work import Entity

STEWARD = "steward"
"""Provenance of an override."""

_Winner = tuple[str, Claim, str]
"""An attribute's name, its claim and the system that makes it."""


class Assembler:
    """The survivorship of one entity type, ready to be applied.

    Args:
        entity_type: its model.
    """

    def __init__(self, entity_type: EntityType) -> None:
        self._type = entity_type
        self._chosen: list[tuple[str, Choose]] = [
            (
                name,
                choice(
                    attribute.survivorship if attribute.survivorship is not None else entity_type.survivorship,
                    attribute.systems if attribute.systems is not None else entity_type.systems,
                ),
            )
            for name, attribute in sorted(entity_type.attributes.items(), key=lambda each: key_order(each[0]))
        ]
        """Each attribute, in canonical order, with what chooses among its claims."""

    def state(self, entity: Entity, records: Sequence[Record]) -> GoldenView:
        """Return the golden state.

        Args:
            entity: whose decisions count.
            records: those of its records that live, sorted by ref; at least one.
        """
        if len(records) == 1 and not entity.homes:
            winners = self._only(records[0])
        else:
            winners = self._winners(records, overrides_of(entity.homes))
        attributes, lowest = _write(winners)
        edges = {edge for record in records if record.edges for edge in record.live_edges()}
        return GoldenView(
            approval_of(entity.homes, self._type.approval),
            attributes,
            _confidence(lowest),
            edges_bytes(edges) if edges else b"[]",
            external_ids_bytes([record.ref for record in records]),
            self._status(attributes, records),
        )

    def _only(self, record: Record) -> list[_Winner]:
        """Return the claims of a record that is alone: they win."""
        claims, system = record.claims, record.ref[0]
        return [(name, claims[name], system) for name, _ in self._chosen if name in claims]

    def _winners(self, records: Sequence[Record], overrides: Mapping[str, tuple[str, bytes]]) -> list[_Winner]:
        """Return for each attribute the steward's word, or the winner among what the records claim; a null claims nothing."""
        sources = [(record.claims, record.ref[0]) for record in records]
        winners: list[_Winner] = []
        for name, choose in self._chosen:
            override = overrides.get(name)
            if override is not None:
                winners.append((name, (override[0], 1.0, override[1]), STEWARD))
                continue
            candidates = [
                (claim, system) for claims, system in sources if (claim := claims.get(name)) is not None and claim[2] != NULL
            ]
            if candidates:
                claim, system = choose(candidates) if len(candidates) > 1 else candidates[0]
                winners.append((name, claim, system))
        return winners

    def _status(self, attributes: dict[str, bytes], records: Sequence[Record]) -> str:
        golden = self._type.golden
        if golden.minimum_systems > 1 and len({record.ref[0] for record in records}) < golden.minimum_systems:
            return "provisional"
        return "golden" if all(name in attributes for name in golden.required) else "provisional"


def _write(winners: Sequence[_Winner]) -> tuple[dict[str, bytes], float]:
    """Return the attributes as they stand in the golden state, and the lowest confidence among them."""
    attributes: dict[str, bytes] = {}
    lowest, said_at, said_with, said_by, head = 1.0, "", -1.0, "", b""
    for name, (at, confidence, value), system in winners:
        if value == NULL:
            continue
        # Claims of one fact share these objects; where they do not, the head is only made once more.
        if at is not said_at or confidence is not said_with or system is not said_by:
            head = _head(at, confidence, system)
            said_at, said_with, said_by, lowest = at, confidence, system, min(lowest, confidence)
        attributes[name] = head + value + b"}"
    return attributes, lowest


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
