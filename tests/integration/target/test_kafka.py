from __future__ import annotations

import asyncio
import gc
import json
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings import kafka
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import KafkaError, Message
from confluent_kafka.admin import AdminClient

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError
from goldwire.event.sealed import SealedEvent
from goldwire.target.base import Delivered, Item, Outcome, Rejected, Unavailable, Unknown
from goldwire.target.kafka import KafkaTarget
from goldwire.target.kafka_settings import KafkaSettings
from goldwire.testing.events import deleted, sealed
from goldwire.testing.kafka_cluster import INIT_PRODUCER_ID, PRODUCE, KafkaCluster
from goldwire.testing.kafka_gate import KafkaGate
from goldwire.testing.target_suite import SECRET, Held, TargetSuite

TOPIC = "golden"
THREADS = Path("/proc/self/task")


class LaterClock(SystemClock):
    """The machine's clock, some time later."""

    later_seconds = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.later_seconds


def settings_for(cluster: KafkaCluster | KafkaGate, **more: Any) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=tuple(cluster.bootstrap.split(",")), topic=TOPIC, tls=False, **more)


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


@pytest.fixture
def cluster() -> Iterator[KafkaCluster]:
    with KafkaCluster(1, {TOPIC: 4}) as found:
        yield found


def with_target(
    cluster: KafkaCluster, check: Callable[[KafkaTarget], Coroutine[Any, Any, Any]], *, again: bool = False, **settings: Any
) -> Any:
    """Open a target, do something with it, and close it; if asked to, open it again while nobody answers, as the relay does."""

    async def run() -> Any:
        target = KafkaTarget("k", settings_for(cluster, **settings), SystemClock())
        while True:
            try:
                await target.open()
                break
            except ConnectionError:
                if not again:
                    raise
        try:
            return await check(target)
        finally:
            await target.close()

    return asyncio.run(run())


def outcomes_of(cluster: KafkaCluster, *events: SealedEvent, **settings: Any) -> list[Outcome]:
    async def check(target: KafkaTarget) -> list[Outcome]:
        return list(await target.send([Item(event) for event in events]))

    found: list[Outcome] = with_target(cluster, check, **settings)
    return found


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


def test_errors_on_the_way_change_neither_order_nor_count(cluster: KafkaCluster) -> None:
    """The broker loses its head again and again; the idempotent producer tries again without a gap or a repetition.

    One request for each partition and send, because the mock, unlike a broker, takes sequence numbers in any order.
    """
    again = [KafkaError.NOT_LEADER_FOR_PARTITION, 0, KafkaError.REQUEST_TIMED_OUT, KafkaError.NOT_ENOUGH_REPLICAS, 0] * 8

    async def check(target: KafkaTarget) -> None:
        cluster.fail(PRODUCE, again)
        for version in range(1, 31):
            events = [sealed(f"e{n}", version) for n in range(20)]
            assert set(await target.send([Item(event) for event in events])) == {Delivered()}

    with_target(cluster, check, linger_seconds=0.05)
    versions = defaultdict(list)
    for record in cluster.records(TOPIC):
        event = json.loads(record.value())
        versions[event["entityId"]].append(event["version"])
    assert dict(versions) == {f"e{n}": list(range(1, 31)) for n in range(20)}


@pytest.mark.parametrize(
    ("code", "outcome", "says"),
    [
        (KafkaError.UNSUPPORTED_COMPRESSION_TYPE, Unavailable, "compression"),
        # the client may have tried before, and that try may be written: these are about the moment, not about the record
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, Unknown, "grant it Write"),
        (KafkaError.POLICY_VIOLATION, Unknown, "policy"),
        (KafkaError.THROTTLING_QUOTA_EXCEEDED, Unknown, "quota"),
        (KafkaError.UNKNOWN, Unknown, "unknown"),
    ],
)
def test_what_the_broker_answers_instead_of_writing_decides_the_outcome(
    cluster: KafkaCluster, code: int, outcome: type[Outcome], says: str
) -> None:
    async def check(target: KafkaTarget) -> Outcome:
        cluster.fail(PRODUCE, [code] * 50)
        return (await target.send([Item(sealed("a", 1))]))[0]

    found = with_target(cluster, check, timeout_seconds=60.0)
    assert isinstance(found, outcome), found
    assert says in getattr(found, "reason", "")
    assert cluster.records(TOPIC) == []


