"""The programs that the page for subscribers and the kit's README show, run as a reader would; only addresses are put in."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient
from confluent_kafka import Producer

from goldwire.event.headers import headers, partition_key
from goldwire_consumer import RejectedError, Settings
from goldwire_consumer.aio import AsyncConsumer
from goldwire_emulator.kafka.cluster import KafkaCluster
from support.histories import History, customers

ROOT = Path(__file__).parents[3]
PAGES = {"page": ROOT / "docs" / "subscribers.md", "readme": ROOT / "src" / "goldwire_consumer" / "README.md"}
HUB = "customers-hub"
CLIENT = re.compile(r"EventHubConsumerClient\(\n.*?\n *\)", re.DOTALL)


def program(page: str, beginning: str) -> str:
    found = [one for one in re.findall(r"```python\n(.*?)```", PAGES[page].read_text("utf-8"), re.DOTALL) if beginning in one]
    assert len(found) == 1
    return str(found[0])


@contextmanager
def running(text: str, folder: Path) -> Iterator[Callable[[], bool]]:
    """Run a program until the block ends; it gives whether it ended by itself, which it must not."""
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", text], cwd=folder, stderr=subprocess.PIPE) as process:
        try:
            yield lambda: process.poll() is not None
        finally:
            assert process.poll() is None, process.stderr and process.stderr.read().decode()
            process.kill()


def cities(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    connection = sqlite3.connect(path)
    try:
        return dict(connection.execute("SELECT id, city FROM customer").fetchall())
    except sqlite3.OperationalError:  # not there yet
        return {}
    finally:
        connection.close()


def last_cities(history: History) -> dict[str, str]:
    return {id_: row["city"] for id_, row in history.table.items() if "city" in row}


@pytest.mark.parametrize(("page", "file"), [("page", "crm.db"), ("readme", "customers.db")])
def test_the_shortest_subscriber(page: str, file: str, tmp_path: Path, wait_for: Callable[..., None]) -> None:
    history = customers(121, 4, 40, payload="full")
    with KafkaCluster(topics={"customers": 2}) as cluster:
        producer = Producer({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
        for event in history.events:
            beside = {name: value for name, value in headers(event).items() if name != "partitionKey"}
            producer.produce("customers", event.body, partition_key(event), headers=list(beside.items()))
        assert producer.flush(60) == 0
        with running(program(page, "KafkaSubscription").replace("localhost:9092", cluster.bootstrap), tmp_path) as ended:
            wanted = last_cities(history)
            wait_for(lambda: ended() or wanted.items() <= cities(tmp_path / file).items(), "the customers' cities")


def test_apply_in_a_transaction_of_the_reader(database: Any, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    exec(program("page", "PostgresTransaction").replace("postgresql://localhost/crm", database.url), names)
    one, two, *_ = customers(122, 1, 9).events
    with psycopg.connect(database.url) as connection:
        for event in (one, one, two):
            names["receive"](event.body, connection)
    assert capsys.readouterr().out.splitlines() == [f"{event.entity_id} {event.version}" for event in (one, two)]


@pytest.mark.parametrize("beginning", ["azure.eventhub import", "azure.eventhub.aio import"])
def test_event_hubs(
    peer: Any,
    database: Any,
    deliver: Callable[..., None],
    tmp_path: Path,
    wait_for: Callable[..., None],
    beginning: str,
) -> None:
    history = customers(123, 3, 20)
    deliver("event_hubs", {"hub": HUB, "connection_string": peer.address()}, history.events)
    database.query("CREATE TABLE customer (id TEXT, seen BIGINT)")
    versions = {event.entity_id: event.version for event in history.events}
    for entity_id in versions:
        database.query("INSERT INTO customer VALUES (%s, 0)", entity_id)
    text = program("page", beginning).replace("postgresql://localhost/crm", database.url)
    opened = f"EventHubConsumerClient.from_connection_string({peer.address(HUB)!r}, '$Default', checkpoint_store=checkpoints)"
    text, count = CLIENT.subn(lambda _: opened, text)
    assert count == 1
    text = re.sub(r"from azure\.identity.* import DefaultAzureCredential\n", "", text)
    with running(text, tmp_path) as ended:
        wait_for(lambda: ended() or dict(database.query("SELECT id, seen FROM customer")) == versions, "each version seen")


def test_the_asyncio_client_of_service_bus(peer: Any, rows: Callable[..., Any], deliver: Callable[..., None]) -> None:
    events = customers(124, 1, 12, payload="full").events
    deliver("service_bus", {"queue": "customers", "connection_string": peer.address()}, events)
    names: dict[str, Any] = {}
    exec(program("page", "async def take(receiver"), names)
    mirror = rows(len(events), Settings(dead_letters="returned"))

    def reject(event: Any) -> None:
        if event.version == events[3].version:
            raise RejectedError("not this one")

    mirror.fault = reject

    async def run() -> list[bytes]:
        async with (
            AsyncConsumer(mirror.consumer) as consumer,
            ServiceBusClient.from_connection_string(peer.address()) as client,
        ):
            async with client.get_queue_receiver("customers", session_id=NEXT_AVAILABLE_SESSION) as receiver:
                while len(mirror.seen) < len(events) - 1:
                    await names["take"](receiver, consumer)
            async with client.get_queue_receiver("customers", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
                return [b"".join(one.body) for one in await receiver.receive_messages(5, max_wait_time=5)]

    assert asyncio.run(run()) == [events[3].body]
    assert mirror.seen == [(event.entity_id, event.version) for event in events if event is not events[3]]
