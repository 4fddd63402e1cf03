"""A Kafka cluster in this process: librdkafka's own mock cluster, with faults on demand.

It uses the real protocol on loopback, and holds what it receives in memory. The Python client can start one by itself
(`test.mock.num.brokers`) but not reach its controls, so they are called in the C library which that client brings.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Self

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

PRODUCE, INIT_PRODUCER_ID = 0, 22
"""Requests by their number (`ApiKey` in the Kafka protocol guide)."""

_ERROR_TEXT_BYTES = 512
_READ_SECONDS = 30.0
_GATHER_SECONDS = 0.1
"""How long a new group waits for more members; librdkafka's three seconds pass before the first record of every test."""


class KafkaCluster:
    """Brokers numbered from 1.

    Args:
        brokers: how many.
        topics: name and number of partitions of each.
    """

    def __init__(self, brokers: int = 1, topics: dict[str, int] | None = None) -> None:
        self._library = _library()
        self._brokers = brokers
        text = ctypes.create_string_buffer(_ERROR_TEXT_BYTES)
        settings = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(settings, b"log_level", b"0", text, _ERROR_TEXT_BYTES)
        self._handle = self._library.rd_kafka_new(0, settings, text, _ERROR_TEXT_BYTES)
        assert self._handle, text.value.decode()
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._handle, brokers)
        assert self._cluster, "librdkafka made no mock cluster"
        self.bootstrap: str = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        """Host and port of each broker, joined by commas."""
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, round(_GATHER_SECONDS * 1_000))
        for name, partitions in (topics or {}).items():
            self.create(name, partitions)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def create(self, topic: str, partitions: int) -> None:
        """Create a topic, with one replica for each broker."""
        self._check(self._library.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, self._brokers))

    def fail(self, request: int, errors: Iterable[int]) -> None:
        """Answer the next requests of this kind with these error codes, one each."""
        codes = list(errors)
        array = (ctypes.c_int * len(codes))(*codes)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, request, len(codes), array)

    def heal(self, request: int) -> None:
        """Forget the errors that `fail` still has for this kind of request."""
        self._library.rd_kafka_mock_clear_request_errors(self._cluster, request)

    def fail_topic(self, topic: str, error: int) -> None:
        """Answer every question for this topic with an error; 0 mends it."""
        self._library.rd_kafka_mock_topic_set_error(self._cluster, topic.encode(), error)

    def delay(self, seconds: float) -> None:
        """Let every answer take as long as this."""
        for broker in range(1, self._brokers + 1):
            self._check(self._library.rd_kafka_mock_broker_set_rtt(self._cluster, broker, round(seconds * 1_000)))

    def watch(self) -> None:
        """From now on remember which requests come in."""
        self._library.rd_kafka_mock_start_request_tracking(self._cluster)

    def seen(self, request: int) -> int:
        """Return how many requests of a kind came in since `watch`."""
        count = ctypes.c_size_t()
        found = self._library.rd_kafka_mock_get_requests(self._cluster, ctypes.byref(count))
        numbers = [self._library.rd_kafka_mock_request_api_key(found[index]) for index in range(count.value)]
        self._library.rd_kafka_mock_request_destroy_array(found, count)
        return numbers.count(request)

    def down(self) -> None:
        """Break all connections and accept no more."""
        for broker in range(1, self._brokers + 1):
            self._check(self._library.rd_kafka_mock_broker_set_down(self._cluster, broker))

    def up(self) -> None:
        """Accept connections again, with all that was written."""
        for broker in range(1, self._brokers + 1):
            self._check(self._library.rd_kafka_mock_broker_set_up(self._cluster, broker))

    def stop(self) -> None:
        """End it; what it holds is gone. Safe to call twice."""
        if self._cluster:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._library.rd_kafka_destroy(self._handle)
            self._cluster = None

    def records(self, topic: str) -> list[Message]:
        """Return all records of a topic, in order for each partition."""
        return read_topic(self.bootstrap, topic)

    @staticmethod
    def _check(code: int) -> None:
        assert code == 0, KafkaError(code).str()


def read_topic(bootstrap: str, topic: str) -> list[Message]:
    """Return all records that a topic holds now, in order for each partition, read by a plain consumer.

    Args:
        bootstrap: the brokers.
        topic: which.

    Raises:
        TimeoutError: it took too long.
    """
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False, "log_level": 0})
    try:
        partitions = [
            TopicPartition(topic, number, 0) for number in consumer.list_topics(topic, _READ_SECONDS).topics[topic].partitions
        ]
        ends = [consumer.get_watermark_offsets(one, _READ_SECONDS)[1] for one in partitions]
        wanted = sum(ends)
        consumer.assign(partitions)
        found: list[Message] = []
        while len(found) < wanted:
            some = consumer.consume(min(wanted - len(found), 1_000), _READ_SECONDS)
            if not some:
                raise TimeoutError(f"{len(found)} of {wanted} records of {topic} were read")
            found += [message for message in some if message.error() is None]
        return found
    finally:
        consumer.close()


@cache
def _library() -> ctypes.CDLL:
    package = Path(confluent_kafka.__file__).parent
    folders = (package.parent / "confluent_kafka.libs", package / ".dylibs")
    files = [file for folder in folders for file in sorted(folder.glob("librdkafka*"))]
    assert files, "the package confluent-kafka has no librdkafka of its own here: install its wheel"
    library = ctypes.CDLL(str(files[0]))
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for name, result, *arguments in (
        ("rd_kafka_conf_new", pointer),
        ("rd_kafka_conf_set", number, pointer, text, text, text, ctypes.c_size_t),
        ("rd_kafka_new", pointer, number, pointer, text, ctypes.c_size_t),
        ("rd_kafka_destroy", None, pointer),
        ("rd_kafka_mock_cluster_new", pointer, pointer, number),
        ("rd_kafka_mock_cluster_destroy", None, pointer),
        ("rd_kafka_mock_cluster_bootstraps", text, pointer),
        ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, pointer, ctypes.c_int32),
        ("rd_kafka_mock_topic_create", number, pointer, text, number, number),
        ("rd_kafka_mock_topic_set_error", None, pointer, text, number),
        ("rd_kafka_mock_push_request_errors_array", None, pointer, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(number)),
        ("rd_kafka_mock_clear_request_errors", None, pointer, ctypes.c_int16),
        ("rd_kafka_mock_start_request_tracking", None, pointer),
        ("rd_kafka_mock_get_requests", ctypes.POINTER(pointer), pointer, ctypes.POINTER(ctypes.c_size_t)),
        ("rd_kafka_mock_request_api_key", ctypes.c_int16, pointer),
        ("rd_kafka_mock_request_destroy_array", None, ctypes.POINTER(pointer), ctypes.c_size_t),
        ("rd_kafka_mock_broker_set_rtt", number, pointer, ctypes.c_int32, number),
        ("rd_kafka_mock_broker_set_down", number, pointer, ctypes.c_int32),
        ("rd_kafka_mock_broker_set_up", number, pointer, ctypes.c_int32),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def main() -> None:
    """Run a broker until standard input ends: `python -m goldwire_emulator.kafka.cluster TOPIC PARTITIONS`."""
    topic, partitions = sys.argv[1:]
    with KafkaCluster(1, {topic: int(partitions)}) as cluster:
        sys.stdout.write(f"ready: {cluster.bootstrap}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