def test_a_message_above_the_limit_is_rejected_with_its_size_and_takes_no_other_with_it(cluster: KafkaCluster) -> None:
    found = outcomes_of(
        cluster, sealed("a", 1), sealed("b", 1, {"name": "y" * 20_000}), sealed("c", 1), message_bytes_max=9_000
    )
    assert [type(outcome) for outcome in found] == [Delivered, Rejected, Delivered]
    assert "20," in found[1].reason
    assert "9,000" in found[1].reason
    assert "yyyy" not in found[1].reason


@pytest.mark.parametrize("code", [KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD])
def test_a_batch_refused_for_its_content_is_taken_apart(code: int) -> None:
    """The broker refuses the whole batch, and then of its records, one at a time, the second."""
    with KafkaCluster(1, {TOPIC: 1}) as cluster:

        async def check(target: KafkaTarget) -> list[Outcome]:
            cluster.fail(PRODUCE, [code, 0, code, 0])
            return list(await target.send([Item(sealed(f"e{n}", 1)) for n in range(3)]))

        found = with_target(cluster, check, linger_seconds=0.5)
        assert [type(outcome) for outcome in found] == [Delivered, Rejected, Delivered]
        assert [record.key() for record in cluster.records(TOPIC)] == [b"e0", b"e2"]


def test_a_record_that_was_given_up_alone_does_not_come_after_newer_ones() -> None:
    """The batch is refused, its record is tried by another producer, and that has no luck until nobody waits for it."""
    with KafkaCluster(1, {TOPIC: 1}) as cluster:

        async def check(target: KafkaTarget) -> None:
            cluster.watch()
            cluster.fail(PRODUCE, [KafkaError.MSG_SIZE_TOO_LARGE] + [KafkaError.NOT_LEADER_FOR_PARTITION] * 200)
            sending = asyncio.ensure_future(target.send([Item(sealed("a", 1))]))
            while cluster.seen(PRODUCE) < 6:  # noqa: ASYNC110 - the broker tells nobody when something comes in
                await asyncio.sleep(0.02)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            cluster.heal(PRODUCE)
            for version in (1, 2):
                assert list(await target.send([Item(sealed("a", version))])) == [Delivered()]
            while len(target._alone._producer):  # noqa: ASYNC110 - nor does the client
                await asyncio.sleep(0.02)

        with_target(cluster, check)
        assert [json.loads(record.value())["version"] for record in cluster.records(TOPIC)] == [1, 2]


def test_silence_is_unknown_then_for_certain_unavailable_and_then_over(cluster: KafkaCluster) -> None:
    async def check(target: KafkaTarget) -> list[Outcome]:
        event = Item(sealed("a", 1))
        cluster.down()
        first = (await target.send([event]))[0]
        second = (await target.send([event]))[0]
        cluster.up()
        outcome: Outcome = second
        while not isinstance(outcome, Delivered):
            outcome = (await target.send([event]))[0]
        return [first, second, outcome]

    found = with_target(cluster, check, again=True, timeout_seconds=1.0, connect_timeout_seconds=1.0)
    assert [type(outcome) for outcome in found] == [Unknown, Unavailable, Delivered]
    assert {record.key() for record in cluster.records(TOPIC)} == {b"a"}


def test_a_refusal_after_a_broken_connection_is_not_certain(cluster: KafkaCluster) -> None:
    """The broker writes, the connection breaks before it can say so, and the client's second try is refused."""

    async def check(target: KafkaTarget) -> list[Outcome]:
        await target.send([Item(sealed("z", 1))])  # from now on nothing but the record itself is asked for
        cluster.watch()
        cluster.delay(15.0)
        sending = asyncio.ensure_future(target.send([Item(sealed("a", 1))]))
        while not cluster.seen(PRODUCE):  # noqa: ASYNC110 - the broker tells nobody when something comes in
            await asyncio.sleep(0.05)
        cluster.fail(PRODUCE, [KafkaError.TOPIC_AUTHORIZATION_FAILED] * 9)
        cluster.down()
        cluster.delay(0.0)
        cluster.up()
        return list(await sending)

    (found,) = with_target(cluster, check)
    assert isinstance(found, Unknown), found
    assert "grant it Write" in found.reason
    assert sorted(record.key() for record in cluster.records(TOPIC)) == [b"a", b"z"]


