import asyncio

import pytest

from goldwire.contract.spec import ContractSpec
from goldwire.errors import ConfigError, FencedError, StoreBusyError, TargetStoppedError
from goldwire.observability.metrics import LATENCY
from goldwire.relay.connection import StoreCall
from goldwire.targets.base import DELIVERED, Rejected, Throttled, Unavailable, Unknown


def test_every_version_arrives_in_order_of_its_entity(world):
    for round_ in range(5):
        world.commit(("a", {"city": f"{round_}"}), ("b", {"city": f"{round_}"}))
    world.run(mode="every")
    assert [sent for sent in world.target.sent if sent[0] == "a"] == [("a", version) for version in range(1, 6)]
    assert world.store.counts("t").delivered == 10
    assert world.balanced()


def test_two_events_of_one_entity_are_never_in_flight_together(world):
    world.commit(*[("a", {"city": f"{n}"}) for n in range(6)])
    world.target.delay_seconds = 1.0
    world.run(mode="every", batch_size=1, concurrency=8)
    assert world.target.most_in_flight == 1


def test_events_of_different_entities_are_in_flight_together(world):
    world.commit(*[(f"e{n}", {"city": "x"}) for n in range(20)])
    world.target.delay_seconds = 1.0
    world.run(batch_size=1, concurrency=8)
    assert world.target.most_in_flight == 8


def test_latest_sends_only_the_newest_version_and_calls_the_rest_superseded(world):
    for round_ in range(4):
        world.commit(("a", {"city": f"{round_}"}))
    world.run(mode="latest")
    assert world.target.sent == [("a", 4)]
    counts = world.store.counts("t")
    assert (counts.delivered, counts.superseded) == (1, 3)
    assert world.balanced()


def test_a_chain_links_what_was_sent_across_skipped_versions(world):
    world.commit(("a", {"city": "1"}))
    world.run(mode="latest")
    world.commit(("a", {"city": "2"}), ("a", {"city": "3"}))
    world.run(mode="latest")
    first, second = world.target.bodies
    assert (first["previousHash"], second["previousHash"], second["version"]) == (None, first["hash"], 3)


def test_a_delta_holds_what_changed_since_this_target_was_last_sent(world):
    world.contract(ContractSpec(payload="delta"))
    world.commit(("a", {"city": "Rome", "name": "Ann"}))
    world.run(mode="latest")
    world.commit(("a", {"city": "Oslo", "name": "Ann"}))
    world.commit(("a", {"city": "Oslo"}))
    world.run(mode="latest")
    assert world.target.bodies[-1]["payload"] == "delta"
    values = {name: entry["value"] for name, entry in world.target.bodies[-1]["changes"]["attributes"].items()}
    assert values == {"city": "Oslo", "name": None}


def test_a_rejected_event_parks_its_own_entity_and_never_the_stream(world):
    world.target.answer = lambda item: Rejected("no") if item.event.entity_id == "a" else DELIVERED
    world.commit(("a", {"city": "1"}), ("b", {"city": "1"}), ("a", {"city": "2"}), ("b", {"city": "2"}))
    world.run()
    assert ("a", 2) not in world.target.sent
    assert [sent for sent in world.target.sent if sent[0] == "b"] == [("b", 1), ("b", 2)]
    counts = world.store.counts("t")
    assert (counts.dead, counts.parked, counts.delivered, counts.pending) == (1, 1, 2, 0)
    assert world.balanced()


def test_a_redriven_letter_goes_first_and_what_was_parked_follows(world):
    world.target.answer = lambda _: Rejected("no")
    world.commit(("a", {"city": "1"}), ("a", {"city": "2"}))
    world.run()
    world.commit(("a", {"city": "3"}))
    world.run()
    world.target.answer = lambda _: DELIVERED
    world.target.sent.clear()
    assert world.store.redrive("t", [1], world.clock.now()) == 1
    world.run()
    assert world.target.sent == [("a", 1), ("a", 2), ("a", 3)]
    assert world.store.counts("t").delivered == 3
    assert world.balanced()


def test_a_discarded_letter_stays_dead_and_no_longer_parks(world):
    world.target.answer = lambda item: Rejected("no") if item.event.version == 1 else DELIVERED
    world.commit(("a", {"city": "1"}), ("a", {"city": "2"}))
    world.run()
    world.store.discard("t", [1], world.clock.now())
    world.run()
    counts = world.store.counts("t")
    assert (counts.dead, counts.delivered, counts.parked) == (1, 1, 0)
    assert world.target.bodies[-1]["previousHash"] is None
    assert world.balanced()


