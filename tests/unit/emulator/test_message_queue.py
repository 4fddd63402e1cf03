"""Queues without a wire: locks, settlements, dead letters, time."""

from __future__ import annotations

from uuid import uuid4

import pytest

from goldwire_emulator.broker import refusals
from goldwire_emulator.broker.entities import Limits, QueueSettings
from goldwire_emulator.broker.message import Edits, MessageState
from support.broker_world import message, texts

ORDERS = QueueSettings(name="orders", lock_ms=30_000, max_delivery_count=3)


def test_messages_come_in_the_order_they_were_sent(world):
    bus = world.open(ORDERS).service_bus
    bus.entrance("orders").send([message("a"), message("b")])
    bus.entrance("ORDERS").send([message("c")])
    received = bus.queue("orders").receive(10)
    assert texts(received) == ["a", "b", "c"]
    assert [each.sequence_number for each in received] == [1, 2, 3]


def test_a_locked_message_is_not_given_to_another(world):
    bus = world.open(ORDERS).service_bus
    bus.entrance("orders").send([message("a"), message("b")])
    queue = bus.queue("orders")
    assert texts(queue.receive(1)) == ["a"]
    assert texts(queue.receive(10)) == ["b"]
    assert queue.receive(10) == []


def test_a_completed_message_is_gone(world):
    bus = world.open(ORDERS).service_bus
    bus.entrance("orders").send([message("a")])
    queue = bus.queue("orders")
    queue.complete(queue.receive(1)[0].lock_token)
    world.pass_time(3600)
    assert queue.receive(1) == []
    assert queue.peek(0, 10) == []


def test_a_lock_that_ran_out_is_lost_and_the_message_comes_again_counted(world):
    bus = world.open(ORDERS).service_bus
    bus.entrance("orders").send([message("a")])
    queue = bus.queue("orders")
    first = queue.receive(1)[0]
    world.pass_time(31)
    with pytest.raises(refusals.MessageLockLostError):
        queue.complete(first.lock_token)
    again = queue.receive(1)[0]
    assert (again.delivery_count, again.sequence_number) == (1, first.sequence_number)
    queue.complete(again.lock_token)


def test_a_renewed_lock_holds_on(world):
    bus = world.open(ORDERS).service_bus
    bus.entrance("orders").send([message("a")])
    queue = bus.queue("orders")
    held = queue.receive(1)[0]
    for _ in range(5):
        world.pass_time(20)
        until = queue.renew(held.lock_token)
    assert until == int(world.clock.now() * 1000) + 30_000
    queue.complete(held.lock_token)
    with pytest.raises(refusals.MessageLockLostError):
        queue.renew(held.lock_token)


def test_an_unknown_lock_is_lost(world):
    with pytest.raises(refusals.MessageLockLostError):
        world.open(ORDERS).service_bus.queue("orders").complete(uuid4())


def test_a_released_message_comes_again_uncounted(world):
    bus = world.open(ORDERS).service_bus
    bus.entrance("orders").send([message("a")])
    queue = bus.queue("orders")
    for _ in range(10):
        queue.release(queue.receive(1)[0].lock_token)
    assert queue.receive(1)[0].delivery_count == 0


def test_a_message_that_failed_too_often_is_dead_lettered_with_the_reason(world):
    bus = world.open(ORDERS).service_bus
    bus.entrance("orders").send([message("poison"), message("good")])
    queue = bus.queue("orders")
    for expected in (0, 1, 2):
        poison = queue.receive(1)[0]
        assert (poison.payload, poison.delivery_count) == (b"poison", expected)
        queue.abandon(poison.lock_token)
    assert texts(queue.receive(5)) == ["good"]
    dead = bus.queue("orders/$DeadLetterQueue").receive(5)
    assert texts(dead) == ["poison"]
    assert dead[0].edits.application["DeadLetterReason"] == "MaxDeliveryCountExceeded"
    bus.queue("orders/$deadletterqueue").complete(dead[0].lock_token)


def test_a_lock_that_runs_out_too_often_dead_letters_too(world):
    bus = world.open(ORDERS).service_bus
    bus.entrance("orders").send([message("poison")])
    for _ in range(3):
        assert bus.queue("orders").receive(1)
        world.pass_time(31)
    assert bus.queue("orders").receive(1) == []
    assert texts(bus.queue("orders/$deadletterqueue").receive(1)) == ["poison"]


def test_a_dead_lettered_message_keeps_its_number_and_says_why(world):
    bus = world.open(ORDERS).service_bus
    bus.entrance("orders").send([message("a"), message("b")])
    queue = bus.queue("orders")
    held = queue.receive(2)[1]
    queue.dead_letter(held.lock_token, Edits(application={"DeadLetterReason": "bad", "DeadLetterErrorDescription": "very"}))
    dead = bus.queue("orders/$deadletterqueue").receive(1)[0]
    assert dead.sequence_number == held.sequence_number
    assert dead.edits.application == {"DeadLetterReason": "bad", "DeadLetterErrorDescription": "very"}
    with pytest.raises(refusals.NotAllowedError):
        bus.queue("orders/$deadletterqueue").dead_letter(dead.lock_token)


