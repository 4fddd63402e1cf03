"""A broker's topic in virtual time: partitions by key, appends that may be doubled, answers that may be lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import ClassVar
from zlib import crc32

from goldwire.clock import Clock
from goldwire.targets.base import Delivered, Item, Outcome, Unknown
from goldwire.targets.clients.backplane import BackplaneSettings, Message, renderer
from goldwire.targets.memory.target import MemorySettings, MemoryTarget

ENVELOPES = ("event", "cloudevents-structured", "cloudevents-binary")
DOUBLED = 0.1
LOST_ANSWER = 0.05


class Topic(MemoryTarget):
    """The relay's target: keeps every message in the log of its partition, and, as a record of what came, what `memory` keeps.

    Args:
        name: the target's.
        clock: of the simulation.
        random: the seed's.
        appended: called with a partition that has grown.
    """

    batch_limit: ClassVar[int] = 100

    def __init__(self, name: str, clock: Clock, random: Random, appended: Callable[[int], None]) -> None:
        super().__init__(name, MemorySettings(), clock)
        self.calm = False
        self.happened: Counter[str] = Counter()
        """How often each fault of the broker and of its subscribers came true."""
        self.partitions: list[list[Message]] = [[] for _ in range(random.choice((1, 2, 4)))]
        self._random = random
        self._appended = appended
        self._render = renderer(name, BackplaneSettings(envelope=random.choice(ENVELOPES)))

    async def send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        """Append everything; a batch may be appended twice, and the answer for some of it may be lost."""
        await super().send(items)
        self._append(items)
        if self.calm:
            return [Delivered()] * len(items)
        if self._random.random() < DOUBLED:
            self._append(items)
            self.happened["appended twice"] += 1
        lost = [self._random.random() < LOST_ANSWER for _ in items]
        self.happened["answer lost for a part of a batch"] += any(lost) and not all(lost)
        return [Unknown("no answer") if is_lost else Delivered() for is_lost in lost]

    async def held_versions(self, items: Sequence[Item]) -> Sequence[int | None]:
        """A broker cannot be asked what it holds."""
        return [None] * len(items)

    def _append(self, items: Sequence[Item]) -> None:
        grown = {}
        for item in items:
            message = self._render(item)
            # crc32 and not hash(), which differs from process to process
            partition = crc32(message.key.encode()) % len(self.partitions)
            self.partitions[partition].append(message)
            grown[partition] = True
        for partition in grown:
            self._appended(partition)