def test_a_failing_event_is_sent_again_and_then_its_successor(world):
    failures = iter([Unknown("HTTP 500"), Unavailable("refused")])
    world.target.answer = lambda item: next(failures, DELIVERED) if item.event.entity_id == "a" else DELIVERED
    world.commit(("a", {"city": "1"}), ("b", {"city": "1"}), ("a", {"city": "2"}))
    world.run()
    assert [sent for sent in world.target.sent if sent[0] == "a"] == [("a", 1), ("a", 1), ("a", 1), ("a", 2)]
    assert world.store.counts("t").delivered == 3


def test_an_ambiguous_event_is_repeated_byte_for_byte_before_anything_newer(world):
    failures = iter([Unknown("timeout")])
    world.target.answer = lambda _: next(failures, DELIVERED)
    world.commit(("a", {"city": "1"}))
    task = world.loop.create_task(world.running(mode="latest", backoff_seconds=10.0))
    world.loop.run_until_complete(asyncio.sleep(1.0))
    world.commit(("a", {"city": "2"}), ("a", {"city": "3"}))
    world.loop.run_until_complete(task)
    assert world.target.sent == [("a", 1), ("a", 1), ("a", 3)]
    assert world.target.bodies[0] == world.target.bodies[1]


def test_an_event_that_surely_did_not_arrive_gives_way_to_a_newer_one(world):
    failures = iter([Unavailable("refused")])
    world.target.answer = lambda _: next(failures, DELIVERED)
    world.commit(("a", {"city": "1"}))
    task = world.loop.create_task(world.running(mode="latest", backoff_seconds=10.0))
    world.loop.run_until_complete(asyncio.sleep(1.0))
    world.commit(("a", {"city": "2"}))
    world.loop.run_until_complete(task)
    assert world.target.sent == [("a", 1), ("a", 2)]
    assert world.store.counts("t").superseded == 1


def test_a_long_outage_kills_nothing_and_the_target_is_left_to_rest(world):
    down_until = world.clock.now() + 3_600
    world.target.answer = lambda _: DELIVERED if world.clock.now() > down_until else Unavailable("refused")
    world.commit(*[(f"e{n}", {"city": "x"}) for n in range(50)])
    world.run(batch_size=1, max_attempts=2, backoff_limit_seconds=60.0)
    counts = world.store.counts("t")
    assert (counts.delivered, counts.dead) == (50, 0)
    assert len(world.target.sent) < 50 + 200


def test_one_event_that_always_fails_dies_while_others_go_through(world):
    world.target.answer = lambda item: Unknown("HTTP 500") if item.event.entity_id == "bad" else DELIVERED
    world.commit(("bad", {"city": "x"}), *[(f"e{n}", {"city": "x"}) for n in range(5)])

    async def commit_more() -> None:
        for n in range(2_000):
            await asyncio.sleep(1.0)
            if world.store.counts("t").dead:
                return
            world.commit((f"more{n}", {"city": "x"}))

    relay = world.loop.create_task(world.running(until_caught_up=False, batch_size=1, max_attempts=3))
    world.loop.run_until_complete(commit_more())
    world.relay.stop()
    world.loop.run_until_complete(relay)
    counts = world.store.counts("t")
    assert (counts.dead, counts.pending) == (1, 0)
    assert "gave up after" in world.store.dead_letters()[0][1].reason


def test_a_throttling_target_is_left_alone_for_as_long_as_it_asks(world):
    answers = iter([Throttled(120.0)])
    world.target.answer = lambda _: next(answers, DELIVERED)
    world.commit(("a", {"city": "x"}), ("b", {"city": "x"}))
    world.run(batch_size=1)
    assert world.loop.time() >= 120.0
    assert sorted(world.target.sent) == [("a", 1), ("a", 1), ("b", 1)]


def test_a_send_that_takes_too_long_is_unknown_and_repeated(world):
    world.target.delay_seconds = 100.0
    world.commit(("a", {"city": "x"}))
    task = world.loop.create_task(world.running(timeout_seconds=10.0))
    world.loop.run_until_complete(asyncio.sleep(5.0))
    world.target.delay_seconds = 0.0
    world.loop.run_until_complete(task)
    assert world.store.counts("t").delivered == 1


