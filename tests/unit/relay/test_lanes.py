"""What the stream left behind goes on by itself: in order, as the target knows it, and never above what it holds."""

import asyncio

import pytest

from goldwire.changelog.rows import SUPERSEDED, LogRow
from goldwire.clock import timestamp
from goldwire.contract.spec import ContractSpec
from goldwire.errors import TargetStoppedError
from goldwire.observability.metrics import DELIVERIES
from goldwire.relay.lanes import LaneWork
from goldwire.relay.retry_policy import first_attempt
from goldwire.targets.base import DELIVERED, Delivered, Rejected, Unavailable
from support.replay_record import grown


def named(item):
    return Delivered(f"own-{item.event.entity_id}")


def refused_at_first(item):
    return Unavailable("closed") if item.attempt == 1 else Rejected("no such table")


def ended(world, word):
    return world.recorder.registry.get_sample_value(DELIVERIES.name, {"target": "t", "outcome": word})


def test_the_next_event_of_an_entity_says_under_which_id_the_target_keeps_it(world):
    world.target.answer = named
    world.commit(("a", {"city": "1"}))
    world.run()
    world.commit(("a", {"city": "2"}), ("b", {"city": "1"}))
    world.run()
    assert [(item.event.entity_id, item.remote_id) for item in world.target.items] == [("a", None), ("a", "own-a"), ("b", None)]


def test_so_does_an_event_that_is_tried_again_and_one_that_is_repeated(world):
    world.target.answer = named
    world.commit(("a", {"city": "1"}))
    world.run()
    world.target.answer = lambda item: named(item) if item.attempt > 1 else Unavailable("closed")
    world.commit(("a", {"city": "2"}))
    world.run()
    world.target.answer = named
    world.replay()
    world.run()
    assert [(item.attempt, item.remote_id) for item in world.target.items[1:]] == [
        (1, "own-a"),
        (2, "own-a"),
        *[(1, "own-a")] * 2,
    ]


def test_an_answer_without_an_id_keeps_the_one_that_is_known_and_a_deletion_forgets_it(world):
    world.target.answer = named
    world.commit(("a", {"city": "1"}))
    world.run()
    world.target.answer = lambda _: DELIVERED
    world.commit(("a", {"city": "2"}), ("a", None), ("a", {"city": "3"}))
    world.run()
    assert [item.remote_id for item in world.target.items] == [None, "own-a", "own-a", None]


def test_a_target_that_its_retries_stop_stays_stopped(world):
    world.target.answer = refused_at_first
    world.commit(*[(f"e{number}", {"city": "x"}) for number in range(20)])
    with pytest.raises(TargetStoppedError, match="no such table"):
        world.run(dead_letter_minimum=5, breaker_failures=1_000)
    assert "no such table" in world.store.cursor("t").stopped
    with pytest.raises(TargetStoppedError, match="goldwire resume"):
        world.run()
    assert world.balanced()


def test_what_a_rewind_brings_again_while_a_replay_holds_its_entity_is_superseded(world):
    grown(world, rounds=2, entities=("a",))
    world.replay()
    world.target.answer = lambda item: Unavailable("down") if item.replay_id else DELIVERED
    task = world.loop.create_task(world.running(until_caught_up=False, breaker_failures=1_000))
    world.loop.run_until_complete(asyncio.sleep(2.0))
    world.relay.stop()
    world.loop.run_until_complete(task)
    world.store.rewind("t", 0)
    world.target.items.clear()
    refusals = iter([Unavailable("down")])
    world.target.answer = lambda _: next(refusals, DELIVERED)
    world.run(breaker_failures=1_000)
    assert {item.replay_id for item in world.target.items} == {"r1"}
    counts = world.store.counts("t")
    assert (counts.superseded, counts.pending, world.balanced()) == (2, 0, True)


def test_a_record_that_left_the_contract_while_it_waited_is_filtered_and_not_held_any_more(world):
    rome = ContractSpec(golden=False, where='a.city == "Rome"')
    world.contract(rome)
    world.commit(("a", {"city": "Rome"}))
    world.run()
    refusals = iter([Unavailable("closed")])
    world.target.answer = lambda _: next(refusals, DELIVERED)
    world.commit(("a", {"city": "Rome", "name": "Ann"}))
    task = world.loop.create_task(world.running(mode="latest", backoff_seconds=10.0))
    world.loop.run_until_complete(asyncio.sleep(1.0))
    world.commit(("a", {"city": "Oslo"}))
    world.loop.run_until_complete(task)
    counts = world.store.counts("t")
    assert (counts.delivered, counts.filtered, counts.superseded) == (1, 1, 1)
    assert world.store.controls("t", {"a"})["a"].presence == "out"
    assert (ended(world, "filtered"), ended(world, "superseded")) == (1, 1)


