"""Throttling as the services do it: it refuses with server-busy what comes too fast; the client may send it again later."""

from __future__ import annotations

from goldwire_emulator.broker.refusals import BusyError
from goldwire_emulator.clock import Clock


class Throttle:
    """Lets a second's worth through at once and then no more than the rate.

    Args:
        clock: measures how much time has passed.
        per_second: the rate; None lets everything through. It may be set at any time, which is how a test turns
            throttling on and off.
    """

    def __init__(self, clock: Clock, per_second: float | None) -> None:
        self._clock = clock
        self._per_second = per_second
        self._left = per_second or 0.0
        self._looked = clock.monotonic()

    @property
    def per_second(self) -> float | None:
        """The rate, or None."""
        return self._per_second

    @per_second.setter
    def per_second(self, rate: float | None) -> None:
        self._per_second = rate
        self._left = rate or 0.0
        self._looked = self._clock.monotonic()

    def take(self, count: int, entity: str) -> None:
        """Count what comes in.

        A batch larger than what is left passes if a whole second's worth is left, or it never could.

        Raises:
            BusyError: the rate is exceeded; nothing was counted.
        """
        rate = self._per_second
        if rate is None:
            return
        now = self._clock.monotonic()
        self._left = min(rate, self._left + (now - self._looked) * rate)
        self._looked = now
        if self._left < min(count, rate):
            raise BusyError(f"{entity} takes {rate:g} a second; wait and send again")
        self._left -= count
