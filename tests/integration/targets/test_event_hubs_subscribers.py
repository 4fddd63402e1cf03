"""How far consumer groups of a hub are is read from the hub and from where the kit keeps their checkpoints."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.eventhub import EventHubConsumerClient
from confluent_kafka import Consumer, TopicPartition

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError
from goldwire.targets.azure.event_hubs.subscribers import HubSubscribers, waiting
from goldwire.targets.azure.event_hubs.target import EventHubsSettings, EventHubsTarget
from goldwire.targets.base import Item, SubscriberLag
from goldwire.testing.events import sealed
from goldwire_consumer import SqliteStore
from goldwire_consumer.adapter.event_hubs_checkpoints import SqlCheckpointStore
from goldwire_emulator.amqp.endpoint import Right
from goldwire_emulator.amqp.sas import Policy
from goldwire_emulator.certificate import CERTIFICATE, server_context
from goldwire_emulator.emulator import Emulator
from goldwire_emulator.kafka.cluster import KafkaCluster
from goldwire_emulator.kafka.gate import KafkaGate
from goldwire_emulator.kafka.sasl import Plain, connection_strings
from support.emulator_stage import SEND_ONLY
from support.hub_stage import CONFIG, HUB, hub_target
from support.target_use import opened

GROUP = "$Default"
EVENTS = 40
READS = Policy("reads", "bGlzdGVu", frozenset({Right.LISTEN}))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path / "warehouse.db")
    yield made
    made.close()


def run(work: Any) -> Any:
    async def story() -> Any:
        async with Emulator(CONFIG, policies=(SEND_ONLY, READS)) as emulator:
            async with opened(hub_target(emulator)) as target:
                await target.send([Item(sealed(f"e{number}", 1)) for number in range(EVENTS)])
            return await work(emulator)

    return asyncio.run(story())


def read(emulator: Emulator, store: SqliteStore, count: int) -> None:
    """Read so many events as a subscriber does with the vendor's client, and keep a checkpoint of each."""
    left = list(range(count))
    client = EventHubConsumerClient.from_connection_string(
        emulator.connection_string(HUB, READS), GROUP, checkpoint_store=SqlCheckpointStore(store)
    )

    def take(context: Any, event: Any) -> None:
        if left:
            context.update_checkpoint(event)
            left.pop()
        if not left:
            threading.Thread(target=client.close).start()

    with client:
        client.receive(take, starting_position="-1")


async def lags(emulator: Emulator, folder: Path, *groups: str, file: str = "warehouse.db") -> list[SubscriberLag]:
    asked = HubSubscribers(consumer_groups=groups, checkpoints=f"sqlite:///{folder / file}")
    return list(await hub_target(emulator, subscribers=asked).subscribers())


def test_the_lag_is_what_the_hub_holds_beyond_the_checkpoints_of_the_kit(store: SqliteStore, tmp_path: Path) -> None:
    async def work(emulator: Emulator) -> None:
        before = await lags(emulator, tmp_path, GROUP)
        assert sum(one.waiting for one in before) == EVENTS
        assert [(one.subscriber, one.read_to, one.dead_letters) for one in before] == [(GROUP, None, None)] * len(before)
        await asyncio.to_thread(read, emulator, store, 10)
        after = await lags(emulator, tmp_path, GROUP, "other")
        assert sum(one.waiting for one in after if one.subscriber == GROUP) == EVENTS - 10
        assert sum(one.waiting for one in after if one.subscriber == "other") == EVENTS

    run(work)


@pytest.mark.parametrize(
    ("read_to", "oldest", "newest", "is_empty", "left"),
    [
        (4, 0, 9, False, 5), (9, 0, 9, False, 0), (None, 3, 9, False, 7), (12, 0, 9, False, 10), (2, 10, 9, True, 7),
        (None, 10, 9, True, 0), (None, 0, None, True, 0), (5, 0, None, True, 0),
    ],
)  # fmt: skip
def test_what_expired_unread_counts_and_a_checkpoint_of_another_hub_counts_for_nothing(
    read_to: int | None, oldest: int, newest: int | None, is_empty: bool, left: int
) -> None:
    assert waiting(read_to, oldest, newest, is_empty=is_empty) == left


def test_a_database_that_is_none_a_table_that_is_missing_and_a_hub_that_is_away_are_named(tmp_path: Path) -> None:
    async def work(emulator: Emulator) -> None:
        with pytest.raises(ConnectionError, match="target 'hub': subscribers: checkpoints at sqlite:///"):
            await lags(emulator, tmp_path, GROUP, file="none.db")
        assert not (tmp_path / "none.db").exists()
        (tmp_path / "empty.db").touch()
        with pytest.raises(ConfigError, match="there is no table goldwire_checkpoint"):
            await lags(emulator, tmp_path, GROUP, file="empty.db")
        asked = HubSubscribers(consumer_groups=(GROUP,), checkpoints=f"sqlite:///{tmp_path / 'empty.db'}")
        with pytest.raises(ConfigError, match="target 'hub': hub other: subscribers: the entity does not exist"):
            await hub_target(emulator, subscribers=asked, hub="other").subscribers()
        with pytest.raises(ConfigError, match="target 'hub': set `subscribers`"):
            await hub_target(emulator).subscribers()

    run(work)


def test_amqp_without_checkpoints_is_refused_and_secrets_are_not_shown() -> None:
    with pytest.raises(ValueError, match="subscribers: set checkpoints"):
        EventHubsSettings(hub=HUB, namespace="n", subscribers=HubSubscribers(consumer_groups=(GROUP,)))
    asked = HubSubscribers(consumer_groups=(GROUP,), checkpoints="postgresql://u:geheim@h/d", connection_string="geheim")
    assert "geheim" not in repr(EventHubsSettings(hub=HUB, namespace="n", subscribers=asked))


def test_over_the_kafka_endpoint_the_offsets_that_consumers_committed_count(tmp_path: Path) -> None:
    send, listen = Policy("send", "c2VuZA==", frozenset({Right.SEND})), Policy("listen", "bGlzdGVu", frozenset({Right.LISTEN}))
    mechanism = Plain(connection_strings([send, listen], HUB, time.time))
    with (
        KafkaCluster(1, {HUB: 2}) as cluster,
        KafkaGate(cluster.bootstrap, [mechanism], tls=server_context(tmp_path)) as gate,
    ):
        own, other = (
            f"Endpoint=sb://{gate.bootstrap}/;SharedAccessKeyName={one.name};SharedAccessKey={one.key};EntityPath={HUB}"
            for one in (send, listen)
        )
        settings = EventHubsSettings(
            hub=HUB, endpoint="kafka", connection_string=own, ca_file=str(tmp_path / CERTIFICATE), connect_timeout_seconds=60.0,
            subscribers=HubSubscribers(consumer_groups=(GROUP,), connection_string=other),
        )  # fmt: skip
        target = EventHubsTarget("hub", settings, SystemClock())

        async def story() -> list[SubscriberLag]:
            async with opened(target):
                await target.send([Item(sealed(f"e{number}", 1)) for number in range(EVENTS)])
            return list(await target.subscribers())

        client = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": GROUP})
        client.commit(offsets=[TopicPartition(HUB, 0, 1)], asynchronous=False)
        client.close()
        found = asyncio.run(story())
        assert gate.admitted[-1].name == listen.name
    assert sum(one.waiting for one in found) == EVENTS - 1
    assert [one.read_to for one in found] == [1, None]
