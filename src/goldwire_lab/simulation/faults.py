"""What can go wrong on the way to a target, drawn from the seed: the network, the target's moods, the process's end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, ClassVar, Protocol

from msgspec import Struct

from goldwire.targets.base import (
    Delivered,
    Item,
    LooksUp,
    Outcome,
    Rejected,
    ShowsNewest,
    TakenEvent,
    Target,
    Throttled,
    Unavailable,
    Unknown,
)

SEND_WEIGHT = 4.0
"""How much likelier a crash is around a send than at another step: that is where it hurts."""


class SimulatedCrash(BaseException):
    """The process is killed at this point; nothing after it happens."""


class Process:
    """One life of the relay's process. Once killed, whatever still runs of it has no effect.

    Args:
        random, crash_chance: when it is killed.
        time: the virtual time, in seconds.
    """

    def __init__(self, random: Random, crash_chance: float, time: Callable[[], float]) -> None:
        self._random = random
        self._time = time
        self._stepped_at = time()
        self.crash_chance = crash_chance
        self.alive = True
        self.killed_at = ""

    def step(self, name: str) -> None:
        """Continue, or raise the crash of this step.

        Raises:
            SimulatedCrash: this is the end, or was before.
        """
        self._stepped_at = self._time()
        chance = self.crash_chance * (SEND_WEIGHT if name.startswith("send") else 1.0)
        if self.alive and self._random.random() < chance:
            self.alive = False
            self.killed_at = name
        if not self.alive:
            raise SimulatedCrash(name)

    def silent_seconds(self) -> float:
        """Return for how long it has neither sent nor written anything."""
        return self._time() - self._stepped_at


class Faults(Struct):
    """How often what goes wrong, each a chance for one send or one item."""

    throttled: float = 0.0
    unavailable: float = 0.0
    lost_before: float = 0.0
    """The connection breaks before the target has read anything."""
    lost_after: float = 0.0
    """The target did it, and the answer never came."""
    late: float = 0.0
    """The sender gives up waiting, and the target does it afterwards."""
    doubled: float = 0.0
    """The network delivers the request twice."""
    rejected_item: float = 0.0
    failed_item: float = 0.0
    """One item of a batch fails while the others go through."""
    slow: float = 0.0
    garbled: float = 0.0
    """The target did it, and its code answers something that is no outcome, or cancels its own call."""

    @classmethod
    def draw(cls, random: Random) -> Faults:
        """Return a mood: most have a few kinds of fault, some have none, some have all, some are an outage."""
        if random.random() < 0.2:
            return cls(throttled=0.2, unavailable=0.6)
        level = random.choice((0.0, 0.03, 0.1, 0.25, 0.5))
        return cls(**{name: level * random.random() for name in cls.__struct_fields__ if random.random() < 0.6})


class Watch(Protocol):
    """Sees all that happens on the way to a target."""

    def leaving(self, items: Sequence[Item]) -> None:
        """Called with what the relay hands over, also where it is lost."""
        ...

    def ended(self, items: Sequence[Item]) -> None:
        """Called when that send has ended, however it did."""
        ...

    def arrived(self, item: Item, *, late: bool = False) -> None:
        """Called with each item when it reaches the other side; `late`: the sender had given up."""
        ...

    def refused(self, item: Item) -> None:
        """Called with an item that reached the other side, which did not take it."""
        ...

    def answered(self, items: Sequence[Item], answers: Sequence[Outcome]) -> None:
        """Called with what the relay gets for an answer."""
        ...

    def looked_up(self, items: Sequence[Item], versions: Sequence[int | None]) -> None:
        """Called with what the target says that it holds."""
        ...


class Link:
    """The way to a target that outlives the relay's process, with all that may happen on it.

    Args:
        inner: the real target, which stands for the other side.
        watch: sees all that happens.
    """

    batch_limit: ClassVar[int] = 1_000

    def __init__(self, inner: Target, faults: Faults, random: Random, process: Process, watch: Watch) -> None:
        self._inner = inner
        self._faults = faults
        self._random = random
        self._process = process
        self._watch = watch

    async def open(self) -> None:
        """The other side is open already."""
        self._process.step("target:open")

    async def close(self) -> None:
        """The other side stays open."""

    async def send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        """Carry items over, with the faults that the seed draws for them."""
        self._process.step("send:before")
        self._watch.leaving(items)
        try:
            answers = await self._send(items)
        finally:
            self._watch.ended(items)
        self._watch.answered(items, answers)
        return answers

    async def _send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        faults, random = self._faults, self._random
        if random.random() < faults.throttled:
            return [Throttled(random.choice((None, 0.5, 3.0, 3.0, 500.0)))] * len(items)
        if random.random() < faults.unavailable:
            return [Unavailable("connection refused")] * len(items)
        if random.random() < faults.lost_before:
            return [Unknown("connection reset")] * len(items)
        if random.random() < faults.late:
            delay = random.uniform(0.0, 60.0)
            copies = list(items)
            asyncio.get_running_loop().call_later(delay, lambda: self._arrive_late(copies))
            await asyncio.sleep(1_000.0)
        await asyncio.sleep(random.uniform(0.0, 60.0) if random.random() < faults.slow else 0.001)
        answers = await self._carry(items)
        self._process.step("send:after")
        if random.random() < faults.lost_after:
            return [Unknown("no answer")] * len(items)
        if random.random() < faults.garbled:
            return self._garble(answers)
        return answers

    async def held_versions(self, items: Sequence[Item]) -> Sequence[int | None]:
        """Ask the other side."""
        self._process.step("look-up")
        if not isinstance(self._inner, LooksUp):
            return [None] * len(items)
        versions = await self._inner.held_versions(items)
        self._watch.looked_up(items, versions)
        return versions

    async def newest(self, limit: int) -> Sequence[TakenEvent]:
        """Ask the other side what it took last, where it can say that."""
        self._process.step("newest")
        return await self._inner.newest(limit) if isinstance(self._inner, ShowsNewest) else []

    async def _carry(self, items: Sequence[Item]) -> list[Outcome]:
        random, faults = self._random, self._faults
        fates: list[Outcome | None] = [None] * len(items)
        for index in range(len(items)):
            if random.random() < faults.rejected_item:
                fates[index] = Rejected("the simulation refuses it")
            elif random.random() < faults.failed_item:
                fates[index] = Unknown("the simulation lost it")
        through = [item for item, fate in zip(items, fates, strict=True) if fate is None]
        answers = iter(await self._apply(through))
        if random.random() < faults.doubled:
            await self._apply(through)
        return [fate if fate is not None else next(answers) for fate in fates]

    async def _apply(self, items: Sequence[Item], *, late: bool = False) -> Sequence[Outcome]:
        if not items:
            return []
        for item in items:
            self._watch.arrived(item, late=late)
        answers = await self._inner.send(items)
        for item, answer in zip(items, answers, strict=True):
            if isinstance(answer, Rejected):
                self._watch.refused(item)
        return answers

    def _garble(self, answers: Sequence[Outcome]) -> Sequence[Outcome]:
        """Answer as no target may: the types promise otherwise, and the relay must survive it."""
        if self._random.random() < 0.5:
            raise asyncio.CancelledError
        number: Any = 7
        wrong: list[Any] = [
            None, [None] * len(answers), ["ok", *answers[1:]], [Delivered(number), *answers[1:]], answers[1:]
        ]  # fmt: skip
        return self._random.choice(wrong)

    def _arrive_late(self, items: Sequence[Item]) -> None:
        task = asyncio.ensure_future(self._apply(items, late=True))
        task.add_done_callback(lambda done: done.result())
