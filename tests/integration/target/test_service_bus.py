from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.management import QueueProperties
from cloudevents.core.bindings import amqp
from cloudevents.core.formats.json import JSONFormat

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError
from goldwire.event.sealed import SealedEvent
from goldwire.target.base import Delivered, Item, Outcome, Rejected, Target, Throttled, Unavailable, Unknown
from goldwire.target.service_bus import ServiceBusSettings, ServiceBusTarget
from goldwire.target.service_bus_check import findings_of
from goldwire.testing.azure.amqp.endpoint import Right
from goldwire.testing.azure.amqp.sas import Policy
from goldwire.testing.azure.broker.config import BrokerConfig
from goldwire.testing.azure.broker.entities import Limits, QueueSettings, SubscriptionSettings, TopicSettings
from goldwire.testing.azure.emulator import ROOT, Emulator
from goldwire.testing.events import sealed
from goldwire.testing.target_suite import SECRET, Held, TargetSuite

SESSIONS = "golden"
PLAIN = "plain"
TOPIC = "changes"
CONFIG = BrokerConfig(
    queues=(
        QueueSettings(name=SESSIONS, requires_session=True, duplicate_window_ms=600_000),
        QueueSettings(name=PLAIN, duplicate_window_ms=600_000),
    ),
    topics=(TopicSettings(name=TOPIC, subscriptions=(SubscriptionSettings(name="all", requires_session=True),)),),
)
SEND_ONLY = Policy("send", "c2VuZA==", frozenset({Right.SEND}))
LISTEN_ONLY = Policy("listen", "bGlzdGVu", frozenset({Right.LISTEN}))
POLICIES = (ROOT, SEND_ONLY, LISTEN_ONLY)


def body_of(message: ServiceBusReceivedMessage) -> bytes:
    return b"".join(message.body)


async def peek_all(emulator: Emulator, queue: str = PLAIN) -> list[ServiceBusReceivedMessage]:
    """Everything a queue without sessions holds, in order, read with the SDK and left there."""
    found: list[ServiceBusReceivedMessage] = []
    async with (
        ServiceBusClient.from_connection_string(emulator.connection_string()) as client,
        client.get_queue_receiver(queue) as receiver,
    ):
        some = await receiver.peek_messages(max_message_count=100)
        while some:
            found += some
            some = await receiver.peek_messages(max_message_count=100, sequence_number=found[-1].sequence_number + 1)
    return found


async def take_all(emulator: Emulator, sessions: int, *, topic: bool = False) -> dict[str, list[ServiceBusReceivedMessage]]:
    """Everything that so many sessions hold, in order for each, received and completed with the SDK."""
    found: dict[str, list[ServiceBusReceivedMessage]] = defaultdict(list)
    held = emulator.broker.service_bus.queue(f"{TOPIC}/subscriptions/all" if topic else SESSIONS)
    async with ServiceBusClient.from_connection_string(emulator.connection_string()) as client:
        while len(found) < sessions:
            receiver = (
                client.get_subscription_receiver(TOPIC, "all", session_id=NEXT_AVAILABLE_SESSION, max_wait_time=30)
                if topic
                else client.get_queue_receiver(SESSIONS, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=30)
            )
            async with receiver:
                session = receiver.session.session_id
                while held.peek(0, 1, session):
                    for message in await receiver.receive_messages(max_message_count=500, max_wait_time=30):
                        found[session].append(message)
                        await receiver.complete_message(message)
    return found


class TestServiceBus(TargetSuite):
    fences = False  # a queue takes what it is given; consumers and the control table fence
    rejects = True
    interruptible = True
    limits = Limits(max_message_bytes=2_000_000)

    events: list[dict[str, Any]] | None = None

    async def set_up(self) -> None:
        self.emulator = Emulator(CONFIG, self.folder, limits=self.limits)
        await self.emulator.start()
        self.port = self.emulator.server.port

    async def tear_down(self) -> None:
        await self.emulator.stop()

    def make_target(self) -> ServiceBusTarget:
        text = f"Endpoint=sb://localhost;SharedAccessKeyName=a;SharedAccessKey={SECRET}"
        if hasattr(self, "emulator"):
            text = self.emulator.connection_string()
        more = {"connect_timeout_seconds": 20.0, "timeout_seconds": 20.0}
        return ServiceBusTarget(
            "bus", ServiceBusSettings(queue=PLAIN, sessions=False, connection_string=text, **more), self.clock
        )

    def bad_event(self) -> SealedEvent:
        return self.event("bad", 1, name="x" * 3_000_000)

    async def held(self, entity_id: str) -> Held | None:
        if self.events is None:
            self.events = [json.loads(body_of(message)) for message in await peek_all(self.emulator)]
        held = max((one for one in self.events if one["entityId"] == entity_id), key=lambda one: one["version"], default=None)
        if held is None or held["eventType"] == "EntityDeleted":
            return None
        return Held(held["version"], {name: one["value"] for name, one in held["changes"]["attributes"].items()})

    async def send_all(self, target: Target, events: Sequence[SealedEvent]) -> Sequence[Outcome]:
        self.events = None
        return await super().send_all(target, events)

    async def take_down(self) -> None:
        await self.emulator.stop()

    async def bring_up(self) -> None:
        self.emulator = Emulator(CONFIG, self.folder, port=self.port, limits=self.limits)
        await self.emulator.start()


