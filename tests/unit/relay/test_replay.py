"""A replay repeats what was sent: the same bytes, in order, and nothing that today's contract or an erasure keeps back."""

import asyncio
import logging

import pytest
from structlog.testing import capture_logs

from goldwire.changelog.checksums import control_checksum
from goldwire.changelog.replays import Selection
from goldwire.changelog.sqlite.queries import CONTROL_COLUMNS
from goldwire.contract.spec import ContractSpec
from goldwire.event.headers import message_id
from goldwire.observability.metrics import REPLAYED
from goldwire.relay.connection import StoreCall
from goldwire.relay.contract_revisions import ContractRevisions
from goldwire.relay.replay_plan import plan_replay
from goldwire.relay.replay_source import ReplaySource
from goldwire.targets.base import DELIVERED, Rejected, Unavailable, Unknown
from support.replay_record import first_and_repeats, grown, repeated


def test_a_replay_repeats_every_event_byte_for_byte_under_another_message_id(world):
    world.contract(ContractSpec(payload="delta"))
    grown(world)
    world.replay()
    world.run()
    plain, again = first_and_repeats(world)
    assert sorted(again) == sorted(plain)
    repeat = next(item for item in world.target.items if item.replay_id)
    assert message_id(repeat.event, repeat.replay_id) == f"{message_id(repeat.event)}~r1"
    assert repeated(world, "a") == [("a", version) for version in range(1, 5)]


def test_a_replay_moves_neither_control_rows_nor_cursor_nor_ledger(world):
    grown(world)
    before = (list(world.store.all_controls("t")), world.store.cursors()[0].position, world.store.counts("t"))
    world.replay()
    world.run()
    after = (list(world.store.all_controls("t")), world.store.cursors()[0].position, world.store.counts("t"))
    assert after == before
    assert world.balanced()


def test_the_record_says_what_was_done(world):
    grown(world)
    world.replay()
    world.run()
    record = world.replayed()
    size = sum(len(item.event.body) for item in world.target.items if item.replay_id)
    assert (record.state, record.tally.events, record.tally.entities, record.tally.bytes) == ("done", 12, 3, size)
    assert record.started_at is not None
    assert record.ended_at is not None
    assert (record.begun, record.waiting) == ((), ())
    assert world.recorder.registry.get_sample_value(REPLAYED.name, {"target": "t", "outcome": "taken"}) == 12


def test_a_part_of_the_log_repeats_that_part_only(world):
    grown(world)
    world.replay(after=6)
    world.run()
    assert repeated(world, "a") == [("a", 3), ("a", 4)]
    assert len(repeated(world)) == 6


def test_an_upper_end_is_followed_by_the_newest_event_so_that_no_receiver_is_left_behind(world):
    grown(world)
    world.replay(upto=3, bounded=True)
    world.run()
    assert repeated(world, "a") == [("a", 1), ("a", 4)]


def test_the_upper_end_itself_is_repeated(world):
    grown(world)
    world.replay(upto=4, bounded=True)
    world.run()
    assert repeated(world, "a") == [("a", 1), ("a", 2), ("a", 4)]


def test_only_the_named_entities_are_repeated(world):
    grown(world)
    world.replay(entities=("b", "nobody"))
    world.run()
    assert repeated(world) == [("b", version) for version in range(1, 5)]
    assert world.replayed().state == "done"


def test_an_expression_chooses_whole_entities(world):
    world.commit(("a", {"city": "Rome"}), ("b", {"city": "Oslo"}))
    world.commit(("a", {"city": "Kyiv"}), ("b", {"city": "Lima"}))
    world.run()
    world.replay(where='a.city == "Rome"', where_attributes=("city",))
    world.run()
    assert repeated(world) == [("a", 1), ("a", 2)]


def test_a_version_for_which_the_expression_has_no_result_counts_once_however_many_entities_there_are(world):
    grown(world, rounds=1, entities=[f"e{number:02}" for number in range(45)])
    world.replay(where="a.city > 5.0", where_attributes=("city",))
    world.run()
    record = world.replayed()
    assert (record.state, record.tally.events, record.tally.undecided) == ("done", 0, 45)


def test_the_end_of_a_replay_is_logged_with_its_name(world, caplog):
    caplog.set_level(logging.INFO)
    grown(world, rounds=1)
    world.replay()
    with capture_logs() as lines:
        world.run()
    [line] = [line for line in lines if line["event"] == "replay ended"]
    assert (line["replay"], line["state"], line["target"]) == ("r1", "done", "t")


# --- what a replay would come to


def planned(world, compile_revision, rate=None, **selection):
    """The plan of a replay, and the positions that it said to have reached."""
    source = ReplaySource("t", world.store, StoreCall(), ContractRevisions("t", compile_revision))
    chosen = Selection(**{"after": 0, "upto": world.store.cursor("t").position, **selection})
    reached = []
    return world.loop.run_until_complete(plan_replay(source, chosen, rate, reached.append)), reached


