"""What a subscription to Event Hubs is made of, with the SDK's synchronous client or its asyncio one."""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

from goldwire_consumer.adapter.event_hubs_identity import MadeAgain
from goldwire_consumer.adapter.event_hubs_partitions import Partitions
from goldwire_consumer.adapter.pace import Pace
from goldwire_consumer.errors import StoppedError
from goldwire_consumer.settings import Settings


class _Takes(Protocol):
    """Both consumers."""

    settings: Settings


ConsumerT = TypeVar("ConsumerT", bound=_Takes)
ClientT = TypeVar("ClientT")
CheckpointsT = TypeVar("CheckpointsT")


class HubSubscription(Generic[ConsumerT, ClientT, CheckpointsT]):
    """Holds what both are made with; each runs in its own way."""

    def __init__(
        self,
        consumer: ConsumerT,
        client: ClientT,
        checkpoints: CheckpointsT | None = None,
        *,
        starting_position: str | int | dict[str, Any] = "-1",
        made_again: MadeAgain = "stop",
        pace: Pace | None = None,
    ) -> None:
        """Say what to subscribe to.

        Args:
            consumer: takes the events; one for asyncio is closed by the caller.
            client: of the SDK, made with a checkpoint store; this closes it.
            checkpoints: the client's checkpoint store, where it is the one of this package, in the consumer's own database.
            starting_position: of a partition without a checkpoint; `-1` is its beginning, `@latest` its end.
            made_again: what to do where the hub was deleted and made again since the checkpoints were written: `stop` with a
                StreamMadeAgainError, or forget them and `begin` at the starting position. Noticed with `checkpoints` only.
            pace: how much at once.

        Raises:
            ValueError: dead letters would be lost.
        """
        if consumer.settings.dead_letters == "returned":
            raise ValueError("Event Hubs has no room for dead letters: set Settings.dead_letters to a table or a function")
        self._consumer = consumer
        self._client = client
        self._checkpoints = checkpoints
        self._starting_position = starting_position
        self._made_again = made_again
        self._pace = pace or Pace()
        self._partitions = Partitions(starting_position)
        self._failure: StoppedError | None = None
