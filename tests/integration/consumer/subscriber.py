"""A subscriber that mirrors records into PostgreSQL and dies at random: in its handler, or before it acknowledges.

Every other life, counted in `LIFE`, ends in the handler: after the guard was written, before what it guards.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import threading
from collections.abc import Iterable
from typing import Any

import msgspec

from goldwire_consumer import Consumer, Event, Message, Record, Result, Settings, fold
from goldwire_consumer.adapter.pace import Pace
from goldwire_consumer.store.postgresql import PostgresStore

CHANCE = random.Random()
PACE = Pace(batch=20, wait_seconds=0.2, retry_seconds=0.05)


class Mortal(Consumer[Any]):
    """Dies after the transaction of some batches, before the broker hears of them."""

    risk = 0.0
    batches = 3
    """That it survives at most, unless there is no risk."""
    calls: int | None = None
    """Of the handler that it survives, where this life ends there."""

    def process(self, messages: Iterable[Message]) -> list[Result]:
        results = super().process(messages)
        self.batches -= 1
        if self.risk and Mortal.calls is None and (CHANCE.random() < self.risk or not self.batches):
            os.kill(os.getpid(), signal.SIGKILL)
        return results


def perhaps_die() -> None:
    if Mortal.calls is not None:
        Mortal.calls -= 1
        if Mortal.calls < 0:
            os.kill(os.getpid(), signal.SIGKILL)


def write(event: Event, connection: Any) -> None:
    """Mirror the record, and note each application: a record that a delta was applied to twice looks like it should."""
    found = connection.execute("SELECT record::text FROM customer WHERE id = %s", (event.entity_id,)).fetchone()
    record = fold(None if found is None else msgspec.json.decode(found[0], type=Record), event)
    perhaps_die()
    connection.execute("INSERT INTO journal VALUES (%s, %s)", (event.entity_id, event.version))
    if record is None:
        connection.execute("DELETE FROM customer WHERE id = %s", (event.entity_id,))
    else:
        connection.execute(
            "INSERT INTO customer VALUES (%s, %s::jsonb) ON CONFLICT (id) DO UPDATE SET record = excluded.record",
            (event.entity_id, msgspec.json.encode(record).decode()),
        )


def kafka(consumer: Mortal, address: str) -> Any:
    from goldwire_consumer.adapter.kafka import KafkaSubscription  # noqa: PLC0415 - only what is asked for

    configuration = {
        "bootstrap.servers": address,
        "group.id": "mirror",
        "session.timeout.ms": 6000,
        "log_level": 2,
    }
    return KafkaSubscription(consumer, configuration, ["customers"], PACE)


def event_hubs(consumer: Mortal, address: str, store: PostgresStore, *, in_transaction: bool) -> Any:
    from azure.eventhub import EventHubConsumerClient  # noqa: PLC0415

    from goldwire_consumer.adapter.event_hubs import EventHubsSubscription  # noqa: PLC0415
    from goldwire_consumer.adapter.event_hubs_checkpoints import SqlCheckpointStore  # noqa: PLC0415

    checkpoints = SqlCheckpointStore(store)
    client = EventHubConsumerClient.from_connection_string(
        address,
        "$Default",
        checkpoint_store=checkpoints,
        load_balancing_interval=0.5,
        partition_ownership_expiration_interval=2,
    )
    return EventHubsSubscription(consumer, client, checkpoints if in_transaction else None, pace=PACE)


async def event_hubs_aio(consumer: Mortal, address: str, store: PostgresStore) -> None:
    from azure.eventhub.aio import EventHubConsumerClient  # noqa: PLC0415

    from goldwire_consumer.adapter.event_hubs_aio import AsyncEventHubsSubscription  # noqa: PLC0415
    from goldwire_consumer.adapter.event_hubs_checkpoints_aio import AsyncSqlCheckpointStore  # noqa: PLC0415
    from goldwire_consumer.aio import AsyncConsumer  # noqa: PLC0415

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    checkpoints = AsyncSqlCheckpointStore(store)
    client = EventHubConsumerClient.from_connection_string(
        address,
        "$Default",
        checkpoint_store=checkpoints,
        load_balancing_interval=0.5,
        partition_ownership_expiration_interval=2,
    )
    async with AsyncConsumer(consumer) as awaited:
        await AsyncEventHubsSubscription(awaited, client, checkpoints, pace=PACE).run(stop)


def service_bus(consumer: Mortal, address: str, sessions_at_once: int) -> Any:
    from azure.servicebus import ServiceBusClient  # noqa: PLC0415

    from goldwire_consumer.adapter.service_bus import ServiceBusSubscription  # noqa: PLC0415

    client = ServiceBusClient.from_connection_string(address, retry_total=0)
    return ServiceBusSubscription(consumer, client, queue="customers", sessions_at_once=sessions_at_once, pace=PACE)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["kafka", "event-hubs", "event-hubs-after", "event-hubs-aio", "service-bus"])
    parser.add_argument("address")
    parser.add_argument("database")
    parser.add_argument("--risk", type=float, default=0.0)
    parser.add_argument("--sessions-at-once", type=int, default=1)
    given = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    store = PostgresStore(given.database)
    with store.transaction() as transaction:
        transaction.connection.execute("SELECT pg_advisory_xact_lock(1)")
        transaction.connection.execute("CREATE TABLE IF NOT EXISTS customer (id TEXT PRIMARY KEY, record JSONB)")
        transaction.connection.execute("CREATE TABLE IF NOT EXISTS journal (id TEXT, version BIGINT)")
    Mortal.risk = given.risk
    if given.risk and int(os.environ["LIFE"]) % 2 == 0:
        Mortal.calls = CHANCE.randrange(15)
    settings = Settings(dead_letters="returned") if given.kind == "service-bus" else None
    consumer = Mortal(store, write, settings)
    if given.kind == "kafka":
        kafka(consumer, given.address).run(stop)
    elif given.kind == "service-bus":
        service_bus(consumer, given.address, given.sessions_at_once).run(stop)
    elif given.kind == "event-hubs-aio":
        asyncio.run(event_hubs_aio(consumer, given.address, store))
    else:
        event_hubs(consumer, given.address, store, in_transaction=given.kind == "event-hubs").run(stop)
    store.close()


if __name__ == "__main__":
    main()
