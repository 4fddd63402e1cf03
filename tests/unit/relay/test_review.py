"""Scenarios that once broke a promise of the relay, each found by looking for it."""

import asyncio

import pytest
from structlog.testing import capture_logs

from goldwire.contract.spec import ContractSpec
from goldwire.errors import ConfigError, InputError, TargetStoppedError
from goldwire.observability.metrics import LATENCY
from goldwire.relay.connection import StoreCall
from goldwire.targets.base import DELIVERED, Delivered, Duplicate, Rejected, Throttled, Unavailable, Unknown


def answering(world, *answers):
    """Let the target give these answers to its sends in turn, whatever their type, and then take everything."""
    script = list(answers)

    class Odd(type(world.target)):
        async def send(self, items):
            taken = await super().send(items)
            if not script:
                return taken
            answer = script.pop(0)
            if isinstance(answer, BaseException):
                raise answer
            return answer

    world.target.__class__ = Odd


# --- what a target may get wrong


@pytest.mark.parametrize(
    "answer",
    [
        None,
        True,
        [None],
        ["ok"],
        [Delivered],
        [Delivered(7)],
        [Unknown(None)],
        [Throttled("soon")],
    ],
    ids=repr,
)
def test_an_answer_of_the_wrong_type_leaves_the_outcome_unclear(world, answer):
    answering(world, answer)
    world.commit(("a", {"city": "x"}))
    world.run()
    assert world.target.sent == [("a", 1), ("a", 1)]
    assert world.store.counts("t").delivered == 1


@pytest.mark.parametrize("reason", [None, ValueError("secret")], ids=repr)
def test_a_rejection_without_a_readable_reason_is_one_all_the_same(world, reason):
    answering(world, [Rejected(reason)])
    world.commit(("a", {"city": "x"}))
    world.run()
    assert [letter.reason for _, letter in world.store.dead_letters()] == ["the target gave no reason"]


def test_one_answer_of_the_wrong_type_does_not_spoil_the_others_of_its_batch(world):
    answering(world, [DELIVERED, "ok", DELIVERED])
    world.commit(("a", {"city": "x"}), ("b", {"city": "x"}), ("c", {"city": "x"}))
    world.run()
    assert sorted(world.target.sent) == [("a", 1), ("b", 1), ("b", 1), ("c", 1)]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_target_that_cancels_itself_leaves_the_outcome_unclear(world, concurrency):
    answering(world, asyncio.CancelledError())
    world.commit(("a", {"city": "1"}), ("b", {"city": "1"}))
    task = world.loop.create_task(world.running(mode="latest", batch_size=1, concurrency=concurrency, backoff_seconds=10.0))
    world.loop.run_until_complete(asyncio.sleep(1.0))
    world.commit(("a", {"city": "2"}), ("b", {"city": "2"}))
    world.loop.run_until_complete(asyncio.wait_for(task, 1_000.0))
    # The first may have arrived, so nothing newer may go before its identical repeat.
    assert [sent for sent in world.target.sent if sent[0] == "a"] == [("a", 1), ("a", 1), ("a", 2)]


@pytest.mark.parametrize("wait", [0.0, -5.0, float("nan"), float("inf")])
def test_a_wait_that_is_none_counts_as_not_said(world, wait):
    def answer(_):
        return Throttled(wait) if world.clock.monotonic() < 60.0 else DELIVERED

    world.target.answer = answer
    world.commit(("a", {"city": "x"}))
    world.loop.run_until_complete(asyncio.wait_for(world.loop.create_task(world.running()), 1_000.0))
    assert len(world.target.sent) < 20


@pytest.mark.parametrize("answer", [[], None, ["new"], [1, 2]], ids=repr)
def test_a_look_up_that_answers_nonsense_leads_to_a_resend(world, answer):
    class Asking(type(world.target)):
        async def held_versions(self, _):
            return answer

    world.target.__class__ = Asking
    failures = iter([Unknown("timeout")])
    world.target.answer = lambda _: next(failures, DELIVERED)
    world.commit(("a", {"city": "1"}))
    world.run()
    assert world.target.sent == [("a", 1), ("a", 1)]


