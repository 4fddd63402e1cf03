"""Event Hubs over AMQP: events grouped by the partition of their key, sent in batches by the Azure SDK."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from goldwire.target.azure import (
    OF_THE_CONTENT,
    TOO_LARGE,
    AzureSettings,
    client_options,
    credential,
    explained,
    reason_of,
    refusal_of,
)
from goldwire.target.backplane import Message, application_properties_of, renderer, too_large
from goldwire.target.base import DELIVERED, Finding, Item, Outcome, Rejected, Unavailable, Unknown
from goldwire.target.extras import require

if TYPE_CHECKING:
    from azure.eventhub import EventData, EventDataBatch
    from azure.eventhub.aio import EventHubProducerClient

_ALONE_MAX = 40
"""How many events of one refused batch are tried alone: enough for one or two at fault in a thousand."""

_PARTITION_KEY = b"x-opt-partition-key"
_KEYS_REMEMBERED = 100_000
_READING_SECONDS = 10.0

_SKIPPED = Unavailable("not sent: a batch before it got no answer")
_UNTRIED = Unavailable("the service refuses the batch it was in; not tried alone so far")


class AmqpHub:
    """One hub, with a link for each partition.

    Args:
        name: the target's.
        settings: where and how.
        hub: the Event Hub's name.
    """

    def __init__(self, name: str, settings: AzureSettings, hub: str) -> None:
        used_by = f"target '{name}'"
        self._sdk: Any = require("azure.eventhub", extra="azure", used_by=used_by)
        self._aio: Any = require("azure.eventhub.aio", extra="azure", used_by=used_by)
        self._name = name
        self._settings = settings
        self._hub = hub
        self._render = renderer(name, settings)
        self._client: EventHubProducerClient | None = None
        self._partitions: list[str] = []
        self._limit_bytes = 0
        self._doubt = False
        self._connecting = asyncio.Lock()
        self._under_way: set[asyncio.Task[list[Outcome]]] = set()

    async def open(self) -> None:
        """Connect, learn the partitions, and open a link that may send.

        Raises:
            ConfigError: the hub, the credential or a right is missing.
            OSError: not reachable now.
        """
        await self.close()
        try:
            await self._connect()
        except Exception as error:  # noqa: BLE001 - the SDK raises of its own, of its credential's and of the system's kinds
            await self.close()
            raise explained(error, f"target '{self._name}': hub {self._hub}") from None

    async def send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        """Send the events in batches, one partition beside the other. A caller that gives up does not stop them half-way."""
        task = asyncio.create_task(self._send(items))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Drop what is under way, and disconnect."""
        for task in list(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._disconnect()
        self._doubt = False

    async def check(self) -> Sequence[Finding]:
        """Tell partitions and the size of a message, and whether the credential may also read."""
        return [
            Finding("hub", "ok", f"{self._hub} exists, and the credential may send"),
            Finding("partitions", "ok", f"{len(self._partitions)}; adding partitions later moves entities to others"),
            Finding(
                "event size", "ok", f"up to {self._limit_bytes:,} bytes with its properties; larger ones become dead letters"
            ),
            await self._rights(),
        ]

    async def _rights(self) -> Finding:
        """Try to read the newest event of some partition: no broker tells what a credential may do."""
        client = self._client
        assert client is not None, "check before open"
        for partition in self._partitions:
            state = await client.get_partition_properties(partition)
            if not state["is_empty"]:
                return await self._try_to_read(partition, state["last_enqueued_sequence_number"])
        return Finding(
            "rights", "note", "the credential may send; whether it may do more shows once there is something to read"
        )

    async def _try_to_read(self, partition: str, sequence_number: int) -> Finding:
        consumer = self._new(self._aio.EventHubConsumerClient, consumer_group="$Default")
        may_read = asyncio.Event()

        async def read(*_: object) -> None:
            may_read.set()

        reading = asyncio.create_task(
            consumer.receive(read, partition_id=partition, starting_position=sequence_number, starting_position_inclusive=True)
        )
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(_READING_SECONDS, self._settings.connect_timeout_seconds)):
                    await may_read.wait()
        finally:
            await consumer.close()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        if may_read.is_set():
            return Finding(
                "rights", "note", "the credential may read too; Send alone suffices: use a policy or role with only that"
            )
        return Finding("rights", "ok", "the credential may send, and did not get to read: least privilege")

    def _new(self, kind: Any, **more: Any) -> Any:
        settings = self._settings
        options = {**client_options(settings, self._sdk.TransportType), **more, "eventhub_name": self._hub}
        if settings.connection_string is not None:
            return kind.from_connection_string(settings.connection_string, **options)
        return kind(settings.host, credential=credential(settings, self._name), **options)

    async def _connect(self) -> None:
        await self._disconnect()
        async with asyncio.timeout(self._settings.connect_timeout_seconds):
            self._client = client = self._new(
                self._aio.EventHubProducerClient, auth_timeout=self._settings.connect_timeout_seconds
            )
            self._partitions = await client.get_partition_ids()
            self._limit_bytes = (await client.create_batch()).max_size_in_bytes

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):  # it is being thrown away; what it held was answered as Unknown
                async with asyncio.timeout(self._settings.connect_timeout_seconds):
                    await client.close()

    async def _ready(self) -> str | None:
        """Make sure of a connection after a doubt; return why there is none."""
        async with self._connecting:
            if not self._doubt:
                return None
            try:
                await self._connect()
            except Exception as error:  # noqa: BLE001 - as in open; nothing was sent
                return reason_of(error)
            self._doubt = False
            return None

    async def _send(self, items: Sequence[Item]) -> list[Outcome]:
        reason = await self._ready()
        if reason is not None:
            return [Unavailable(reason)] * len(items)
        outcomes: list[Outcome] = [DELIVERED] * len(items)
        groups: dict[str, list[tuple[int, Message]]] = {}
        for index, item in enumerate(items):
            message = self._render(item)
            groups.setdefault(self._partitions[partition_of(message.key, len(self._partitions))], []).append((index, message))
        async with asyncio.TaskGroup() as group:
            for partition, members in groups.items():
                group.create_task(self._send_to(partition, members, outcomes))
        return outcomes

    async def _send_to(self, partition: str, members: list[tuple[int, Message]], outcomes: list[Outcome]) -> None:
        client = self._client
        assert client is not None, "send before open"
        batch, owners = await client.create_batch(partition_id=partition), list[int]()
        waiting = [(index, self._event(message)) for index, message in reversed(members)]
        messages = dict(members)
        while waiting:
            index, event = waiting.pop()
            try:
                batch.add(event)
                owners.append(index)
            except ValueError:
                if not owners:
                    outcomes[index] = Rejected(
                        too_large(len(messages[index].body), self._limit_bytes, "select less, or use delta")
                    )
                    continue
                waiting.append((index, event))
                await self._deliver(partition, batch, owners, messages, outcomes)
                batch, owners = await client.create_batch(partition_id=partition), []
        if owners:
            await self._deliver(partition, batch, owners, messages, outcomes)

    async def _deliver(
        self, partition: str, batch: EventDataBatch, owners: list[int], messages: dict[int, Message], outcomes: list[Outcome]
    ) -> None:
        outcome, condition = await self._try(batch)
        if condition in OF_THE_CONTENT and len(owners) > 1:
            for number, index in enumerate(owners):
                outcomes[index] = _UNTRIED if number >= _ALONE_MAX else await self._alone(partition, messages[index])
            return
        if condition in OF_THE_CONTENT:
            outcome = self._refused(messages[owners[0]], condition)
        for index in owners:
            outcomes[index] = outcome

    async def _alone(self, partition: str, message: Message) -> Outcome:
        """Send an event in a batch of its own: a refusal is then about nothing else."""
        client = self._client
        assert client is not None, "send before open"
        single = await client.create_batch(partition_id=partition)
        single.add(self._event(message))
        outcome, condition = await self._try(single)
        return self._refused(message, condition) if condition in OF_THE_CONTENT else outcome

    def _refused(self, message: Message, condition: str | None) -> Rejected:
        if condition == TOO_LARGE:
            return Rejected(too_large(len(message.body), self._limit_bytes, "select less, or use delta"))
        return Rejected(f"the service refuses its content ({condition})")

    async def _try(self, batch: EventDataBatch) -> tuple[Outcome, str | None]:
        client = self._client
        if self._doubt or client is None:
            return _SKIPPED, None
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                await client.send_batch(batch, timeout=self._settings.timeout_seconds)
        except Exception as error:  # noqa: BLE001 - whatever it is, the relay wants to know what became of the events
            refusal = refusal_of(error)
            self._doubt = self._doubt or type(refusal.outcome) is Unknown
            return refusal.outcome, refusal.condition
        return DELIVERED, None

    def _event(self, message: Message) -> EventData:
        event: EventData = self._sdk.EventData(message.body)
        event.message_id = message.id
        event.content_type = message.content_type
        event.correlation_id = message.correlation_id
        raw: Any = event.raw_amqp_message
        raw.application_properties = application_properties_of(message)
        raw.properties.subject = message.subject
        raw.annotations[_PARTITION_KEY] = message.key
        return event


def partition_of(key: str, partitions: int) -> int:
    """Return the index of the partition that Event Hubs itself takes for a key.

    The hash is the SDK's, which has it from the service. Beyond that the SDK for Python (5.15) errs: it hashes code points and
    not UTF-8 bytes, and its remainder of a negative hash is not that of .NET and Java, which truncate.
    """
    return abs(_hash_of(key)) % partitions


@lru_cache(_KEYS_REMEMBERED)
def _hash_of(key: str) -> int:
    from azure.eventhub._buffered_producer._partition_resolver import (  # noqa: PLC0415 - of an extra
        generate_hash_code,
    )

    found: int = generate_hash_code(key.encode().decode("latin-1"))  # type: ignore[no-untyped-call]  # the SDK gives no types
    return found
