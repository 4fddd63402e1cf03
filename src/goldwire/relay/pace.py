"""When to send and when to wait: backoff with jitter, the circuit breaker, and the cap on dead letters.

Arithmetic only: it gets the time as an argument and never sleeps, so a test needs no waiting.
"""

from __future__ import annotations

from collections import deque
from math import inf
from random import Random

from goldwire.relay.settings import DeliverySettings

ENDED_WINDOW = 1_000
"""Over how many ended deliveries the share of dead letters is taken."""


def backoff_seconds(settings: DeliverySettings, failures: int, random: Random) -> float:
    """Return how long to wait after the n-th failure: exponential, capped, with the upper half jittered."""
    doubled = settings.backoff_seconds * 2.0 ** min(max(failures, 1) - 1, 60)
    return min(doubled, settings.backoff_limit_seconds) * (0.5 + random.random() / 2)


class Breaker:
    """Gives a target that fails as a whole a rest, then lets one send through to see.

    `closed` lets everything through; after `breaker_failures` failed sends in a row, or when the target asks to wait, it is
    `open` until a time; from then on it is probing: the next send decides.
    """

    def __init__(self, settings: DeliverySettings, random: Random) -> None:
        self._settings = settings
        self._random = random
        self._failures = 0
        self._trips = 0
        self._open_until: float | None = None
        self._probe_out = False
        self._failing_since: float | None = None

    def admits(self, now: float) -> bool:
        """Return whether a send might start at this monotonic time."""
        return self._open_until is None or not (self._probe_out or now < self._open_until)

    def enter(self, now: float) -> bool:
        """Let a send start at this monotonic time, or return False; while probing, only the first caller may."""
        if not self.admits(now):
            return False
        self._probe_out = self._open_until is not None
        return True

    def resting(self, now: float) -> bool:
        """Return whether the relay must not send yet at this monotonic time."""
        return self._open_until is not None and now < self._open_until

    def rest_seconds(self, now: float) -> float:
        """How long nothing may be sent from this monotonic time on."""
        return max((self._open_until or 0.0) - now, 0.0)

    @property
    def closed(self) -> bool:
        """Whether the breaker takes the target for healthy."""
        return self._open_until is None

    def succeeded(self) -> None:
        """Note a send that the target took, at least in part, or answered item by item."""
        self._failures = 0
        self._trips = 0
        self._probe_out = False
        self._open_until = None
        self._failing_since = None

    def failing_seconds(self, now: float) -> float:
        """How long the target has taken nothing of what was sent, at this monotonic time."""
        return 0.0 if self._failing_since is None else now - self._failing_since

    def nothing_waits(self) -> None:
        """Note that what failed is tried no more and nothing else is left: a later failure is the beginning of another time."""
        self._failing_since = None

    def failed(self, now: float) -> None:
        """Note a send of which the target took nothing."""
        self._note_failure(now)
        if self._probe_out or (self._open_until is None and self._failures >= self._settings.breaker_failures):
            self._rest(now, None)

    def asked_to_wait(self, now: float, wait_seconds: float | None) -> None:
        """Note that the target throttles: nothing goes out before it wants to."""
        self._note_failure(now)
        if self._probe_out or self._open_until is None or wait_seconds is not None:
            self._rest(now, wait_seconds)

    def _note_failure(self, now: float) -> None:
        self._failures += 1
        if self._failing_since is None:
            self._failing_since = now

    def _rest(self, now: float, wait_seconds: float | None) -> None:
        # Sends in flight when the rest began do not lengthen it, or many at once would make it endless.
        self._trips += self._probe_out or self._open_until is None
        self._probe_out = False
        wait = wait_seconds if wait_seconds is not None else backoff_seconds(self._settings, self._trips, self._random)
        self._open_until = max(self._open_until or 0.0, now + wait)


class Throttle:
    """How many events may go now at so many a second; what is not used is kept for one second.

    Args:
        rate: events a second; None: no limit.
    """

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._most = max(1.0, rate or 0.0)
        self._left = 1.0
        self._filled_at: float | None = None

    def allowance(self, now: float) -> float:
        """Return how many may go at this monotonic time."""
        if self._rate is None:
            return inf
        passed = 0.0 if self._filled_at is None else now - self._filled_at
        self._left, self._filled_at = min(self._left + passed * self._rate, self._most), now
        return self._left

    def spend(self, count: int) -> None:
        """Note events that went."""
        if self._rate is not None:
            self._left -= count

    def wait_seconds(self, now: float) -> float:
        """How long from this monotonic time until one may go."""
        if self._rate is None:
            return 0.0
        return max((1.0 - self.allowance(now)) / self._rate, 0.0)


class DeadLetterCap:
    """Stops a target with many dead letters: broken configuration must not dead-letter everything."""

    def __init__(self, settings: DeliverySettings) -> None:
        self._ratio = settings.dead_letter_ratio
        self._minimum = settings.dead_letter_minimum
        self._ended: deque[bool] = deque(maxlen=ENDED_WINDOW)
        self._dead = 0

    def delivered(self, count: int) -> None:
        """Note deliveries that the target took."""
        if not self._dead:  # then no dead one can fall out of the window
            self._ended.extend([False] * min(count, ENDED_WINDOW))
            return
        for _ in range(min(count, ENDED_WINDOW)):
            self._note(dead=False)

    def admits_dead(self) -> bool:
        """Note one more dead letter, or say False when the cap is reached and it must stay retrying."""
        dead = self._dead + 1
        if dead > self._minimum and dead > self._ratio * (len(self._ended) + 1):
            return False
        self._note(dead=True)
        return True

    def _note(self, *, dead: bool) -> None:
        if len(self._ended) == ENDED_WINDOW:
            self._dead -= self._ended[0]
        self._ended.append(dead)
        self._dead += dead