def test_a_target_that_raises_or_miscounts_is_repeated_until_it_does_right(world):
    class BrokenError(Exception):
        pass

    def fail(_):
        if len(world.target.sent) < 3:
            raise BrokenError
        return DELIVERED

    world.target.answer = fail
    world.commit(("a", {"city": "x"}))
    world.run()
    assert world.store.counts("t").delivered == 1


def test_too_many_dead_letters_stop_the_target_with_a_reason_and_kill_no_more(world):
    world.target.answer = lambda _: Rejected("no such table")
    world.commit(*[(f"e{n}", {"city": "x"}) for n in range(100)])
    with pytest.raises(TargetStoppedError, match="no such table"):
        world.run(batch_size=10, dead_letter_minimum=5)
    counts = world.store.counts("t")
    assert (counts.dead, counts.pending) == (5, 95)
    assert world.balanced()
    with pytest.raises(TargetStoppedError, match="goldwire resume"):
        world.run()
    world.target.answer = lambda _: DELIVERED
    world.store.stop("t", None)
    world.run()
    assert world.store.counts("t").delivered == 95


def test_leaving_the_filter_sends_deselected_and_entering_it_again_the_full_record(world):
    world.contract(ContractSpec(where='a.city == "Rome"', payload="delta", deselect=True))
    world.commit(("a", {"city": "Rome", "name": "Ann"}))
    world.run()
    world.commit(("a", {"city": "Oslo", "name": "Ann"}))
    world.run()
    world.commit(("a", {"city": "Rome", "name": "Ann"}))
    world.run()
    assert [body["eventType"] for body in world.target.bodies] == ["EntityChanged", "EntityDeleted", "EntityChanged"]
    assert world.target.bodies[1]["reason"] == "deselected"
    assert world.target.bodies[2]["payload"] == "full"


def test_a_record_the_target_never_saw_is_not_deleted_there(world):
    world.contract(ContractSpec(where='a.city == "Rome"'))
    world.commit(("a", {"city": "Oslo"}), ("a", None))
    world.run()
    assert world.target.sent == []
    assert world.store.counts("t").filtered == 2


def test_a_new_contract_seals_from_above_what_may_have_been_sent(world):
    world.commit(("a", {"city": "Rome", "name": "Ann"}))
    world.run()
    revision = world.contract(ContractSpec(attributes=("city",)))
    assert revision.effective_after == 1
    world.commit(("a", {"city": "Oslo", "name": "Ann"}))
    world.run()
    assert set(world.target.bodies[0]["changes"]["attributes"]) == {"city", "name"}
    assert set(world.target.bodies[1]["changes"]["attributes"]) == {"city"}


def test_a_new_target_gets_the_heads_and_then_the_log(world):
    world.commit(("a", {"city": "1"}), ("b", {"city": "1"}), ("a", {"city": "2"}), ("c", {"city": "1"}), ("c", None))
    world.run(mode="every", start="snapshot")
    # In `every` the snapshot is the log itself; `latest` takes only the heads.
    assert world.target.sent[:2] == [("a", 1), ("b", 1)]


def test_a_snapshot_in_latest_sends_heads_only(world):
    world.commit(("a", {"city": "1"}), ("b", {"city": "1"}), ("a", {"city": "2"}), ("c", {"city": "1"}), ("c", None))
    world.run(mode="latest", start="snapshot")
    assert world.target.sent == [("b", 1), ("a", 2)]
    assert world.balanced()


def test_a_target_that_starts_now_gets_only_what_comes(world):
    world.commit(("a", {"city": "1"}))
    world.run(start="now")
    world.commit(("b", {"city": "1"}))
    world.run(start="now")
    assert world.target.sent == [("b", 1)]
    assert world.store.counts("t").committed == 1


def test_a_rewound_cursor_sends_nothing_older_than_the_target_holds(world):
    world.commit(("a", {"city": "1"}), ("a", {"city": "2"}), ("b", {"city": "1"}))
    world.run()
    world.target.sent.clear()
    world.store.rewind("t", 0)
    world.run()
    assert world.target.sent == []
    assert world.store.counts("t").superseded == 3
    assert world.balanced()


def test_a_relay_that_was_taken_over_stops_without_settling(world):
    world.target.delay_seconds = 5.0
    world.commit(("a", {"city": "1"}))
    task = world.loop.create_task(world.running())
    world.loop.run_until_complete(asyncio.sleep(1.0))
    world.store.acquire("t", "beginning")
    with pytest.raises(FencedError):
        world.loop.run_until_complete(task)
    assert world.store.counts("t").delivered == 0


