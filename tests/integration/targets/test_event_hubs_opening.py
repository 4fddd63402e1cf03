"""How an `event_hubs` target is opened and checked: what is missing, forbidden or contradicts its settings."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from azure.eventhub.aio import EventHubConsumerClient

from goldwire.errors import ConfigError
from goldwire.targets.azure.event_hubs.target import EventHubsSettings, EventHubsTarget
from goldwire.targets.base import Delivered, Item
from goldwire.testing.events import sealed
from goldwire.testing.target_suite import SECRET
from goldwire_emulator.amqp.sas import Policy
from goldwire_emulator.broker.config import BrokerConfig
from goldwire_emulator.broker.entities import HubSettings
from goldwire_emulator.emulator import ROOT, Emulator
from support.azure_opening_suite import AzureOpeningSuite
from support.emulator_stage import SEND_ONLY, run_on_emulator
from support.hub_stage import CONFIG, HUB, count_in, hub_target
from support.target_use import LaterClock, failure_to_open, opened


class TestEventHubsOpening(AzureOpeningSuite):
    config = CONFIG
    entity = "hub"
    settings_type = EventHubsSettings
    target_type = EventHubsTarget

    def target(self, emulator: Emulator, policy: Policy = SEND_ONLY, **settings: Any) -> EventHubsTarget:
        return hub_target(emulator, policy, **settings)

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({}, "set namespace"),
            ({"connection_string": "x", "sas_token": SECRET}, "not both"),
            ({"namespace": "mdm", "endpoint": "kafka", "sas_token": SECRET}, "sas_token"),
            ({"namespace": "mdm", "endpoint": "kafka", "transport": "websocket"}, "websocket"),
            ({"namespace": "mdm", "key": ("entityType",)}, "entityId"),
        ],
    )
    def test_settings_that_cannot_work_are_refused(self, settings: dict[str, Any], says: str) -> None:
        self.refuses({"hub": HUB, **settings}, says)


def test_a_number_of_partitions_that_is_not_the_settings_own_ends_the_opening() -> None:
    async def check(emulator: Emulator) -> None:
        assert await failure_to_open(hub_target(emulator, partitions=4)) is None
        found = await failure_to_open(hub_target(emulator, partitions=2))
        assert isinstance(found, ConfigError)
        assert f"hub {HUB}: it has 4 partitions, but the settings say partitions: 2" in str(found)

    run_on_emulator(CONFIG, check)


@pytest.mark.parametrize("partitions", [4, None])
def test_added_partitions_are_noticed_before_an_event_goes_to_another(partitions: int | None) -> None:
    grown = BrokerConfig(hubs=(HubSettings(HUB, 8),))

    async def check() -> None:
        emulator = Emulator(CONFIG)
        await emulator.start()
        port, clock = emulator.server.port, LaterClock()
        settings = EventHubsSettings(hub=HUB, connection_string=emulator.connection_string(), partitions=partitions)
        target = EventHubsTarget("hub", settings, clock)
        await target.open()
        await emulator.stop()
        async with Emulator(grown, port=port) as emulator:
            clock.later_seconds = 300.0
            if partitions is None:
                assert list(await target.send([Item(sealed("a", 1))])) == [Delivered()]
            else:
                for _ in range(2):
                    with pytest.raises(ConfigError, match="it has 8 partitions"):
                        await target.send([Item(sealed("a", 1))])
                assert count_in(emulator) == 0
            await target.close()

    asyncio.run(check())


@pytest.mark.parametrize(
    ("policy", "state", "says"), [(SEND_ONLY, "note", "nothing could be read"), (ROOT, "note", "may read too")]
)
def test_a_check_names_partitions_and_size_and_what_a_key_can_do_too_much(policy: Policy, state: str, says: str) -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(hub_target(emulator, policy)) as target:
            before = {finding.subject: finding for finding in await target.check()}
            await target.send([Item(sealed("a", 1))])
            found = {finding.subject: finding for finding in await target.check()}
        assert before["rights"].state == "note"
        assert "once there is something to read" in before["rights"].text
        assert found["partitions"].text.startswith("4; set partitions: 4")
        assert "1,048,576" in found["event size"].text
        assert found["rights"].state == state
        assert says in found["rights"].text

    run_on_emulator(CONFIG, check)


def test_a_check_does_not_praise_a_key_that_reads_too_slowly() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(hub_target(emulator, ROOT)) as target:
            target._endpoint.reading_seconds = 0.0
            await target.send([Item(sealed("a", 1))])
            found = {finding.subject: finding for finding in await target.check()}
        assert found["rights"].state == "note"
        assert "nothing could be read" in found["rights"].text

    run_on_emulator(CONFIG, check)


def test_a_check_does_not_praise_a_key_that_another_reader_keeps_out() -> None:
    """A consumer with an epoch of its own has the partition, so that a check gets nothing to read."""

    async def check(emulator: Emulator) -> None:
        async with opened(hub_target(emulator, ROOT)) as target:
            await target.send([Item(sealed("a", 1))])
            text = emulator.connection_string(HUB)
            async with EventHubConsumerClient.from_connection_string(text, consumer_group="$Default") as owner:
                has = asyncio.Event()

                async def take(*_: Any) -> None:
                    has.set()

                reading = asyncio.create_task(owner.receive(take, starting_position="-1", owner_level=5))
                await asyncio.wait_for(has.wait(), 60)
                found = {finding.subject: finding for finding in await target.check()}
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
        assert found["rights"].state == "note"
        assert "may read too" in found["rights"].text

    run_on_emulator(CONFIG, check)