def test_a_target_that_opens_for_ever_is_tried_again_and_lets_itself_be_stopped(world):
    class Hanging(type(world.target)):
        opened = 0

        async def open(self):
            type(self).opened += 1
            if type(self).opened == 1:
                await asyncio.sleep(1e9)

    world.target.__class__ = Hanging
    world.commit(("a", {"city": "x"}))
    world.loop.run_until_complete(asyncio.wait_for(world.loop.create_task(world.running()), 1_000.0))
    assert world.store.counts("t").delivered == 1


def test_a_target_whose_opening_raises_anything_is_tried_again(world):
    class Raising(type(world.target)):
        opened = 0

        async def open(self):
            type(self).opened += 1
            if type(self).opened == 1:
                raise RuntimeError

    world.target.__class__ = Raising
    world.commit(("a", {"city": "x"}))
    world.run()
    assert world.store.counts("t").delivered == 1


@pytest.mark.parametrize("fails", [True, False])
def test_a_target_that_does_not_close_hides_neither_the_end_nor_its_cause(world, fails):
    class Clinging(type(world.target)):
        async def close(self):
            if fails:
                raise RuntimeError
            await asyncio.sleep(1e9)

    world.target.__class__ = Clinging
    world.target.answer = lambda _: Rejected("no such table")
    world.commit(*[(f"e{n}", {"city": "x"}) for n in range(10)])
    with pytest.raises(TargetStoppedError, match="no such table"):
        world.loop.run_until_complete(asyncio.wait_for(world.loop.create_task(world.running(dead_letter_minimum=1)), 1_000.0))


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_configuration_error_keeps_its_type_however_many_sends_are_in_flight(world, concurrency):
    def refuse(_):
        raise ConfigError("targets.t.settings.table: no such table")

    world.target.answer = refuse
    world.commit(*[(f"e{n}", {"city": "x"}) for n in range(10)])
    with pytest.raises(ConfigError, match="no such table"):
        world.run(batch_size=1, concurrency=concurrency)
    assert world.store.counts("t").pending == 10


# --- pace


@pytest.mark.parametrize(("batch_size", "rate"), [(2, 1.9), (3, 0.7), (7, 3.1), (100, 0.3)])
def test_a_full_batch_fits_through_any_rate_limit(world, batch_size, rate):
    world.commit(*[(f"e{n}", {"city": "x"}) for n in range(batch_size)])
    world.run(batch_size=batch_size, rate_limit_per_second=rate)
    assert world.store.counts("t").delivered == batch_size


def test_a_stop_does_not_wait_for_the_rate_limit(world):
    world.commit(*[(f"e{n}", {"city": "x"}) for n in range(20)])
    task = world.loop.create_task(world.running(until_caught_up=False, batch_size=10, rate_limit_per_second=0.01))
    world.loop.run_until_complete(asyncio.sleep(5.0))
    world.relay.stop()
    world.loop.run_until_complete(asyncio.wait_for(task, 1.0))
    assert len(world.target.sent) == 10
    world.run()
    assert world.store.counts("t").delivered == 20


def test_a_target_that_asks_to_wait_is_not_sent_what_the_rate_limit_held_back(world):
    answers = iter([Throttled(600.0)])
    world.target.answer = lambda _: next(answers, DELIVERED)
    world.commit(*[(f"e{n}", {"city": "x"}) for n in range(6)])
    task = world.loop.create_task(world.running(batch_size=1, concurrency=3, rate_limit_per_second=1.0))
    world.loop.run_until_complete(asyncio.sleep(500.0))
    assert len(world.target.sent) == 1
    world.loop.run_until_complete(asyncio.wait_for(task, 5_000.0))
    assert world.store.counts("t").delivered == 6


def test_the_first_failure_counts_as_one_also_where_the_clock_moves_on_meanwhile(world):
    def later():
        world.loop.elapsed_seconds += 0.001
        return type(world.clock).now(world.clock)

    world.clock.now = later
    world.target.answer = lambda item: Unknown("HTTP 500") if item.event.entity_id == "bad" else DELIVERED
    world.commit(("bad", {"city": "x"}), ("good", {"city": "x"}))
    world.run(max_attempts=1)
    assert world.store.counts("t").dead == 1


