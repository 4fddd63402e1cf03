"""What a `kafka` target writes, and where: records, keys, headers, deletions, CloudEvents."""

from __future__ import annotations

import asyncio
import json
import zlib
from typing import Any

import pytest
from cloudevents.core.bindings import kafka
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import KafkaError, Message

from goldwire.event.sealed import SealedEvent
from goldwire.targets.base import Delivered, Item, Outcome, Unknown
from goldwire.targets.kafka.settings import KafkaSettings
from goldwire.targets.kafka.target import KafkaTarget
from goldwire.testing.events import deleted, sealed
from goldwire.testing.target_suite import SECRET, Held, TargetSuite
from goldwire_emulator.kafka.cluster import PRODUCE, KafkaCluster
from support.kafka_stage import TOPIC, outcomes_of, settings_for, with_target


def held_in(records: list[Message], entity_id: str) -> Held | None:
    """What a consumer holds that applies the events as they come and ignores older versions."""
    held: dict[str, Any] | None = None
    for record in records:
        event = json.loads(record.value())
        if event["entityId"] == entity_id and (held is None or event["version"] > held["version"]):
            held = event
    if held is None or held["eventType"] == "EntityDeleted":
        return None
    return Held(held["version"], {name: one["value"] for name, one in held["changes"]["attributes"].items()})


class TestKafka(TargetSuite):
    fences = False  # a log takes what it is given; consumers and the control table fence
    rejects = True
    interruptible = True

    async def set_up(self) -> None:
        self.cluster = KafkaCluster(3, {TOPIC: 4})

    async def tear_down(self) -> None:
        self.cluster.stop()

    def make_target(self) -> KafkaTarget:
        if not hasattr(self, "cluster"):
            secrets: dict[str, Any] = {"sasl": "plain", "username": "u", "password": SECRET, "key_password": SECRET}
            return KafkaTarget("k", KafkaSettings(bootstrap_servers=("x:1",), topic=TOPIC, **secrets), self.clock)
        settings = settings_for(self.cluster, message_bytes_max=2_000_000, timeout_seconds=8.0, connect_timeout_seconds=8.0)
        return KafkaTarget("k", settings, self.clock)

    def bad_event(self) -> SealedEvent:
        return self.event("bad", 1, name="x" * 3_000_000)

    async def held(self, entity_id: str) -> Held | None:
        return held_in(await asyncio.to_thread(self.cluster.records, TOPIC), entity_id)

    async def take_down(self) -> None:
        self.cluster.down()

    async def bring_up(self) -> None:
        self.cluster.up()


def test_a_record_carries_the_sealed_bytes_the_key_and_the_headers_of_the_wire_format(cluster: KafkaCluster) -> None:
    event = sealed("a", 7, {"name": "Zoë"}, correlation_id="run-1", classification="pii", retention_days=30)
    assert outcomes_of(cluster, event) == [Delivered()]
    (record,) = cluster.records(TOPIC)
    assert record.value() == event.body
    assert record.key() == b"a"
    headers = {name: value.decode() for name, value in record.headers()}
    assert headers.pop("traceparent").startswith("00-")
    assert headers == {
        "messageId": "Customer:a:7",
        "correlationId": "run-1",
        "contentType": "application/json",
        "subject": "Customer.EntityChanged",
        "classification": "pii",
        "retention-days": "30",
    }


def test_a_replay_has_a_message_id_of_its_own(cluster: KafkaCluster) -> None:
    async def check(target: KafkaTarget) -> None:
        await target.send([Item(sealed("a", 7), replay_id="r1")])

    with_target(cluster, check)
    (record,) = cluster.records(TOPIC)
    assert dict(record.headers())["messageId"] == b"Customer:a:7~r1"


JAVA = {"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536}
"""murmur2 of these keys as the tests of Kafka's Java client have it."""


@pytest.mark.parametrize("partitioner", ["murmur2", "crc32"])
def test_a_key_goes_where_the_named_partitioner_says(cluster: KafkaCluster, partitioner: str) -> None:
    outcomes_of(cluster, *(sealed(key, 1) for key in JAVA), partitioner=partitioner)
    found = {record.key().decode(): record.partition() for record in cluster.records(TOPIC)}
    java = {key: (number & 0x7FFFFFFF) % 4 for key, number in JAVA.items()}
    assert found == (java if partitioner == "murmur2" else {key: zlib.crc32(key.encode()) % 4 for key in JAVA})


def test_the_key_can_be_a_composite(cluster: KafkaCluster) -> None:
    outcomes_of(cluster, sealed("a", 1), key=("entityType", "entityId"))
    assert [record.key() for record in cluster.records(TOPIC)] == [b"Customer:a"]


def test_a_deletion_is_an_event_and_no_empty_record(cluster: KafkaCluster) -> None:
    event = deleted("a", 2)
    outcomes_of(cluster, event)
    assert [record.value() for record in cluster.records(TOPIC)] == [event.body]


def test_on_request_an_empty_record_follows_a_deletion(cluster: KafkaCluster) -> None:
    event = deleted("a", 2)
    assert outcomes_of(cluster, event, sealed("b", 1), null_after_delete=True) == [Delivered(), Delivered()]
    assert [record.value() for record in cluster.records(TOPIC) if record.key() == b"a"] == [event.body, None]


def test_a_deletion_that_is_written_is_not_called_unwritten_for_want_of_its_empty_record() -> None:
    """The broker refuses the two together, and then of the two, one at a time, the empty one."""
    with KafkaCluster(1, {TOPIC: 1}) as cluster:
        refused = KafkaError.INVALID_RECORD

        async def check(target: KafkaTarget) -> list[Outcome]:
            cluster.fail(PRODUCE, [refused, 0, refused])
            return [*await target.send([Item(deleted("a", 2))]), *await target.send([Item(deleted("a", 2))])]

        first, again = with_target(cluster, check, null_after_delete=True, linger_seconds=0.5)
        assert isinstance(first, Unknown), first
        assert again == Delivered()
        assert [record.value() is None for record in cluster.records(TOPIC)] == [False, False, True]


@pytest.mark.parametrize("envelope", ["cloudevents-structured", "cloudevents-binary"])
def test_the_sdk_of_cloudevents_reads_what_a_consumer_receives(cluster: KafkaCluster, envelope: str) -> None:
    event = sealed("straße/1", 7, {"name": "Zoë"}, classification="pii")
    outcomes_of(cluster, event, envelope=envelope)
    (record,) = cluster.records(TOPIC)
    message = kafka.KafkaMessage(dict(record.headers()), record.key(), record.value())
    found = kafka.from_kafka(message, JSONFormat())
    assert (found.get_id(), found.get_type()) == ("Customer:straße/1:7", "goldwire.EntityChanged")
    assert found.get_extension("partitionkey") == record.key().decode() == "straße/1"
    assert found.get_data() == json.loads(event.body)
