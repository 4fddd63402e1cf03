"""What is asked of the Kafka client while a broker is away or a partition is another consumer's."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from goldwire_consumer.adapter.kafka import _offset, _partitions, _rewind


class Client:
    """Stands for librdkafka's consumer, which waits for ever where it is given no limit."""

    def __init__(self) -> None:
        self.limits: list[float] = []
        self.sought: list[tuple[str, int, int]] = []
        self.moments: set[int] = set()

    def list_topics(self, topic: str, timeout: float = -1) -> Any:
        self.limits.append(timeout)
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None, partitions={1: None, 0: None})})

    def get_watermark_offsets(self, _position: TopicPartition, timeout: float = -1) -> tuple[int, int]:
        self.limits.append(timeout)
        return 3, 9

    def offsets_for_times(self, asked: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        self.limits.append(timeout)
        self.moments.update(one.offset for one in asked)
        return [TopicPartition(one.topic, one.partition, -1 if one.partition else 0) for one in asked]

    def seek(self, position: TopicPartition) -> None:
        self.sought.append((position.topic, position.partition, position.offset))
        if position.partition == 0:
            raise KafkaException(KafkaError(KafkaError._STATE))  # the client's public name of a local code


@pytest.mark.parametrize(("moment", "offsets"), [(None, [3, 3]), (datetime(2026, 11, 20, tzinfo=UTC), [0, 9])])
def test_no_request_waits_for_ever_for_a_broker_that_is_away(moment: datetime | None, offsets: list[int]) -> None:
    client: Any = Client()
    positions = _partitions(client, "customers")
    assert [(one.topic, one.partition) for one in positions] == [("customers", 0), ("customers", 1)]
    assert [_offset(client, one, moment) for one in positions] == offsets
    assert client.moments == (set() if moment is None else {int(moment.timestamp() * 1_000)}), "in milliseconds"
    assert all(0 < seconds < 120 for seconds in client.limits)


def test_a_partition_that_was_taken_away_is_named_and_the_others_are_read_again(caplog: pytest.LogCaptureFixture) -> None:
    client: Any = Client()
    found: list[Any] = [
        SimpleNamespace(topic=lambda: "customers", partition=lambda of=partition: of, offset=lambda at=offset: at)
        for partition, offset in ((0, 4), (1, 7), (0, 5), (1, 8))
    ]
    _rewind(client, found)
    assert client.sought == [("customers", 0, 4), ("customers", 1, 7)]
    assert caplog.messages == ["kafka: customers is another consumer's now: _STATE"]