def test_a_clock_that_was_far_ahead_delays_no_retry_once_it_is_right_again(world):
    world.clock.skew_seconds = 365 * 86_400.0
    answers = iter([Unavailable("refused")])
    world.target.answer = lambda _: next(answers, DELIVERED)
    world.commit(("a", {"city": "x"}))
    task = world.loop.create_task(world.running(backoff_seconds=10.0))
    world.loop.run_until_complete(asyncio.sleep(1.0))
    world.clock.skew_seconds = 0.0
    world.loop.run_until_complete(asyncio.wait_for(task, 1_000.0))
    assert world.store.counts("t").delivered == 1


def test_a_letter_redriven_while_the_clock_was_ahead_is_not_due_only_then(world):
    world.target.answer = lambda _: Rejected("no")
    world.commit(("a", {"city": "x"}))
    world.run()
    world.store.redrive("t", [1], world.clock.now() + 365 * 86_400.0)
    world.target.answer = lambda _: DELIVERED
    world.loop.run_until_complete(asyncio.wait_for(world.loop.create_task(world.running()), 1_000.0))
    assert world.store.counts("t").delivered == 1


def test_a_long_wait_that_the_target_asked_for_is_kept(world):
    answers = iter([Throttled(3_600.0)])
    world.target.answer = lambda _: next(answers, DELIVERED)
    world.commit(("a", {"city": "x"}))
    world.run(backoff_limit_seconds=10.0)
    assert world.loop.time() >= 3_600.0
    assert world.target.sent == [("a", 1), ("a", 1)]


def test_a_wait_of_ten_years_is_cut_to_the_longest_that_the_settings_allow_and_told(world):
    answers = iter([Throttled(315_360_000.0), Throttled(60.0)])
    world.target.answer = lambda _: next(answers, DELIVERED)
    world.commit(("a", {"city": "x"}))
    with capture_logs() as lines:
        world.run(wait_limit_seconds=600.0)
    assert 660.0 <= world.loop.time() < 86_400.0
    assert world.store.counts("t").delivered == 1
    [told] = [line for line in lines if "asked_seconds" in line]
    assert (told["asked_seconds"], told["waiting_seconds"], told["log_level"]) == (315_360_000.0, 600.0, "warning")
    assert "wait_limit_seconds" in told["mend"]


def test_no_target_is_waited_for_longer_than_a_day_unless_its_settings_say_so(world):
    answers = iter([Throttled(315_360_000.0)])
    world.target.answer = lambda _: next(answers, DELIVERED)
    world.commit(("a", {"city": "x"}))
    world.run()
    assert 86_400.0 <= world.loop.time() < 2 * 86_400.0


# --- people who act while a relay runs


def test_what_waits_behind_a_letter_that_is_discarded_meanwhile_goes_on(world):
    world.target.answer = lambda item: Rejected("no") if item.event.version == 1 else DELIVERED
    world.commit(("a", {"city": "1"}))
    world.run()
    world.commit(("a", {"city": "2"}), ("b", {"city": "1"}))
    world.target.answer = lambda _: DELIVERED
    world.target.delay_seconds = 5.0
    task = world.loop.create_task(world.running())
    world.loop.run_until_complete(asyncio.sleep(1.0))
    assert world.store.discard("t", [1], world.clock.now()) == 1
    world.loop.run_until_complete(task)
    assert ("a", 2) in world.target.sent
    assert world.store.counts("t").parked == 0
    assert world.balanced()


def test_what_waits_behind_a_letter_that_is_redriven_meanwhile_is_pending_and_follows(world):
    world.target.answer = lambda _: Rejected("no")
    world.commit(("a", {"city": "1"}))
    world.run()
    world.commit(("a", {"city": "2"}), ("b", {"city": "1"}))
    world.target.answer = lambda _: DELIVERED
    world.target.delay_seconds = 5.0
    task = world.loop.create_task(world.running())
    world.loop.run_until_complete(asyncio.sleep(1.0))
    world.store.redrive("t", [1], world.clock.now())
    world.loop.run_until_complete(task)
    assert [sent for sent in world.target.sent if sent[0] == "a"] == [("a", 1), ("a", 1), ("a", 2)]
    assert world.balanced()


