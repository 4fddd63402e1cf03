"""What all parts of the engine share: the connection, and a bounded memory of the short numbers of entities."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from goldwire.changelog.sqlite import queries as query
from goldwire.changelog.sqlite.transaction import Database

GENERATION = 10_000
"""How many entities are remembered before those remembered earlier are forgotten. That costs a look-up, nothing else; a memory
of 100,000 costs more, because it does not fit the processor's cache."""

SLOT_BITS = 40
"""How many bits of a control row's key are the entity's number."""


def slot(target_no: int, entity_no: int = 0) -> int:
    """Return the key of a target's control row of an entity (see `goldwire.changelog.schema.control`)."""
    return (target_no << SLOT_BITS) + entity_no


class EntityNumbers:
    """Entity id to number. Numbers are never given twice and never change, so only committed ones may be remembered."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, int] = {}
        self._earlier: dict[str, int] = {}

    def remember(self, pairs: Mapping[str, int] | Iterable[tuple[str, int]]) -> None:
        """Keep committed numbers."""
        if len(self._known) >= GENERATION:
            self._earlier, self._known = self._known, {}
        self._known.update(pairs)

    def of(self, entity_ids: Collection[str]) -> dict[str, int]:
        """Return the numbers of these entities, without those that have none. Runs inside a transaction."""
        known, earlier = self._known, self._earlier
        found = {entity_id: known[entity_id] for entity_id in entity_ids if entity_id in known}
        if len(found) < len(entity_ids):
            found.update({entity_id: earlier[entity_id] for entity_id in entity_ids if entity_id in earlier})
            wanted = [entity_id for entity_id in entity_ids if entity_id not in found]
            rows = list(self._database.each(query.ENTITY_NUMBERS, (), wanted)) if wanted else []
            found.update(rows)
            self.remember(rows)
        return found


class Part:
    """What every part of the store works with."""

    def __init__(self, database: Database, numbers: EntityNumbers) -> None:
        self._database = database
        self._numbers = numbers
