"""A mass of removals or changes stops at the guards of its target, and waits for a yes."""

import asyncio
from functools import partial
from random import Random

import pytest

from goldwire.changelog.consents import Consent
from goldwire.changelog.resyncs import Resync
from goldwire.clock import SystemClock, seconds, timestamp
from goldwire.contract.spec import ContractSpec
from goldwire.errors import TargetStoppedError
from goldwire.observability.reports import RecordingObserver
from goldwire.relay.connection import StoreCall
from goldwire.relay.contract_revisions import ContractRevisions
from goldwire.relay.mass_guard import MassGuard
from goldwire.relay.relay import Relay
from goldwire.relay.settings import DeliverySettings, GuardSettings
from goldwire.targets.base import DELIVERED, Unavailable

NAMES = [f"e{number:02}" for number in range(40)]
GUARDS = GuardSettings(removal_ratio=0.1, removal_minimum=5, change_ratio=0.25, change_minimum=8)
ROME = "a.city == 'Rome'"


class StoppedClock(SystemClock):
    """Shows one moment, whatever time it is."""

    def __init__(self, now):
        self._now = now

    def now(self):
        return self._now


@pytest.fixture
def guarded(world, compile_revision):
    """A world whose relays have guards."""

    def run(guards=GUARDS, *, mode="latest", until_caught_up=True, **settings):
        world.relay = Relay(
            "t",
            world.store,
            world.target,
            ContractRevisions("t", partial(compile_revision)),
            DeliverySettings(mode=mode, **settings),
            clock=world.clock,
            random=Random(7),
            observer=RecordingObserver("t", world.recorder),
            start="beginning",
            placement=world.placement,
            guards=guards,
        )
        return world.loop.run_until_complete(world.relay.run(until_caught_up=until_caught_up))

    world.guarded = run
    return world


def load(world, **contract):
    if contract:
        world.contract(ContractSpec(golden=False, **contract))
    world.commit(*[(name, {"city": "Rome", "name": name}) for name in NAMES])
    world.guarded()
    world.target.sent.clear()
    world.target.bodies.clear()


def deleted(world):
    return [body["entityId"] for body in world.target.bodies if body["eventType"] == "EntityDeleted"]


def say_yes(world):
    world.store.keep_consent("t", Consent(world.store.position(), "ann", timestamp(world.clock.now())))
    world.store.stop("t", None)


def stops(world, match="removals beyond 5 wait for a yes", **settings):
    with pytest.raises(TargetStoppedError, match=match):
        world.guarded(**settings)


@pytest.mark.parametrize("mode", ["latest", "every"])
def test_deletions_beyond_the_cap_are_not_sent_before_a_yes(guarded, mode):
    load(guarded)
    guarded.commit(*[(name, None) for name in NAMES[:12]])
    stops(guarded, mode=mode)
    assert len(deleted(guarded)) == 5
    counts = guarded.store.counts("t")
    assert (counts.pending, counts.dead, guarded.balanced()) == (7, 0, True)
    say_yes(guarded)
    guarded.guarded(mode=mode)
    assert sorted(deleted(guarded)) == NAMES[:12]
    assert guarded.balanced()


def test_as_many_as_the_cap_lets_go_are_ordinary_work(guarded):
    load(guarded)
    guarded.commit(*[(name, None) for name in NAMES[:5]])
    guarded.guarded()
    assert sorted(deleted(guarded)) == NAMES[:5]


def test_the_share_counts_where_it_is_larger_than_the_minimum(guarded):
    load(guarded)
    guarded.commit(*[(name, None) for name in NAMES[:21]])
    stops(guarded, "removals beyond 20 wait", guards=GuardSettings(removal_ratio=0.5, removal_minimum=5))
    assert len(deleted(guarded)) == 20


def test_deselection_counts_like_deletion(guarded):
    load(guarded, where=ROME, deselect=True)
    guarded.commit(*[(name, {"city": "", "name": name}) for name in NAMES])
    stops(guarded)
    assert len(deleted(guarded)) == 5


def test_a_person_who_lets_it_run_without_a_yes_sends_nothing_more(guarded):
    load(guarded)
    guarded.commit(*[(name, None) for name in NAMES[:12]])
    stops(guarded)
    guarded.store.stop("t", None)
    stops(guarded)
    assert len(deleted(guarded)) == 5
    assert guarded.balanced()


def test_what_was_mended_at_the_source_goes_out_and_nothing_is_deleted_that_waited(guarded):
    load(guarded, where=ROME, deselect=True)
    guarded.commit(*[(name, {"city": "", "name": name}) for name in NAMES])
    stops(guarded)
    guarded.commit(*[(name, {"city": "Rome", "name": name}) for name in NAMES])
    guarded.store.stop("t", None)
    guarded.guarded()
    assert len(deleted(guarded)) == 5
    assert guarded.balanced()