def test_a_plan_counts_what_the_replay_then_sends(world, compile_revision):
    grown(world, rounds=2, entities=[f"e{number:02}" for number in range(60)])
    plan, reached = planned(world, compile_revision, rate=4.0)
    world.replay()
    world.run()
    tally = world.replayed().tally
    assert (plan.entities, plan.events, plan.bytes) == (tally.entities, tally.events, tally.bytes) == (60, 120, tally.bytes)
    assert plan.bytes == sum(len(item.event.body) for item in world.target.items if item.replay_id)
    assert plan.seconds == 30.0
    assert reached == sorted(set(reached))
    assert reached[-1] == 120


def test_a_plan_without_a_rate_says_no_duration_and_counts_what_has_no_result(world, compile_revision):
    grown(world, rounds=1)
    plan, _ = planned(world, compile_revision, where="a.city > 5.0", where_attributes=("city",))
    assert (plan.entities, plan.undecided, plan.seconds) == (0, 3, None)


def test_a_plan_names_what_has_to_end_first_and_counts_what_may_not_leave(world, compile_revision):
    grown(world, rounds=1, entities=("a", "dead", "erased"))
    world.target.answer = lambda item: Unknown("lost", counted=True) if item.event.entity_id == "dead" else DELIVERED
    world.commit(("dead", {"city": "2"}))
    world.erase("erased")
    world.run(max_attempts=1)
    world.target.answer = lambda _: Unknown("lost")
    world.commit(("waiting", {"city": "1"}))
    task = world.loop.create_task(world.running(until_caught_up=False))
    world.loop.run_until_complete(asyncio.sleep(0.5))
    world.relay.stop()
    world.loop.run_until_complete(task)
    plan, _ = planned(world, compile_revision)
    assert (plan.entities, plan.events, plan.withheld, plan.waiting, plan.blocked) == (2, 2, 1, 1, 1)
    assert [failure.entity_id for failure in plan.blocked_entities] == ["dead"]


# --- what is repeated


def test_what_latest_never_sent_is_not_repeated(world):
    for round_ in range(4):
        world.commit(("a", {"city": f"{round_}"}))
    world.run(mode="latest")
    world.replay()
    world.run(mode="latest")
    assert world.target.sent == [("a", 4), ("a", 4)]


def test_a_deletion_and_a_new_life_are_repeated_like_any_event(world):
    world.contract(ContractSpec(payload="delta"))
    world.commit(("a", {"city": "1"}), ("a", {"city": "2"}), ("a", None), ("a", {"city": "3"}))
    world.run()
    world.replay()
    world.run()
    plain, again = first_and_repeats(world)
    assert again == plain
    assert len(again) == 4


def test_what_left_the_filter_and_came_back_is_repeated_as_it_was(world):
    world.contract(ContractSpec(payload="delta", where='a.city != "x"'))
    world.commit(("a", {"city": "1", "name": "n"}), ("a", {"city": "x", "name": "n"}), ("a", {"city": "2", "name": "n"}))
    world.run()
    world.replay()
    world.run()
    plain, again = first_and_repeats(world)
    assert again == plain
    assert [body["payload"] for body in world.target.bodies] == ["full", "full"] * 2
    assert world.recorder.registry.get_sample_value("goldwire_where_errors_total", {"target": "t"}) is None


def test_an_erased_record_never_comes_back(world):
    world.commit(("a", {"city": "secret"}), ("b", {"city": "b"}))
    world.run()
    world.erase("a")
    world.run()
    world.target.items.clear()
    world.replay()
    world.run()
    assert sorted(repeated(world)) == [("a", 2), ("b", 1)]
    assert not any(b"secret" in item.event.body for item in world.target.items)
    assert world.replayed().tally.withheld == 1


def test_a_record_that_was_erased_twice_does_not_come_back_from_in_between(world):
    world.commit(("a", {"city": "first"}))
    world.run()
    world.erase("a")
    world.commit(("a", {"city": "secret"}))
    world.run()
    world.erase("a")
    world.run()
    world.target.items.clear()
    world.replay()
    world.run()
    assert repeated(world) == [("a", 4)]
    assert not any(b"secret" in item.event.body for item in world.target.items)


def test_an_erased_record_does_not_come_back_either_before_its_tombstone_was_sent(world):
    world.commit(("a", {"city": "secret"}))
    world.run()
    world.erase("a")
    world.target.items.clear()
    world.target.answer = lambda item: DELIVERED if item.replay_id else Rejected("no")
    world.replay()
    world.run()
    assert repeated(world) == []


def test_a_record_that_is_erased_while_an_event_is_retried_stays_erased(world):
    world.commit(("a", {"city": "1"}), ("a", {"city": "secret"}))
    world.run()
    world.target.answer = lambda item: Unavailable("down") if item.replay_id and item.event.version == 2 else DELIVERED
    world.replay()
    task = world.loop.create_task(world.running(breaker_failures=100))
    world.loop.run_until_complete(asyncio.sleep(0.5))
    world.erase("a")
    world.target.items.clear()
    world.loop.run_until_complete(asyncio.wait_for(task, 1_000.0))
    assert [(item.event.version, item.replay_id) for item in world.target.items] == [(3, None)]
    assert (world.replayed().state, world.replayed().tally.withheld) == ("done", 1)