def with_emulator(check: Callable[[Emulator], Coroutine[Any, Any, Any]], **settings: Any) -> Any:
    async def run() -> Any:
        async with Emulator(CONFIG, policies=POLICIES, **settings) as emulator:
            return await check(emulator)

    return asyncio.run(run())


@asynccontextmanager
async def opened(emulator: Emulator, policy: Policy = SEND_ONLY, **settings: Any) -> AsyncIterator[ServiceBusTarget]:
    place = {} if "topic" in settings else {"queue": SESSIONS}
    more = {"connect_timeout_seconds": 20.0, "timeout_seconds": 20.0}
    text = emulator.connection_string(policy=policy)
    target = ServiceBusTarget(
        "bus", ServiceBusSettings(**{**place, **more, "connection_string": text, **settings}), SystemClock()
    )
    await target.open()
    try:
        yield target
    finally:
        await target.close()


def test_the_sdk_reads_the_sealed_bytes_the_session_and_the_properties() -> None:
    event = sealed("straße/1", 7, {"name": "Zoë"}, correlation_id="run-1", classification="pii", retention_days=30)

    async def check(emulator: Emulator) -> None:
        async with opened(emulator) as target:
            assert list(await target.send([Item(event)])) == [Delivered()]
        ((found,),) = (await take_all(emulator, 1)).values()
        assert body_of(found) == event.body
        assert (found.session_id, found.message_id) == ("straße/1", "Customer:straße/1:7")
        assert (found.correlation_id, found.content_type, found.subject) == (
            "run-1",
            "application/json",
            "Customer.EntityChanged",
        )
        properties = {name.decode(): value.decode() for name, value in found.application_properties.items()}
        assert properties.pop("traceparent").startswith("00-")
        assert properties == {"classification": "pii", "retention-days": "30"}

    with_emulator(check)


@pytest.mark.parametrize("envelope", ["cloudevents-structured", "cloudevents-binary"])
def test_the_sdk_of_cloudevents_reads_what_a_consumer_receives(envelope: str) -> None:
    event = sealed("straße/1", 7, {"name": "Zoë"}, classification="pii")

    async def check(emulator: Emulator) -> None:
        async with opened(emulator, envelope=envelope) as target:
            await target.send([Item(event)])
        ((found,),) = (await take_all(emulator, 1)).values()
        body = body_of(found)
        properties = {name.decode(): value.decode() for name, value in found.application_properties.items()}
        read = amqp.from_amqp(amqp.AMQPMessage({"content-type": found.content_type}, properties, body), JSONFormat())
        assert (read.get_id(), read.get_type()) == ("Customer:straße/1:7", "goldwire.EntityChanged")
        assert read.get_extension("partitionkey") == "straße/1"
        assert read.get_data() == json.loads(event.body)

    with_emulator(check)


def test_a_topic_gives_each_subscription_its_copy() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(emulator, topic=TOPIC) as target:
            assert list(await target.send([Item(sealed("a", 1))])) == [Delivered()]
        assert [body_of(one) for one in (await take_all(emulator, 1, topic=True))["a"]] == [sealed("a", 1).body]

    with_emulator(check)


def test_duplicate_detection_removes_a_repetition_and_lets_a_replay_through() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(emulator, queue=PLAIN, sessions=False) as target:
            for item in (Item(sealed("a", 1)), Item(sealed("a", 1), attempt=2), Item(sealed("a", 1), replay_id="r1")):
                assert list(await target.send([item])) == [Delivered()]
        assert [one.message_id for one in await peek_all(emulator)] == ["Customer:a:1", "Customer:a:1~r1"]

    with_emulator(check)


