"""The addresses of Event Hubs: a hub, its partitions, its consumer groups, `$management`."""

from __future__ import annotations

import re
from collections.abc import Callable

from goldwire_emulator.amqp.endpoint import (
    AmqpError,
    Attachment,
    AttachRequest,
    Direction,
    Node,
    Right,
)
from goldwire_emulator.broker.port import EventHub, EventHubs
from goldwire_emulator.broker.refusals import RefusalError
from goldwire_emulator.eventhubs import management
from goldwire_emulator.eventhubs.consumer import Consumer, Readers, position_of
from goldwire_emulator.eventhubs.publisher import Publisher

EPOCH = "com.microsoft:epoch"
RUNTIME_METRICS = "com.microsoft:enable-receiver-runtime-metric"

_ADDRESS = re.compile(
    r"(?P<hub>.+?)(?:/ConsumerGroups/(?P<group>[^/]+))?(?:/Partitions/(?P<partition>[^/]+))?(?P<management>/\$management)?",
    re.IGNORECASE,
)


class EventHubRouter:
    """Finds the nodes of a namespace's event hubs. A `Router`.

    Args:
        hubs: of the namespace.
        now: POSIX seconds.
    """

    def __init__(self, hubs: EventHubs, now: Callable[[], float]) -> None:
        self._hubs = hubs
        self._now = now
        self._names = {name.lower() for name in hubs.names()}
        self._management = management.HubManagement(hubs)
        self._readers = Readers()

    def __call__(self, address: str) -> Node | None:
        """Return the node of an address, or None if it names no hub of the namespace."""
        if address.lower() == management.ADDRESS:
            return self._management
        found = _ADDRESS.fullmatch(address)
        if found is None or found["hub"].lower() not in self._names:
            return None
        if found["management"]:
            return self._management
        return _HubNode(self._hubs.hub(found["hub"]), found["group"], found["partition"], self._readers, self._now)


class _HubNode:
    """A hub or one of its partitions, to send to or, in a consumer group, to receive from."""

    def __init__(
        self, hub: EventHub, group: str | None, partition: str | None, readers: Readers, now: Callable[[], float]
    ) -> None:
        self._hub = hub
        self._group = group
        self._partition = partition
        self._readers = readers
        self._now = now

    def rights(self, direction: Direction) -> frozenset[Right]:
        return frozenset({Right.LISTEN if direction is Direction.OUTGOING else Right.SEND})

    async def attach(self, request: AttachRequest) -> Attachment:
        if self._partition is not None and self._partition not in self._hub.partition_ids:
            text = f"The specified partition is invalid for an EventHub partition sender or receiver: '{self._partition}'."
            raise AmqpError("com.microsoft:argument-out-of-range", text)
        if request.direction is Direction.INCOMING:
            if self._group is not None:
                raise AmqpError("amqp:not-allowed", "a consumer group is not sent to")
            return Attachment(Publisher(self._hub, self._partition), max_message_size_bytes=self._hub.max_message_bytes)
        return self._receiver(request)

    def _receiver(self, request: AttachRequest) -> Attachment:
        if self._partition is None or self._group is None:
            raise AmqpError("amqp:not-allowed", "a receiver names a consumer group and a partition")
        if self._group.lower() not in self._hub.consumer_groups:
            raise AmqpError("amqp:not-found", f"event hub '{self._hub.name}' has no consumer group '{self._group}'")
        epoch = request.properties.get(EPOCH)
        if epoch is not None and not isinstance(epoch, int):
            raise AmqpError("com.microsoft:argument-error", "the epoch is no number")
        slot = (self._hub.name.lower(), self._group.lower(), self._partition)
        self._readers.admit(slot, epoch)
        try:
            start = self._hub.start(self._partition, position_of(request.source.filters))
        except RefusalError as error:
            raise AmqpError(error.condition, error.description) from error
        reports_metrics = RUNTIME_METRICS in request.desired_capabilities
        consumer = Consumer(
            self._hub,
            slot,
            self._partition,
            start,
            epoch=epoch,
            readers=self._readers,
            now=self._now if reports_metrics else None,
        )
        return Attachment(consumer, offered_capabilities=(RUNTIME_METRICS,) if reports_metrics else ())
