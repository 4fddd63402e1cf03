"""The example `mirror-customers` as a user runs it: its own process, a broker, PostgreSQL; killed at any moment."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from goldwire.event.headers import headers, partition_key
from goldwire.event.sealed import SealedEvent
from goldwire_emulator.kafka.cluster import KafkaCluster
from support.histories import customers

EXAMPLE = Path(__file__).parents[3] / "examples" / "mirror-customers" / "mirror.py"


def send(producer: Producer, events: list[SealedEvent]) -> None:
    for event in events:
        beside = {name: value for name, value in headers(event).items() if name != "partitionKey"}
        producer.produce("customers", event.body, partition_key(event), headers=list(beside.items()))
    assert producer.flush(60) == 0


def versions(events: list[SealedEvent]) -> dict[str, int]:
    return {event.entity_id: event.version for event in events}


def test_the_mirror_holds_what_goldwire_holds_though_it_is_killed_in_the_middle(
    database: Any, subscriber: Callable[..., Any]
) -> None:
    history = customers(71, 10, 300)
    with KafkaCluster(topics={"customers": 2}) as cluster:
        producer = Producer({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
        send(producer, history.events[:200])
        arguments = ("kafka", "customers", "--address", cluster.bootstrap, "--database", database.url, "--batch", "10")
        quick = ("--kafka-settings", '{"session.timeout.ms": 6000, "log_level": 0}')
        mirror = subscriber(*arguments, *quick, script=EXAMPLE)
        chance = random.Random(71)
        mirror.kill_when(lambda: sum(database.guard.values()) > chance.randint(1, 60))
        mirror.revive()
        producer.produce("customers", b"no event")
        send(producer, history.events[200:])
        database.wait_for(versions(history.events))
        mirror.end()
    assert database.mirrored("entity_id") == history.table
    rows = database.query("SELECT entity_id, name, city FROM customer")
    assert {(id_, row["name"], row["city"]) for id_, row in history.table.items()} == set(rows)
    assert database.query("SELECT kind FROM goldwire_dead_letter") == [("unreadable",)]


@pytest.mark.parametrize("source", ["event-hubs", "service-bus"])
def test_the_mirror_reads_what_goldwire_sends_to_azure(
    peer: Any, database: Any, subscriber: Callable[..., Any], deliver: Callable[..., None], source: str
) -> None:
    history = customers(73, 4, 40)
    if source == "event-hubs":
        deliver("event_hubs", {"hub": "customers-hub", "connection_string": peer.address()}, history.events)
        where = ("event-hubs", "customers-hub", "--group", "$Default")
    else:
        deliver("service_bus", {"queue": "customers", "connection_string": peer.address()}, history.events)
        where = ("service-bus", "customers")
    mirror = subscriber(*where, "--address", peer.address(), "--database", database.url, script=EXAMPLE)
    database.wait_for(versions(history.events))
    mirror.end()
    assert database.mirrored("entity_id") == history.table


def test_a_gap_names_the_command_and_dead_letters_can_be_processed_again(database: Any, subscriber: Callable[..., Any]) -> None:
    events = customers(72, 1, 12).events
    index = next(number for number, event in enumerate(events) if number and event.base_version is not None)
    with KafkaCluster(topics={"customers": 1}) as cluster:
        producer = Producer({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
        send(producer, [*events[: index - 1], events[index]])
        arguments = ("kafka", "customers", "--address", cluster.bootstrap, "--database", database.url)
        mirror = subscriber(*arguments, script=EXAMPLE)
        database.wait_until(lambda: database.query("SELECT kind FROM goldwire_dead_letter") == [("gap",)])
        send(producer, [events[index - 1]])
        database.wait_for({events[index].entity_id: events[index].version})
        error = mirror.end()
    assert f"goldwire replay TARGET --entity {events[0].entity_id}" in error
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "kafka", "customers", "--redrive", "--database", database.url],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "0 dead letters processed again, 0 remain" in done.stderr


@pytest.mark.parametrize(
    ("source", "entity", "change", "told"),
    [
        ("service-bus", "no-such", None, "service-bus, no-such: there is nothing of this name"),
        ("service-bus", "customers", ("SAS_KEY_VALUE", "wrong"), "service-bus, customers: the key or token is refused"),
        ("service-bus", "plain", None, "service-bus, plain: 'plain' has no sessions"),
        ("event-hubs", "no-such", None, "event-hubs, no-such: Management connection failed. Status code: 404"),
        ("event-hubs", "customers-hub", ("SAS_KEY_VALUE", "wrong"), "event-hubs, customers-hub: the key or token is refused"),
        ("event-hubs", "customers-hub", ("Endpoint=", "="), "--address: "),
    ],
)
def test_what_is_wrong_around_it_is_one_line(
    peer: Any, database: Any, source: str, entity: str, change: tuple[str, str] | None, told: str
) -> None:
    address = peer.address() if change is None else peer.address().replace(*change)
    done = started(source, entity, "--address", address, "--database", database.url)
    [line] = [line for line in done.stderr.splitlines() if " CRITICAL " in line]
    assert f"mirror: {told}" in line
    assert "Traceback" not in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://ada:hunter2@localhost:1/crm", "database: connection failed"),
        ("postgresql//ada:hunter2@localhost", "--database is no connection string of PostgreSQL"),
    ],
)
def test_a_wrong_database_is_one_line_without_its_password(url: str, told: str) -> None:
    done = started("kafka", "customers", "--address", "localhost:1", "--database", url)
    assert f"mirror: {told}" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "hunter2" not in done.stderr
    assert done.returncode == 1


def started(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(EXAMPLE), *arguments], capture_output=True, text=True, check=False)