def test_a_deferred_message_is_received_by_its_number_only(world):
    bus = world.open(ORDERS).service_bus
    bus.entrance("orders").send([message("a")])
    queue = bus.queue("orders")
    held = queue.receive(1)[0]
    queue.defer(held.lock_token, Edits(application={"why": "later"}))
    assert queue.receive(1) == []
    assert queue.peek(0, 1)[0].state is MessageState.DEFERRED
    with pytest.raises(refusals.MessageNotFoundError):
        queue.receive_deferred([held.sequence_number + 1])
    again = queue.receive_deferred([held.sequence_number])[0]
    assert again.edits.application == {"why": "later"}
    with pytest.raises(refusals.MessageNotFoundError, match="free"):
        queue.receive_deferred([held.sequence_number])
    queue.abandon(again.lock_token)
    queue.complete(queue.receive_deferred([held.sequence_number])[0].lock_token)
    assert queue.peek(0, 1) == []


def test_received_and_deleted_is_gone(world):
    bus = world.open(ORDERS).service_bus
    bus.entrance("orders").send([message("a")])
    received = bus.queue("orders").receive(1, delete=True)
    assert (texts(received), received[0].lock_token) == (["a"], None)
    assert bus.queue("orders").peek(0, 1) == []


def test_a_scheduled_message_arrives_when_it_is_due_with_a_new_number(world):
    bus = world.open(ORDERS).service_bus
    due = int(world.clock.now() * 1000) + 60_000
    numbers = bus.entrance("orders").schedule([message("later", due_at_ms=due)])
    bus.entrance("orders").send([message("sooner"), message("also later", due_at_ms=due)])
    assert texts(bus.queue("orders").receive(5, delete=True)) == ["sooner"]
    assert [each.state for each in bus.queue("orders").peek(0, 5)] == [MessageState.SCHEDULED] * 2
    world.pass_time(61)
    arrived = bus.queue("orders").receive(5)
    assert texts(arrived) == ["later", "also later"]
    assert arrived[0].sequence_number > numbers[0]
    assert arrived[0].enqueued_at_ms >= due


def test_a_cancelled_message_never_arrives_and_cannot_be_cancelled_twice(world):
    bus = world.open(ORDERS).service_bus
    due = int(world.clock.now() * 1000) + 60_000
    numbers = bus.entrance("orders").schedule([message("later", due_at_ms=due)])
    bus.entrance("orders").cancel(numbers)
    with pytest.raises(refusals.MessageNotFoundError):
        bus.entrance("orders").cancel(numbers)
    world.pass_time(61)
    assert bus.queue("orders").receive(5) == []


def test_a_duplicate_within_the_window_is_swallowed(world):
    bus = world.open(QueueSettings(name="q", duplicate_window_ms=20_000)).service_bus
    bus.entrance("q").send([message("a", message_id="1"), message("a again", message_id="1"), message("b", message_id="2")])
    world.pass_time(19)
    bus.entrance("q").send([message("a late", message_id="1"), message("no id"), message("no id")])
    assert texts(bus.queue("q").receive(9, delete=True)) == ["a", "b", "no id", "no id"]
    world.pass_time(2)
    bus.entrance("q").send([message("a after", message_id="1")])
    assert texts(bus.queue("q").receive(9)) == ["a after"]


def test_an_expired_message_is_gone_or_dead_lettered_as_the_entity_says(world):
    bus = world.open(
        QueueSettings(name="drop", default_time_to_live_ms=10_000),
        QueueSettings(name="keep", default_time_to_live_ms=10_000, dead_letter_expired=True),
    ).service_bus
    for name in ("drop", "keep"):
        bus.entrance(name).send([message("short", time_to_live_ms=5_000), message("long", time_to_live_ms=99_000)])
    world.pass_time(6)
    assert texts(bus.queue("drop").peek(0, 9)) == ["long"]
    world.pass_time(5)
    assert bus.queue("drop").receive(9) == []
    assert bus.queue("drop/$deadletterqueue").receive(9) == []
    dead = bus.queue("keep/$deadletterqueue").receive(9)
    assert texts(dead) == ["short", "long"]
    assert dead[0].edits.application["DeadLetterReason"] == "TTLExpiredException"


def test_a_deferred_message_that_expired_is_dead_lettered_when_it_is_asked_for(world):
    bus = world.open(QueueSettings(name="q", default_time_to_live_ms=10_000, dead_letter_expired=True)).service_bus
    bus.entrance("q").send([message("a")])
    held = bus.queue("q").receive(1)[0]
    bus.queue("q").defer(held.lock_token)
    world.pass_time(11)
    with pytest.raises(refusals.MessageNotFoundError):
        bus.queue("q").receive_deferred([held.sequence_number])
    assert texts(bus.queue("q/$deadletterqueue").receive(1)) == ["a"]