def test_a_producer_that_can_write_no_more_is_replaced(cluster: KafkaCluster) -> None:
    async def check(target: KafkaTarget) -> list[str]:
        await target.send([Item(sealed("z", 1))])
        cluster.fail(PRODUCE, [KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER] * 3 + [KafkaError.INVALID_PRODUCER_EPOCH] * 3)
        names: list[str] = []
        while not names or names[-1] != "Delivered":
            names.append(type((await target.send([Item(sealed("a", 1))]))[0]).__name__)
        return names

    assert set(with_target(cluster, check, timeout_seconds=2.0)) <= {"Delivered", "Unknown"}
    assert b"a" in [record.key() for record in cluster.records(TOPIC)]


def test_a_closed_target_lets_nothing_out_afterwards(cluster: KafkaCluster) -> None:
    """A send is given up while the broker is away; the target closes; the broker comes back."""

    async def check(target: KafkaTarget) -> None:
        cluster.down()
        sending = asyncio.ensure_future(target.send([Item(sealed("a", 1))]))
        while not len(target._line._producer):  # noqa: ASYNC110 - nor does the client, when it holds something
            await asyncio.sleep(0.01)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await target.close()
        cluster.up()
        await target.open()
        assert list(await target.send([Item(sealed("b", 1))])) == [Delivered()]

    with_target(cluster, check)
    assert [record.key() for record in cluster.records(TOPIC)] == [b"b"]


@pytest.mark.parametrize(
    "given", [{}, {"oauth_token_url": "https://x.example/token"}, {"oauth_client_id": "me", "oauth_client_secret": SECRET}]
)
def test_tokens_from_nowhere_are_refused_at_once(given: dict[str, Any]) -> None:
    settings = KafkaSettings(bootstrap_servers=("broker:9093",), topic=TOPIC, sasl="oauthbearer", **given)
    with pytest.raises(ConfigError, match="oauth_client_secret") as caught:
        KafkaTarget("k", settings, SystemClock())
    assert SECRET not in str(caught.value)


def test_a_user_who_may_not_write_idempotently_is_told_so(cluster: KafkaCluster) -> None:
    cluster.fail(INIT_PRODUCER_ID, [KafkaError.CLUSTER_AUTHORIZATION_FAILED] * 50)

    async def check(target: KafkaTarget) -> list[Outcome]:
        return [(await target.send([Item(sealed("a", 1))]))[0] for _ in range(2)]

    for found in with_target(cluster, check, timeout_seconds=60.0):
        assert isinstance(found, Unknown)
        assert "IdempotentWrite" in found.reason


def opening(cluster: KafkaCluster, **settings: Any) -> BaseException | None:
    try:
        outcomes_of(cluster, **settings)
    except (ConfigError, OSError) as error:
        return error
    return None


