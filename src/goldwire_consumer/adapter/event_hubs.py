"""Subscribes to Event Hubs over AMQP. Needs `goldwire-consumer[azure]`.

With the checkpoint store of this package the checkpoint is a row in the transaction that applies the events. With any other
(the SDK's own in blob storage) it is written after that transaction: a crash in between delivers events again, and the guard
ignores them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from goldwire_consumer.adapter.event_hubs_checkpoints import SqlCheckpointStore, source_of
from goldwire_consumer.adapter.event_hubs_identity import beyond_its_end, identity_of, made_again
from goldwire_consumer.adapter.event_hubs_partitions import Partition
from goldwire_consumer.adapter.event_hubs_subscription import HubSubscription
from goldwire_consumer.consumer import Consumer
from goldwire_consumer.errors import StoppedError, TryAgainError
from goldwire_consumer.extra import extra
from goldwire_consumer.message import Message, Position, wire_headers

with extra("azure"):
    from azure.eventhub import CloseReason, EventData, EventHubConsumerClient, PartitionContext

_LOG = logging.getLogger("goldwire_consumer")


class EventHubsSubscription(HubSubscription[Consumer[Any], EventHubConsumerClient, SqlCheckpointStore]):
    """Runs a consumer on the partitions of a hub that the SDK's load balancing gives to this client."""

    _stop: threading.Event

    def run(self, stop: threading.Event | None = None) -> None:
        """Take events until the end is asked for.

        When the subscriber's database is away, the partition is given back; the SDK takes it again, from its checkpoint, at its
        next load balancing (`load_balancing_interval` of the client, 30 seconds).

        Args:
            stop: set it to end after the batch at hand.

        Raises:
            StoppedError: see `Consumer.process`; the batch at hand has no checkpoint.
            azure.eventhub.exceptions.EventHubError: the client cannot go on.
        """
        self._stop = stop or threading.Event()
        if self._checkpoints is not None:
            self._checkpoints.watch(self._is_the_same)
        ended = threading.Event()
        watch = threading.Thread(target=self._watch, args=(ended,), daemon=True)
        watch.start()
        # Nothing waits for it at the end: it may be asking a broker that is away.
        threading.Thread(target=self._listen, args=(ended,), daemon=True).start()
        try:
            self._client.receive_batch(
                on_event_batch=self._batch,
                on_error=report,
                on_partition_initialize=self._given,
                on_partition_close=self._taken,
                max_batch_size=self._pace.batch,
                max_wait_time=None,  # what is there is taken; with a time the SDK waits that long for a whole batch
                starting_position=self._starting_position,
            )
        finally:
            ended.set()
            watch.join()
            self._client.close()
        if self._failure is not None:
            raise self._failure

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(0.2):
            if self._stop.is_set() or self._failure is not None:
                self._client.close()
                return

    def _listen(self, ended: threading.Event) -> None:
        """See every now and then whether what is there also comes, until the first event did."""
        while not ended.wait(self._pace.silence_seconds) and self._partitions.silent:
            self._partitions.complain(self._pace.silence_seconds)
            for id_ in self._partitions.ids:
                with suppress(Exception):  # `report` receives what is away at the next load balancing
                    self._partitions.look(id_, self._client.get_partition_properties(id_))

    def _is_the_same(self, namespace: str, hub: str, group: str) -> bool:
        """Say whether partitions may be claimed: the hub is the one that the checkpoints are of, or nothing of it is read yet.

        Raises:
            StreamMadeAgainError: it is another one.
            azure.eventhub.exceptions.EventHubError: it cannot be asked; the SDK tries again.
        """
        checkpoints, names = self._checkpoints, (namespace, hub, group)
        if checkpoints is None:  # only its own checkpoint store asks
            return True
        properties = self._client.get_eventhub_properties()
        found, known = identity_of(properties), checkpoints.identity(*names)
        if known == found:
            return True
        why = "which was created at another time"
        if known is None:
            rows = list(checkpoints.list_checkpoints(*names))
            asked = {row["partition_id"] for row in rows} & set(properties["partition_ids"])
            ends = {id_: self._client.get_partition_properties(id_)["last_enqueued_sequence_number"] for id_ in asked}
            beyond = beyond_its_end(rows, ends)
            why = f"for the checkpoint of partition {', '.join(beyond)} lies beyond its last event"
            if not beyond:
                checkpoints.keep_identity(*names, found)
                return True
        if self._made_again == "stop":
            self._failure = made_again(hub, group, why)
            raise self._failure
        _LOG.warning("event hubs, hub %s, consumer group %s: the hub was made again; it is read from the beginning", hub, group)
        checkpoints.forget(*names)
        checkpoints.keep_identity(*names, found)
        return not self._partitions.ids  # those that are read now go on from where they are: they are given up first

    def _given(self, context: PartitionContext) -> None:
        self._partitions.give(
            context, None if self._checkpoints is None else self._checkpoints.list_checkpoints(*source_parts(context))
        )

    def _taken(self, context: PartitionContext, _reason: CloseReason) -> None:
        self._partitions.take(context)

    def _batch(self, context: PartitionContext, events: list[EventData]) -> None:
        if not events or self._failure is not None or self._stop.is_set():
            return  # what is not processed any more keeps its checkpoint
        self._partitions.silent = False
        try:
            self._consumer.process(messages(context, events, positions=self._checkpoints is not None))
        except StoppedError as error:
            self._failure = error
            raise
        if self._checkpoints is None:
            context.update_checkpoint(events[-1])


def source_parts(context: Partition) -> tuple[str, str, str]:
    """Return namespace, hub and consumer group, as checkpoint stores take them."""
    return context.fully_qualified_namespace, context.eventhub_name, context.consumer_group


def messages(context: Partition, events: Iterable[EventData], *, positions: bool) -> list[Message]:
    """Return events of Event Hubs as the consumer takes them.

    Args:
        context: their partition.
        events: what the SDK gave.
        positions: whether the checkpoint goes into the transaction; else the SDK keeps it.
    """
    source = source_of(*source_parts(context)) if positions else None
    return [message(one, source, context) for one in events]


def message(received: EventData, source: str | None, context: Partition) -> Message:
    """Return an event of Event Hubs as the consumer takes it.

    Args:
        received: what the SDK gave.
        source: of the checkpoint that goes into the transaction; None where the SDK keeps it.
        context: its partition.
    """
    body: Any = received.body
    parts = [body] if isinstance(body, bytes) else [] if isinstance(body, str) else body
    content = body.encode() if isinstance(body, str) else b"".join(part for part in parts if isinstance(part, bytes))
    names = {
        "messageId": received.message_id,
        "correlationId": received.correlation_id,
        "contentType": received.content_type,
        "subject": received.system_properties.get(b"subject"),
    }
    position = None
    if source is not None and received.offset is not None and received.sequence_number is not None:
        position = Position(source, context.partition_id, received.offset, received.sequence_number)
    return Message(
        body=content,
        headers=wire_headers(received.properties, names),
        source=f"{context.eventhub_name}/{context.partition_id}@{received.offset}",
        position=position,
    )


def report(context: Partition | None, error: Exception) -> None:
    """Say what the SDK goes on from by itself."""
    where = "load balancing" if context is None else f"partition {context.partition_id}"
    known = isinstance(error, StoppedError | TryAgainError)
    level = logging.ERROR if isinstance(error, StoppedError) else logging.WARNING
    _LOG.log(level, "event hubs, %s: %s", where, str(error) if known else type(error).__name__)
