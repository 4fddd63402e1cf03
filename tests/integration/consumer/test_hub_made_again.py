"""A hub that was deleted and made again under its name is not read past: the subscriber stops and says so, or begins anew."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from azure.eventhub import EventHubConsumerClient
from azure.eventhub.aio import EventHubConsumerClient as AsyncEventHubConsumerClient

from goldwire.event.sealed import SealedEvent
from goldwire_consumer import StreamMadeAgainError
from goldwire_consumer.adapter.event_hubs import EventHubsSubscription
from goldwire_consumer.adapter.event_hubs_aio import AsyncEventHubsSubscription
from goldwire_consumer.adapter.event_hubs_checkpoints import SqlCheckpointStore
from goldwire_consumer.adapter.event_hubs_checkpoints_aio import AsyncSqlCheckpointStore
from goldwire_consumer.adapter.event_hubs_identity import MadeAgain
from goldwire_consumer.adapter.pace import Pace
from goldwire_consumer.aio import AsyncConsumer
from support.histories import customers

HUB = "customers-hub"
GROUP = "$Default"


def run(peer: Any, mirror: Any, made_again: MadeAgain = "stop") -> None:
    checkpoints = SqlCheckpointStore(mirror.store)
    client = EventHubConsumerClient.from_connection_string(
        peer.address(HUB), GROUP, checkpoint_store=checkpoints, load_balancing_interval=0.3
    )
    mirror.run(EventHubsSubscription(mirror.consumer, client, checkpoints, made_again=made_again, pace=Pace(batch=5)))


async def running(peer: Any, mirror: Any, made_again: MadeAgain) -> None:
    checkpoints = AsyncSqlCheckpointStore(mirror.store)
    client = AsyncEventHubConsumerClient.from_connection_string(
        peer.address(HUB), GROUP, checkpoint_store=checkpoints, load_balancing_interval=0.3
    )
    stop = asyncio.Event()
    async with checkpoints, AsyncConsumer(mirror.consumer) as consumer:
        subscription = AsyncEventHubsSubscription(consumer, client, checkpoints, made_again=made_again, pace=Pace(batch=5))
        task = asyncio.create_task(subscription.run(stop))
        while not task.done() and len(mirror.seen) < mirror.wanted:  # noqa: ASYNC110 - the table tells, not the loop
            await asyncio.sleep(0.05)
        stop.set()
        try:
            await task
        except StreamMadeAgainError as error:
            mirror.error = error


def run_async(peer: Any, mirror: Any, made_again: MadeAgain = "stop") -> None:
    asyncio.run(running(peer, mirror, made_again))


Runs = Callable[..., None]


@pytest.fixture
def send(deliver: Callable[..., None]) -> Callable[[Any, list[SealedEvent]], None]:
    return lambda peer, events: deliver("event_hubs", {"hub": HUB, "connection_string": peer.address()}, events)


def read_and_made_again(peer: Any, rows: Callable[..., Any], send: Any, run: Runs) -> list[SealedEvent]:
    """Let a subscriber read most of a history, make the hub again, and send the rest; return that."""
    events = customers(61, 4, 60).events
    send(peer, events[:50])
    first = rows(50)
    run(peer, first)
    assert first.error is None
    peer.restart()
    send(peer, events[50:])
    return events[50:]


@pytest.mark.parametrize("run", [run, run_async])
def test_a_hub_that_was_made_again_stops_its_subscriber(peer: Any, rows: Callable[..., Any], send: Any, run: Runs) -> None:
    rest = read_and_made_again(peer, rows, send, run)
    second = rows(len(rest))
    run(peer, second)
    assert isinstance(second.error, StreamMadeAgainError)
    assert HUB in str(second.error)
    assert second.seen == []


@pytest.mark.parametrize("run", [run, run_async])
def test_a_subscriber_begins_anew_where_that_is_the_setting(peer: Any, rows: Callable[..., Any], send: Any, run: Runs) -> None:
    rest = read_and_made_again(peer, rows, send, run)
    second = rows(len(rest))
    run(peer, second, "begin")
    assert second.error is None
    assert sorted(second.seen) == sorted((event.entity_id, event.version) for event in rest)


def test_a_person_who_lets_the_checkpoints_be_forgotten_begins_anew(peer: Any, rows: Callable[..., Any], send: Any) -> None:
    rest = read_and_made_again(peer, rows, send, run)
    second = rows(len(rest))
    with second.store.transaction() as transaction:
        [(source,)] = transaction.connection.execute("SELECT source FROM goldwire_stream").fetchall()
    namespace, hub, group = source.split("/")
    assert SqlCheckpointStore(second.store).forget(namespace, hub, group) > 0
    run(peer, second)
    assert second.error is None
    assert len(second.seen) == len(rest)


def test_checkpoints_from_before_are_known_by_lying_beyond_the_end(
    peer: Any, rows: Callable[..., Any], send: Any, tmp_path: Any
) -> None:
    rest = read_and_made_again(peer, rows, send, run)
    with closing(sqlite3.connect(tmp_path / "rows.db")) as connection, connection:
        connection.execute("DELETE FROM goldwire_stream")
    second = rows(len(rest))
    run(peer, second)
    assert isinstance(second.error, StreamMadeAgainError)
    assert "lies beyond its last event" in str(second.error)


@pytest.mark.parametrize("run", [run, run_async])
def test_a_hub_that_is_made_again_under_a_running_subscriber_stops_it(
    peer: Any, rows: Callable[..., Any], send: Any, run: Runs
) -> None:
    events = customers(62, 4, 40).events
    send(peer, events[:30])
    mirror = rows(len(events))
    mirror.fault = lambda _: peer.restart() if mirror.calls == 29 else None
    run(peer, mirror)
    assert isinstance(mirror.error, StreamMadeAgainError)


def test_a_hub_that_was_only_away_is_read_on(lasting_peer: Any, rows: Callable[..., Any], send: Any) -> None:
    rest = read_and_made_again(lasting_peer, rows, send, run)
    second = rows(len(rest))
    run(lasting_peer, second)
    assert second.error is None
    assert sorted(second.seen) == sorted((event.entity_id, event.version) for event in rest)
