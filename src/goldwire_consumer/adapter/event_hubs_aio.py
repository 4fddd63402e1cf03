"""Subscribes to Event Hubs over AMQP with the SDK's asyncio client. Needs `goldwire-consumer[azure]`.

It takes from all partitions at once. The synchronous client looks at one after another and waits a moment at each idle one,
which is slow where a hub has many.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Generic, TypeVar

from goldwire_consumer.adapter.event_hubs import messages, report, source_parts
from goldwire_consumer.adapter.event_hubs_checkpoints_aio import AsyncSqlCheckpointStore
from goldwire_consumer.adapter.event_hubs_identity import beyond_its_end, identity_of, made_again
from goldwire_consumer.adapter.event_hubs_subscription import HubSubscription
from goldwire_consumer.aio import AsyncConsumer
from goldwire_consumer.errors import StoppedError
from goldwire_consumer.extra import extra

with extra("azure"):
    from azure.eventhub import CloseReason, EventData
    from azure.eventhub.aio import EventHubConsumerClient, PartitionContext

T = TypeVar("T")

_LOG = logging.getLogger("goldwire_consumer")


class AsyncEventHubsSubscription(
    HubSubscription[AsyncConsumer[T], EventHubConsumerClient, AsyncSqlCheckpointStore], Generic[T]
):
    """Runs a consumer on the partitions of a hub that the SDK's load balancing gives to this client."""

    _stop: asyncio.Event
    _failed: asyncio.Event

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Take events until the end is asked for; see `EventHubsSubscription.run`.

        Args:
            stop: set it to end; what is in the database's hands is finished.

        Raises:
            StoppedError: see `Consumer.process`; the batch at hand has no checkpoint.
            azure.eventhub.exceptions.EventHubError: the client cannot go on.
        """
        self._stop = stop or asyncio.Event()
        self._failed = asyncio.Event()
        if self._checkpoints is not None:
            self._checkpoints.watch(self._is_the_same)
        receiving = asyncio.create_task(
            self._client.receive_batch(
                on_event_batch=self._batch,
                on_error=self._on_error,
                on_partition_initialize=self._given,
                on_partition_close=self._taken,
                max_batch_size=self._pace.batch,
                starting_position=self._starting_position,
            )
        )
        ends = [asyncio.create_task(one.wait()) for one in (self._stop, self._failed)]
        listening = asyncio.create_task(self._listen())
        try:
            await asyncio.wait({receiving, *ends}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (*ends, listening):
                one.cancel()
            await self._client.close()
            receiving.cancel()  # else it sleeps until the next load balancing before it looks
            await asyncio.gather(receiving, *ends, listening, return_exceptions=True)
        if not receiving.cancelled():
            receiving.result()
        if self._failure is not None:
            raise self._failure

    async def _listen(self) -> None:
        """See every now and then whether what is there also comes, until the first event did."""
        await asyncio.sleep(self._pace.silence_seconds)
        while self._partitions.silent:
            self._partitions.complain(self._pace.silence_seconds)
            for id_ in self._partitions.ids:
                with suppress(Exception):  # `report` receives what is away at the next load balancing
                    self._partitions.look(id_, await self._client.get_partition_properties(id_))
            await asyncio.sleep(self._pace.silence_seconds)

    async def _is_the_same(self, namespace: str, hub: str, group: str) -> bool:
        """Say whether partitions may be claimed; see `EventHubsSubscription`."""
        checkpoints, names = self._checkpoints, (namespace, hub, group)
        if checkpoints is None:  # only its own checkpoint store asks
            return True
        properties = await self._client.get_eventhub_properties()
        found, known = identity_of(properties), await checkpoints.identity(*names)
        if known == found:
            return True
        why = "which was created at another time"
        if known is None:
            rows = list(await checkpoints.list_checkpoints(*names))
            asked = {row["partition_id"] for row in rows} & set(properties["partition_ids"])
            states = {id_: await self._client.get_partition_properties(id_) for id_ in asked}
            beyond = beyond_its_end(rows, {id_: state["last_enqueued_sequence_number"] for id_, state in states.items()})
            why = f"for the checkpoint of partition {', '.join(beyond)} lies beyond its last event"
            if not beyond:
                await checkpoints.keep_identity(*names, found)
                return True
        if self._made_again == "stop":
            self._failure = made_again(hub, group, why)
            self._failed.set()
            raise self._failure
        _LOG.warning("event hubs, hub %s, consumer group %s: the hub was made again; it is read from the beginning", hub, group)
        await checkpoints.forget(*names)
        await checkpoints.keep_identity(*names, found)
        return not self._partitions.ids  # those that are read now go on from where they are: they are given up first

    async def _given(self, context: PartitionContext) -> None:
        known = None if self._checkpoints is None else await self._checkpoints.list_checkpoints(*source_parts(context))
        self._partitions.give(context, known)

    async def _taken(self, context: PartitionContext, _reason: CloseReason) -> None:
        self._partitions.take(context)

    async def _batch(self, context: PartitionContext, events: list[EventData]) -> None:
        if not events or self._failure is not None or self._stop.is_set():
            return  # what is not processed any more keeps its checkpoint
        self._partitions.silent = False
        try:
            await self._consumer.process(messages(context, events, positions=self._checkpoints is not None))
        except StoppedError as error:
            self._failure = error
            self._failed.set()
            raise
        if self._checkpoints is None:
            await context.update_checkpoint(events[-1])

    @staticmethod
    async def _on_error(context: PartitionContext | None, error: Exception) -> None:
        report(context, error)
