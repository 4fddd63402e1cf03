"""A relay reserves its placement once, before it sends anything, and sends nothing where it may not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from goldwire.contract.spec import ContractSpec
from goldwire.errors import ConfigError, StoreBusyError
from goldwire.relay.placement.reservation import AnyPlacement
from goldwire.relay.sender import RESERVE_SECONDS


class Calling:
    """Lets a target deliver as a function has it."""

    def __init__(self, reserve: Callable[[], None]) -> None:
        self.reserve = reserve


def test_a_placement_is_reserved_once_before_the_first_event_and_not_for_nothing(world: Any) -> None:
    sent_before: list[int] = []
    world.placement = Calling(lambda: sent_before.append(len(world.target.sent)))
    world.run()
    assert sent_before == []
    for number in range(4):
        world.commit(*[(f"e{n}", {"city": f"{number}"}) for n in range(20)])
    world.run(batch_size=2, concurrency=8)
    assert sent_before == [0]
    world.replay()
    world.run()
    assert sent_before == [0, 80], "each relay reserves anew, also for a replay: its settings may be others"


def test_nothing_is_sent_where_a_placement_may_not_be_reserved_and_nothing_is_lost(world: Any) -> None:
    def refuse() -> None:
        raise ConfigError("target 't': another was first")

    world.commit(*[(f"e{n}", {"city": "x"}) for n in range(20)])
    world.placement = Calling(refuse)
    for _ in range(2):
        with pytest.raises(ConfigError, match="another was first"):
            world.run(batch_size=2, concurrency=8)
    assert world.target.sent == []
    assert world.store.cursors()[0].reach == 0, "nothing is taken for sent"
    assert "another was first" in world.store.cursors()[0].unopened
    world.placement = AnyPlacement()
    world.run()
    assert len(world.target.sent) == 20
    assert world.balanced()


def test_a_reservation_that_another_process_is_in_the_way_of_is_made_again(world: Any) -> None:
    """The store is free between two tries: all relays of a process share it."""
    tries: list[float] = []

    def reserve() -> None:
        tries.append(world.clock.monotonic())
        if len(tries) < 5:
            raise StoreBusyError("another process holds the lock")

    world.commit(("a", {"city": "x"}))
    world.placement = Calling(reserve)
    world.run()
    assert world.target.sent == [("a", 1)]
    assert len(tries) == 5
    assert tries == sorted(set(tries)), "time goes by between them"


def test_a_reservation_that_another_process_is_in_the_way_of_for_good_ends_the_relay(world: Any) -> None:
    def reserve() -> None:
        raise StoreBusyError("another process holds the lock")

    world.commit(("a", {"city": "x"}))
    world.placement = Calling(reserve)
    began = world.clock.monotonic()
    with pytest.raises(StoreBusyError, match="another process holds the lock"):
        world.run()
    assert RESERVE_SECONDS <= world.clock.monotonic() - began < 2 * RESERVE_SECONDS, "by its own virtual clock"
    assert (world.target.sent, world.store.cursors()[0].reach) == ([], 0)
    world.placement = AnyPlacement()
    world.run()
    assert world.target.sent == [("a", 1)]


@pytest.mark.parametrize("replaying", [False, True])
def test_a_stop_ends_the_wait_for_a_reservation_and_nothing_was_sent(world: Any, replaying: bool) -> None:
    def reserve() -> None:
        raise StoreBusyError("another process holds the lock")

    world.commit(("a", {"city": "x"}))
    if replaying:
        world.run()
        world.replay()
    sent = list(world.target.sent)
    world.placement = Calling(reserve)

    async def run() -> None:
        running = asyncio.ensure_future(world.running(until_caught_up=False))
        await world.clock.sleep(RESERVE_SECONDS / 2)
        world.relay.stop()
        await running

    world.loop.run_until_complete(run())
    assert world.target.sent == sent
    world.placement = AnyPlacement()
    world.run()
    assert world.target.sent == [("a", 1)] * (2 if replaying else 1)
    assert world.balanced()


def test_a_relay_reserves_again_when_its_contract_has_changed(world: Any) -> None:
    contracts: list[int] = []
    world.placement = Calling(lambda: contracts.append(len(world.store.revisions("t"))))

    async def run() -> None:
        running = asyncio.ensure_future(world.running(until_caught_up=False))
        for spec in (None, ContractSpec(payload="delta"), None):
            if spec is not None:
                world.contract(spec)
            world.commit(("a", {"city": str(len(contracts))}))
            await world.clock.sleep(30)
        world.relay.stop()
        await running

    world.loop.run_until_complete(run())
    assert contracts == [1, 2]
    assert world.target.sent == [("a", 1), ("a", 2), ("a", 3)]


def test_a_relay_that_ends_before_it_caught_up_leaves_what_is_unclear_declared(world: Any) -> None:
    """Else a contract that is applied now would seal again, otherwise, what a relay that died has sent."""
    world.commit(*[(f"e{n}", {"city": "x"}) for n in range(5)])
    cursor = world.store.acquire("t", "beginning")
    world.store.declare("t", cursor.epoch, 5, "every", 5)  # and here it died

    async def run() -> None:
        running = asyncio.ensure_future(world.running(until_caught_up=False))
        await asyncio.sleep(0)
        world.relay.stop()
        await running

    world.loop.run_until_complete(run())
    assert world.target.sent == []
    assert world.store.cursors()[0].reach == 5
    world.run()
    assert world.balanced()