def test_two_relays_of_one_target_cannot_run_at_once(world):
    with world.store.lock_target("t"), pytest.raises(StoreBusyError):
        world.run()


def test_a_graceful_stop_settles_what_is_in_flight_and_sends_no_more(world):
    world.target.delay_seconds = 1.0
    world.commit(*[(f"e{n}", {"city": "x"}) for n in range(10)])
    task = world.loop.create_task(world.running(until_caught_up=False, batch_size=1))
    world.loop.run_until_complete(asyncio.sleep(2.5))
    world.relay.stop()
    world.loop.run_until_complete(task)
    assert len(world.target.sent) == 3
    counts = world.store.counts("t")
    assert (counts.delivered, counts.pending) == (3, 7)
    assert world.target.closed == 1
    world.run()
    assert len(world.target.sent) == 10


def test_a_configuration_error_of_the_target_ends_the_run_with_its_text(world):
    def refuse(_):
        raise ConfigError("targets.t.settings.table: no such table; create it")

    world.target.answer = refuse
    world.commit(("a", {"city": "x"}))
    with pytest.raises(ConfigError, match="no such table"):
        world.run()
    assert world.store.counts("t").pending == 1


def test_a_rate_limit_spreads_the_sends(world):
    world.commit(*[(f"e{n}", {"city": "x"}) for n in range(30)])
    world.run(batch_size=1, rate_limit_per_second=10.0)
    assert world.loop.time() >= 1.9


def test_a_look_up_saves_a_resend_where_the_target_can_answer(world):
    class Asking(type(world.target)):
        async def held_versions(self, items):
            return [item.event.version for item in items]

    world.target.__class__ = Asking
    failures = iter([Unknown("timeout")])
    world.target.answer = lambda _: next(failures, DELIVERED)
    world.commit(("a", {"city": "1"}))
    world.run()
    assert world.target.sent == [("a", 1)]
    assert world.store.counts("t").delivered == 1


# --- a tightened contract


def names_in(body: dict) -> set[str]:
    return set(body["changes"]["attributes"])


@pytest.mark.parametrize("mode", ["every", "latest"])
def test_a_tightened_contract_seals_a_backlog_that_was_not_sent_yet(world, mode):
    world.commit(*[(f"e{number}", {"city": "Rome", "name": "Ann"}) for number in range(50)])
    world.target.delay_seconds = 1.0
    task = world.loop.create_task(world.running(mode=mode, chunk_size=10, start="snapshot"))
    world.loop.run_until_complete(asyncio.sleep(1.5))
    revision = world.contract(ContractSpec(golden=False, attributes=("city",)))
    world.loop.run_until_complete(task)
    assert revision.effective_after == 20
    assert [names_in(body) for body in world.target.bodies] == [{"city", "name"}] * 20 + [{"city"}] * 30
    assert world.balanced()


def test_a_contract_tightened_while_the_relay_rests_seals_all_that_is_left(world):
    world.commit(*[(f"e{number}", {"city": "Rome", "name": "Ann"}) for number in range(50)])
    world.target.delay_seconds = 1.0
    task = world.loop.create_task(world.running(mode="latest", chunk_size=10))
    world.loop.run_until_complete(asyncio.sleep(1.5))
    world.relay.stop()
    world.loop.run_until_complete(task)
    assert world.contract(ContractSpec(golden=False, attributes=("city",))).effective_after == 20
    assert len(world.target.bodies) == 20
    world.run(mode="latest")
    assert [names_in(body) for body in world.target.bodies[20:]] == [{"city"}] * 30


def test_a_window_full_of_superseded_rows_is_declared_before_it_is_sent(world):
    world.commit(*[("a", {"city": str(number)}) for number in range(50)], ("b", {"city": "x"}))
    world.run(mode="latest", chunk_size=10)
    assert world.target.sent == [("a", 50), ("b", 1)]
    assert world.balanced()


@pytest.mark.parametrize("again", [Unavailable("refused"), Rejected("no"), Throttled(1.0)])
def test_what_certainly_had_no_effect_is_sealed_by_the_newest_contract(world, again):
    answers = iter([again])
    world.target.answer = lambda _: next(answers, DELIVERED)
    world.commit(("a", {"city": "Rome", "name": "Ann"}))
    task = world.loop.create_task(world.running(backoff_seconds=60.0))
    world.loop.run_until_complete(asyncio.sleep(0.5))
    revision = world.contract(ContractSpec(golden=False, attributes=("city",)))
    world.store.redrive("t", [1], world.clock.now())
    world.loop.run_until_complete(task)
    world.run()
    assert [names_in(body) for body in world.target.bodies] == [{"city", "name"}, {"city"}]
    assert world.store.controls("t", {"a"})["a"].revision == revision.revision


