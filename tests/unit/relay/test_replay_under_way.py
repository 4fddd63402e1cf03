"""A replay under way: beside live traffic of the same entity, over crashes, cancelled, refused, slowed down."""

import asyncio
import itertools
from random import Random

import pytest

from goldwire.contract.spec import ContractSpec
from goldwire.relay.chunk import Chunk
from goldwire.relay.pace import DeadLetterCap
from goldwire.relay.retry_policy import RetryPolicy, first_attempt
from goldwire.relay.settings import DeliverySettings
from goldwire.targets.base import DELIVERED, Duplicate, Rejected, Throttled, Unavailable, Unknown
from support.replay_record import first_and_repeats, grown, repeated

# --- beside live traffic


def test_live_changes_of_an_entity_wait_until_its_replay_is_done_and_others_go_on(world):
    grown(world, rounds=2, entities=("a", "b"))
    world.target.sent.clear()
    world.target.items.clear()
    failing = itertools.count()
    world.target.answer = lambda item: (
        Unknown("HTTP 500") if item.replay_id and item.event.entity_id == "a" and next(failing) < 3 else DELIVERED
    )
    world.replay()
    task = world.loop.create_task(world.running(backoff_seconds=20.0, breaker_failures=100))
    world.loop.run_until_complete(asyncio.sleep(2.0))
    world.commit(("a", {"city": "live"}), ("b", {"city": "live"}))
    world.loop.run_until_complete(asyncio.sleep(2.0))
    assert ("b", 3) in world.target.sent
    assert ("a", 3) not in world.target.sent
    world.loop.run_until_complete(asyncio.wait_for(task, 10_000.0))
    marked = [(item.event.version, bool(item.replay_id)) for item in world.target.items if item.event.entity_id == "a"]
    assert marked == [(1, True)] * 4 + [(2, True), (3, False)]
    assert world.balanced()
    assert world.store.counts("t").pending == 0


def test_an_entity_whose_delivery_may_have_arrived_waits_for_it(world):
    grown(world, rounds=2, entities=("a",))
    unclear = iter([Unknown("timeout")])
    world.target.answer = lambda item: next(unclear, DELIVERED) if not item.replay_id else DELIVERED
    world.target.items.clear()
    task = world.loop.create_task(world.running(until_caught_up=False, backoff_seconds=30.0))
    world.commit(("a", {"city": "new"}))
    world.loop.run_until_complete(asyncio.sleep(2.0))
    world.replay()
    world.loop.run_until_complete(asyncio.sleep(100.0))
    world.relay.stop()
    world.loop.run_until_complete(task)
    marked = [(item.event.version, bool(item.replay_id)) for item in world.target.items]
    assert marked == [(3, False), (3, False), (1, True), (2, True), (3, True)]


def test_an_entity_behind_a_dead_letter_that_may_have_arrived_is_named_and_left_out(world):
    grown(world, rounds=1, entities=("a", "b"))
    world.target.answer = lambda item: Unknown("HTTP 500") if item.event.entity_id == "a" else DELIVERED
    world.commit(("a", {"city": "2"}), *[(f"e{n}", {"city": "x"}) for n in range(5)])
    world.run(max_attempts=1)
    world.target.answer = lambda _: DELIVERED
    world.replay()
    world.run()
    record = world.replayed()
    assert record.state == "done"
    assert record.tally.blocked == 1
    assert [failure.entity_id for failure in record.failures] == ["a"]
    assert "redrive or discard" in record.failures[0].reason
    assert "a" not in {entity for entity, _ in repeated(world)}


def test_a_change_behind_a_dead_letter_stays_parked_while_a_replay_holds_its_entity(world, compile_revision):
    world.commit(("a", {"city": "1"}), ("a", {"city": "2"}))
    first, row = world.store.read(0, 2, 2)
    letter = first_attempt(first)._replace(state="dead")
    chunk = Chunk(1, 2, [row], {}, {"a": [letter]}, compile_revision(world.store.revisions("t")[0]))
    chunk.hold({"a"})
    settings = DeliverySettings()
    chunk.wave([row], {}, RetryPolicy(settings, DeadLetterCap(settings), world.clock, Random(1)))
    assert [delivery.state for delivery in chunk.settlement("t", 1, 2, None).opened] == ["parked"]


def test_behind_a_dead_letter_the_position_to_redrive_is_the_dead_letters(world):
    grown(world, rounds=1, entities=("a",))
    world.target.answer = lambda item: Rejected("no") if item.event.entity_id == "a" else DELIVERED
    world.commit(("a", {"city": "2"}))
    world.run()
    [(_, letter)] = world.store.dead_letters("t")
    world.commit(("b", {"city": "x"}), ("a", {"city": "3"}))
    crash_in_send(world, lambda item: item.event.entity_id == "b")
    world.target.answer = lambda _: DELIVERED
    world.replay()
    world.loop.run_until_complete(asyncio.wait_for(world.running(), 1_000.0))  # it must not wait for what is dead
    [failure] = world.replayed().failures
    assert (failure.version, f"position {letter.seq}," in failure.reason) == (3, True)


