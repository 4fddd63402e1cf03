from __future__ import annotations

import asyncio

from msgspec.json import decode

from goldwire.clock import SystemClock
from goldwire.targets.base import Item
from goldwire.targets.memory.target import MemorySettings, MemoryTarget
from goldwire.testing.events import sealed
from goldwire.testing.target_suite import Held, TargetSuite


class TestMemory(TargetSuite):
    resumes = False

    def make_target(self) -> MemoryTarget:
        return MemoryTarget("memory", MemorySettings(), self.clock)

    async def held(self, entity_id: str) -> Held | None:
        event = self.target.events.get(entity_id)
        if event is None or event.deleted:
            return None
        attributes = decode(event.body)["changes"]["attributes"]
        return Held(event.version, {name: entry["value"] for name, entry in attributes.items()})


def test_versions_alone_need_no_events() -> None:
    target = MemoryTarget("m", MemorySettings(hold="version"), SystemClock())
    asyncio.run(target.send([Item(sealed("a", 3))]))
    assert (target.versions, target.events) == ({"a": 3}, {})


def test_history_keeps_the_last_events_in_order_of_arrival() -> None:
    target = MemoryTarget("m", MemorySettings(history=2), SystemClock())
    asyncio.run(target.send([Item(sealed(name, 1)) for name in "abc"]))
    assert [event.entity_id for event in target.history] == ["b", "c"]
