"""How far consumer groups of a Kafka topic are: what they committed, beside where each partition begins and ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from goldwire.targets.base import SubscriberLag
from goldwire.targets.clients.extras import require
from goldwire.targets.kafka.check import connection_config
from goldwire.targets.kafka.settings import KafkaSettings


def group_lags(config: Mapping[str, Any], settings: KafkaSettings, groups: Sequence[str]) -> list[SubscriberLag]:
    """Ask the cluster. It blocks.

    Args:
        config: librdkafka's of the producer.
        settings: the target's.
        groups: their names.

    Raises:
        confluent_kafka.KafkaException: not reachable, or not allowed.
    """
    kafka: Any = require("confluent_kafka", extra="kafka", used_by="a look at subscribers")
    sdk: Any = require("confluent_kafka.admin", extra="kafka", used_by="a look at subscribers")
    limit = settings.connect_timeout_seconds
    client = sdk.AdminClient({**connection_config(config), "allow.auto.create.topics": False})
    if "oauth_cb" in config:
        client.poll(limit)  # only then is the token got
    topic = client.list_topics(settings.topic, timeout=limit).topics[settings.topic]
    if topic.error is not None:
        raise kafka.KafkaException(topic.error)
    partitions = [kafka.TopicPartition(settings.topic, number) for number in sorted(topic.partitions)]
    asked = {
        group: client.list_consumer_group_offsets(
            [kafka.ConsumerGroupTopicPartitions(group, partitions)], request_timeout=limit
        )[group]
        for group in groups
    }  # fmt: skip
    begins = _offsets(client, dict.fromkeys(partitions, sdk.OffsetSpec.earliest()), limit)
    ends = _offsets(client, dict.fromkeys(partitions, sdk.OffsetSpec.latest()), limit)
    found = []
    for group, answer in asked.items():
        for one in answer.result().topic_partitions:
            if one.error is not None:
                raise kafka.KafkaException(one.error)
            committed = one.offset if one.offset >= 0 else None
            begin, end = begins[one.partition], ends[one.partition]
            found.append(SubscriberLag(group, str(one.partition), committed, end, waiting(committed, begin, end), None))
    return found


def waiting(committed: int | None, begin: int, end: int) -> int:
    """Return how many events a group has yet to read.

    Args:
        committed: the position of the next event that it reads; None: it has not committed any.
        begin: the position of the oldest event of the partition.
        end: the position that the next event gets.
    """
    return end - (begin if committed is None or committed > end else committed)


def _offsets(client: Any, wanted: Mapping[Any, Any], limit_seconds: float) -> dict[int, int]:
    answers = client.list_offsets(wanted, request_timeout=limit_seconds)
    return {partition.partition: int(answer.result().offset) for partition, answer in answers.items()}


RIGHTS = {
    "GROUP_AUTHORIZATION_FAILED": "the user may not see a consumer group; grant it Describe on each group of `subscribers`",
    "TOPIC_AUTHORIZATION_FAILED": "the user may not see the topic; grant it Describe on the topic",
}
"""What to grant, by the name of the broker's refusal."""