def test_nothing_is_begun_before_what_a_crash_left_unclear_has_ended(world):
    grown(world, rounds=2, entities=("a",))
    world.commit(("a", {"city": "new"}))
    crash_in_send(world, lambda item: item.event.version == 3)
    world.replay()
    world.target.items.clear()
    world.run()
    marked = [(item.event.version, bool(item.replay_id)) for item in world.target.items]
    assert marked == [(3, False), (1, True), (2, True), (3, True)]


# --- crashes, cancelling, refusals


class Crash(BaseException):
    """Ends the relay as a kill would: nothing after it is written down."""


def crash_in_send(world, when, **settings):
    plain = type(world.target)

    class Crashing(plain):
        async def send(self, items):
            answers = await super().send(items)
            if any(when(item) for item in items):
                raise Crash
            return answers

    world.target.__class__ = Crashing
    with pytest.raises(Crash):
        world.run(**settings)
    world.target.__class__ = plain


def test_a_crash_between_a_send_and_its_progress_repeats_what_was_begun_before_anything_live(world):
    world.contract(ContractSpec(payload="delta"))
    grown(world, rounds=3, entities=("a", "b"))
    world.replay()
    crash_in_send(world, lambda item: item.replay_id and item.event.version == 2)
    assert set(world.replayed().begun) == {"a", "b"}
    world.commit(("a", {"city": "live"}))
    world.target.items.clear()
    world.run()
    marked = [(item.event.version, bool(item.replay_id)) for item in world.target.items if item.event.entity_id == "a"]
    assert marked == [(1, True), (2, True), (3, True), (4, False)]
    assert world.replayed().state == "done"


def test_a_stop_leaves_the_rest_to_the_next_run(world):
    grown(world, rounds=3, entities=("a", "b"))
    world.replay()
    world.target.answer = lambda _: world.relay.stop() or DELIVERED
    world.run()
    assert world.replayed().state == "open"
    world.target.answer = lambda _: DELIVERED
    world.run()
    assert world.replayed().state == "done"


def test_a_cancelled_replay_ends_at_once_and_lets_go_of_what_it_held(world):
    grown(world, rounds=2, entities=("a",))
    world.target.answer = lambda item: Unavailable("down") if item.replay_id else DELIVERED
    world.replay()
    task = world.loop.create_task(world.running(until_caught_up=False, breaker_failures=1_000))
    world.loop.run_until_complete(asyncio.sleep(5.0))
    world.commit(("a", {"city": "live"}))
    world.loop.run_until_complete(asyncio.sleep(5.0))
    assert ("a", 3) not in world.target.sent
    assert world.store.cancel_replay("r1", world.clock.now()).state == "cancelled"
    world.loop.run_until_complete(asyncio.sleep(400.0))
    assert ("a", 3) in world.target.sent
    world.relay.stop()
    world.loop.run_until_complete(task)
    assert world.replayed().state == "cancelled"
    assert world.replayed().ended_at is not None


def test_a_rejected_event_is_named_and_the_rest_of_its_entity_is_skipped(world):
    grown(world)
    world.target.answer = lambda item: (
        Rejected("too large") if item.replay_id and item.event.entity_id == "a" and item.event.version == 2 else DELIVERED
    )
    world.replay()
    world.run()
    record = world.replayed()
    assert (record.state, record.tally.rejected, record.tally.skipped, record.tally.events) == ("done", 1, 2, 9)
    assert [(failure.entity_id, failure.version, failure.reason) for failure in record.failures] == [("a", 2, "too large")]
    assert world.store.dead_letters() == []
    assert world.balanced()


def test_a_replay_whose_events_are_refused_in_numbers_fails_and_the_target_goes_on(world):
    grown(world, rounds=1, entities=[f"e{n}" for n in range(30)])
    world.target.answer = lambda item: Rejected("broken") if item.replay_id else DELIVERED
    world.replay()
    world.commit(("live", {"city": "x"}))
    world.run(dead_letter_minimum=5)
    record = world.replayed()
    assert (record.state, record.tally.rejected) == ("failed", 5)
    assert "broken" in record.reason
    assert ("live", 1) in world.target.sent
    assert world.store.cursors()[0].stopped is None


