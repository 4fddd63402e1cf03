"""The brokers' targets, each beside the bare client of the same vendor that writes the same messages to the same broker."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from goldwire.clock import SystemClock
from goldwire.errors import GoldwireError, VerificationError
from goldwire.services.event_loop import loop_factory
from goldwire.targets import registry
from goldwire.targets.base import DELIVERED, Item
from goldwire.testing.events import sealed
from goldwire_emulator.certificate import CERTIFICATE
from goldwire_lab.bench import sample
from goldwire_lab.bench.figures import Throughput, Wanted, throughput
from goldwire_lab.bench.measurement import in_turns
from goldwire_lab.bench.setting import Setting

AIMS = Wanted(ratio=1.3)
PARTITIONS = 4
FIGURES: dict[str, set[str]] = {
    "kafka": {"confluent_kafka"},
    "event-hubs": {"azure"},
    "event-hubs-kafka": {"azure", "confluent_kafka"},
    "service-bus": {"azure"},
}
"""Names of figures, with the packages that each needs."""

_ATTRIBUTES = {f"attribute{number}": "a value of some length, " * 2 for number in range(10)}

Chunks = Sequence[Sequence[Item]]


def installed() -> list[str]:
    """Return which of these figures can be measured here: the clients are extras."""
    found = {module for module in ("confluent_kafka", "azure") if find_spec(module) is not None}
    return [name for name, needed in FIGURES.items() if needed <= found]


def kafka(setting: Setting) -> Throughput:
    """Measure the target `kafka`."""
    with _broker("goldwire_emulator.kafka.cluster", "golden", str(PARTITIONS)) as bootstrap:
        settings = {"bootstrap_servers": [bootstrap], "topic": "golden", "tls": False}
        what = f"to librdkafka's mock broker, sends of {sample.BATCH:,}"
        return _figure(
            setting,
            "target kafka",
            "kafka",
            settings,
            _bare_kafka,
            what,
            "confluent-kafka alone, the same messages",
            setting.events,
        )


def event_hubs(setting: Setting) -> Throughput:
    """Measure the target `event_hubs` over AMQP."""
    with _broker("goldwire", "emulator", "--port", "0") as address:
        settings = {"hub": "eh1", "connection_string": address}
        what = f"over AMQP to the emulator, {PARTITIONS} partitions, sends of {sample.BATCH:,}"
        return _figure(
            setting,
            "target event_hubs",
            "event_hubs",
            settings,
            _bare_hub,
            what,
            "azure-eventhub alone, the same messages",
            _fewer(setting),
        )


def event_hubs_kafka(setting: Setting) -> Throughput:
    """Measure the target `event_hubs` over its Kafka endpoint, with TLS and a connection string."""
    with _broker("goldwire_emulator.kafka.gate", "golden", str(PARTITIONS), str(setting.folder)) as address:
        settings = {
            "hub": "golden", "endpoint": "kafka", "connection_string": address, "ca_file": str(setting.folder / CERTIFICATE)
        }  # fmt: skip
        what = f"over Kafka to a gate before librdkafka's mock broker, TLS and SASL, sends of {sample.BATCH:,}"
        return _figure(
            setting,
            "target event_hubs, kafka",
            "event_hubs",
            settings,
            _bare_kafka_hub,
            what,
            "confluent-kafka alone, the same messages",
            setting.events,
        )


def service_bus(setting: Setting) -> Throughput:
    """Measure the target `service_bus`."""
    with _broker("goldwire", "emulator", "--port", "0") as address:
        settings = {"queue": "queue.1", "connection_string": address}
        what = f"to the emulator, sends of {sample.BATCH:,}"
        return _figure(
            setting,
            "target service_bus",
            "service_bus",
            settings,
            _bare_bus,
            what,
            "azure-servicebus alone, the same messages",
            _fewer(setting),
        )


def _fewer(setting: Setting) -> int:
    """The Azure SDKs take ten times as long as the others."""
    return max(setting.events // 5, 2 * sample.BATCH)


def _figure(
    setting: Setting,
    name: str,
    kind: str,
    settings: Mapping[str, Any],
    bare: Callable[[Mapping[str, Any], Chunks, Callable[[int], None]], Awaitable[None]],
    what: str,
    floor: str,
    events: int,
) -> Throughput:
    items = [
        Item(sealed(sample.entity_id(number), 1, _ATTRIBUTES, classification="pii", retention_days=365))
        for number in range(events)
    ]
    chunks = [items[begin : begin + sample.BATCH] for begin in range(0, events, sample.BATCH)]
    share = setting.events / events

    def tick(count: int) -> None:
        setting.tick(round(count * share))

    def alone(_: int) -> None:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_awaited(bare(settings, chunks, tick)))

    def measured(_: int) -> None:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_send_all(kind, settings, chunks, tick))

    return throughput(name, what, floor, events, in_turns(setting.rounds, alone, measured), AIMS)


async def _awaited(work: Awaitable[None]) -> None:
    await work


async def _send_all(kind: str, settings: Mapping[str, Any], chunks: Chunks, tick: Callable[[int], None]) -> None:
    target = registry.build(kind, "bench", settings, SystemClock())
    await target.open()
    try:
        for chunk in chunks:
            if any(outcome != DELIVERED for outcome in await target.send(chunk)):
                raise VerificationError(f"target {kind}: not every event was delivered")
            tick(len(chunk))
    finally:
        await target.close()


async def _bare_kafka(settings: Mapping[str, Any], chunks: Chunks, tick: Callable[[int], None]) -> None:
    _produce({"bootstrap.servers": settings["bootstrap_servers"][0]}, settings["topic"], chunks, tick)


async def _bare_kafka_hub(settings: Mapping[str, Any], chunks: Chunks, tick: Callable[[int], None]) -> None:
    text = settings["connection_string"]
    config = {
        "bootstrap.servers": text.removeprefix("Endpoint=sb://").partition("/")[0],
        "security.protocol": "sasl_ssl", "sasl.mechanisms": "PLAIN", "sasl.username": "$ConnectionString",
        "sasl.password": text, "ssl.ca.location": settings["ca_file"],
    }  # fmt: skip
    _produce(config, settings["hub"], chunks, tick)


def _produce(config: Mapping[str, Any], topic: str, chunks: Chunks, tick: Callable[[int], None]) -> None:
    from confluent_kafka import Producer  # noqa: PLC0415 - an extra, here and below

    producer = Producer({**config, "enable.idempotence": True, "linger.ms": 5, "log_level": 2})
    written = 0

    def reported(error: Any, _message: Any) -> None:
        nonlocal written
        assert error is None, error
        written += 1

    wanted = 0
    for chunk in chunks:
        for key, body, headers in _records(chunk):
            producer.produce(topic, body, key, on_delivery=reported, headers=dict(headers))
        wanted += len(chunk)
        while written < wanted:
            producer.poll(0.1)
        tick(len(chunk))


async def _bare_hub(settings: Mapping[str, Any], chunks: Chunks, tick: Callable[[int], None]) -> None:
    from azure.eventhub import EventData  # noqa: PLC0415
    from azure.eventhub.aio import EventHubProducerClient  # noqa: PLC0415

    async with EventHubProducerClient.from_connection_string(settings["connection_string"], eventhub_name="eh1") as client:

        async def publish(partition: int, chunk: Sequence[Item]) -> None:
            batch = await client.create_batch(partition_id=str(partition))
            for key, body, headers in _records(chunk):
                event = EventData(body)
                event.message_id, event.correlation_id, event.content_type = (text for _, text in headers[:3])
                event.raw_amqp_message.annotations = {b"x-opt-partition-key": key}
                event.properties = dict(headers[4:])
                try:
                    batch.add(event)
                except ValueError:
                    await client.send_batch(batch)
                    batch = await client.create_batch(partition_id=str(partition))
                    batch.add(event)
            await client.send_batch(batch)

        for chunk in chunks:
            await asyncio.gather(*(publish(number, chunk[number::PARTITIONS]) for number in range(PARTITIONS)))
            tick(len(chunk))


async def _bare_bus(settings: Mapping[str, Any], chunks: Chunks, tick: Callable[[int], None]) -> None:
    from azure.servicebus import ServiceBusMessage  # noqa: PLC0415
    from azure.servicebus.aio import ServiceBusClient  # noqa: PLC0415

    async with (
        ServiceBusClient.from_connection_string(settings["connection_string"]) as client,
        client.get_queue_sender(settings["queue"]) as sender,
    ):
        for chunk in chunks:
            batch = await sender.create_message_batch()
            for key, body, headers in _records(chunk):
                id_, correlation_id, content_type, subject = (text for _, text in headers[:4])
                message = ServiceBusMessage(
                    body, message_id=id_, correlation_id=correlation_id, content_type=content_type, subject=subject,
                    session_id=key, application_properties=dict(headers[4:]),
                )  # fmt: skip
                try:
                    batch.add_message(message)
                except ValueError:
                    await sender.send_messages(batch)
                    batch = await sender.create_message_batch()
                    batch.add_message(message)
            await sender.send_messages(batch)
            tick(len(chunk))


def _records(chunk: Sequence[Item]) -> Iterator[tuple[str, bytes, list[tuple[str, str]]]]:
    """Return key, body and headers of messages as large as Goldwire's: all of it is computed beforehand."""
    for item in chunk:
        event = item.event
        yield event.entity_id, event.body, [("messageId", f"Customer:{event.entity_id}:1"), *_SAID]


_SAID = [
    ("correlationId", "test"),
    ("contentType", "application/json"),
    ("subject", "Customer.EntityChanged"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("classification", "pii"),
    ("retention-days", "365"),
]


@contextmanager
def _broker(module: str, *words: str) -> Iterator[str]:
    """Run a broker in another process, and yield the address that it prints."""
    command = [sys.executable, "-m", module, *words]
    process = subprocess.Popen(  # noqa: S603 - ourselves, with our own arguments
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None, "it was asked for"
        said = process.stdout.readline()
        if not said.startswith("ready: "):
            raise GoldwireError(f"the broker of {module} did not start")
        yield said.removeprefix("ready: ").strip()
    finally:
        process.terminate()
        process.communicate()