def test_removals_in_small_pieces_add_up_within_the_span_also_across_relays(guarded):
    load(guarded)
    guarded.commit(*[(name, None) for name in NAMES[:4]])
    guarded.guarded()
    guarded.commit(*[(name, None) for name in NAMES[4:8]])
    stops(guarded)
    assert len(deleted(guarded)) == 5


def test_removals_count_no_more_once_the_span_has_passed(guarded):
    load(guarded)
    guarded.commit(*[(name, None) for name in NAMES[:5]])
    guarded.guarded()
    guarded.loop.run_until_complete(asyncio.sleep(3_601))
    guarded.commit(*[(name, None) for name in NAMES[5:10]])
    guarded.guarded()
    assert sorted(deleted(guarded)) == NAMES[:10]


def test_one_running_relay_lets_so_many_go_in_each_span(guarded):
    load(guarded)

    async def in_two_spans():
        guarded.commit(*[(name, None) for name in NAMES[:5]])
        await asyncio.sleep(4_000)
        guarded.commit(*[(name, None) for name in NAMES[5:10]])
        await asyncio.sleep(60)
        guarded.relay.stop()

    writing = guarded.loop.create_task(in_two_spans())
    guarded.guarded(until_caught_up=False)
    guarded.loop.run_until_complete(writing)
    assert sorted(deleted(guarded)) == NAMES[:10]


def while_it_runs(world, *steps):
    """Let one relay run, with a step every 100 seconds."""

    async def act():
        for step in steps:
            step()
            await asyncio.sleep(100)
        world.relay.stop()

    acting = world.loop.create_task(act())
    world.guarded(until_caught_up=False)
    world.loop.run_until_complete(acting)


def test_a_yes_that_comes_while_the_relay_runs_counts(guarded):
    load(guarded)

    def remove_with_a_yes():
        guarded.commit(*[(name, None) for name in NAMES[1:13]])
        say_yes(guarded)

    while_it_runs(guarded, lambda: guarded.commit((NAMES[0], None)), remove_with_a_yes)
    assert sorted(deleted(guarded)) == NAMES[:13]


def test_what_a_yes_let_go_does_not_count_for_what_comes_later(guarded):
    load(guarded)

    def remove_with_a_yes():
        guarded.commit(*[(name, None) for name in NAMES[:5]])
        say_yes(guarded)

    while_it_runs(guarded, remove_with_a_yes, lambda: guarded.commit(*[(name, None) for name in NAMES[5:10]]))
    assert sorted(deleted(guarded)) == NAMES[:10]


def test_a_removal_counts_once_in_a_relay_that_goes_on(guarded):
    load(guarded)
    while_it_runs(
        guarded,
        lambda: guarded.commit(*[(name, None) for name in NAMES[:3]]),
        lambda: guarded.commit(*[(name, None) for name in NAMES[3:5]]),
    )
    assert sorted(deleted(guarded)) == NAMES[:5]


def test_where_removals_and_changes_wait_the_reason_names_the_removals(guarded):
    load(guarded)
    guarded.loop.run_until_complete(asyncio.sleep(3_601))
    guarded.commit(*[(name, None if number < 12 else {"city": "Oslo"}) for number, name in enumerate(NAMES)])
    stops(guarded, "removals beyond 5 wait for a yes")
    assert (len(deleted(guarded)), len(guarded.target.sent)) == (5, 15)


def test_more_may_leave_once_the_target_holds_more(guarded):
    load(guarded)
    more = [f"m{number:03}" for number in range(160)]
    while_it_runs(
        guarded,
        lambda: guarded.commit((NAMES[0], None)),
        lambda: guarded.commit(*[(name, {"city": "Rome", "name": name}) for name in more]),
        lambda: guarded.commit(*[(name, None) for name in NAMES[1:19]]),
    )
    assert sorted(deleted(guarded)) == NAMES[:19]


def test_what_comes_after_a_yes_is_counted_anew(guarded):
    load(guarded)
    guarded.commit(*[(name, None) for name in NAMES[:12]])
    stops(guarded)
    say_yes(guarded)
    guarded.guarded()
    guarded.commit(*[(name, None) for name in NAMES[12:17]])
    guarded.guarded()
    guarded.commit((NAMES[17], None))
    stops(guarded)
    assert len(deleted(guarded)) == 17


def test_a_removal_that_is_tried_again_counts_once(guarded):
    load(guarded)
    refusals = iter([True] * 15)
    guarded.target.answer = lambda _: Unavailable("closed") if next(refusals, False) else DELIVERED
    guarded.commit(*[(name, None) for name in NAMES[:5]])
    guarded.guarded()
    assert sorted(set(deleted(guarded))) == NAMES[:5]
    assert guarded.store.cursor("t").stopped is None


