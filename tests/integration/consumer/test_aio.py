"""A consumer awaited from an event loop, with the SDKs' asyncio clients against the local peer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from azure.eventhub.aio import EventHubConsumerClient
from azure.servicebus import NEXT_AVAILABLE_SESSION
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import OperationTimeoutError

from goldwire.event.sealed import SealedEvent
from goldwire.testing.events import sealed
from goldwire_consumer import Consumer, GapDetected, Message, RejectedError, Settings, SqliteStore, TryAgainError
from goldwire_consumer.adapter import service_bus
from goldwire_consumer.adapter.event_hubs_aio import AsyncEventHubsSubscription
from goldwire_consumer.adapter.event_hubs_checkpoints_aio import AsyncSqlCheckpointStore
from goldwire_consumer.adapter.pace import Pace
from goldwire_consumer.aio import AsyncConsumer
from support.histories import customers

HUB = "customers-hub"
PATIENCE_SECONDS = 120


def each(events: list[SealedEvent]) -> list[tuple[str, int]]:
    return sorted((event.entity_id, event.version) for event in events)


async def receive_hub(peer: Any, mirror: Any, *, in_transaction: bool) -> None:
    """Take events until all that is wanted was applied, or the run ends by itself."""
    checkpoints = AsyncSqlCheckpointStore(mirror.store)
    client = EventHubConsumerClient.from_connection_string(
        peer.address(HUB), "$Default", checkpoint_store=checkpoints, load_balancing_interval=0.3
    )
    stop = asyncio.Event()
    async with checkpoints, AsyncConsumer(mirror.consumer) as consumer:
        subscription = AsyncEventHubsSubscription(consumer, client, checkpoints if in_transaction else None, pace=Pace(batch=5))
        running = asyncio.create_task(subscription.run(stop))
        while not running.done() and len(mirror.seen) < mirror.wanted:  # noqa: ASYNC110 - the table tells, not the loop
            await asyncio.sleep(0.05)
        stop.set()
        await running


@pytest.mark.parametrize("in_transaction", [True, False])
def test_the_asyncio_client_of_event_hubs(
    peer: Any, rows: Callable[..., Any], deliver: Callable[..., None], in_transaction: bool
) -> None:
    events = customers(111, 4, 60).events
    applied = []
    for part in (events[:30], events[30:]):
        deliver("event_hubs", {"hub": HUB, "connection_string": peer.address()}, part)
        mirror = rows(len(part))
        asyncio.run(receive_hub(peer, mirror, in_transaction=in_transaction))
        applied += mirror.seen
    assert sorted(applied) == each(events)
    assert mirror.letters == []


def test_a_gap_ends_the_run(peer: Any, rows: Callable[..., Any], deliver: Callable[..., None]) -> None:
    events = customers(112, 1, 20).events
    index = next(number for number, event in enumerate(events) if number and event.base_version is not None)
    lost = events.pop(index - 1)
    deliver("event_hubs", {"hub": HUB, "connection_string": peer.address()}, events)
    mirror = rows(len(events), Settings(on_gap="stop"))
    with pytest.raises(GapDetected) as found:
        asyncio.run(receive_hub(peer, mirror, in_transaction=True))
    assert found.value.entity_id == lost.entity_id
    assert len(mirror.seen) == index - 1


def test_a_database_that_is_away_costs_only_time(peer: Any, rows: Callable[..., Any], deliver: Callable[..., None]) -> None:
    events = customers(114, 4, 40).events
    deliver("event_hubs", {"hub": HUB, "connection_string": peer.address()}, events)
    mirror = rows(len(events), Settings(attempts=1))
    failures = [TryAgainError("away")] * 3

    def away(_: Any) -> None:
        if mirror.calls > 10 and failures:
            raise failures.pop()

    mirror.fault = away
    asyncio.run(receive_hub(peer, mirror, in_transaction=False))
    assert failures == []
    assert sorted(mirror.seen) == each(events)


def test_a_consumer_group_that_does_not_exist_is_named(
    peer: Any, rows: Callable[..., Any], deliver: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    deliver("event_hubs", {"hub": HUB, "connection_string": peer.address()}, customers(115, 2, 10).events)
    mirror = rows(1)

    async def run() -> None:
        stop = asyncio.Event()
        async with AsyncSqlCheckpointStore(mirror.store) as checkpoints, AsyncConsumer(mirror.consumer) as consumer:
            client = EventHubConsumerClient.from_connection_string(
                peer.address(HUB), "no-such-group", checkpoint_store=checkpoints, load_balancing_interval=0.3
            )
            subscription = AsyncEventHubsSubscription(consumer, client, checkpoints, pace=Pace(silence_seconds=0.3))
            running = asyncio.create_task(subscription.run(stop))
            async with asyncio.timeout(PATIENCE_SECONDS):
                while "none came to consumer group no-such-group" not in caplog.text:  # noqa: ASYNC110 - a log has no event
                    await asyncio.sleep(0.05)
            stop.set()
            await running

    asyncio.run(run())
    assert f"hub {HUB}" in caplog.text
    assert mirror.seen == []


async def run_hub(peer: Any, mirror: Any, act: Callable[[asyncio.Event, asyncio.Task[None]], None]) -> bool:
    """Run with one event a batch until the first is in the handler's hands; return whether no task is left behind."""
    loop, stop, here = asyncio.get_running_loop(), asyncio.Event(), asyncio.all_tasks()
    async with AsyncSqlCheckpointStore(mirror.store) as checkpoints, AsyncConsumer(mirror.consumer) as consumer:
        client = EventHubConsumerClient.from_connection_string(
            peer.address(HUB), "$Default", checkpoint_store=checkpoints, load_balancing_interval=PATIENCE_SECONDS
        )
        subscription = AsyncEventHubsSubscription(consumer, client, checkpoints, pace=Pace(batch=1))
        running = asyncio.create_task(subscription.run(stop))
        mirror.fault = lambda _: loop.call_soon_threadsafe(act, stop, running)
        await asyncio.wait([running])
        return asyncio.all_tasks() == here


