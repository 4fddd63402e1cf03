"""A `where` without a result holds a record back: it is neither sent nor withdrawn, and a person learns of it."""

import asyncio

import pytest

from goldwire.contract.spec import ContractSpec
from goldwire.errors import TargetStoppedError
from goldwire.targets.base import DELIVERED, Unavailable

BIG = "a.city > 5.0"


def contract(world, where=BIG):
    world.contract(ContractSpec(golden=False, where=where, deselect=True))


def letters(world):
    found = [letter for _, letter in world.store.dead_letters("t")]
    return [(letter.entity_id, letter.version, letter.attempts, letter.ambiguous) for letter in found]


def test_no_result_is_a_dead_letter_that_names_the_operation_and_no_value(world):
    contract(world)
    world.commit(("a", {"city": 9}), ("b", {"city": 9}))
    world.run()
    world.commit(("a", {"city": "secret"}), ("b", {"city": 7}))
    world.run()
    assert world.target.sent == [("a", 1), ("b", 1), ("b", 2)]
    assert letters(world) == [("a", 2, 0, False)]
    [(_, letter)] = world.store.dead_letters("t")
    assert "`>` does not take string and double" in letter.reason
    assert "secret" not in letter.reason
    assert world.balanced()


def test_what_follows_waits_behind_it_and_a_mended_contract_frees_both(world):
    contract(world)
    world.commit(("a", {"city": "x"}), ("a", {"city": 9}))
    world.run()
    assert (world.store.counts("t").dead, world.store.counts("t").parked) == (1, 1)
    contract(world, "has(a.city)")
    [(_, letter)] = world.store.dead_letters("t")
    world.store.redrive("t", [letter.seq], world.clock.now())
    world.run()
    assert world.target.sent == [("a", 1), ("a", 2)]
    assert world.balanced()


def test_a_letter_that_is_redriven_without_a_result_is_dead_again_and_never_counts_as_sent(world):
    contract(world)
    world.commit(("a", {"city": "x"}))
    world.run()
    [(_, letter)] = world.store.dead_letters("t")
    world.store.redrive("t", [letter.seq], world.clock.now())
    world.run()
    assert letters(world) == [("a", 1, 0, False)]
    assert world.target.sent == []


def test_a_retry_under_a_contract_without_a_result_is_held_back(world):
    contract(world, "has(a.city)")
    world.target.answer = lambda _: Unavailable("closed")
    world.commit(("a", {"city": "x"}), ("b", {"city": 9}))
    running = world.loop.create_task(world.running(until_caught_up=False))
    world.loop.run_until_complete(asyncio.sleep(2.0))
    world.relay.stop()
    world.loop.run_until_complete(running)
    contract(world)
    world.target.answer = lambda _: DELIVERED
    world.run()
    assert [(entity, version) for entity, version, _, _ in letters(world)] == [("a", 1)]
    assert world.target.sent[-1] == ("b", 1)
    assert world.balanced()


def test_an_expression_that_fails_for_everything_stops_the_target(world):
    contract(world)
    world.commit(*[(f"e{number}", {"city": "x"}) for number in range(40)])
    with pytest.raises(TargetStoppedError, match="too many deliveries die"):
        world.run(dead_letter_minimum=5)
    assert 5 <= world.store.counts("t").dead < 40
    assert world.store.cursor("t").stopped