def test_a_change_that_is_tried_again_counts_once(guarded):
    load(guarded)
    guarded.loop.run_until_complete(asyncio.sleep(3_601))
    refusals = iter([True] * 30)
    guarded.target.answer = lambda _: Unavailable("closed") if next(refusals, False) else DELIVERED
    guarded.commit(*[(name, {"city": "Oslo", "name": name}) for name in NAMES[:10]])
    guarded.guarded()
    assert {name for name, _ in guarded.target.sent} == set(NAMES[:10])
    assert guarded.store.cursor("t").stopped is None


def test_what_is_new_at_the_target_is_never_held_back(guarded):
    guarded.commit(*[(name, {"city": "Rome", "name": name}) for name in NAMES])
    guarded.guarded()
    assert len(guarded.target.sent) == 40


def test_nor_is_what_comes_back_after_it_was_gone(guarded):
    load(guarded)
    guarded.commit(*[(name, None) for name in NAMES])
    guarded.guarded(GuardSettings(removal_ratio=0))
    guarded.loop.run_until_complete(asyncio.sleep(3_601))
    guarded.commit(*[(name, {"city": "Rome", "name": name}) for name in NAMES])
    guarded.guarded()
    assert len(guarded.target.sent) == 80


def test_nor_is_what_a_resync_sends_which_was_held_against_the_guards_before(guarded):
    load(guarded)
    guarded.loop.run_until_complete(asyncio.sleep(3_601))
    now = guarded.clock.now()
    guarded.store.add_resync(Resync("r1", "t", "all", guarded.store.newest_revision("t"), "ann", timestamp(now)), now)
    guarded.guarded()
    assert sorted(guarded.target.sent) == [(name, 2) for name in NAMES]


def test_changes_beyond_the_cap_wait_for_a_yes(guarded):
    load(guarded)
    guarded.loop.run_until_complete(asyncio.sleep(3_601))
    guarded.commit(*[(name, {"city": "Oslo", "name": name}) for name in NAMES])
    stops(guarded, "changes beyond 10 wait for a yes")
    assert len(guarded.target.sent) == 10
    say_yes(guarded)
    guarded.guarded()
    assert len(guarded.target.sent) == 40
    assert guarded.balanced()


def test_records_that_arrived_within_the_span_may_all_change(guarded):
    load(guarded)
    guarded.commit(*[(name, {"city": "Oslo", "name": name}) for name in NAMES])
    guarded.guarded()
    assert len(guarded.target.sent) == 40


def test_so_may_those_that_arrived_just_a_span_ago_and_not_those_a_moment_older(guarded):
    load(guarded)
    rows, items = guarded.store.heads_of(NAMES), guarded.target.items
    controls = guarded.store.controls("t", NAMES)
    [arrived] = {control.settled_at for control in controls.values()}
    for later_seconds, kept in ((3_600, 0), (3_600.000_002, 30)):
        clock = StoppedClock(seconds(arrived) + later_seconds)
        guard = MassGuard(
            "t", guarded.store, StoreCall(), GUARDS, clock=clock, observer=RecordingObserver("t", guarded.recorder)
        )
        found, _ = guarded.loop.run_until_complete(guard.beyond(rows, items, controls))
        assert len(found) == kept


def test_guards_can_be_switched_off(guarded):
    load(guarded)
    guarded.loop.run_until_complete(asyncio.sleep(3_601))
    guarded.commit(*[(name, None if number % 2 else {"city": "Oslo"}) for number, name in enumerate(NAMES)])
    guarded.guarded(GuardSettings(removal_ratio=0, removal_minimum=0, change_ratio=0, change_minimum=0))
    assert len(guarded.target.sent) == 40


def test_no_removal_at_all_can_be_let_go(guarded):
    load(guarded)
    guarded.commit((NAMES[0], None))
    stops(guarded, "removals beyond 0 wait", guards=GuardSettings(removal_ratio=0.0001, removal_minimum=0))
    assert deleted(guarded) == []
    say_yes(guarded)
    guarded.guarded(guards=GuardSettings(removal_ratio=0.0001, removal_minimum=0))
    assert deleted(guarded) == [NAMES[0]]


def test_what_follows_a_removal_that_waits_waits_behind_it_where_every_version_is_sent(guarded):
    load(guarded)
    guarded.commit(*[(name, None) for name in NAMES[:6]], (NAMES[5], {"city": "Rome"}))
    stops(guarded, mode="every")
    assert (NAMES[5], 3) not in guarded.target.sent
    assert guarded.store.counts("t").pending == 2
    assert guarded.balanced()


def test_a_person_can_see_what_was_kept_back(guarded):
    load(guarded)
    guarded.commit(*[(name, None) for name in NAMES[:12]])
    stops(guarded)
    assert "at least 12 records would be removed from it (40 are held)" in guarded.store.cursor("t").stopped
    value = guarded.recorder.registry.get_sample_value("goldwire_guarded_total", {"target": "t", "kind": "removal"})
    assert value == 7
