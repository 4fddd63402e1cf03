"""Sessions without a wire: one holder, order within, state, locks that are lost."""

from __future__ import annotations

from contextlib import suppress
from uuid import uuid4

import pytest

from goldwire_emulator.broker import refusals
from goldwire_emulator.broker.entities import QueueSettings
from support.broker_world import message, texts

CHATS = QueueSettings(name="chats", lock_ms=30_000, requires_session=True, max_delivery_count=2)


@pytest.fixture
def bus(world):
    return world.open(CHATS).service_bus


def nothing() -> None:
    """For locks whose loss does not matter."""


def test_a_message_without_a_session_is_refused(bus):
    with pytest.raises(refusals.NotAllowedError):
        bus.entrance("chats").send([message("a", session_id="s"), message("b")])
    assert bus.queue("chats").peek(0, 9) == []


def test_the_next_free_session_is_the_one_with_the_oldest_message(bus):
    bus.entrance("chats").send([message("x1", session_id="x"), message("y1", session_id="y"), message("x2", session_id="x")])
    sessions = bus.sessions["chats"]
    assert sessions.accept(None, "one", nothing).session_id == "x"
    assert sessions.accept(None, "two", nothing).session_id == "y"
    assert sessions.accept(None, "three", nothing) is None
    assert texts(bus.queue("chats").receive(9, session="x")) == ["x1", "x2"]


def test_a_held_session_is_nobody_else_s(bus):
    sessions = bus.sessions["chats"]
    lock = sessions.accept("x", "one", nothing)
    with pytest.raises(refusals.SessionCannotBeLockedError):
        sessions.accept("x", "two", nothing)
    sessions.release(lock)
    assert sessions.accept("x", "two", nothing).holder == "two"
    with pytest.raises(refusals.SessionLockLostError):
        sessions.renew("x", "one")


def test_giving_a_session_back_frees_its_messages_uncounted(bus):
    bus.entrance("chats").send([message("a", session_id="x")])
    sessions = bus.sessions["chats"]
    for _ in range(5):
        lock = sessions.accept("x", "one", nothing)
        assert bus.queue("chats").receive(1, session="x")[0].delivery_count == 0
        sessions.release(lock)


def test_a_session_lock_that_runs_out_takes_its_messages_locks_along_and_counts(world, bus):
    bus.entrance("chats").send([message("a", session_id="x")])
    sessions, told = bus.sessions["chats"], []
    lock = sessions.accept("x", "one", lambda: told.append("lost"))
    held = bus.queue("chats").receive(1, session="x")[0]
    world.pass_time(31)
    with pytest.raises(refusals.SessionLockLostError):
        bus.queue("chats").complete(held.lock_token)
    assert told == ["lost"]
    assert not sessions.holds(lock)
    sessions.accept(None, "two", nothing)
    assert bus.queue("chats").receive(1, session="x")[0].delivery_count == 1


def test_a_lock_that_runs_out_while_several_are_settled_does_not_lock_its_messages_for_ever(world, bus):
    bus.entrance("chats").send([message("a", session_id="x"), message("b", session_id="y")])
    sessions, queue = bus.sessions["chats"], bus.queue("chats")
    sessions.accept("x", "one", nothing)
    held = queue.receive(1, session="x")[0].lock_token
    with suppress(refusals.SessionLockLostError), bus.together():
        world.pass_time(31)
        sessions.accept(None, "two", nothing)
        queue.complete(uuid4())
    with pytest.raises(refusals.SessionLockLostError):
        queue.complete(held)
    sessions.accept("x", "three", nothing)
    assert texts(queue.receive(1, session="x")) == ["a"]


def test_a_renewed_session_keeps_its_messages_locked(world, bus):
    bus.entrance("chats").send([message("a", session_id="x")])
    sessions = bus.sessions["chats"]
    sessions.accept("x", "one", nothing)
    held = bus.queue("chats").receive(1, session="x")[0]
    for _ in range(4):
        world.pass_time(20)
        assert sessions.renew("x", "one") == world.now_ms + 30_000
    bus.queue("chats").complete(held.lock_token)


def test_the_state_of_a_session_outlives_its_receivers_and_the_broker(world):
    first = world.open(CHATS, durable=True)
    sessions = first.service_bus.sessions["chats"]
    lock = sessions.accept("x", "one", nothing)
    assert sessions.state("x") is None
    sessions.set_state("x", b"half way", "one")
    sessions.release(lock)
    with pytest.raises(refusals.SessionLockLostError):
        sessions.state("x")
    first.close()
    again = world.open(CHATS, durable=True).service_bus.sessions["chats"]
    again.accept("x", "two", nothing)
    assert again.state("x", "two") == b"half way"
    assert again.names(None, 0, 10) == ["x"]
    again.set_state("x", None, "two")
    assert again.names(None, 0, 10) == []


def test_sessions_are_listed_by_what_they_hold_or_by_when_their_state_was_set(world, bus):
    bus.entrance("chats").send([message("a", session_id=name) for name in ("c", "a", "b")])
    assert bus.sessions["chats"].names(None, 1, 5) == ["b", "c"]
    bus.sessions["chats"].accept("b", "one", nothing)
    before = world.now_ms
    world.pass_time(1)
    bus.sessions["chats"].set_state("b", b"1")
    assert bus.sessions["chats"].names(before, 0, 5) == ["b"]
    assert bus.sessions["chats"].names(world.now_ms, 0, 5) == []


def test_a_queue_without_sessions_gives_none(world):
    with pytest.raises(refusals.NotAllowedError):
        world.open(QueueSettings(name="q")).service_bus.sessions["q"].accept("x", "one", nothing)


def test_a_dead_letter_of_a_session_is_received_without_one(bus):
    bus.entrance("chats").send([message("a", session_id="x")])
    bus.sessions["chats"].accept("x", "one", nothing)
    bus.queue("chats").dead_letter(bus.queue("chats").receive(1, session="x")[0].lock_token)
    assert texts(bus.queue("chats/$deadletterqueue").receive(1)) == ["a"]