def test_the_order_of_each_session_is_that_of_the_versions_through_restarts(tmp_path: Path) -> None:
    async def check() -> None:
        emulator = Emulator(CONFIG, tmp_path)
        await emulator.start()
        port = emulator.server.port
        async with opened(emulator, ROOT, timeout_seconds=20.0, connect_timeout_seconds=20.0) as target:
            for version in range(1, 16):
                if version % 5 == 0:
                    await emulator.stop()
                    emulator = Emulator(CONFIG, tmp_path, port=port)
                    await emulator.start()
                waiting = [Item(sealed(f"e{n}", version)) for n in range(5)]
                while waiting:  # as the relay does: the same event again, and nothing newer before it is taken
                    outcomes = await target.send(waiting)
                    waiting = [item for item, one in zip(waiting, outcomes, strict=True) if not isinstance(one, Delivered)]
        sessions = await take_all(emulator, 5)
        await emulator.stop()
        versions = {session: [json.loads(body_of(one))["version"] for one in found] for session, found in sessions.items()}
        # the duplicate window spans the restarts, so that repetitions are gone as well
        assert versions == {f"e{n}": list(range(1, 16)) for n in range(5)}

    asyncio.run(check())


def test_more_than_fits_into_one_batch_goes_in_several_and_what_never_fits_is_rejected_with_its_size() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(emulator, queue=PLAIN, sessions=False) as target:
            events = [sealed(f"e{n}", 1, {"name": "x" * 60_000}) for n in range(12)]
            events.insert(5, sealed("bad", 1, {"name": "y" * 300_000}))
            outcomes = await target.send([Item(event) for event in events])
        assert [type(one) for one in outcomes] == [Delivered] * 5 + [Rejected] + [Delivered] * 7
        assert "300," in outcomes[5].reason
        assert "262,144" in outcomes[5].reason
        assert "yyy" not in outcomes[5].reason
        assert len(await peek_all(emulator)) == 12

    with_emulator(check)


def test_a_batch_that_is_refused_as_a_whole_is_taken_apart() -> None:
    """The entity takes less than the SDK puts into a batch, and one message is too large even alone."""

    async def check(emulator: Emulator) -> None:
        async with opened(emulator, queue=PLAIN, sessions=False) as target:
            sizes = [15_000] * 5 + [120_000] + [15_000] * 5
            outcomes = await target.send([Item(sealed(f"e{n}", 1, {"name": "z" * size})) for n, size in enumerate(sizes)])
        assert [type(one) for one in outcomes] == [Delivered] * 5 + [Rejected] + [Delivered] * 5
        assert "120," in outcomes[5].reason
        assert "zzz" not in outcomes[5].reason
        assert len(await peek_all(emulator)) == 10

    with_emulator(check, limits=Limits(max_message_bytes=100_000))


def test_large_messages_of_a_premium_entity_go_one_by_one() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(emulator, queue=PLAIN, sessions=False, message_bytes_max=3_000_000) as target:
            sizes = [100, 2_000_000, 100, 4_000_000]
            outcomes = await target.send([Item(sealed(f"e{n}", 1, {"name": "z" * size})) for n, size in enumerate(sizes)])
        assert [type(one) for one in outcomes] == [Delivered, Delivered, Delivered, Rejected]
        assert "3,000,000" in outcomes[3].reason
        assert len(await peek_all(emulator)) == 3

    with_emulator(check, limits=Limits(max_message_bytes=5_000_000))


def test_of_a_partitioned_entity_a_batch_holds_one_key() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(emulator, partitioned=True) as target:
            assert {type(one) for one in await target.send([Item(sealed(f"e{n}", 1)) for n in range(6)])} == {Delivered}
        assert len(await take_all(emulator, 6)) == 6

    with_emulator(check)


def test_a_busy_service_is_left_alone_for_a_while() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(emulator, queue=PLAIN, sessions=False) as target:
            outcomes: list[Outcome] = []
            while not any(isinstance(outcome, Throttled) for outcome in outcomes):
                outcomes = list(await target.send([Item(sealed(f"e{n}", 1)) for n in range(40)]))
            assert {type(outcome) for outcome in outcomes} == {Throttled}

    with_emulator(check, limits=Limits(ingress_per_second=20.0))


def test_a_full_queue_says_so_and_kills_nothing() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(emulator, queue=PLAIN, sessions=False) as target:
            outcomes = [(await target.send([Item(sealed(f"e{n}", 1, {"name": "x" * 50_000}))]))[0] for n in range(5)]
        assert type(outcomes[0]) is Delivered
        assert isinstance(outcomes[-1], Unavailable)
        assert "quota" in outcomes[-1].reason

    with_emulator(check, limits=Limits(max_entity_bytes=150_000))


