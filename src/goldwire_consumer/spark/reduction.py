"""Reduces the events of one entity, in whatever order they came, to the row that the table is to hold: pure, without Spark.

It decides as the rest of the kit does: the version says whether an event is news, the chain whether one is missing before it.
What must wait is kept in the row, and applied by a later batch that brings what was missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec import structs

from goldwire_consumer.event import Event
from goldwire_consumer.fold import fold
from goldwire_consumer.guard import APPLIED, Outcome
from goldwire_consumer.spark.rows import EntityRow
from goldwire_consumer.verdict import Held, Verdict, decide, taken


class Reduction(NamedTuple):
    """What the events of one entity came to."""

    row: EntityRow
    changed: bool
    """Whether the table must be written."""
    outcomes: Counter[Outcome]
    """How many of the events given had which outcome; all of them are counted."""
    followed: int
    """Events that waited since an earlier batch and were applied now."""


def reduce_entity(row: EntityRow | None, events: Iterable[Event]) -> Reduction:
    """Apply events of one entity to its row.

    Args:
        row: what the table holds; None where it holds nothing of the entity.
        events: verified, at least one, in any order and as often as they came.
    """
    given = Counter({event.hash: 0 for event in row.waiting} if row else {})
    waited = set(given)
    by_hash = {event.hash: event for event in row.waiting} if row else {}
    for event in events:
        given[event.hash] += 1
        by_hash.setdefault(event.hash, event)
    before = row or EntityRow(entity_id=(first := next(iter(by_hash.values()))).entity_id, entity_type=first.entity_type)
    after, results = _applied(before, by_hash)
    outcomes: Counter[Outcome] = Counter()
    followed = 0
    for hash_, count in given.items():
        outcome = results[hash_]
        if hash_ in waited:
            followed += outcome in _WRITTEN
            outcomes[Outcome.IGNORED] += count
        elif count:
            outcomes[outcome] += 1
            outcomes[Outcome.IGNORED] += count - 1
    changed = after != before
    return Reduction(structs.replace(after, writes=before.writes + 1) if changed else before, changed, +outcomes, followed)


_WRITTEN = {Outcome.APPLIED, Outcome.JOINED, Outcome.HEALED}


def _applied(row: EntityRow, events: dict[str, Event]) -> tuple[EntityRow, dict[str, Outcome]]:
    """Apply each event in its turn; return the row, and what became of each by its hash."""
    held, outcomes, waiting = row.guard, dict[str, Outcome](), list[Event]()
    turns = _Turns(events.values())
    while (event := turns.next(held)) is not None:
        verdict = decide(event, held)
        if verdict in {Verdict.GAP, Verdict.WAIT}:
            waiting.append(event)
            held = (held or Held(0, None))._replace(parked=True)
            outcomes[event.hash] = Outcome.PARKED
        elif held is not None and verdict is Verdict.LINK:
            held = held._replace(hash=event.hash)
            outcomes[event.hash] = Outcome.IGNORED
        elif verdict is Verdict.IGNORE:
            outcomes[event.hash] = Outcome.IGNORED
        else:
            row = _written(row, event)
            held = taken(event)
            outcomes |= dict.fromkeys((one.hash for one in waiting), Outcome.IGNORED)
            outcomes[event.hash] = APPLIED[verdict]
            waiting.clear()  # they came in their turn, so none of them is newer
    hash_ = row.hash if held is None else held.hash
    return structs.replace(row, hash=hash_, waiting=tuple(waiting)), outcomes


def _written(row: EntityRow, event: Event) -> EntityRow:
    return structs.replace(
        row,
        entity_type=event.entity_type,
        version=event.version,
        hash=event.hash,
        changed_at=event.timestamp,
        gone=event.reason,
        merged_into=event.merged_into,
        record=fold(row.record, event),
    )


class _Turns:
    """Gives events by version; of those with the same one, first the one that follows what is held."""

    def __init__(self, events: Iterable[Event]) -> None:
        by_version: dict[int, list[Event]] = {}
        for event in events:
            by_version.setdefault(event.version, []).append(event)
        self._groups: Iterator[list[Event]] = (by_version[version] for version in sorted(by_version))
        self._group: list[Event] = []

    def next(self, held: Held | None) -> Event | None:
        if not self._group:
            self._group = next(self._groups, [])
        if not self._group:
            return None
        last = None if held is None else held.hash
        # a chain that begins comes before one that goes on; the hash only makes the order the same each time
        event = min(self._group, key=lambda one: (one.previous_hash != last, one.previous_hash is not None, one.hash))
        self._group.remove(event)
        return event
