"""Who is at fault: an event that fails alone, a code that no outage gives, a target that is gone, a broker that lost."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from goldwire.changelog.rows import LogRow
from goldwire.clock import timestamp
from goldwire.errors import TargetRefusedError, TargetStoppedError
from goldwire.relay.pace import DeadLetterCap
from goldwire.relay.retry_policy import RetryPolicy, first_attempt
from goldwire.relay.settings import DeliverySettings
from goldwire.targets.base import DELIVERED, Item, Outcome, Unavailable, Unknown
from goldwire_lab.virtual_time import VirtualClock

ROW = LogRow(1, "e", "Customer", 1, "live", timestamp(0.0), "c", b"{}", "", None)
LATE = timestamp(4_000_000_000.0)


@pytest.mark.parametrize("outcome", [Unavailable("code 460", counted=True), Unknown("code 599", counted=True)])
def test_a_code_that_no_outage_gives_counts_although_nothing_else_is_taken(world: Any, outcome: Outcome) -> None:
    settings = DeliverySettings(max_attempts=3)
    policy = RetryPolicy(settings, DeadLetterCap(settings), VirtualClock(world.loop), Random(1))
    delivery = first_attempt(ROW)
    for _ in range(3):
        assert delivery.state == "retrying"
        delivery = policy.decide(delivery, outcome, LATE)
    assert (delivery.state, delivery.strikes) == ("dead", 3)
    assert "gave up after 3 attempts" in delivery.reason


def test_an_event_alone_at_a_target_that_answers_an_unknown_code_is_not_tried_for_ever(world: Any) -> None:
    world.target.answer = lambda _: Unavailable("a code of its own", counted=True)
    world.commit(("a", {"city": "x"}))
    world.run(max_attempts=3)
    counts = world.store.counts("t")
    assert (counts.dead, counts.pending, len(world.target.sent)) == (1, 0, 3)


def test_what_fails_while_others_pass_is_sent_alone_and_takes_no_other_with_it(world: Any) -> None:
    """A target whose batch fails as a whole because of one event, with a code that says nothing of it."""

    class AllOrNothing(type(world.target)):  # type: ignore[misc]  # the class of the fixture
        async def send(self, items: list[Item]) -> list[Outcome]:
            answers = await super().send(items)
            poisoned = any(item.event.entity_id == "poison" for item in items)
            return [Unknown("HTTP 500")] * len(items) if poisoned else list(answers)

    world.target.__class__ = AllOrNothing
    world.commit(*[(f"e{number}", {"city": "x"}) for number in range(9)], ("poison", {"city": "x"}))
    task = world.loop.create_task(world.running(until_caught_up=False, batch_size=10, max_attempts=4))
    for number in range(20):  # others come now and then, and pass
        world.loop.run_until_complete(asyncio.sleep(60))
        world.commit((f"f{number}", {"city": "x"}))
    world.loop.run_until_complete(asyncio.sleep(600))
    world.relay.stop()
    world.loop.run_until_complete(task)
    counts = world.store.counts("t")
    assert (counts.delivered, counts.dead, counts.pending) == (29, 1, 0)
    [(_, letter)] = world.store.dead_letters("t")
    assert letter.entity_id == "poison"
    assert world.balanced()


def test_a_target_that_is_gone_for_good_stops_with_its_reason_and_goes_on_when_it_is_resumed(world: Any) -> None:
    def refuse(_: Item) -> Outcome:
        raise TargetRefusedError("the receiver is gone for good: HTTP 410")

    world.target.answer = refuse
    world.commit(*[(f"e{number}", {"city": "x"}) for number in range(30)])
    with pytest.raises(TargetStoppedError, match="is stopped: the receiver is gone for good: HTTP 410"):
        world.run(batch_size=5, concurrency=3)
    cursor = world.store.cursor("t")
    assert cursor.stopped == "the receiver is gone for good: HTTP 410"
    assert cursor.reach > cursor.position  # what may have been sent stays declared
    assert world.store.counts("t").pending == 30
    world.store.stop("t", None)
    world.target.answer = lambda _: DELIVERED
    world.run()
    assert world.store.counts("t").delivered == 30
    assert world.balanced()


def test_a_loss_is_kept_although_the_next_attempt_succeeds(world: Any) -> None:
    answers = iter([Unknown("the broker has lost what it had acknowledged", lost=True)])
    world.target.answer = lambda _: next(answers, DELIVERED)
    world.commit(("a", {"city": "x"}))
    world.run(backoff_seconds=5.0)
    cursor = world.store.cursor("t")
    assert cursor.loss == "the broker has lost what it had acknowledged"
    assert cursor.loss_since is not None
    assert world.store.counts("t").delivered == 1


def test_a_loss_is_kept_although_others_are_taken_right_after_it(world: Any) -> None:
    world.target.answer = lambda item: (
        Unknown("the broker has lost something", lost=True) if (item.event.entity_id, item.attempt) == ("a", 1) else DELIVERED
    )
    world.commit(*[(name, {"city": "x"}) for name in "abc"])
    world.run(batch_size=1, backoff_seconds=5.0)
    assert world.store.cursor("t").loss == "the broker has lost something"


def test_an_outage_ends_with_a_stop_at_its_limit_and_kills_nothing(world: Any) -> None:
    world.target.answer = lambda _: Unavailable("the connection was refused")
    world.commit(*[(f"e{number}", {"city": "x"}) for number in range(30)])
    with pytest.raises(TargetStoppedError, match=r"it has taken nothing for longer than .*outage_limit_seconds: 100000"):
        world.run(outage_limit_seconds=100_000.0)
    counts = world.store.counts("t")
    assert (counts.pending, counts.dead) == (30, 0)
    world.store.stop("t", None)
    world.target.answer = lambda _: DELIVERED
    world.run()
    assert world.store.counts("t").delivered == 30
    assert world.balanced()


def test_a_quiet_time_after_a_dead_letter_is_no_outage_and_does_not_count_against_the_next_event(world: Any) -> None:
    world.target.answer = lambda item: Unknown("HTTP 500") if item.event.entity_id == "poison" else DELIVERED
    world.commit(("poison", {"city": "x"}))
    task = world.loop.create_task(world.running(until_caught_up=False, max_attempts=3, outage_limit_seconds=100_000.0))
    for number in range(20):  # others come now and then, and pass
        world.commit((f"e{number}", {"city": "x"}))
        world.loop.run_until_complete(asyncio.sleep(60))
        if world.store.counts("t").dead:
            break
    assert world.store.counts("t").pending == 0
    assert world.store.counts("t").dead == 1
    before = world.store.counts("t").delivered
    world.loop.run_until_complete(asyncio.sleep(200_000))
    assert not task.done()
    world.target.answer = lambda _: Unavailable("the connection was refused")
    world.commit(("next", {"city": "x"}))
    world.loop.run_until_complete(asyncio.sleep(50_000))
    assert not task.done()
    world.target.answer = lambda _: DELIVERED
    world.loop.run_until_complete(asyncio.sleep(3_600))
    world.relay.stop()
    world.loop.run_until_complete(task)
    counts = world.store.counts("t")
    assert (counts.delivered, counts.dead, counts.pending) == (before + 1, 1, 0)


def test_an_outage_in_which_only_a_replay_waits_ends_at_its_limit_too(world: Any) -> None:
    world.commit(("a", {"city": "x"}))
    world.run()
    world.replay()
    world.target.answer = lambda _: Unavailable("the connection was refused")
    with pytest.raises(TargetStoppedError, match="it has taken nothing for longer than"):
        world.run(outage_limit_seconds=100_000.0)
    assert world.store.counts("t").pending == 0


def test_a_target_that_never_opens_is_stopped_at_the_limit_with_the_reason(world: Any) -> None:
    class Away(type(world.target)):  # type: ignore[misc]  # the class of the fixture
        async def open(self) -> None:
            raise OSError("no route to host")

    world.target.__class__ = Away
    world.commit(("a", {"city": "x"}))
    with pytest.raises(TargetStoppedError, match=r"could not be opened for longer than .*: no route to host"):
        world.run(outage_limit_seconds=100_000.0)
    assert world.store.cursor("t").stopped is not None
    assert world.store.counts("t").pending == 1
