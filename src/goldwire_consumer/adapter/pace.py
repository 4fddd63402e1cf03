"""What the adapters share: when to try again, and how a running one is asked to end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from goldwire_consumer.errors import TryAgainError

R = TypeVar("R")

_LOG = logging.getLogger("goldwire_consumer")


class Pace(Struct, frozen=True, kw_only=True):
    """How much to take at once, and how long to wait."""

    batch: int = 200
    """Messages in one transaction, at most."""
    wait_seconds: float = 1.0
    """How long to wait for a message before looking whether to end."""
    retry_seconds: float = 1.0
    """Before trying again what failed because something is away; doubled each time up to `retry_seconds_max`."""
    retry_seconds_max: float = 30.0
    silence_seconds: float = 30.0
    """Of Event Hubs: how long not one event came, before a look whether one should have; see `event_hubs_partitions`."""


class Retry:
    """Waits longer each time, until something succeeds or the end is asked for."""

    def __init__(self, pace: Pace, stop: threading.Event) -> None:
        self._pace = pace
        self._stop = stop
        self._failures = 0

    def attempt(self, action: Callable[[], R]) -> R | None:
        """Do it; when it is to be tried again, wait and return None.

        Raises:
            StoppedError: as the action does.
        """
        try:
            done = action()
        except TryAgainError as error:
            seconds = min(self._pace.retry_seconds * 2**self._failures, self._pace.retry_seconds_max)
            self._failures = min(self._failures + 1, 16)
            _LOG.warning("not acknowledged, tried again in %g seconds: %s", seconds, str(error))
            self._stop.wait(seconds)
            return None
        self._failures = 0
        return done
