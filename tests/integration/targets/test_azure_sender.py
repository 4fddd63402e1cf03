"""What becomes of a send that is given up, on a network that gets stuck."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import pytest
from azure.eventhub.aio import EventHubConsumerClient
from msgspec.structs import replace

from goldwire.clock import SystemClock
from goldwire.targets.azure.event_hubs.target import EventHubsSettings, EventHubsTarget
from goldwire.targets.azure.service_bus.target import ServiceBusSettings, ServiceBusTarget
from goldwire.targets.base import Delivered, Item, Unavailable
from goldwire.testing.events import sealed
from goldwire_emulator.broker.config import BrokerConfig
from goldwire_emulator.broker.entities import HubSettings, QueueSettings
from goldwire_emulator.emulator import ROOT, Emulator, connection_string

HUB = "golden"
QUEUE = "golden"


class Pipe:
    """Passes on what goes between a target and the emulator, and can get stuck."""

    def __init__(self, port: int, delay_seconds: float = 0.0) -> None:
        self._behind = port
        self._delay_seconds = delay_seconds
        self._gate = asyncio.Event()
        self._connected: set[asyncio.Task[Any]] = set()
        self.passed = 0
        """Bytes towards the emulator."""

    async def __aenter__(self) -> Self:
        self.mend()
        self._server = await asyncio.start_server(self._connect, "127.0.0.1")
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.mend()
        self._server.close()
        for one in self._connected:
            one.cancel()
        await asyncio.gather(*self._connected, return_exceptions=True)

    def hold(self) -> None:
        """Let nothing through."""
        self._gate.clear()

    def mend(self) -> None:
        """Let everything through."""
        self._gate.set()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connected.add(task)
        task.add_done_callback(self._connected.discard)
        onward: asyncio.StreamWriter | None = None
        try:
            back, onward = await asyncio.open_connection("127.0.0.1", self._behind)
            await asyncio.gather(self._pass(reader, onward, counts=True), self._pass(back, writer))
        finally:  # also when it is cancelled: what is left to the garbage collector is a warning in a later test
            for end in (writer, onward):
                if end is not None:
                    end.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counts: bool = False) -> None:
        with suppress(OSError):
            while data := await reader.read(16_384):
                await self._gate.wait()
                await asyncio.sleep(self._delay_seconds)
                writer.write(data)
                await writer.drain()
                self.passed += len(data) * counts
        writer.close()


@asynccontextmanager
async def stage() -> AsyncIterator[tuple[Emulator, Pipe, EventHubsTarget]]:
    async with (
        Emulator(BrokerConfig(hubs=(HubSettings(HUB, 1, ()),))) as emulator,
        Pipe(emulator.server.port) as pipe,
    ):
        target = EventHubsTarget(
            "hub", EventHubsSettings(hub=HUB, connection_string=connection_string(pipe.port, ROOT)), SystemClock()
        )
        await target.open()
        try:
            yield emulator, pipe, target
        finally:
            pipe.mend()
            await target.close()


async def versions_in(emulator: Emulator, entity_id: str) -> list[int]:
    """Of one entity, as the only partition has them."""
    found: list[dict[str, Any]] = []
    last = emulator.broker.event_hubs.hub(HUB).state("0").last_sequence_number
    done = asyncio.Event()

    async def take(_: Any, event: Any) -> None:
        found.append(json.loads(event.body_as_str()))
        if event.sequence_number == last:
            done.set()

    async with EventHubConsumerClient.from_connection_string(emulator.connection_string(HUB), "$Default") as consumer:
        reading = asyncio.create_task(consumer.receive(take, partition_id="0", starting_position="-1"))
        await asyncio.wait_for(done.wait(), 60)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    return [event["version"] for event in found if event["entityId"] == entity_id]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - a pipe reports nothing
        await asyncio.sleep(0.01)


def test_a_send_that_was_given_up_sends_nothing_more_after_what_came_later() -> None:
    """Its first batch is under way, and the others would arrive after newer versions of the same entities."""

    async def check() -> list[int]:
        async with stage() as (emulator, pipe, target):
            large = [Item(sealed(f"e{n}", 1, {"name": "x" * 900_000})) for n in range(5)]
            before = pipe.passed
            given_up = asyncio.ensure_future(target.send(large))
            await until(lambda: pipe.passed > before + 100_000)
            pipe.hold()
            given_up.cancel()
            await asyncio.gather(given_up, return_exceptions=True)
            first = asyncio.ensure_future(target.send([Item(sealed("e4", 1, {"name": "x" * 900_000}))]))
            await asyncio.sleep(0)
            pipe.mend()
            assert list(await first) == [Delivered()]
            assert list(await target.send([Item(sealed("e4", 2))])) == [Delivered()]
            await until(lambda: not target._endpoint._under_way)
            return await versions_in(emulator, "e4")

    assert asyncio.run(check()) == [1, 2]


def test_waiting_for_the_link_is_no_silence_of_the_service() -> None:
    """A batch for each key, one after the other: all of them take longer than the time limit of one."""

    async def check() -> None:
        config = BrokerConfig(queues=(QueueSettings(name=QUEUE, requires_session=True),))
        async with Emulator(config) as emulator, Pipe(emulator.server.port, delay_seconds=0.12) as pipe:
            settings = ServiceBusSettings(
                queue=QUEUE, partitioned=True, timeout_seconds=6.0, connection_string=connection_string(pipe.port, ROOT)
            )
            target = ServiceBusTarget("bus", settings, SystemClock())
            await target.open()
            try:
                outcomes = await target.send([Item(sealed(f"e{n}", 1)) for n in range(40)])
            finally:
                await target.close()
        assert list(outcomes) == [Delivered()] * 40

    asyncio.run(check())


class Skipped(SystemClock):
    """The machine's clock, which can be put forward."""

    ahead_seconds = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_seconds


@pytest.mark.filterwarnings(
    "ignore:unclosed (<s|transport):ResourceWarning"
)  # the SDK leaves cut sockets to the garbage collector
def test_a_connection_that_cannot_be_renewed_after_a_silence_is_used_by_no_other_send_either() -> None:
    """Nothing of either was sent, and the relay shall know it."""

    async def check() -> None:
        clock = Skipped()
        config = BrokerConfig(hubs=(HubSettings(HUB, 4, ()),))
        async with Emulator(config) as emulator, Pipe(emulator.server.port) as pipe:
            settings = EventHubsSettings(
                hub=HUB, connection_string=connection_string(pipe.port, ROOT), connect_timeout_seconds=60.0
            )
            target = EventHubsTarget("hub", settings, clock)
            await target.open()  # a busy machine may take its time over it; what cannot be made need not be waited for as long
            target._endpoint.settings = replace(settings, connect_timeout_seconds=5.0)
            try:
                clock.ahead_seconds = 1_000.0
                pipe.hold()
                first = asyncio.create_task(target.send([Item(sealed("a", 1))]))
                await until(target._endpoint._connecting.locked)
                second = asyncio.create_task(target.send([Item(sealed(f"e{n}", 1)) for n in range(9)]))
                async with asyncio.timeout(90):
                    outcomes = [*await first, *await second]
            finally:
                pipe.mend()
                await target.close()
        assert [type(outcome) for outcome in outcomes] == [Unavailable] * 10

    asyncio.run(check())
    gc.collect()