def test_messages_without_a_session_are_refused_where_sessions_are_required() -> None:
    """The setting says no sessions, the queue has them: a wrong setting, and no event's fault."""

    async def check(emulator: Emulator) -> Outcome:
        async with opened(emulator, sessions=False) as target:
            return (await target.send([Item(sealed("a", 1))]))[0]

    found = with_emulator(check)
    assert isinstance(found, Unavailable), found
    assert "sessions" in found.reason


def test_silence_is_unknown_and_then_for_certain_unavailable() -> None:
    async def check() -> None:
        emulator = Emulator(CONFIG)
        await emulator.start()
        async with opened(emulator, ROOT, timeout_seconds=20.0, connect_timeout_seconds=20.0) as target:
            assert list(await target.send([Item(sealed("a", 1))])) == [Delivered()]
            await emulator.stop()
            found = [(await target.send([Item(sealed("a", 2))]))[0] for _ in range(2)]
        assert [type(outcome) for outcome in found] == [Unknown, Unavailable]

    asyncio.run(check())


class LaterClock(SystemClock):
    """The machine's clock, some time later."""

    later_seconds = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.later_seconds


def test_after_a_long_silence_a_cut_connection_is_replaced_before_anything_is_sent(tmp_path: Path) -> None:
    async def check() -> None:
        emulator = Emulator(CONFIG, tmp_path)
        await emulator.start()
        clock = LaterClock()
        target = ServiceBusTarget(
            "bus", ServiceBusSettings(queue=SESSIONS, connection_string=emulator.connection_string()), clock
        )
        await target.open()
        assert list(await target.send([Item(sealed("a", 1))])) == [Delivered()]
        port = emulator.server.port
        await emulator.stop()
        emulator = Emulator(CONFIG, tmp_path, port=port)
        await emulator.start()
        clock.later_seconds = 300.0
        assert list(await target.send([Item(sealed("a", 2))])) == [Delivered()]
        await target.close()
        await emulator.stop()

    asyncio.run(check())


async def opening(emulator: Emulator, policy: Policy = SEND_ONLY, **settings: Any) -> BaseException | None:
    try:
        async with opened(emulator, policy, **settings):
            return None
    except (ConfigError, OSError) as error:
        return error


def test_a_missing_queue_a_wrong_key_and_a_missing_right_end_the_opening_with_their_fix() -> None:
    async def check(emulator: Emulator) -> None:
        missing = await opening(emulator, queue="nowhere")
        assert isinstance(missing, ConfigError)
        assert "queue nowhere" in str(missing)
        assert "create it" in str(missing)
        wrong = await opening(emulator, Policy("send", "d3Jvbmc="))
        assert isinstance(wrong, ConfigError)
        assert "credential" in str(wrong)
        assert "d3Jvbmc=" not in str(wrong)
        listening = await opening(emulator, LISTEN_ONLY)
        assert isinstance(listening, ConfigError)
        assert "Send" in str(listening)

    with_emulator(check)


@pytest.mark.parametrize(
    ("queue", "sessions", "policy", "state", "says"),
    [
        (SESSIONS, True, ROOT, "ok", "has sessions, as set"),
        (SESSIONS, False, ROOT, "fix", "set sessions: true"),
        (PLAIN, True, ROOT, "fix", "may overtake each other"),
        (PLAIN, False, ROOT, "ok", "no sessions, as set"),
        (SESSIONS, True, SEND_ONLY, "note", "cannot be told"),
    ],
)
def test_a_check_compares_sessions_with_the_setting(queue: str, sessions: bool, policy: Policy, state: str, says: str) -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(emulator, policy, queue=queue, sessions=sessions) as target:
            found = {finding.subject: finding for finding in await target.check()}
        assert found["sessions"].state == state, found
        assert says in found["sessions"].text
        assert ("may read too" in found["rights"].text) == (policy is ROOT)
        assert "262,144" in found["message size"].text

    with_emulator(check)


@pytest.mark.parametrize(
    ("settings", "subject", "fix"),
    [
        ({"queue": TOPIC}, "queue", f"set topic: {TOPIC}"),
        ({"topic": SESSIONS}, "topic", f"set queue: {SESSIONS}"),
        ({"topic": PLAIN}, "topic", f"set queue: {PLAIN}"),
    ],
)
def test_a_check_tells_a_topic_from_a_queue(settings: dict[str, str], subject: str, fix: str) -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(emulator, ROOT, **settings) as target:
            [wrong] = [finding for finding in await target.check() if finding.state == "fix"]
        assert wrong.subject == subject
        assert fix in wrong.text

    with_emulator(check)