def test_who_is_asked_to_end_takes_no_further_batch(peer: Any, rows: Callable[..., Any], deliver: Callable[..., None]) -> None:
    events = customers(115, 1, 20).events
    deliver("event_hubs", {"hub": HUB, "connection_string": peer.address()}, events)
    mirror = rows(1)
    assert asyncio.run(run_hub(peer, mirror, lambda stop, _: stop.set()))
    assert len(mirror.seen) == 1


def test_who_is_cancelled_leaves_nothing_running(peer: Any, rows: Callable[..., Any], deliver: Callable[..., None]) -> None:
    events = customers(116, 1, 20).events
    deliver("event_hubs", {"hub": HUB, "connection_string": peer.address()}, events)
    mirror = rows(1)
    assert asyncio.run(run_hub(peer, mirror, lambda _, running: running.cancel()))
    assert not [one for one in threading.enumerate() if one.name.startswith("goldwire_c")]


def test_settings_that_would_lose_messages_are_refused(rows: Callable[..., Any]) -> None:
    consumer = AsyncConsumer(rows(1, Settings(dead_letters="returned")).consumer)
    with pytest.raises(ValueError, match="dead letters"):
        AsyncEventHubsSubscription(consumer, None)  # type: ignore[arg-type]


async def receive_bus(peer: Any, mirror: Any) -> None:
    async with AsyncConsumer(mirror.consumer) as consumer, ServiceBusClient.from_connection_string(peer.address()) as client:
        while len(mirror.seen) < mirror.wanted:
            try:
                async with client.get_queue_receiver(
                    "customers", session_id=NEXT_AVAILABLE_SESSION, max_wait_time=0.5
                ) as receiver:
                    while found := await receiver.receive_messages(20, max_wait_time=0.5):
                        results = await consumer.process([service_bus.message(one) for one in found])
                        for one, result in zip(found, results, strict=True):
                            if result.letter is None:
                                await receiver.complete_message(one)
                            else:
                                await receiver.dead_letter_message(one, reason=result.letter.kind)
            except OperationTimeoutError:
                continue  # no session has a message


def test_the_asyncio_client_of_service_bus(peer: Any, rows: Callable[..., Any], deliver: Callable[..., None]) -> None:
    events = customers(113, 4, 40, payload="full").events
    deliver("service_bus", {"queue": "customers", "connection_string": peer.address()}, events)
    mirror = rows(len(events) - 1, Settings(dead_letters="returned"))

    def reject(event: Any) -> None:
        if (event.entity_id, event.version) == (events[0].entity_id, 1):
            raise RejectedError("not this one")

    mirror.fault = reject
    asyncio.run(receive_bus(peer, mirror))
    assert sorted(mirror.seen) == each(events[1:])


def test_tasks_that_share_a_consumer_take_turns_and_the_loop_goes_on(tmp_path: Any) -> None:
    store = SqliteStore(tmp_path / "one.db")
    inside, threads = [], set()
    go_on = threading.Event()

    def handle(event: Any, _: Any) -> None:
        inside.append(event.entity_id)
        threads.add(threading.get_ident())
        assert go_on.wait(60)
        inside.remove(event.entity_id)
        assert inside == []

    async def run() -> None:
        async with AsyncConsumer(Consumer(store, handle)) as consumer:
            bodies = [sealed(f"e{number}", 1).body for number in range(5)]
            tasks = [asyncio.create_task(consumer.process([Message(body=body)])) for body in bodies]
            await asyncio.sleep(0)
            go_on.set()  # the loop runs while the first handler waits
            assert [result.outcome.value for results in await asyncio.gather(*tasks) for result in results] == ["applied"] * 5
            assert await consumer.redrive() == {}

    asyncio.run(run())
    assert len(threads) == 1
    store.close()