def test_a_contract_applied_while_lanes_are_worked_on_seals_the_window_declared_after_it(world):
    failures = iter([Unavailable("refused")])
    world.target.answer = lambda _: next(failures, DELIVERED)
    world.commit(("a", {"city": "1", "name": "Ann"}))
    task = world.loop.create_task(world.running(until_caught_up=False, backoff_seconds=4.0))
    world.loop.run_until_complete(asyncio.sleep(1.0))
    world.target.delay_seconds = 10.0
    world.loop.run_until_complete(asyncio.sleep(5.0))
    assert world.target.in_flight == 1
    revision = world.contract(ContractSpec(golden=False, attributes=("city",)))
    world.commit(("b", {"city": "1", "name": "Bob"}))
    world.target.delay_seconds = 0.0
    world.loop.run_until_complete(asyncio.sleep(20.0))
    world.relay.stop()
    world.loop.run_until_complete(task)
    assert revision.effective_after == 1
    assert set(world.target.bodies[-1]["changes"]["attributes"]) == {"city"}
    assert world.store.controls("t", {"b"})["b"].revision == revision.revision


def test_a_contract_applied_between_two_store_calls_seals_the_window_declared_after_it(world):
    """In production each store call is awaited, so that another process may commit between any two."""
    applied = []

    class Interrupted(StoreCall):
        async def __call__(self, function, *args):
            if function.__name__ == "declare" and not applied:
                applied.append(world.contract(ContractSpec(golden=False, attributes=("city",))))
            return await super().__call__(function, *args)

    world.commit(("a", {"city": "1", "name": "Ann"}))
    world.call = Interrupted()
    world.run()
    assert applied[0].effective_after == 0
    assert set(world.target.bodies[0]["changes"]["attributes"]) == {"city"}


# --- the chain


def test_a_rewind_below_a_discarded_letter_waits_until_what_followed_it_is_clear(world):
    class Killed(StoreCall):
        async def __call__(self, function, *args):
            if function.__name__ == "settle":
                raise KeyboardInterrupt
            return await super().__call__(function, *args)

    world.target.answer = lambda item: Rejected("no") if item.event.version == 2 else DELIVERED
    world.commit(("a", {"city": "1"}), ("a", {"city": "2"}))
    world.run()
    world.store.discard("t", [2], world.clock.now())
    world.commit(("a", {"city": "3"}))
    world.call = Killed()
    with pytest.raises(KeyboardInterrupt):
        world.run()
    # Version 3 has arrived and names version 1 as its predecessor. Version 2 must not come in between now.
    with pytest.raises(InputError, match="discarded"):
        world.store.rewind("t", 1)
    world.call = None
    world.run()
    world.store.rewind("t", 1)
    world.run()
    assert world.target.bodies[-1] == world.target.bodies[-2]
    assert [version for _, version in world.target.sent] == [1, 2, 3, 3]
    assert world.balanced()


def test_a_target_that_takes_only_deletions_is_told_of_each(world):
    world.contract(ContractSpec(golden=False, kinds=("EntityDeleted",)))
    world.commit(("a", {"city": "1"}), ("a", None), ("a", {"city": "2"}), ("a", None))
    world.run()
    assert world.target.sent == [("a", 2), ("a", 4)]
    assert world.target.bodies[1]["previousHash"] == world.target.bodies[0]["hash"]


@pytest.mark.parametrize(("before", "after"), [("latest", "every"), ("every", "latest")])
def test_a_mode_changed_after_a_crash_takes_effect_above_the_window(world, before, after):
    class Killed(StoreCall):
        async def __call__(self, function, *args):
            if function.__name__ == "settle":
                raise KeyboardInterrupt
            return await super().__call__(function, *args)

    world.commit(("a", {"city": "1"}), ("a", {"city": "2"}))
    world.call = Killed()
    with pytest.raises(KeyboardInterrupt):
        world.run(mode=before, chunk_size=1)
    world.call = None
    world.run(mode=after, chunk_size=1)
    hashes, versions = [None], []
    for body in world.target.bodies:
        if body["version"] not in versions:
            assert body["version"] > max(versions, default=0)
            assert body["previousHash"] == hashes[-1]
            hashes.append(body["hash"])
            versions.append(body["version"])


# --- what is counted