# --- contracts that changed since


def test_what_a_tightened_contract_hides_does_not_leave_by_a_replay(world):
    world.commit(("a", {"city": "1", "name": "hidden"}), ("b", {"city": "1"}))
    world.run()
    world.contract(ContractSpec(golden=False, attributes=("city",)))
    world.commit(("a", {"city": "2", "name": "hidden"}), ("a", {"city": "3", "name": "hidden"}))
    world.run()
    world.target.items.clear()
    world.replay()
    world.run()
    assert not any(b"hidden" in item.event.body for item in world.target.items)
    assert sorted(repeated(world)) == [("a", 2), ("a", 3), ("b", 1)]
    assert world.replayed().tally.withheld == 1


def test_a_contract_that_is_tightened_while_an_event_is_retried_holds_for_it(world):
    world.commit(("a", {"city": "1", "name": "hidden"}), ("a", {"city": "2", "name": "hidden"}))
    world.run()
    world.target.items.clear()
    world.target.answer = lambda item: Unavailable("down") if item.replay_id and item.event.version == 2 else DELIVERED
    world.replay()
    task = world.loop.create_task(world.running(breaker_failures=100))
    world.loop.run_until_complete(asyncio.sleep(0.5))
    assert repeated(world)[:2] == [("a", 1), ("a", 2)]
    world.contract(ContractSpec(golden=False, attributes=("city",)))
    world.target.items.clear()
    world.loop.run_until_complete(asyncio.wait_for(task, 1_000.0))
    assert repeated(world) == []
    assert (world.replayed().state, world.replayed().tally.withheld) == ("done", 1)


def test_a_contract_that_hides_nothing_skips_no_event_of_a_replay_under_way(world):
    world.commit(*[("a", {"city": f"{number}", "name": "n"}) for number in (1, 2, 3)])
    world.run()
    world.target.items.clear()
    world.target.answer = lambda item: Unavailable("down") if item.replay_id and item.event.version == 2 else DELIVERED
    world.replay()
    task = world.loop.create_task(world.running(breaker_failures=100))
    world.loop.run_until_complete(asyncio.sleep(0.5))
    assert repeated(world)[:2] == [("a", 1), ("a", 2)]
    world.contract(ContractSpec(golden=False, attributes=("city", "name")))
    world.target.items.clear()
    world.target.answer = lambda _: DELIVERED
    world.loop.run_until_complete(asyncio.wait_for(task, 1_000.0))
    assert repeated(world) == [("a", 2), ("a", 3)]
    assert world.replayed().tally.withheld == 0


def test_a_contract_that_shows_more_does_not_keep_old_events_back(world):
    world.contract(ContractSpec(golden=False, attributes=("city",)))
    world.commit(("a", {"city": "1", "name": "n"}))
    world.run()
    world.contract(ContractSpec(golden=False))
    world.commit(("a", {"city": "2", "name": "n"}))
    world.run()
    world.replay()
    world.run()
    plain, again = first_and_repeats(world)
    assert again == plain
    assert len(again) == 2


def test_an_event_that_a_newer_contract_sealed_in_a_retry_is_repeated_as_it_was_sent(world):
    answers = iter([Rejected("no")])
    world.commit(("a", {"city": "1"}))
    world.target.answer = lambda _: next(answers, DELIVERED)
    world.run()
    world.contract(ContractSpec(golden=False, attributes=("city",), payload="delta"))
    world.store.redrive("t", [1], world.clock.now())
    world.run()
    world.commit(("a", {"city": "2"}))
    world.run()
    world.target.items.clear()
    world.replay()
    world.run()
    assert repeated(world) == [("a", 1), ("a", 2)]
    assert world.replayed().tally.newest_only == 0


# --- what cannot be proven


@pytest.mark.parametrize("payload", ["full", "delta"])
def test_after_a_rewind_only_the_newest_event_is_repeated_and_counted_so(world, payload):
    world.contract(ContractSpec(golden=False, payload=payload))
    grown(world, entities=("a",))
    world.store.rewind("t", 2)
    world.run()
    world.replay()
    world.run()
    plain, again = first_and_repeats(world)
    assert again == plain[-1:]
    assert world.target.bodies[-1]["payload"] == payload
    assert world.replayed().tally.newest_only == 1


def test_what_no_hash_confirms_is_not_sent(world):
    grown(world, entities=("a", "b"))
    store = world.store._database
    [[lowest]] = store.execute("SELECT min(slot) FROM control")
    store.execute("UPDATE control SET hash = zeroblob(32) WHERE slot = ?", (lowest,))
    [columns] = store.execute(f"SELECT {CONTROL_COLUMNS} FROM control c WHERE slot = ?", (lowest,))
    store.execute("UPDATE control SET checksum = ? WHERE slot = ?", (control_checksum(columns[:-1]), lowest))
    world.replay()
    world.run()
    assert {entity for entity, _ in repeated(world)} == {"b"}
    assert world.replayed().tally.unconfirmed == 1
