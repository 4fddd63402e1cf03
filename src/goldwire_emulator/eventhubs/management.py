"""`$management` of a namespace with event hubs: READ of a hub and of a partition."""

from __future__ import annotations

from typing import Any

from goldwire_emulator.amqp.endpoint import (
    AmqpError,
    Attachment,
    AttachRequest,
    Direction,
    Reply,
    Request,
    Right,
)
from goldwire_emulator.amqp.values import Array, Int, Symbol, Timestamp
from goldwire_emulator.broker.port import EventHub, EventHubs
from goldwire_emulator.broker.refusals import RefusalError

ADDRESS = "$management"
HUB = "com.microsoft:eventhub"
PARTITION = "com.microsoft:partition"

_BEGIN_OF_TIME_MS = -62_135_596_800_000
"""0001-01-01, which the service reports as the time of the last event where there was none."""


class HubManagement:
    """The node, and its endpoint.

    Args:
        hubs: of the namespace.
    """

    def __init__(self, hubs: EventHubs) -> None:
        self._hubs = hubs

    def rights(self, _: Direction) -> frozenset[Right]:
        """Return no right, since an attach needs none: each request names its hub, and the node checks the right then."""
        return frozenset()

    async def attach(self, _: AttachRequest) -> Attachment:
        """Return itself."""
        return Attachment(self)

    async def answer(self, request: Request) -> Reply:
        """Answer one READ."""
        given = request.message.application_properties
        name = str(given.get("name", ""))
        if request.operation != "READ" or request.kind not in {HUB, PARTITION}:
            return Reply(400, f"{request.operation} of {request.kind} is not known here", "amqp:not-implemented")
        # The JavaScript SDK asks for its token for `HUB/$management`, the others for the hub.
        if not any(request.permits(path, frozenset(Right)) for path in (name, f"{name}/{ADDRESS}")):
            return Reply(401, f"Unauthorized access to '{name}'.", "amqp:unauthorized-access")
        try:
            hub = self._hubs.hub(name)
            body = _hub(hub) if request.kind == HUB else _partition(hub, str(given.get("partition", "")))
        except RefusalError as error:
            return Reply(error.status, error.description, error.condition)
        except AmqpError as error:
            return Reply(404, error.description, error.condition)
        return Reply(200, "OK", body=body)


def _hub(hub: EventHub) -> dict[str, Any]:
    return {
        "name": hub.name,
        "type": Symbol(HUB),
        "created_at": Timestamp(hub.created_at_ms),
        "partition_count": Int(len(hub.partition_ids)),
        "partition_ids": Array(hub.partition_ids),
    }


def _partition(hub: EventHub, partition_id: str) -> dict[str, Any]:
    if partition_id not in hub.partition_ids:
        raise AmqpError("amqp:not-found", f"event hub '{hub.name}' has no partition '{partition_id}'")
    state = hub.state(partition_id)
    last_at = _BEGIN_OF_TIME_MS if state.last_enqueued_at_ms is None else state.last_enqueued_at_ms
    return {
        "name": hub.name,
        "type": Symbol(PARTITION),
        "partition": partition_id,
        "begin_sequence_number": state.begin_sequence_number,
        "last_enqueued_sequence_number": state.last_sequence_number,
        "last_enqueued_offset": state.last_offset,
        "last_enqueued_time_utc": Timestamp(last_at),
        "is_partition_empty": state.is_empty,
    }
