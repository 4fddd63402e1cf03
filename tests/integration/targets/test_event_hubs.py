"""What an `event_hubs` target delivers over AMQP, and what becomes of it when the service is slow, busy or away."""

from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from azure.eventhub import EventData
from azure.eventhub.aio import EventHubProducerClient
from cloudevents.core.bindings import amqp
from cloudevents.core.formats.json import JSONFormat

from goldwire.clock import SystemClock
from goldwire.event.sealed import SealedEvent
from goldwire.targets.azure.event_hubs.amqp import partition_of
from goldwire.targets.azure.event_hubs.target import EventHubsSettings, EventHubsTarget
from goldwire.targets.base import Delivered, Item, Outcome, Rejected, Throttled, Unavailable, Unknown
from goldwire.testing.events import sealed
from goldwire.testing.target_suite import SECRET, Held, TargetSuite
from goldwire_emulator.broker.entities import Limits
from goldwire_emulator.emulator import ROOT, Emulator
from support.emulator_stage import run_on_emulator
from support.hub_stage import CONFIG, HUB, count_in, hub_target, read_hub
from support.target_use import LaterClock, opened


class TestEventHubs(TargetSuite):
    fences = False  # a log takes what it is given; consumers and the control table fence
    rejects = True
    interruptible = True

    async def set_up(self) -> None:
        self.emulator = Emulator(CONFIG, self.folder)
        await self.emulator.start()
        self.seen = 0
        self.events: list[dict[str, Any]] = []
        self.port = self.emulator.server.port

    async def tear_down(self) -> None:
        await self.emulator.stop()

    def make_target(self) -> EventHubsTarget:
        if not hasattr(self, "emulator"):
            text = f"Endpoint=sb://localhost;SharedAccessKeyName=a;SharedAccessKey={SECRET}"
        else:
            text = self.emulator.connection_string()
        settings = EventHubsSettings(hub=HUB, connection_string=text, connect_timeout_seconds=20.0, timeout_seconds=20.0)
        return EventHubsTarget("hub", settings, self.clock)

    def bad_event(self) -> SealedEvent:
        return self.event("bad", 1, name="x" * 2_000_000)

    async def held(self, entity_id: str) -> Held | None:
        count = count_in(self.emulator)
        if self.seen != count:
            self.events = [json.loads(message.body_as_str()) for _, message in await read_hub(self.emulator)]
            self.seen = count
        held = max((one for one in self.events if one["entityId"] == entity_id), key=lambda one: one["version"], default=None)
        if held is None or held["eventType"] == "EntityDeleted":
            return None
        return Held(held["version"], {name: one["value"] for name, one in held["changes"]["attributes"].items()})

    async def take_down(self) -> None:
        await self.emulator.stop()

    async def bring_up(self) -> None:
        self.emulator = Emulator(CONFIG, self.folder, port=self.port)
        await self.emulator.start()


def test_the_sdk_reads_the_sealed_bytes_the_key_and_the_properties() -> None:
    event = sealed("straße/1", 7, {"name": "Zoë"}, correlation_id="run-1", classification="pii", retention_days=30)

    async def check(emulator: Emulator) -> None:
        async with opened(hub_target(emulator)) as target:
            assert list(await target.send([Item(event)])) == [Delivered()]
        ((_, found),) = await read_hub(emulator)
        assert b"".join(found.body) == event.body
        assert found.partition_key == "straße/1".encode()
        assert (found.message_id, found.correlation_id, found.content_type) == (
            "Customer:straße/1:7",
            "run-1",
            "application/json",
        )
        assert found.raw_amqp_message.properties.subject == b"Customer.EntityChanged"
        properties = {name.decode(): value.decode() for name, value in found.properties.items()}
        assert properties.pop("traceparent").startswith("00-")
        assert properties == {"classification": "pii", "retention-days": "30"}

    run_on_emulator(CONFIG, check)


@pytest.mark.parametrize("envelope", ["cloudevents-structured", "cloudevents-binary"])
def test_the_sdk_of_cloudevents_reads_what_a_consumer_receives(envelope: str) -> None:
    event = sealed("straße/1", 7, {"name": "Zoë"}, classification="pii")

    async def check(emulator: Emulator) -> None:
        async with opened(hub_target(emulator, envelope=envelope)) as target:
            await target.send([Item(event)])
        ((_, found),) = await read_hub(emulator)
        body = b"".join(found.body)
        properties = {name.decode(): value.decode() for name, value in found.properties.items()}
        read = amqp.from_amqp(amqp.AMQPMessage({"content-type": found.content_type}, properties, body), JSONFormat())
        assert (read.get_id(), read.get_type()) == ("Customer:straße/1:7", "goldwire.EntityChanged")
        assert read.get_extension("partitionkey") == "straße/1"
        assert read.get_data() == json.loads(event.body)

    run_on_emulator(CONFIG, check)


def test_a_key_is_on_the_partition_that_the_service_takes_for_it() -> None:
    """The emulator routes a batch that the SDK sent by key alone, without our hash."""
    keys = [f"cluedin:entity:{n}" for n in range(40)] + ["straße", "李", "ÄÖÜ-ß"]

    async def check(emulator: Emulator) -> None:
        async with opened(hub_target(emulator)) as target:
            await target.send([Item(sealed(key, 1)) for key in keys])
        ours = {event.partition_key: partition for partition, event in await read_hub(emulator)}
        async with EventHubProducerClient.from_connection_string(emulator.connection_string(HUB)) as producer:
            for key in keys:
                await producer.send_batch([EventData(b"{}")], partition_key=key)
        theirs = {
            event.partition_key: partition for partition, event in await read_hub(emulator) if event.body_as_str() == "{}"
        }
        assert theirs == ours
        assert set(ours.values()) == {"0", "1", "2", "3"}

    run_on_emulator(CONFIG, check)


