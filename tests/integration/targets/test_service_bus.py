"""What a `service_bus` target delivers, and what becomes of it when the service is slow, busy, full or away."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings import amqp
from cloudevents.core.formats.json import JSONFormat

from goldwire.clock import SystemClock
from goldwire.event.sealed import SealedEvent
from goldwire.targets.azure.service_bus.target import ServiceBusSettings, ServiceBusTarget
from goldwire.targets.base import Delivered, Item, Outcome, Rejected, Target, Throttled, Unavailable, Unknown
from goldwire.testing.events import sealed
from goldwire.testing.target_suite import SECRET, Held, TargetSuite
from goldwire_emulator.broker.entities import Limits
from goldwire_emulator.emulator import ROOT, Emulator
from support.bus_stage import CONFIG, PLAIN, SESSIONS, TOPIC, body_of, bus_target, peek_all, take_all
from support.emulator_stage import run_on_emulator
from support.target_use import LaterClock, opened


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


def test_the_sdk_reads_the_sealed_bytes_the_session_and_the_properties() -> None:
    event = sealed("straße/1", 7, {"name": "Zoë"}, correlation_id="run-1", classification="pii", retention_days=30)

    async def check(emulator: Emulator) -> None:
        async with opened(bus_target(emulator)) as target:
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

    run_on_emulator(CONFIG, check)


@pytest.mark.parametrize("envelope", ["cloudevents-structured", "cloudevents-binary"])
def test_the_sdk_of_cloudevents_reads_what_a_consumer_receives(envelope: str) -> None:
    event = sealed("straße/1", 7, {"name": "Zoë"}, classification="pii")

    async def check(emulator: Emulator) -> None:
        async with opened(bus_target(emulator, envelope=envelope)) as target:
            await target.send([Item(event)])
        ((found,),) = (await take_all(emulator, 1)).values()
        body = body_of(found)
        properties = {name.decode(): value.decode() for name, value in found.application_properties.items()}
        read = amqp.from_amqp(amqp.AMQPMessage({"content-type": found.content_type}, properties, body), JSONFormat())
        assert (read.get_id(), read.get_type()) == ("Customer:straße/1:7", "goldwire.EntityChanged")
        assert read.get_extension("partitionkey") == "straße/1"
        assert read.get_data() == json.loads(event.body)

    run_on_emulator(CONFIG, check)


def test_a_topic_gives_each_subscription_its_copy() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(bus_target(emulator, topic=TOPIC)) as target:
            assert list(await target.send([Item(sealed("a", 1))])) == [Delivered()]
        assert [body_of(one) for one in (await take_all(emulator, 1, topic=True))["a"]] == [sealed("a", 1).body]

    run_on_emulator(CONFIG, check)


def test_duplicate_detection_removes_a_repetition_and_lets_a_replay_through() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(bus_target(emulator, queue=PLAIN, sessions=False)) as target:
            for item in (Item(sealed("a", 1)), Item(sealed("a", 1), attempt=2), Item(sealed("a", 1), replay_id="r1")):
                assert list(await target.send([item])) == [Delivered()]
        assert [one.message_id for one in await peek_all(emulator)] == ["Customer:a:1", "Customer:a:1~r1"]

    run_on_emulator(CONFIG, check)


def test_the_order_of_each_session_is_that_of_the_versions_through_restarts(tmp_path: Path) -> None:
    async def check() -> None:
        emulator = Emulator(CONFIG, tmp_path)
        await emulator.start()
        port = emulator.server.port
        async with opened(bus_target(emulator, ROOT, timeout_seconds=20.0, connect_timeout_seconds=20.0)) as target:
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
        async with opened(bus_target(emulator, queue=PLAIN, sessions=False)) as target:
            events = [sealed(f"e{n}", 1, {"name": "x" * 60_000}) for n in range(12)]
            events.insert(5, sealed("bad", 1, {"name": "y" * 300_000}))
            outcomes = await target.send([Item(event) for event in events])
        assert [type(one) for one in outcomes] == [Delivered] * 5 + [Rejected] + [Delivered] * 7
        assert "300," in outcomes[5].reason
        assert "262,144" in outcomes[5].reason
        assert "yyy" not in outcomes[5].reason
        assert len(await peek_all(emulator)) == 12

    run_on_emulator(CONFIG, check)


def test_a_batch_that_is_refused_as_a_whole_is_taken_apart() -> None:
    """The entity takes less than the SDK puts into a batch, and one message is too large even alone."""

    async def check(emulator: Emulator) -> None:
        async with opened(bus_target(emulator, queue=PLAIN, sessions=False)) as target:
            sizes = [15_000] * 5 + [120_000] + [15_000] * 5
            outcomes = await target.send([Item(sealed(f"e{n}", 1, {"name": "z" * size})) for n, size in enumerate(sizes)])
        assert [type(one) for one in outcomes] == [Delivered] * 5 + [Rejected] + [Delivered] * 5
        assert "120," in outcomes[5].reason
        assert "zzz" not in outcomes[5].reason
        assert len(await peek_all(emulator)) == 10

    run_on_emulator(CONFIG, check, limits=Limits(max_message_bytes=100_000))


def test_large_messages_of_a_premium_entity_go_one_by_one() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(bus_target(emulator, queue=PLAIN, sessions=False, message_bytes_max=3_000_000)) as target:
            sizes = [100, 2_000_000, 100, 4_000_000]
            outcomes = await target.send([Item(sealed(f"e{n}", 1, {"name": "z" * size})) for n, size in enumerate(sizes)])
        assert [type(one) for one in outcomes] == [Delivered, Delivered, Delivered, Rejected]
        assert "3,000,000" in outcomes[3].reason
        assert len(await peek_all(emulator)) == 3

    run_on_emulator(CONFIG, check, limits=Limits(max_message_bytes=5_000_000))


def test_of_a_partitioned_entity_a_batch_holds_one_key() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(bus_target(emulator, partitioned=True)) as target:
            assert {type(one) for one in await target.send([Item(sealed(f"e{n}", 1)) for n in range(6)])} == {Delivered}
        assert len(await take_all(emulator, 6)) == 6

    run_on_emulator(CONFIG, check)


def test_a_busy_service_is_left_alone_for_a_while() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(bus_target(emulator, queue=PLAIN, sessions=False)) as target:
            outcomes: list[Outcome] = []
            while not any(isinstance(outcome, Throttled) for outcome in outcomes):
                outcomes = list(await target.send([Item(sealed(f"e{n}", 1)) for n in range(40)]))
            assert {type(outcome) for outcome in outcomes} == {Throttled}

    run_on_emulator(CONFIG, check, limits=Limits(ingress_per_second=20.0))


def test_a_full_queue_says_so_and_kills_nothing() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(bus_target(emulator, queue=PLAIN, sessions=False)) as target:
            outcomes = [(await target.send([Item(sealed(f"e{n}", 1, {"name": "x" * 50_000}))]))[0] for n in range(5)]
        assert type(outcomes[0]) is Delivered
        assert isinstance(outcomes[-1], Unavailable)
        assert "quota" in outcomes[-1].reason

    run_on_emulator(CONFIG, check, limits=Limits(max_entity_bytes=150_000))


def test_messages_without_a_session_are_refused_where_sessions_are_required() -> None:
    """The setting says no sessions, the queue has them: a wrong setting, and no event's fault."""

    async def check(emulator: Emulator) -> Outcome:
        async with opened(bus_target(emulator, sessions=False)) as target:
            return (await target.send([Item(sealed("a", 1))]))[0]

    found = run_on_emulator(CONFIG, check)
    assert isinstance(found, Unavailable), found
    assert "sessions" in found.reason


def test_silence_is_unknown_and_then_for_certain_unavailable() -> None:
    async def check() -> None:
        emulator = Emulator(CONFIG)
        await emulator.start()
        async with opened(bus_target(emulator, ROOT, timeout_seconds=20.0, connect_timeout_seconds=20.0)) as target:
            assert list(await target.send([Item(sealed("a", 1))])) == [Delivered()]
            await emulator.stop()
            found = [(await target.send([Item(sealed("a", 2))]))[0] for _ in range(2)]
        assert [type(outcome) for outcome in found] == [Unknown, Unavailable]

    asyncio.run(check())


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