def test_a_check_does_not_praise_a_key_of_which_nothing_can_be_told() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(emulator, ROOT, topic=TOPIC) as target:
            found = {finding.subject: finding for finding in await target.check()}
        assert found["rights"].state == "note"
        assert "cannot be told" in found["rights"].text
        assert "Send alone suffices" in found["rights"].text

    with_emulator(check)


def queue_properties(**more: Any) -> QueueProperties:
    """What the SDK makes of the management API's answer."""
    plain: dict[str, Any] = {
        "authorization_rules": None, "auto_delete_on_idle": None, "dead_lettering_on_message_expiration": None,
        "default_message_time_to_live": None, "duplicate_detection_history_time_window": timedelta(minutes=10),
        "availability_status": None, "enable_batched_operations": None, "enable_express": None, "enable_partitioning": False,
        "lock_duration": None, "max_delivery_count": None, "max_size_in_megabytes": None,
        "requires_duplicate_detection": True, "requires_session": True, "status": "Active", "forward_to": None,
        "user_metadata": None, "forward_dead_lettered_messages_to": None, "max_message_size_in_kilobytes": 256,
    }  # fmt: skip
    return QueueProperties(SESSIONS, **{**plain, **more})


@pytest.mark.parametrize(
    ("properties", "subject", "state"),
    [
        ({}, "duplicate detection", "ok"),
        ({"duplicate_detection_history_time_window": timedelta(seconds=30)}, "duplicate detection", "note"),
        ({"requires_duplicate_detection": False}, "duplicate detection", "note"),
        ({"requires_session": False}, "sessions", "fix"),
        ({"enable_partitioning": True}, "partitioned", "fix"),
        ({"status": "Disabled"}, "status", "fix"),
        ({}, "entity size limit", "ok"),
    ],
)
def test_what_the_management_api_says_is_compared_with_the_settings(
    properties: dict[str, Any], subject: str, state: str
) -> None:
    found = findings_of(queue_properties(**properties), [], ServiceBusSettings(queue=SESSIONS, namespace="mdm"))
    assert {finding.subject: finding.state for finding in found}[subject] == state


def test_a_topic_without_subscriptions_would_lose_everything() -> None:
    found = findings_of(queue_properties(), [], ServiceBusSettings(topic=TOPIC, namespace="mdm"))
    assert "what is sent now is lost" in {finding.subject: finding.text for finding in found}["subscriptions"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"namespace": "mdm"}, "either queue or topic"),
        ({"namespace": "mdm", "queue": "q", "topic": "t"}, "either queue or topic"),
        ({"queue": "q"}, "set namespace"),
        ({"queue": "q", "connection_string": SECRET, "sas_token": SECRET}, "not both"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        ServiceBusSettings(**settings)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (SECRET, "not of the form"),
        (f"Endpoint=sb://a.example;SharedAccessKeyName=n;SharedAccessKey={SECRET};EntityPath=other", "EntityPath"),
        (f"Endpoint=sb://a.example;SharedAccessKeyName=n;SharedAccessKey={SECRET}", "is for a.example"),
    ],
)
def test_a_connection_string_that_does_not_fit_is_told_without_showing_it(text: str, says: str) -> None:
    settings = ServiceBusSettings(queue="q", connection_string=text, namespace="mdm")
    with pytest.raises(ConfigError, match=says) as caught:
        ServiceBusTarget("bus", settings, SystemClock())
    assert SECRET not in str(caught.value)


@pytest.mark.optional
@pytest.mark.skipif(
    "GOLDWIRE_TEST_SERVICEBUS" not in os.environ, reason="no connection string with EntityPath in the environment"
)
def test_a_real_namespace_takes_messages_and_can_be_checked() -> None:
    text = os.environ["GOLDWIRE_TEST_SERVICEBUS"]
    queue = text.partition("EntityPath=")[2].partition(";")[0]

    async def check() -> None:
        target = ServiceBusTarget("bus", ServiceBusSettings(queue=queue, connection_string=text), SystemClock())
        await target.open()
        try:
            assert {type(one) for one in await target.send([Item(sealed(f"e{n}", 1)) for n in range(20)])} == {Delivered}
            assert await target.check()
        finally:
            await target.close()

    asyncio.run(check())