def test_what_may_have_arrived_is_repeated_under_its_own_contract_and_what_waits_behind_it_under_the_newest(world):
    answers = iter([Unknown("timed out")])
    world.target.answer = lambda _: next(answers, DELIVERED)
    world.commit(("a", {"city": "Rome", "name": "Ann"}), ("a", {"city": "Oslo", "name": "Ann"}))
    task = world.loop.create_task(world.running(backoff_seconds=60.0))
    world.loop.run_until_complete(asyncio.sleep(0.5))
    world.contract(ContractSpec(golden=False, attributes=("city",)))
    world.loop.run_until_complete(task)
    first, repeated, last = world.target.bodies
    assert repeated == first
    assert names_in(last) == {"city"}
    assert last["previousHash"] == first["hash"]


def test_a_retry_that_crashed_is_repeated_under_the_contract_it_was_sealed_with(world):
    class Killed(StoreCall):
        async def __call__(self, function, *args):
            if function.__name__ == "settle" and len(world.target.bodies) == 2:
                raise KeyboardInterrupt
            return await super().__call__(function, *args)

    answers = iter([Rejected("no")])
    world.target.answer = lambda _: next(answers, DELIVERED)
    world.commit(("a", {"city": "Rome", "name": "Ann"}))
    world.run()
    world.contract(ContractSpec(golden=False, attributes=("city",)))
    world.store.redrive("t", [1], world.clock.now())
    world.call = Killed()
    with pytest.raises(KeyboardInterrupt):
        world.run()
    world.contract(ContractSpec(golden=False, attributes=("name",)))
    world.call = None
    world.run()
    assert [names_in(body) for body in world.target.bodies] == [{"city", "name"}, {"city"}, {"city"}]
    assert world.target.bodies[1] == world.target.bodies[2]
    assert world.balanced()


def test_latency_counts_only_what_the_target_took(world):
    refused = iter([Unavailable("refused")])
    world.target.answer = lambda _: next(refused, DELIVERED)
    world.commit(("a", {"city": "Rome"}))
    world.run(backoff_seconds=8.0)
    count, total = (world.recorder.registry.get_sample_value(LATENCY.name + end, {"target": "t"}) for end in ("_count", "_sum"))
    assert count == 1
    assert total > 1.0


def test_contracts_and_cursors_of_others_are_not_read_again_with_every_chunk(world):
    world.store.acquire("another", "now")
    world.commit(*[(f"e{n}", {"city": "x"}) for n in range(40)])
    said = []
    world.store._database.connection.set_trace_callback(said.append)
    world.run(chunk_size=2)
    world.store._database.connection.set_trace_callback(None)
    asked = [text for text in said if text.startswith("SELECT") and "target = " not in text]
    assert world.store.counts("t").delivered == 40
    assert sum("document FROM revision" in text for text in said) == 1, "a number says that there is nothing new"
    assert not [text for text in asked if "FROM target_cursor" in text], "only its own cursor, by name"


def test_one_declaration_lets_a_whole_window_of_chunks_be_sent(world):
    class Counted(StoreCall):
        def __init__(self):
            super().__init__()
            self.names = []

        async def __call__(self, function, *args):
            self.names.append(function.__name__)
            return await super().__call__(function, *args)

    world.call = Counted()
    world.commit(*[(f"e{n}", {"city": "x"}) for n in range(8)])
    world.run(chunk_size=2)
    assert (world.call.names.count("declare"), world.call.names.count("settle")) == (1, 4)


def test_a_contract_applied_while_a_run_goes_on_is_read(world):
    applied = []

    def answer(_item):
        if not applied:
            applied.append(world.contract(ContractSpec(attributes=("city",))))
        return DELIVERED

    world.target.answer = answer
    world.commit(*[(f"e{n}", {"city": "Rome", "name": "Ann"}) for n in range(12)])
    world.run(chunk_size=2)
    after = applied[0].effective_after
    seen = [set(body["changes"]["attributes"]) for body in world.target.bodies]
    assert 0 < after < 12
    assert seen == [{"city", "name"}] * after + [{"city"}] * (12 - after)
