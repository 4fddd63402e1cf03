"""Opens a target, again and again until it answers, and lets `goldwire status` tell why it does not."""

from __future__ import annotations

from random import Random

from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.changelog.rows import Cursor
from goldwire.clock import Clock
from goldwire.errors import ConfigError
from goldwire.relay.connection import Connection
from goldwire.relay.pace import backoff_seconds
from goldwire.relay.settings import DeliverySettings
from goldwire.relay.stop import Stop
from goldwire.relay.store_call import StoreCall


class Opening:
    """How one relay comes to an open target.

    Args:
        store: where the reason is kept.
        connection: to the target.
        settings: how long to wait between two attempts.
        clock, random: time and jitter.
        call: how the store is reached.
        stop: ends the attempts.
    """

    def __init__(
        self, store: Deliveries, connection: Connection, settings: DeliverySettings, *,
        clock: Clock, random: Random, call: StoreCall, stop: Stop,
    ) -> None:  # fmt: skip
        self._store = store
        self._connection = connection
        self._settings = settings
        self._clock = clock
        self._random = random
        self._call = call
        self._stop = stop
        self._noted: str | None = None

    async def open(self, cursor: Cursor) -> bool:
        """Try until the target is open; False when a stop was asked for first.

        Args:
            cursor: as it was claimed.

        Raises:
            GoldwireError: waiting mends nothing.
        """
        self._noted = cursor.unopened
        failures = 0
        while not self._stop.asked:
            if await self._connection.open():
                await self._note(cursor, None)
                return True
            failures += 1
            if not self._stop.asked:
                await self._note(cursor, self._connection.closed_because)
                await self._stop.unless(self._clock.sleep(backoff_seconds(self._settings, failures, self._random)))
        return False

    async def gave_up(self, cursor: Cursor, error: ConfigError) -> None:
        """Keep that waiting mends nothing, whether the target found that out as it opened or later."""
        await self._note(cursor, str(error))

    async def _note(self, cursor: Cursor, reason: str | None) -> None:
        if self._noted != reason:
            await self._call(self._store.note_unopened, cursor.target, cursor.epoch, reason, self._clock.now())
            self._noted = reason
