"""A hub for tests of the `event_hubs` target: its target and what the SDK reads from it."""

from __future__ import annotations

import asyncio
from typing import Any

from azure.eventhub import EventData
from azure.eventhub.aio import EventHubConsumerClient

from goldwire.clock import SystemClock
from goldwire.targets.azure.event_hubs.target import EventHubsSettings, EventHubsTarget
from goldwire_emulator.amqp.sas import Policy
from goldwire_emulator.broker.config import BrokerConfig
from goldwire_emulator.broker.entities import HubSettings
from goldwire_emulator.emulator import Emulator
from support.emulator_stage import SEND_ONLY

HUB = "golden"
CONFIG = BrokerConfig(hubs=(HubSettings(HUB, 4, ()),))


async def read_hub(emulator: Emulator) -> list[tuple[str, EventData]]:
    """Everything the hub holds: partition and event, in order for each partition, read with the SDK."""
    found: list[tuple[str, EventData]] = []

    async def read(consumer: EventHubConsumerClient, partition: str, last: int) -> None:
        done = asyncio.Event()

        async def take(_: Any, event: EventData | None) -> None:
            assert event is not None, "no time limit was asked for"
            found.append((partition, event))
            if event.sequence_number == last:
                done.set()

        reading = asyncio.create_task(consumer.receive(take, partition_id=partition, starting_position="-1"))
        await asyncio.wait_for(done.wait(), 60)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    hub = emulator.broker.event_hubs.hub(HUB)
    async with EventHubConsumerClient.from_connection_string(
        emulator.connection_string(HUB), consumer_group="$Default"
    ) as consumer:
        states = {partition: hub.state(partition) for partition in hub.partition_ids}
        await asyncio.gather(
            *(read(consumer, one, state.last_sequence_number) for one, state in states.items() if not state.is_empty)
        )
    return found


def count_in(emulator: Emulator) -> int:
    """Return how many events the hub has taken."""
    hub = emulator.broker.event_hubs.hub(HUB)
    return sum(hub.state(partition).last_sequence_number + 1 for partition in hub.partition_ids)


def hub_target(emulator: Emulator, policy: Policy = SEND_ONLY, **settings: Any) -> EventHubsTarget:
    """Return a target of the hub, not yet open."""
    more = {
        "connect_timeout_seconds": 20.0,
        "timeout_seconds": 20.0,
        "connection_string": emulator.connection_string(policy=policy),
    }
    return EventHubsTarget("hub", EventHubsSettings(**{"hub": HUB, **more, **settings}), SystemClock())
