"""What becomes of events where a Kafka broker refuses, breaks off, is silent or away."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict

import pytest
from confluent_kafka import KafkaError

from goldwire.targets.base import Delivered, Item, Outcome, Rejected, Unavailable, Unknown
from goldwire.targets.kafka.target import KafkaTarget
from goldwire.testing.events import sealed
from goldwire_emulator.kafka.cluster import INIT_PRODUCER_ID, PRODUCE, KafkaCluster
from support.kafka_stage import TOPIC, outcomes_of, with_target


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
    """The batch is refused, its record is tried by another producer, and that has no luck until no caller waits for it."""
    with KafkaCluster(1, {TOPIC: 1}) as cluster:

        async def check(target: KafkaTarget) -> None:
            cluster.watch()
            cluster.fail(PRODUCE, [KafkaError.MSG_SIZE_TOO_LARGE] + [KafkaError.NOT_LEADER_FOR_PARTITION] * 200)
            sending = asyncio.ensure_future(target.send([Item(sealed("a", 1))]))
            while cluster.seen(PRODUCE) < 6:  # noqa: ASYNC110 - the broker does not report what comes in
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

    found = with_target(cluster, check, again=True, timeout_seconds=2.0, connect_timeout_seconds=3.0)
    assert [type(outcome) for outcome in found] == [Unknown, Unavailable, Delivered]
    assert {record.key() for record in cluster.records(TOPIC)} == {b"a"}


def test_a_client_that_forgets_a_record_is_made_to_let_go_of_it(cluster: KafkaCluster) -> None:
    """It happens where the brokers are away; here it is given a minute, and our patience ends sooner."""

    async def check(target: KafkaTarget) -> list[Outcome]:
        event = Item(sealed("a", 1))
        assert target._line is not None
        cluster.down()
        patience, target._line._limit_seconds = target._line._limit_seconds, 0.5
        forgotten = (await target.send([event]))[0]
        cluster.up()
        target._line._limit_seconds = patience
        outcome: Outcome = forgotten
        while not isinstance(outcome, Delivered):
            outcome = (await target.send([event]))[0]
        return [forgotten, outcome]

    found = with_target(cluster, check, again=True, timeout_seconds=60.0)
    assert [type(outcome) for outcome in found] == [Unknown, Delivered]
    assert [record.key() for record in cluster.records(TOPIC)] == [b"a"], "what was let go of does not go out later"


def test_a_refusal_after_a_broken_connection_is_not_certain(cluster: KafkaCluster) -> None:
    """The broker writes, the connection breaks before it can say so, and the client's second try is refused."""

    async def check(target: KafkaTarget) -> list[Outcome]:
        await target.send([Item(sealed("z", 1))])  # from now on nothing but the record itself is asked for
        cluster.watch()
        cluster.delay(15.0)
        sending = asyncio.ensure_future(target.send([Item(sealed("a", 1))]))
        while not cluster.seen(PRODUCE):  # noqa: ASYNC110 - the broker does not report what comes in
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


def test_a_user_who_may_not_write_idempotently_is_told_so(cluster: KafkaCluster) -> None:
    cluster.fail(INIT_PRODUCER_ID, [KafkaError.CLUSTER_AUTHORIZATION_FAILED] * 50)

    async def check(target: KafkaTarget) -> list[Outcome]:
        return [(await target.send([Item(sealed("a", 1))]))[0] for _ in range(2)]

    for found in with_target(cluster, check, timeout_seconds=60.0):
        assert isinstance(found, Unknown)
        assert "IdempotentWrite" in found.reason