def test_an_outage_ends_no_part_of_a_replay(world):
    grown(world, rounds=2)
    down_until = world.clock.now() + 3_600
    world.target.answer = lambda _: DELIVERED if world.clock.now() > down_until else Unavailable("refused")
    world.replay()
    world.run(max_attempts=2, backoff_limit_seconds=60.0)
    assert (world.replayed().tally.events, world.replayed().tally.rejected) == (6, 0)


def test_one_event_that_always_fails_is_given_up_while_others_go_through(world):
    grown(world, rounds=1, entities=("bad", *[f"e{n}" for n in range(5)]))
    world.target.answer = lambda item: Unknown("HTTP 500") if item.replay_id and item.event.entity_id == "bad" else DELIVERED
    task = world.loop.create_task(world.running(until_caught_up=False, max_attempts=3))
    world.replay()
    for round_ in range(100):
        world.commit(("e1", {"city": f"live {round_}"}))
        world.loop.run_until_complete(asyncio.sleep(1.0))
    world.relay.stop()
    world.loop.run_until_complete(task)
    record = world.replayed()
    assert (record.state, record.tally.rejected) == ("done", 1)
    assert record.failures[0].reason.startswith("gave up after 3 attempts")


def test_on_probation_a_failing_replay_cannot_hold_the_probe_for_ever(world):
    grown(world, rounds=1, entities=("a", "b"))
    world.replay()
    world.commit(("live", {"city": "x"}))
    world.target.answer = lambda item: Unknown("HTTP 500") if item.replay_id or world.clock.monotonic() < 30.0 else DELIVERED
    task = world.loop.create_task(world.running(until_caught_up=False, breaker_failures=1, backoff_limit_seconds=10.0))
    world.loop.run_until_complete(asyncio.sleep(120.0))
    assert ("live", 1) in world.target.sent
    world.relay.stop()
    world.loop.run_until_complete(task)


def test_a_fenced_targets_duplicate_is_success(world):
    grown(world)
    world.target.answer = lambda _: Duplicate()
    world.replay()
    world.run()
    assert (world.replayed().state, world.replayed().tally.events, world.replayed().tally.duplicates) == ("done", 12, 12)


def test_a_rate_is_kept_and_live_traffic_is_not_slowed_down(world):
    grown(world, rounds=1, entities=[f"e{n}" for n in range(40)])
    begun = world.clock.monotonic()
    world.replay(rate=2.0)
    task = world.loop.create_task(world.running(until_caught_up=False))
    world.loop.run_until_complete(asyncio.sleep(2.0))
    world.commit(("live", {"city": "x"}), ("e39", {"city": "x"}))
    world.loop.run_until_complete(asyncio.sleep(1.0))
    assert ("live", 1) in world.target.sent
    assert ("e39", 2) in world.target.sent
    while world.replayed().state == "open":
        world.loop.run_until_complete(asyncio.sleep(0.5))
    assert 18.0 <= world.clock.monotonic() - begun <= 25.0
    world.relay.stop()
    world.loop.run_until_complete(task)


def test_a_slow_target_with_a_long_past_to_repeat_keeps_no_live_change_waiting(world):
    grown(world, rounds=30, entities=("a",))
    world.replay()
    world.target.items.clear()
    world.target.delay_seconds = 1.0
    task = world.loop.create_task(world.running())
    world.loop.run_until_complete(asyncio.sleep(3.0))
    world.commit(("b", {"city": "new"}))
    world.loop.run_until_complete(task)
    order = [item.event.entity_id for item in world.target.items]
    assert order.index("b") < 8
    assert repeated(world) == [("a", version) for version in range(1, 31)]


def test_a_target_that_asks_to_wait_is_waited_for(world):
    grown(world, rounds=1)
    asked = iter([Throttled(30.0)])
    world.target.answer = lambda item: next(asked, DELIVERED) if item.replay_id else DELIVERED
    begun = world.clock.monotonic()
    world.replay()
    world.run()
    assert world.clock.monotonic() - begun >= 30.0
    assert world.replayed().state == "done"


def test_replays_are_carried_out_one_after_another(world):
    grown(world, rounds=1)
    world.replay("r1")
    world.replay("r2", entities=("b",))
    world.run()
    assert [item.replay_id for item in world.target.items if item.replay_id] == ["r1"] * 3 + ["r2"]
    assert {one.state for one in world.store.replays("t")} == {"done"}


@pytest.mark.parametrize("chunk_size", [1, 2, 1000])
def test_a_replay_of_many_entities_walks_them_all_in_turns(world, chunk_size):
    grown(world, rounds=3, entities=[f"e{n}" for n in range(60)])
    world.replay()
    world.run(chunk_size=chunk_size, batch_size=7)
    plain, again = first_and_repeats(world)
    assert sorted(again) == sorted(plain)
    assert (world.replayed().tally.entities, world.replayed().tally.events) == (60, 180)