def test_a_topic_that_is_missing_or_forbidden_ends_the_opening_with_its_fix(cluster: KafkaCluster) -> None:
    cluster.fail_topic(TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART)
    found = opening(cluster)
    assert isinstance(found, ConfigError)
    assert f"topic {TOPIC}" in str(found)
    assert "create it" in str(found)
    cluster.fail_topic(TOPIC, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    assert "grant it Write" in str(opening(cluster))


def test_asking_for_a_topic_does_not_create_it() -> None:
    """The mock, like many clusters, creates what a producer asks for unless it is told not to."""
    with KafkaCluster(1, {"another": 4}) as cluster:
        assert "create it" in str(opening(cluster))
        asking = AdminClient({"bootstrap.servers": cluster.bootstrap})
        assert set(asking.list_topics(timeout=30).topics) == {"another"}


def test_a_cluster_that_is_away_can_be_waited_for(cluster: KafkaCluster) -> None:
    cluster.down()
    found = opening(cluster, connect_timeout_seconds=1.0)
    assert isinstance(found, OSError)
    assert "no broker answers" in str(found)


@pytest.mark.skipif(not THREADS.exists(), reason="counts threads as Linux shows them")
def test_a_closed_target_leaves_no_client_behind(cluster: KafkaCluster) -> None:
    """Each has threads and sockets, and goes on looking for its brokers; a relay opens again and again through an outage."""
    cluster.down()
    opening(cluster, connect_timeout_seconds=0.2)  # what is made once for all
    before = len(list(THREADS.iterdir()))
    gc.disable()
    try:
        for _ in range(3):
            opening(cluster, connect_timeout_seconds=0.2)
        while len(list(THREADS.iterdir())) > before:  # a thread of ours ends in its own time
            time.sleep(0.02)
    finally:
        gc.enable()


def test_a_check_names_partitions_and_partitioner(cluster: KafkaCluster) -> None:
    async def check(target: KafkaTarget) -> dict[str, str]:
        return {finding.subject: finding.text for finding in await target.check()}

    found = with_target(cluster, check)
    assert found["partitions"].startswith("4; set partitions: 4")
    assert with_target(cluster, check, partitions=4)["partitions"].startswith("4, as the settings say")
    assert "murmur2" in found["partitioner"]
    assert "tls is off" in found["encryption"]
    assert "cannot be told" in found["topic's settings"]  # the mock describes nothing


def test_a_number_of_partitions_that_is_not_the_settings_own_ends_the_opening(cluster: KafkaCluster) -> None:
    assert opening(cluster, partitions=4) is None
    found = opening(cluster, partitions=3)
    assert isinstance(found, ConfigError)
    assert f"topic {TOPIC}: it has 4 partitions, but the settings say partitions: 3" in str(found)


def test_added_partitions_are_noticed_before_an_event_goes_to_another() -> None:
    clock = LaterClock()

    async def check(gate: KafkaGate, grown: KafkaCluster) -> None:
        target = KafkaTarget("k", settings_for(gate, partitions=4), clock)
        await target.open()
        assert list(await target.send([Item(sealed("a", 1))])) == [Delivered()]
        gate.lead_to(grown.bootstrap)
        clock.later_seconds = 61.0
        with pytest.raises(ConfigError, match="it has 8 partitions"):
            await target.send([Item(sealed("a", 2))])
        await target.close()

    with KafkaCluster(1, {TOPIC: 4}) as before, KafkaCluster(1, {TOPIC: 8}) as grown, KafkaGate(before.bootstrap) as gate:
        asyncio.run(check(gate, grown))
        assert grown.records(TOPIC) == []


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"key": ("entityType",)}, "entityId"),
        ({"sasl": "plain"}, "username"),
        ({"sasl": "plain", "username": "u", "password": SECRET, "tls": False}, "without tls"),
        ({"sasl": "oauthbearer", "oauth_token_url": "http://issuer.example/token"}, "use https"),
        ({"linger_seconds": 5, "timeout_seconds": 2}, "linger_seconds"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        KafkaSettings(bootstrap_servers=("broker:9092",), topic=TOPIC, **settings)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("setting", ["ca_file", "certificate_file", "key_file"])
def test_a_file_that_is_not_there_names_its_setting(setting: str) -> None:
    settings = KafkaSettings(bootstrap_servers=("b:1",), topic=TOPIC, **{setting: "/nowhere.pem"})
    with pytest.raises(ConfigError, match=f"{setting}: there is no file /nowhere.pem"):
        asyncio.run(KafkaTarget("k", settings, SystemClock()).open())


def test_what_librdkafka_does_not_take_names_the_setting_and_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    settings = KafkaSettings(bootstrap_servers=("b:1",), topic=TOPIC, ca_file=str(file), key_password=SECRET)
    with pytest.raises(ConfigError, match="ssl") as caught:
        asyncio.run(KafkaTarget("k", settings, SystemClock()).open())
    assert SECRET not in str(caught.value)
