"""From Goldwire's own targets to the kit: what each writes, in each envelope, is what the kit reads, headers included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from azure.eventhub import EventHubConsumerClient
from azure.servicebus import ServiceBusClient

from goldwire.event.sealed import SealedEvent
from goldwire_consumer.adapter.event_hubs import EventHubsSubscription
from goldwire_consumer.adapter.event_hubs_checkpoints import SqlCheckpointStore
from goldwire_consumer.adapter.kafka import KafkaSubscription
from goldwire_consumer.adapter.pace import Pace
from goldwire_consumer.adapter.service_bus import ServiceBusSubscription
from goldwire_emulator.kafka.cluster import KafkaCluster
from support.histories import customers

ENVELOPES = pytest.mark.parametrize("envelope", ["event", "cloudevents-structured", "cloudevents-binary"])
PACE = Pace(batch=20, wait_seconds=0.2)


def check(subscriber: Any, events: list[SealedEvent]) -> None:
    """Everything was applied, nothing set aside, and each message said of itself which event it holds."""
    assert subscriber.error is None
    assert subscriber.letters == []
    assert sorted(subscriber.seen) == sorted((event.entity_id, event.version) for event in events)
    wanted = {f"Customer:{event.entity_id}:{event.version}" for event in events}
    assert {message.headers["messageId"].removesuffix("~again") for message in subscriber.consumer.messages} == wanted


@ENVELOPES
def test_kafka(rows: Callable[..., Any], deliver: Callable[..., None], envelope: str) -> None:
    events = customers(101, 3, 20).events
    with KafkaCluster(topics={"customers": 2}) as cluster:
        settings = {
            "bootstrap_servers": cluster.bootstrap.split(","), "topic": "customers", "tls": False, "envelope": envelope,
            "null_after_delete": True,
        }  # fmt: skip
        deliver("kafka", settings, events)
        deliver("kafka", settings, events, "again")
        subscriber = rows(len(events))
        client = {"bootstrap.servers": cluster.bootstrap, "group.id": "g", "log_level": 0}
        subscriber.run(KafkaSubscription(subscriber.consumer, client, ["customers"], PACE))
    assert any(event.deleted for event in events)
    check(subscriber, events)


@ENVELOPES
def test_event_hubs(rows: Callable[..., Any], peer: Any, deliver: Callable[..., None], envelope: str) -> None:
    events = customers(102, 3, 20).events
    settings = {"hub": "customers-hub", "connection_string": peer.address(), "envelope": envelope}
    deliver("event_hubs", settings, events)
    subscriber = rows(len(events))
    checkpoints = SqlCheckpointStore(subscriber.store)
    client = EventHubConsumerClient.from_connection_string(
        peer.address("customers-hub"), "$Default", checkpoint_store=checkpoints, load_balancing_interval=0.3
    )
    subscriber.run(EventHubsSubscription(subscriber.consumer, client, checkpoints, pace=PACE))
    check(subscriber, events)


@ENVELOPES
def test_service_bus(rows: Callable[..., Any], peer: Any, deliver: Callable[..., None], envelope: str) -> None:
    events = customers(103, 3, 20).events
    settings = {"queue": "customers", "connection_string": peer.address(), "envelope": envelope}
    deliver("service_bus", settings, events)
    subscriber = rows(len(events))
    with ServiceBusClient.from_connection_string(peer.address()) as client:
        subscriber.run(ServiceBusSubscription(subscriber.consumer, client, queue="customers", pace=PACE))
    check(subscriber, events)
