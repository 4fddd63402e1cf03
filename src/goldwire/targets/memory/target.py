"""Target kind `memory`: holds the newest event of each entity in this process, for trials, tests and benchmarks."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from goldwire.clock import Clock
from goldwire.event.sealed import SealedEvent
from goldwire.targets.base import DELIVERED, Duplicate, Item, Outcome, TakenEvent
from goldwire.targets.registry import target_kind
from goldwire.targets.settings import Settings, about

_DUPLICATE = Duplicate()


class MemorySettings(Settings, frozen=True):
    """How much a `memory` target keeps."""

    hold: Annotated[
        Literal["event", "version"],
        about("Keep each entity's newest event whole, or its version alone (some 100 bytes an entity)."),
    ] = "event"
    history: Annotated[int, about("How many of the last events taken to keep in order of arrival.", ge=0)] = 0


@target_kind("memory", settings=MemorySettings)
class MemoryTarget:
    """Refuses what is not newer than what it holds. Content outlives `close`, not the process."""

    batch_limit: ClassVar[int] = 10_000

    def __init__(self, name: str, settings: MemorySettings, clock: Clock) -> None:
        self.name = name
        self.settings = settings
        self._clock = clock
        self.events: dict[str, SealedEvent] = {}
        """The newest event of each entity, deletions too; empty when `hold` is `version`."""
        self.versions: dict[str, int] = {}
        """The newest version of each entity, deletions too."""
        self.history: deque[SealedEvent] = deque(maxlen=settings.history)
        """The last events that were taken, oldest first."""

    async def open(self) -> None:
        """Nothing to connect."""

    async def send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        """Take each event that is newer than the held one of its entity."""
        versions, events = self.versions, self.events
        whole, history = self.settings.hold == "event", self.history if self.settings.history else None
        outcomes: list[Outcome] = []
        for item in items:
            event = item.event
            entity_id = event.entity_id
            if versions.get(entity_id, 0) >= event.version:
                outcomes.append(self._duplicate(entity_id))
                continue
            versions[entity_id] = event.version
            if whole:
                events[entity_id] = event
            if history is not None:
                history.append(event)
            outcomes.append(DELIVERED)
        return outcomes

    def _duplicate(self, entity_id: str) -> Duplicate:
        held = self.events.get(entity_id)
        return _DUPLICATE if held is None else Duplicate(None, TakenEvent(entity_id, held.version, held.hash))

    async def close(self) -> None:
        """Nothing to disconnect."""

    async def held_versions(self, items: Sequence[Item]) -> Sequence[int | None]:
        """The version held of each item's entity."""
        return [self.versions.get(item.event.entity_id) for item in items]