@pytest.mark.parametrize(
    ("key", "hashed"),
    # of Microsoft's own tests of its clients, from the service's code
    [("7", -15263), ("131", 30562), ("7149583486996073602", 12977), ("FWfAT", -22341), ("sOdeEAsyQoEuEFPGerWO", -6503)],
)
def test_the_hash_is_that_of_the_service(key: str, hashed: int) -> None:
    for count in (1, 4, 7, 32):
        assert partition_of(key, count) == abs(hashed) % count


def test_more_than_fits_into_one_batch_goes_in_several() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(hub_target(emulator)) as target:
            outcomes = await target.send([Item(sealed(f"e{n}", 1, {"name": "x" * 300_000})) for n in range(20)])
        assert [type(outcome) for outcome in outcomes] == [Delivered] * 20
        assert len(await read_hub(emulator)) == 20

    run_on_emulator(CONFIG, check)


def test_what_never_fits_is_rejected_with_its_size_and_takes_no_other_with_it() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(hub_target(emulator)) as target:
            events = [sealed("a", 1), sealed("b", 1, {"name": "y" * 2_000_000}), sealed("c", 1)]
            outcomes = await target.send([Item(event) for event in events])
            closely = await target.send([Item(sealed("d", 1, {"name": "y" * 1_048_000}))])
        assert [type(outcome) for outcome in outcomes] == [Delivered, Rejected, Delivered]
        assert isinstance(closely[0], Rejected)
        assert "with its properties more than the 1,048,576" in closely[0].reason
        assert "2,000," in outcomes[1].reason
        assert "1,048,576" in outcomes[1].reason
        assert "yyy" not in outcomes[1].reason

    run_on_emulator(CONFIG, check)


def test_a_busy_service_is_left_alone_for_a_while() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(hub_target(emulator)) as target:
            outcomes: list[Outcome] = []
            while not any(isinstance(outcome, Throttled) for outcome in outcomes):
                outcomes = list(await target.send([Item(sealed(f"e{n}", 1)) for n in range(40)]))
            assert {type(outcome) for outcome in outcomes} <= {Throttled, Delivered}
            assert next(outcome for outcome in outcomes if isinstance(outcome, Throttled)).wait_seconds

    run_on_emulator(CONFIG, check, limits=Limits(ingress_per_second=20.0))


def test_the_order_of_an_entity_survives_restarts_of_the_service(tmp_path: Path) -> None:
    async def check() -> None:
        emulator = Emulator(CONFIG, tmp_path)
        await emulator.start()
        port = emulator.server.port
        async with opened(hub_target(emulator, ROOT, timeout_seconds=20.0, connect_timeout_seconds=20.0)) as target:
            for version in range(1, 21):
                if version % 6 == 0:
                    await emulator.stop()
                    emulator = Emulator(CONFIG, tmp_path, port=port)
                    await emulator.start()
                waiting = [Item(sealed(f"e{n}", version)) for n in range(6)]
                while waiting:  # as the relay does: the same event again, and nothing newer before it is taken
                    outcomes = await target.send(waiting)
                    waiting = [item for item, one in zip(waiting, outcomes, strict=True) if not isinstance(one, Delivered)]
        versions = defaultdict(list)
        for _, message in await read_hub(emulator):
            event = json.loads(message.body_as_str())
            versions[event["entityId"]].append(event["version"])
        await emulator.stop()
        for found in versions.values():
            assert found == sorted(found)
            assert set(found) == set(range(1, 21))
        assert len(versions) == 6

    asyncio.run(check())


def test_silence_is_unknown_and_then_for_certain_unavailable() -> None:
    """The service takes the connection and says nothing any more."""

    async def check() -> None:
        emulator = Emulator(CONFIG)
        await emulator.start()
        async with opened(hub_target(emulator, ROOT, timeout_seconds=20.0, connect_timeout_seconds=20.0)) as target:
            assert list(await target.send([Item(sealed("a", 1))])) == [Delivered()]
            await emulator.stop()
            found = [(await target.send([Item(sealed("a", 2))]))[0] for _ in range(2)]
        assert [type(outcome) for outcome in found] == [Unknown, Unavailable]
        assert all(isinstance(outcome, Unknown | Unavailable) and outcome.reason for outcome in found)

    asyncio.run(check())


def test_after_a_long_silence_a_cut_connection_is_replaced_before_anything_is_sent(tmp_path: Path) -> None:
    async def check() -> None:
        emulator = Emulator(CONFIG, tmp_path)
        await emulator.start()
        clock = LaterClock()
        target = EventHubsTarget("hub", EventHubsSettings(hub=HUB, connection_string=emulator.connection_string()), clock)
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
    "GOLDWIRE_TEST_EVENTHUB" not in os.environ, reason="no connection string with EntityPath in the environment"
)
@pytest.mark.parametrize("endpoint", ["amqp", "kafka"])
def test_a_real_namespace_takes_events(endpoint: str) -> None:
    text = os.environ["GOLDWIRE_TEST_EVENTHUB"]
    hub = text.partition("EntityPath=")[2].partition(";")[0]

    async def check() -> None:
        target = EventHubsTarget("hub", EventHubsSettings(hub=hub, connection_string=text, endpoint=endpoint), SystemClock())
        await target.open()
        try:
            assert {type(one) for one in await target.send([Item(sealed(f"e{n}", 1)) for n in range(20)])} == {Delivered}
        finally:
            await target.close()

    asyncio.run(check())
