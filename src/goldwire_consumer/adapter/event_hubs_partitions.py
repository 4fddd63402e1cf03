"""The partitions that a subscription to Event Hubs was given, and whether they bring what they hold.

The SDK (5.15) does not report that a receiver is refused, because the consumer group does not exist, say: it asks again without
end (github.com/Azure/azure-sdk-for-python/issues/27137). No request lists the consumer groups. So as long
as not one event came, a subscription looks whether one should have.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

_LOG = logging.getLogger("goldwire_consumer")

_BEGINNING = "-1"


class Partition(Protocol):
    """What both of the SDK's partition contexts say of themselves."""

    @property
    def fully_qualified_namespace(self) -> str:
        """The host."""

    @property
    def consumer_group(self) -> str:
        """Which one reads."""

    @property
    def eventhub_name(self) -> str:
        """The hub."""

    @property
    def partition_id(self) -> str:
        """Its number in the hub."""


class Partitions:
    """Those of one subscription, until its first event: from then on its consumer group is known to exist.

    Attributes:
        silent: whether not one event came.
    """

    def __init__(self, starting_position: str | int | Mapping[str, Any]) -> None:
        """Say where a partition without a checkpoint begins."""
        self.silent = True
        self._starting_position = starting_position
        self._given: dict[str, Partition] = {}
        self._read_to: dict[str, int] = {}
        """By partition, the sequence number after which an event must come; none where that is not known yet."""
        self._unread: set[str] = set()
        """Partitions that held such an event at the last look."""

    @property
    def ids(self) -> list[str]:
        """Those that are ours now."""
        return list(self._given)

    def give(self, context: Partition, checkpoints: Iterable[Mapping[str, Any]] | None) -> None:
        """Take note of a partition that is ours from now on.

        Args:
            context: the SDK's.
            checkpoints: those of its hub, as the SDK's checkpoint stores list them; None where they are not known.
        """
        id_ = context.partition_id
        self._given[id_] = context
        self._unread.discard(id_)
        self._read_to.pop(id_, None)
        if checkpoints is None:
            return
        reached = {row["partition_id"]: row["sequence_number"] for row in checkpoints}
        position = self._starting_position
        if id_ in reached:
            self._read_to[id_] = reached[id_]
        elif (position.get(id_) if isinstance(position, Mapping) else position) == _BEGINNING:
            self._read_to[id_] = -1

    def take(self, context: Partition) -> None:
        """Take note of a partition that is no longer ours."""
        self._given.pop(context.partition_id, None)
        self._unread.discard(context.partition_id)

    def look(self, partition_id: str, state: Mapping[str, Any]) -> None:
        """Take note of what a partition holds.

        Args:
            partition_id: which.
            state: what the SDK's `get_partition_properties` returned.
        """
        last = state["last_enqueued_sequence_number"]
        read_to = self._read_to.setdefault(partition_id, last)
        if last > read_to and not state["is_empty"] and partition_id in self._given:
            self._unread.add(partition_id)

    def complain(self, seconds: float) -> None:
        """Warn if a partition held an event at the last look, so many seconds ago, and still not one came."""
        waiting = sorted(self._unread & self._given.keys())
        if not self.silent or not waiting:
            return
        some = self._given[waiting[0]]
        _LOG.warning(
            "event hubs, hub %s: partitions %s hold events, and for %g seconds none came to consumer group %s. If the hub has "
            "no such group, create it, or name one that it has: the SDK does not say so, and asks again without end. The same "
            "is seen with a credential that may not read: it needs Listen, or the role Azure Event Hubs Data Receiver",
            some.eventhub_name, ", ".join(waiting), seconds, some.consumer_group,
        )  # fmt: skip
