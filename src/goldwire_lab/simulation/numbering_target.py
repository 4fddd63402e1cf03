"""A target that gives records ids of its own, as a business system does, over the one that keeps events in memory."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from goldwire.clock import Clock
from goldwire.event.sealed import SealedEvent
from goldwire.targets.base import Delivered, Duplicate, Item, Outcome
from goldwire.targets.memory.target import MemorySettings, MemoryTarget


class NumberingTarget(MemoryTarget):
    """Answers with the id under which it keeps a record: another one once the record was deleted and came again."""

    def __init__(self, name: str, settings: MemorySettings, clock: Clock) -> None:
        super().__init__(name, settings, clock)
        self._lives: dict[str, int] = {}
        self.wrong: list[str] = []
        """Entities that were sent with an id that they never had."""

    async def send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        """Take what is newer, and say under which id."""
        before = {item.event.entity_id: self.events.get(item.event.entity_id) for item in items}
        answers = await super().send(items)
        return [self._named(item, answer, before) for item, answer in zip(items, answers, strict=True)]

    def _named(self, item: Item, answer: Outcome, before: dict[str, SealedEvent | None]) -> Outcome:
        entity_id = item.event.entity_id
        if item.remote_id is not None and item.remote_id not in self._ids(entity_id):
            self.wrong.append(entity_id)
        if isinstance(answer, Delivered):
            last = before[entity_id]
            if not item.event.deleted and (last is None or last.deleted):
                self._lives[entity_id] = self._lives.get(entity_id, 0) + 1
            return Delivered(self._id(entity_id))
        assert isinstance(answer, Duplicate), "the memory target takes an event or holds it already"
        return replace(answer, remote_id=self._id(entity_id))

    def _id(self, entity_id: str) -> str | None:
        lives = self._lives.get(entity_id, 0)
        return f"{entity_id}/{lives}" if lives else None

    def _ids(self, entity_id: str) -> set[str]:
        return {f"{entity_id}/{life}" for life in range(1, self._lives.get(entity_id, 0) + 1)}