def test_a_message_that_expires_under_its_lock_can_still_be_completed(world):
    bus = world.open(QueueSettings(name="q", default_time_to_live_ms=10_000, lock_ms=60_000)).service_bus
    bus.entrance("q").send([message("a"), message("b")])
    kept, given_back = bus.queue("q").receive(2)
    world.pass_time(11)
    bus.queue("q").complete(kept.lock_token)
    bus.queue("q").abandon(given_back.lock_token)
    assert bus.queue("q").receive(1) == []


def test_what_is_too_large_or_too_much_is_refused_and_nothing_of_it_stays(world):
    bus = world.open(ORDERS, limits=Limits(max_message_bytes=10, max_entity_bytes=12)).service_bus
    with pytest.raises(refusals.TooLargeError):
        bus.entrance("orders").send([message("x" * 11)])
    bus.entrance("orders").send([message("x" * 10)])
    with pytest.raises(refusals.QuotaError):
        bus.entrance("orders").send([message("y"), message("y" * 2)])
    assert texts(bus.queue("orders").receive(9, delete=True)) == ["x" * 10]
    bus.entrance("orders").send([message("y"), message("y" * 2)])
    with pytest.raises(refusals.ArgumentError):
        bus.entrance("orders").send([message("", message_id="m" * 129)])


def test_throttling_is_switched_on_and_off_and_lets_through_what_the_rate_allows(world):
    broker = world.open(ORDERS)
    entrance = broker.service_bus.entrance("orders")
    broker.throttle(2)
    entrance.send([message(), message()])
    with pytest.raises(refusals.BusyError):
        entrance.send([message()])
    world.pass_time(1)
    entrance.send([message(), message(), message()][:2])
    broker.throttle(None)
    entrance.send([message()] * 50)
    assert len(broker.service_bus.queue("orders").receive(100)) == 54


def test_forwarded_messages_and_dead_letters_go_where_the_entity_says(world):
    bus = world.open(
        QueueSettings(name="in", forward_to="work"),
        QueueSettings(name="work", forward_dead_letters_to="graveyard"),
        QueueSettings(name="graveyard"),
    ).service_bus
    bus.entrance("in").send([message("a")])
    assert bus.queue("in").peek(0, 1) == []
    queue = bus.queue("work")
    queue.dead_letter(queue.receive(1)[0].lock_token, Edits(application={"DeadLetterReason": "bad"}))
    buried = bus.queue("graveyard").receive(1)[0]
    assert (buried.dead_letter_source, buried.edits.application) == ("work", {"DeadLetterReason": "bad"})


def test_waiting_receivers_are_told(world):
    bus = world.open(ORDERS).service_bus
    queue, told = bus.queue("orders"), []
    stop = queue.waiting.add(lambda: told.append(1))
    bus.entrance("orders").send([message()])
    queue.abandon(queue.receive(1)[0].lock_token)
    assert len(told) == 2
    stop()
    bus.entrance("orders").send([message()])
    assert len(told) == 2


def test_a_restart_loses_nothing_and_frees_every_lock_uncounted(world):
    first = world.open(ORDERS, durable=True)
    first.service_bus.entrance("orders").send([message("done"), message("held"), message("put aside"), message("free")])
    first.service_bus.entrance("orders").schedule([message("later", due_at_ms=int(world.clock.now() * 1000) + 60_000)])
    queue = first.service_bus.queue("orders")
    done, held, aside = queue.receive(3)
    queue.complete(done.lock_token)
    queue.defer(aside.lock_token)
    first.close()
    second = world.open(ORDERS, durable=True).service_bus
    received = second.queue("orders").receive(9)
    assert [(each.payload, each.delivery_count) for each in received] == [(b"held", 0), (b"free", 0)]
    assert texts(second.queue("orders").receive_deferred([aside.sequence_number])) == ["put aside"]
    with pytest.raises(refusals.MessageLockLostError):
        second.queue("orders").complete(held.lock_token)
    world.pass_time(61)
    assert "later" in texts(second.queue("orders").receive(9))


def test_large_messages_are_handed_out_and_looked_at_a_few_at_a_time(world):
    bus = world.open(ORDERS).service_bus
    for _ in range(10):
        bus.entrance("orders").send([message("x" * 200_000)])
    queue = bus.queue("orders")
    assert len(queue.peek(0, 10)) == len(queue.receive(10)) == 6
    assert len(queue.receive(10)) == 4


def test_receivers_that_wait_are_told_in_turn(world):
    waiting, told = world.open(ORDERS).service_bus.queue("orders").waiting, []
    for name in "abc":
        waiting.add(lambda name=name: told.append(name))
    for _ in range(3):
        waiting.wake()
    assert sorted(told[::3]) == ["a", "b", "c"]