@pytest.mark.parametrize("late", [False, True])
def test_the_cap_on_dead_letters_is_a_share_of_what_the_target_took_at_once_or_late(world, late):
    def answer(item):
        if item.event.entity_id.startswith("bad"):
            return Rejected("no")
        return Unavailable("closed") if late and item.attempt == 1 else DELIVERED

    world.target.answer = answer
    world.commit(*[(f"good{number}", {"city": "x"}) for number in range(100)])
    task = world.loop.create_task(world.running(until_caught_up=False, dead_letter_minimum=5))
    world.loop.run_until_complete(asyncio.sleep(60.0))
    world.commit(*[(f"bad{number}", {"city": "x"}) for number in range(15)])
    world.loop.run_until_complete(asyncio.sleep(60.0))
    world.relay.stop()
    world.loop.run_until_complete(task)
    counts = world.store.counts("t")
    assert (counts.delivered, counts.dead) == (100, 15)


def test_the_latency_of_each_commit_counts_also_where_one_entity_needs_several_sends(world):
    for city in ("1", "2", "3"):
        world.commit(("a", {"city": city}))
        world.loop.run_until_complete(asyncio.sleep(1.0))
    world.run()
    assert world.target.batches == [1, 1, 1]
    assert world.recorder.registry.get_sample_value(f"{LATENCY.name}_count", {"target": "t"}) == 3


# --- what the target answers


@pytest.mark.parametrize("answer", [Rejected("no"), Duplicate(), Unavailable("a rule of the table", counted=True)])
def test_an_answer_about_one_event_is_no_reason_to_give_the_target_a_rest(world, answer):
    moments = []

    def answered(item):
        moments.append(world.clock.monotonic())
        return answer if item.event.entity_id == "a" and item.attempt == 1 else DELIVERED

    world.target.answer = answered
    world.commit(("a", {"city": "x"}), ("b", {"city": "x"}))
    world.run(batch_size=1, breaker_failures=1)
    assert world.target.sent[:2] == [("a", 1), ("b", 1)]
    assert moments[1] - moments[0] < 0.1


def test_the_longest_of_the_waits_that_are_asked_for_counts_and_none_is_too_long_that_may_be(world):
    waits, moments = {"a": 5.0, "b": 600.0}, []

    def answer(item):
        moments.append(world.clock.monotonic())
        return Throttled(waits[item.event.entity_id]) if item.attempt == 1 else DELIVERED

    world.target.answer = answer
    world.commit(("a", {"city": "x"}), ("b", {"city": "x"}))
    with capture_logs() as lines:
        world.run(wait_limit_seconds=600.0)
    assert moments[1] < 1.0
    assert moments[2] >= 600.0, "nothing is sent before"
    assert [line for line in lines if "asked_seconds" in line] == []


class Asked:
    """How often a target was asked what it holds, and what it says."""

    def __init__(self, world, says):
        self.count = 0

        class Asking(type(world.target)):
            async def held_versions(_, items):
                self.count += len(items)
                return [says(item) for item in items]

        world.target.__class__ = Asking


def test_a_target_that_holds_a_newer_version_has_received_the_older_one(world):
    asked = Asked(world, lambda item: item.event.version + 1)
    failures = iter([Unknown("timeout")])
    world.target.answer = lambda _: next(failures, DELIVERED)
    world.commit(("a", {"city": "1"}))
    world.run()
    assert (world.target.sent, asked.count) == ([("a", 1)], 1)
    assert world.store.counts("t").delivered == 1


def test_a_target_that_rests_is_probed_by_a_send_and_not_by_a_look_up(world):
    asked = Asked(world, lambda item: item.event.version)
    failures = iter([Unknown("timeout")])
    world.target.answer = lambda _: next(failures, DELIVERED)
    world.commit(("a", {"city": "1"}))
    world.run(breaker_failures=1)
    assert (world.target.sent, asked.count) == ([("a", 1)] * 2, 0)


def test_a_deletion_that_a_look_up_finds_has_removed_the_record_with_its_id(world):
    Asked(world, lambda item: item.event.version)
    world.target.answer = lambda item: Unknown("timeout") if item.event.deleted else Delivered("own")
    for attributes in ({"city": "1"}, None, {"city": "2"}):
        world.commit(("a", attributes))
        world.run()
    assert [(item.event.version, item.remote_id) for item in world.target.items] == [(1, None), (2, "own"), (3, None)]
