"""Notices that a hub was deleted and made again under its name: old checkpoints lead past the events of the new one.

A hub says when it was created. That is kept beside the checkpoints, and compared each time that the SDK claims partitions:
before it begins to read, and at each load balancing. Where nothing was kept so far, a checkpoint beyond the end of its
partition says the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from goldwire_consumer.errors import StreamMadeAgainError

MadeAgain = Literal["stop", "begin"]
"""What to do then: `stop` and say so, or forget the checkpoints and `begin` anew."""


def identity_of(hub: Mapping[str, Any]) -> str:
    """Return what distinguishes a hub from one that is made again under its name.

    Args:
        hub: what the SDK's `get_eventhub_properties` returned.
    """
    created: datetime = hub["created_at"]
    moment = created if created.tzinfo is not None else created.replace(tzinfo=UTC)
    return f"created:{round(moment.timestamp() * 1_000)}"


def beyond_its_end(checkpoints: Iterable[Mapping[str, Any]], ends: Mapping[str, int]) -> list[str]:
    """Return the partitions whose checkpoint lies beyond their last event.

    Args:
        checkpoints: as checkpoint stores list them.
        ends: by partition, the sequence number of its last event; -1 where it never had one.
    """
    return sorted(
        row["partition_id"]
        for row in checkpoints
        if row["partition_id"] in ends and row["sequence_number"] > ends[row["partition_id"]]
    )


def made_again(hub: str, group: str, why: str) -> StreamMadeAgainError:
    """Return the error for checkpoints that are of another hub."""
    return StreamMadeAgainError(
        f"event hubs, hub {hub}, consumer group {group}: the hub is not the one that was read before, {why}; it was deleted "
        "and made again, and its checkpoints would lead past what it holds. See that its sender sends again what is missing "
        '(`goldwire resync`), then begin anew: made_again="begin", or SqlCheckpointStore.forget'
    )
