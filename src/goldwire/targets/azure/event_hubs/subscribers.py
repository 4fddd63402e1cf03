"""How far consumer groups of an Event Hub are: their checkpoints, beside where each partition begins and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from goldwire.targets.azure.event_hubs.checkpoints import Checkpoints
from goldwire.targets.base import SubscriberLag
from goldwire.targets.settings import SubscribersSettings, about

if TYPE_CHECKING:
    from azure.eventhub.aio import EventHubProducerClient


class HubSubscribers(SubscribersSettings, frozen=True, kw_only=True):
    """Which consumer groups of the hub are looked at, and where they keep how far they are."""

    consumer_groups: Annotated[tuple[str, ...], about("Their names.", examples=[["$Default", "warehouse"]], min_length=1)]
    checkpoints: (
        Annotated[
            str,
            about(
                "Where they keep checkpoints: the database of a subscriber that is built with `goldwire-consumer`, or a "
                "container of blobs as the Azure SDK writes it. Without it: the offsets that consumers commit over Kafka.",
                examples=["sqlite:///warehouse.db", "https://account.blob.core.windows.net/checkpoints"],
                url=True,
            ),
        ]
        | None
    ) = None
    connection_string: Annotated[
        str | None, about("To ask with, instead of the target's own; offsets over Kafka need Listen.", secret=True)
    ] = None


async def hub_lags(
    client: EventHubProducerClient, namespace: str, checkpoints: Checkpoints, groups: Sequence[str]
) -> list[SubscriberLag]:
    """Return how far consumer groups are.

    Args:
        client: of the SDK; whatever right it has suffices to ask for the state of a partition.
        namespace: its full name, as subscribers know it.
        checkpoints: where those of the groups are.
        groups: their names.
    """
    partitions = await client.get_partition_ids()
    # What is read first is never ahead of what is read later: an event that comes in between is not a negative lag.
    read = {group: await checkpoints.positions(namespace, client.eventhub_name, group) for group in groups}
    states = await asyncio.gather(*(client.get_partition_properties(one) for one in partitions))
    return [
        _lag(group, state, positions.get(state["id"])) for group, positions in read.items() for state in states
    ]  # fmt: skip


def _lag(group: str, state: dict[str, Any], read_to: int | None) -> SubscriberLag:
    newest = None if state["last_enqueued_sequence_number"] < 0 else state["last_enqueued_sequence_number"]
    return SubscriberLag(
        group, state["id"], read_to, newest,
        waiting(read_to, state["beginning_sequence_number"], newest, is_empty=state["is_empty"]), None,
    )  # fmt: skip


def waiting(read_to: int | None, oldest: int, newest: int | None, *, is_empty: bool) -> int:
    """Return how many events a group has yet to read.

    Args:
        read_to: the sequence number of its last checkpoint.
        oldest: that of the oldest event of the partition.
        newest: that of the newest one; None: there never was one.
        is_empty: whether there is none now, because all have expired.
    """
    if newest is None:
        return 0
    if read_to is None or read_to > newest:
        return 0 if is_empty else newest - oldest + 1
    return newest - read_to
