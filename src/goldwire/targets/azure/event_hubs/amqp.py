"""Event Hubs over AMQP: events grouped by the partition of their key, sent in batches by the Azure SDK."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from goldwire.clock import Clock
from goldwire.errors import GoldwireError
from goldwire.targets.azure.event_hubs.checkpoints import Checkpoints
from goldwire.targets.azure.event_hubs.subscribers import hub_lags
from goldwire.targets.azure.namespace import AzureSettings, client_options, explained, is_forbidden, kind_of, sas_findings
from goldwire.targets.azure.sender import AzureSender
from goldwire.targets.base import Finding, SubscriberLag
from goldwire.targets.clients.backplane import Message, application_properties_of, partitions_finding, refuse_growth
from goldwire.targets.clients.extras import require

if TYPE_CHECKING:
    from azure.eventhub import EventDataBatch
    from azure.eventhub.aio import EventHubProducerClient

_PARTITION_KEY = b"x-opt-partition-key"
_KEYS_REMEMBERED = 100_000


class AmqpHub(AzureSender):
    """One hub, with a link for each partition.

    Args:
        name: the target's.
        settings: where and how.
        hub: the Event Hub's name.
        clock: measures how long nothing was sent.
        partitions: how many the hub shall have; None: any number.
    """

    def __init__(self, name: str, settings: AzureSettings, hub: str, clock: Clock, *, partitions: int | None = None) -> None:
        super().__init__(name, settings, f"hub {hub}", clock)
        self.reading_seconds = 10.0
        """How long a check tries to read."""
        self._sdk: Any = require("azure.eventhub", extra="azure", used_by=f"target '{name}'")
        self._aio: Any = require("azure.eventhub.aio", extra="azure", used_by=f"target '{name}'")
        self._hub = hub
        self._declared = partitions
        self._client: EventHubProducerClient | None = None
        self._partitions: list[str] = []

    async def connect(self) -> None:
        """Read the partitions, and open a link that may send.

        Raises:
            ConfigError: the hub has another number of partitions than the settings say.
        """
        client = self._client = self._new(self._aio.EventHubProducerClient, auth_timeout=self.settings.connect_timeout_seconds)
        partitions = await client.get_partition_ids()
        refuse_growth(f"target '{self.name}': hub {self._hub}", len(partitions), self._declared)
        self._partitions = partitions
        self.limit_bytes = (await client.create_batch()).max_size_in_bytes

    async def disconnect(self) -> None:
        """Close all links."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def group_of(self, message: Message) -> str:
        """Return the partition of a message's key."""
        return self._partitions[partition_of(message.key, len(self._partitions))]

    async def new_batch(self, group: str) -> EventDataBatch:
        """Return an empty batch for a partition."""
        return await self._open_client().create_batch(partition_id=group)

    def add(self, batch: EventDataBatch, message: Message) -> None:
        """Put an event into a batch, with its key."""
        event: Any = self._sdk.EventData(message.body)
        event.message_id = message.id
        event.content_type = message.content_type
        event.correlation_id = message.shared.correlation_id
        event.properties = application_properties_of(message)
        event.raw_amqp_message.properties.subject = message.shared.subject
        event.raw_amqp_message.annotations[_PARTITION_KEY] = message.key
        batch.add(event)

    async def deliver(self, batch: EventDataBatch) -> None:
        """Send a batch."""
        await self._open_client().send_batch(batch, timeout=self.settings.timeout_seconds)

    async def check(self) -> Sequence[Finding]:
        """Report partitions and the size of a message, and whether the credential may also read."""
        return [
            Finding("hub", "ok", f"{self._hub} exists, and the credential may send"),
            partitions_finding(len(self._partitions), self._declared),
            Finding(
                "event size", "ok", f"up to {self.limit_bytes:,} bytes with its properties; larger ones become dead letters"
            ),
            await self._rights(),
            *sas_findings(self.settings),
        ]

    async def lags(self, namespace: str, checkpoints: Checkpoints, groups: Sequence[str]) -> list[SubscriberLag]:
        """Return how far consumer groups are, over a connection of its own; see `hub_lags`.

        Raises:
            ConfigError: the hub, the checkpoints or the credential are wrong.
            OSError: not reachable now.
        """
        client = self._new(self._aio.EventHubProducerClient, auth_timeout=self.settings.connect_timeout_seconds)
        try:
            return await hub_lags(client, namespace, checkpoints, groups)
        except (GoldwireError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - of the SDK, of its credential or of the system
            raise explained(error, f"target '{self.name}': hub {self._hub}: subscribers") from None
        finally:
            await client.close()
            await self.close()

    def _open_client(self) -> EventHubProducerClient:
        assert self._client is not None, "send before open"
        return self._client

    async def _rights(self) -> Finding:
        """Try to read the newest event of some partition: no broker reports what a credential may do."""
        client = self._open_client()
        for partition in self._partitions:
            state = await client.get_partition_properties(partition)
            if not state["is_empty"]:
                return await self._try_to_read(partition, state["last_enqueued_sequence_number"])
        return Finding(
            "rights", "note", "the credential may send; whether it may do more shows once there is something to read"
        )

    async def _try_to_read(self, partition: str, sequence_number: int) -> Finding:
        consumer = self._new(self._aio.EventHubConsumerClient, consumer_group="$Default")
        answer: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

        async def read(*_: object) -> None:
            if not answer.done():
                answer.set_result(None)

        async def fail(_context: object, error: BaseException) -> None:
            if not answer.done():
                answer.set_result(error)

        reading = asyncio.create_task(
            consumer.receive(
                read,
                on_error=fail,
                partition_id=partition,
                starting_position=sequence_number,
                starting_position_inclusive=True,
            )
        )
        limit_seconds = min(self.reading_seconds, self.settings.connect_timeout_seconds)
        try:
            await asyncio.wait({answer, reading}, timeout=limit_seconds, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return rights_of_reading(answer.result())
            if reading.done():
                return rights_of_reading(reading.exception() or ConnectionError("the SDK read nothing"))
            # The SDK (5.15) does not report that a receiver is refused, and asks again without end: a slow link looks the same.
            text = (
                "the credential may send; nothing could be read, as it is with Send alone, but it may be the link: see its role"
            )
            return Finding("rights", "note", text)
        finally:
            await consumer.close()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def _new(self, kind: Any, **more: Any) -> Any:
        settings = self.settings
        options = {**client_options(settings, self._sdk.TransportType), **more, "eventhub_name": self._hub}
        if settings.connection_string is not None:
            return kind.from_connection_string(settings.connection_string, **options)
        return kind(settings.host, credential=self.credential(), **options)


def rights_of_reading(error: BaseException | None) -> Finding:
    """Return what an attempt to read says of a credential.

    Args:
        error: that the attempt ended with; None: it read.
    """
    if error is None or kind_of(error) == _ANOTHER_READS:
        return Finding(
            "rights", "note", "the credential may read too; Send alone suffices: use a policy or role with only that"
        )
    if is_forbidden(error):
        return Finding("rights", "ok", "the credential may send, and must not read: least privilege")
    return Finding("rights", "note", f"the credential may send; whether it may do more could not be seen ({kind_of(error)})")


_ANOTHER_READS = "amqp:link:stolen"
"""We may read, but a consumer with an epoch of its own has the partition."""


def partition_of(key: str, partitions: int) -> int:
    """Return the index of the partition that Event Hubs itself takes for a key.

    The hash is the SDK's, which has it from the service. Otherwise the SDK for Python (5.15) errs: it hashes code points and
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
