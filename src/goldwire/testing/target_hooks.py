"""What a subclass of `TargetSuite` fills in, and what its tests are made of."""

from __future__ import annotations

import asyncio
import tempfile
import unittest
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from goldwire.clock import Clock, SystemClock
from goldwire.event.sealed import SealedEvent
from goldwire.targets.base import Item, Outcome, Target
from goldwire.testing.events import deleted, sealed

SYSTEM = "crm"
"""The system of every external id in these tests."""

SECRET = "s3cret-that-must-not-show"  # noqa: S105 - planted to be looked for
"""Put this into each of your settings that is secret; the suite looks for it where it must not be."""


class Held(Struct, frozen=True):
    """What the machine behind a target holds of one entity."""

    version: int
    values: dict[str, Any]
    """Attribute: value. Those that are null may be left out."""


class TargetHooks(ABC):
    """Flags, hooks and helpers of `TargetSuite`."""

    fences: ClassVar[bool] = True
    """The target itself refuses what is not newer. Where the system behind it cannot, the relay's control table does."""
    resumes: ClassVar[bool] = True
    """What was written is there when a second target is made for the same destination."""
    rejects: ClassVar[bool] = False
    """Some events can never be written: `bad_event` returns one."""
    interruptible: ClassVar[bool] = False
    """`take_down` and `bring_up` stop and start the machine behind the target."""
    batch_size: ClassVar[int] = 50
    """How many items a test sends at once."""

    clock: Clock = SystemClock()
    folder: Path
    target: Any
    """The open target of the test that runs."""

    @abstractmethod
    def make_target(self) -> Target:
        """Return a target that is not open; within a test, each delivers to the same machine."""

    @abstractmethod
    async def held(self, entity_id: str) -> Held | None:
        """Return what the machine behind the target holds of an entity; None if nothing or a deleted record."""

    def bad_event(self) -> SealedEvent:
        """Return an event of entity `bad` that this target must reject; needed where `rejects` is set."""
        raise NotImplementedError("`rejects` is set, so write `bad_event`")

    async def set_up(self) -> None:  # noqa: B027 - many have nothing to start
        """Start what must run on the test's event loop; called before `make_target`."""

    async def tear_down(self) -> None:  # noqa: B027 - the same
        """Stop it again."""

    async def take_down(self) -> None:
        """Stop the machine behind the target; needed where `interruptible` is set."""
        raise NotImplementedError("`interruptible` is set, so write `take_down`")

    async def bring_up(self) -> None:
        """Start it again, with what it held; needed where `interruptible` is set."""
        raise NotImplementedError("`interruptible` is set, so write `bring_up`")

    def setup_method(self) -> None:
        """Make the test's folder."""
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self._temporary.name)

    def teardown_method(self) -> None:
        """Remove it."""
        self._temporary.cleanup()

    # ---- what the tests are made of

    def event(self, entity_id: str, version: int, **attributes: Any) -> SealedEvent:
        """Return a whole record; its external id is the entity id."""
        return sealed(entity_id, version, attributes, external_ids=[(SYSTEM, entity_id)])

    def gone(self, entity_id: str, version: int) -> SealedEvent:
        """Return a deletion."""
        return deleted(entity_id, version, external_ids=[(SYSTEM, entity_id)])

    def run(self, check: Callable[[Target], Awaitable[None]]) -> None:
        """Run a check on an open target, and close it."""

        async def run() -> None:
            target = self.target = self.make_target()
            await target.open()
            try:
                await check(target)
            finally:
                await target.close()

        self.run_bare(run)

    def run_bare(self, check: Callable[[], Awaitable[None]]) -> None:
        """Run a check that makes its targets itself."""

        async def run() -> None:
            await self.set_up()
            try:
                await check()
            finally:
                await self.tear_down()

        asyncio.run(run())

    async def send_one(self, target: Target, event: SealedEvent) -> str:
        """Send one event; return the name of its outcome."""
        return type((await self.send_all(target, [event]))[0]).__name__

    async def send_all(self, target: Target, events: Sequence[SealedEvent]) -> Sequence[Outcome]:
        """Send events as one batch."""
        outcomes = await target.send([Item(event) for event in events])
        assert len(outcomes) == len(events)
        return outcomes

    async def expect(self, entity_id: str, version: int, values: dict[str, Any]) -> None:
        """Fail unless the machine holds exactly this."""
        held = await self.held(entity_id)
        assert held is not None, f"{entity_id} is not there"
        shown = {name: value for name, value in held.values.items() if value is not None}
        assert (held.version, shown) == (version, values)

    def needs_fence(self) -> None:
        """Skip the test where only the relay's control table fences."""
        if not self.fences:
            raise unittest.SkipTest("the system behind this target has no fence of its own")


def texts_of(event: SealedEvent) -> list[str]:
    """Return the texts among an event's values, but for the shortest."""
    attributes = msgspec.json.decode(event.body).get("changes", {}).get("attributes", {})
    texts = [entry["value"] for entry in attributes.values() if isinstance(entry["value"], str)]
    return [text for text in texts if len(text) >= 4]