def test_what_newer_versions_supersede_ends_in_one_round_for_all_entities(world):
    world.target.answer = lambda _: Unavailable("closed")
    task = world.loop.create_task(world.running(mode="latest", backoff_seconds=10.0, breaker_failures=1_000))
    for city in ("1", "2"):
        world.commit(*[(entity, {"city": city}) for entity in ("a", "b", "c")])
        world.loop.run_until_complete(asyncio.sleep(2.0))
    counts = world.store.counts("t")
    assert (counts.pending, counts.parked) == (6, 0)
    world.target.answer = lambda _: DELIVERED
    world.loop.run_until_complete(task)
    counts = world.store.counts("t")
    assert (counts.superseded, counts.delivered, world.balanced()) == (3, 3, True)
    assert (ended(world, "superseded"), ended(world, "delivered")) == (3, 3)


def test_what_waits_behind_a_retry_is_pending_and_not_parked(world):
    world.target.answer = lambda _: Unavailable("closed")
    world.commit(("a", {"city": "1"}), ("a", {"city": "2"}))
    task = world.loop.create_task(world.running(until_caught_up=False))
    world.loop.run_until_complete(asyncio.sleep(0.5))
    world.relay.stop()
    world.loop.run_until_complete(task)
    counts = world.store.counts("t")
    assert (counts.pending, counts.parked, counts.dead) == (2, 0, 0)


# --- one round by itself


def delivery(version, **fields):
    row = LogRow(version, "a", "Customer", version, "live", timestamp(0.0), "c", b"{}", "", None)
    return first_attempt(row)._replace(revision=1, **fields)


def round_of(*lane, latest=False):
    return LaneWork("t", 1, 9, {"a": lane}, latest=latest)


def test_an_older_version_ends_before_a_newer_one_is_sent_and_not_after():
    chosen, marked = round_of(delivery(1), delivery(2, state="pending"), latest=True).choose(2)
    assert [(one.version, one.revision, one.ambiguous) for one in chosen] == [(2, 2, False)]
    assert [(one.version, one.state, one.ambiguous) for one in marked.updated] == [(2, "retrying", True)]
    assert [(one.seq, one.code) for one in marked.closed] == [(1, SUPERSEDED)]


def test_what_is_superseded_ends_in_every_lane_of_a_round():
    lanes = {name: [delivery(seq), delivery(seq + 1)] for name, seq in (("a", 1), ("b", 3))}
    _, marked = LaneWork("t", 1, 9, lanes, latest=True).choose(1)
    assert [one.seq for one in marked.closed] == [1, 3]


def test_what_may_have_arrived_goes_first_under_its_own_revision():
    chosen, marked = round_of(delivery(1), delivery(2, ambiguous=True), delivery(3), latest=True).choose(2)
    assert [(one.version, one.revision) for one in chosen] == [(2, 1)]
    assert [one.seq for one in marked.closed] == [1]


def test_what_waits_behind_an_end_is_due_at_once_unless_it_is_dead():
    for state, updated in (("pending", [(2, "retrying", 0.0)]), ("parked", [(2, "retrying", 0.0)]), ("dead", [])):
        work = round_of(delivery(1), delivery(2, state=state, due_at=99.0))
        work.superseded(delivery(1))
        settlement = work.settlement(None)
        assert [(one.version, one.state, one.due_at) for one in settlement.updated] == updated
        assert [(one.seq, one.code, one.revision) for one in settlement.closed] == [(1, SUPERSEDED, 1)]


def test_what_waits_behind_a_dead_one_is_parked_and_what_is_dead_stays_dead():
    work = round_of(delivery(1), delivery(2, state="dead"), delivery(3, state="pending"))
    work.failed(delivery(1, state="dead"))
    assert [(one.version, one.state) for one in work.settlement(None).updated] == [(1, "dead"), (3, "parked")]
