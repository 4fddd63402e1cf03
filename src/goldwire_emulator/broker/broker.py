"""Opens a broker on its folder and keeps its time: locks that end, messages that fall due, events that are forgotten."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from goldwire_emulator.broker.config import BrokerConfig
from goldwire_emulator.broker.entities import Limits
from goldwire_emulator.broker.event_hubs import LocalEventHubs
from goldwire_emulator.broker.service_bus import ServiceBus
from goldwire_emulator.broker.store import Store
from goldwire_emulator.clock import Clock, SystemClock

_LOG = logging.getLogger(__name__)
_LONGEST_WAIT_SECONDS = 60.0
_SHORTEST_WAIT_SECONDS = 0.005


class Broker:
    """All entities of the emulator.

    Attributes:
        event_hubs: see `port.EventHubs`.
        service_bus: queues, topics and subscriptions.
    """

    def __init__(self, store: Store, config: BrokerConfig, limits: Limits, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._sooner = asyncio.Event()
        self.event_hubs = LocalEventHubs(store, config.hubs, limits, clock)
        self.service_bus = ServiceBus(store, config.queues, config.topics, limits, clock)
        self.service_bus.context.on_sooner(self._sooner.set)

    def together(self) -> AbstractContextManager[Any]:
        """Commit everything that is done within it at once, which is quicker; on an error nothing of it stays."""
        return self._store.transaction()

    def throttle(self, per_second: float | None) -> None:
        """Switch throttling of every hub, queue and topic on, at this rate, or off."""
        throttles = [self.event_hubs.hub(name).throttle for name in self.event_hubs.names()]
        for throttle in (*throttles, *(entrance.throttle for entrance in self.service_bus.entrances.values())):
            throttle.per_second = per_second

    def advance(self) -> int | None:
        """Do what is due; return when the next thing is, in POSIX milliseconds."""
        ends = (self.event_hubs.advance(int(self._clock.now() * 1000)), self.service_bus.advance())
        return min((end for end in ends if end is not None), default=None)

    async def run(self) -> None:
        """Do what falls due, until cancelled."""
        while True:
            self._sooner.clear()
            wait = self._advanced()
            sleep = asyncio.ensure_future(self._clock.sleep(min(max(wait, _SHORTEST_WAIT_SECONDS), _LONGEST_WAIT_SECONDS)))
            sooner = asyncio.ensure_future(self._sooner.wait())
            try:
                await asyncio.wait({sleep, sooner}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleep.cancel()
                sooner.cancel()

    def _advanced(self) -> float:
        """Do what is due; return how many seconds nothing will be."""
        try:
            due = self.advance()
        except sqlite3.Error:
            # The disk is full, say. Nothing was lost; it is tried again.
            _LOG.exception("what was due could not be stored")
            return 1.0
        return _LONGEST_WAIT_SECONDS if due is None else due / 1000 - self._clock.now()

    def close(self) -> None:
        """Close the store."""
        self._store.close()


def open_broker(
    folder: Path | None, config: BrokerConfig, *, limits: Limits | None = None, clock: Clock | None = None
) -> Broker:
    """Open a broker.

    Args:
        folder: keeps everything across restarts; None: in memory.
        config: the entities.
        limits: quotas; None: those of the services' standard tiers.
        clock: None: the machine's.

    Raises:
        InputError: the store contradicts the configuration, or a rule's SQL is not of the language.
        StoreBusyError: another process has the folder open.
    """
    store = Store(folder)
    try:
        with store.transaction():  # a configuration that is refused leaves nothing of itself in the store
            return Broker(store, config, limits or Limits(), clock or SystemClock())
    except BaseException:
        store.close()
        raise
