"""The broker's own time: what falls due is done without a request, and the waiting receivers are called."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from goldwire_emulator.broker.entities import HubSettings, Limits, QueueSettings
from goldwire_emulator.broker.port import NewEvent
from goldwire_emulator.broker.store import FILE_NAME, Store
from goldwire_emulator.errors import StoreCorruptError
from support.broker_world import message, texts

WORK = QueueSettings(name="work", lock_ms=30_000)
CHATS = QueueSettings(name="chats", lock_ms=30_000, requires_session=True)


async def with_time(broker, work):
    """Run the work beside the broker's own."""
    running = asyncio.ensure_future(broker.run())
    try:
        return await work
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def told(queue, begin):
    """When the queue's waiting receivers are called after something was begun."""
    event = asyncio.Event()
    begin()
    stop = queue.waiting.add(event.set)
    await event.wait()
    stop()


def test_a_message_that_falls_due_wakes_the_waiting_at_its_time(world):
    broker = world.open(WORK)
    due = world.now_ms + 5_000
    entrance, queue = broker.service_bus.entrance("work"), broker.service_bus.queue("work")
    world.run(with_time(broker, told(queue, lambda: entrance.schedule([message("a", due_at_ms=due)]))))
    assert due <= world.now_ms < due + 100
    assert texts(queue.receive(1)) == ["a"]


def test_a_lock_that_ends_wakes_the_waiting_at_its_time(world):
    broker = world.open(WORK)
    queue = broker.service_bus.queue("work")
    broker.service_bus.entrance("work").send([message("a")])
    begun = world.now_ms
    world.run(with_time(broker, told(queue, lambda: queue.receive(1))))
    assert begun + 30_000 <= world.now_ms < begun + 30_100
    assert texts(queue.receive(1)) == ["a"]


def test_a_session_lock_that_ends_is_told_to_who_had_it(world):
    broker = world.open(CHATS)

    async def lose():
        lost = asyncio.Event()
        broker.service_bus.sessions["chats"].accept("x", "one", lost.set)
        await lost.wait()

    begun = world.now_ms
    world.run(with_time(broker, lose()))
    assert begun + 30_000 <= world.now_ms < begun + 30_100


def test_retention_is_kept_without_anybody_asking(world):
    broker = world.open(hubs=[HubSettings("hub", 1)], limits=Limits(retention_ms=60_000))
    broker.event_hubs.hub("hub").append([NewEvent(b"a")])
    world.run(with_time(broker, asyncio.sleep(200)))
    assert broker.event_hubs.hub("hub").state("0").is_empty


def test_entities_that_left_the_configuration_keep_their_messages_and_take_no_time(world):
    first = world.open(WORK, CHATS, durable=True)
    first.service_bus.entrance("work").schedule([message("a", due_at_ms=world.now_ms + 1000)])
    first.close()
    without = world.open(CHATS, durable=True)
    world.pass_time(5)
    assert without.advance() is None
    without.close()
    again = world.open(WORK, durable=True)
    assert texts(again.service_bus.queue("work").receive(1)) == ["a"]


def test_a_store_of_another_version_is_refused(tmp_path):
    store = Store(tmp_path)
    store.database.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StoreCorruptError, match=FILE_NAME):
        Store(tmp_path)


def test_a_transaction_within_another_is_undone_for_itself():
    store = Store(None)
    with store.transaction() as database:
        database.execute("INSERT INTO entities (name) VALUES ('kept')")
        with suppress(ZeroDivisionError), store.transaction():
            database.execute("INSERT INTO entities (name) VALUES ('undone')")
            raise ZeroDivisionError
    assert store.database.execute("SELECT name FROM entities").fetchall() == [("kept",)]
    store.close()
