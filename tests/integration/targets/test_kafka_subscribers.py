"""How far consumer groups of a topic are is read from the broker, as the vendor's own consumer has committed it."""

from __future__ import annotations

import asyncio

import pytest
from confluent_kafka import Consumer, TopicPartition
from msgspec.structs import replace

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError
from goldwire.targets.base import Item, SubscriberLag
from goldwire.targets.kafka.settings import KafkaSettings, KafkaSubscribers
from goldwire.targets.kafka.subscribers import waiting
from goldwire.targets.kafka.target import KafkaTarget
from goldwire.testing.events import sealed
from goldwire_emulator.kafka.cluster import KafkaCluster
from support.kafka_stage import TOPIC, settings_for, with_target

PARTITIONS = 3
EVENTS = 40


def asked(settings: KafkaSettings) -> list[SubscriberLag]:
    return list(asyncio.run(KafkaTarget("k", settings, SystemClock()).subscribers()))


def lags(cluster: KafkaCluster, *groups: str) -> list[SubscriberLag]:
    return asked(settings_for(cluster, subscribers=KafkaSubscribers(consumer_groups=groups)))


def fill(cluster: KafkaCluster) -> None:
    async def send(target: KafkaTarget) -> None:
        await target.send([Item(sealed(f"e{number}", 1)) for number in range(EVENTS)])

    with_target(cluster, send)


def read(cluster: KafkaCluster, group: str, each: int) -> None:
    """Commit as a consumer does that has read so many events of each partition."""
    client = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": group})
    client.commit(offsets=[TopicPartition(TOPIC, number, each) for number in range(PARTITIONS)], asynchronous=False)
    client.close()


def test_the_lag_of_a_group_is_what_it_has_yet_to_read_and_all_of_it_before_it_begins() -> None:
    with KafkaCluster(1, {TOPIC: PARTITIONS}) as cluster:
        fill(cluster)
        read(cluster, "warehouse", 2)
        found = lags(cluster, "warehouse", "not begun")
        assert [(one.subscriber, one.partition) for one in found] == [
            (group, str(number)) for group in ("warehouse", "not begun") for number in range(PARTITIONS)
        ]
        warehouse, other = found[:PARTITIONS], found[PARTITIONS:]
        assert sum(one.waiting for one in warehouse) == EVENTS - 2 * PARTITIONS
        assert {one.read_to for one in warehouse} == {2}
        assert sum(one.waiting for one in other) == EVENTS
        assert {one.read_to for one in other} == {None}
        assert {one.dead_letters for one in found} == {None}
        for one in warehouse:
            assert one.newest is not None
            read(cluster, "warehouse", one.newest)
        assert [one.waiting for one in lags(cluster, "warehouse") if one.partition == warehouse[-1].partition] == [0]


@pytest.mark.parametrize(
    ("committed", "begin", "end", "left"),
    [(4, 0, 10, 6), (None, 3, 10, 7), (10, 0, 10, 0), (2, 5, 10, 8), (12, 0, 10, 10), (None, 0, 0, 0)],
)
def test_a_position_beyond_the_end_is_of_another_stream_and_one_that_expired_counts_what_was_missed(
    committed: int | None, begin: int, end: int, left: int
) -> None:
    assert waiting(committed, begin, end) == left


def test_a_target_without_the_setting_a_topic_that_is_none_and_a_broker_that_is_away_are_named() -> None:
    groups = KafkaSubscribers(consumer_groups=("g",))
    with KafkaCluster(1, {TOPIC: PARTITIONS}) as cluster:
        settings = settings_for(cluster, subscribers=groups, connect_timeout_seconds=2.0)
        with pytest.raises(ConfigError, match="target 'k': set `subscribers`"):
            asked(settings_for(cluster))
        with pytest.raises(ConfigError, match=r"topic other: .*create it"):
            asked(replace(settings, topic="other"))
    with pytest.raises(ConnectionError, match="topic golden: no broker answers"):
        asked(settings)
