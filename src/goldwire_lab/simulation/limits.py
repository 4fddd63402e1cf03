"""Holds the pace of one relay against its settings: its rate, and that nothing leaves once it was asked to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from math import inf

from goldwire.relay.settings import DeliverySettings
from goldwire.targets.base import Item

ROUNDING_SECONDS = 1e-3
"""A send begins some rounds of the loop after it was let go."""

WAITING = 1.0
"""Events of a replay: one that has to wait for the target's own pace counts from when its replay let it go."""


class Limits:
    """What one run of a relay sends, and when.

    Args:
        name: of the target.
        settings: of this run.
        replay_rate: returns how many events a second a replay may repeat, by its id; None: as many as there are.
        time: the virtual time, in seconds.
        report: called with each broken promise.
    """

    def __init__(
        self, name: str, settings: DeliverySettings, replay_rate: Callable[[str], float | None], time: Callable[[], float],
        report: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._name = name
        self._settings = settings
        self._time = time
        self._report = report
        self._sends: list[tuple[float, int]] = []
        self._repeats: dict[str, list[tuple[float, int]]] = {}
        self._replay_rate = replay_rate
        self._in_flight: set[str] = set()
        self.flights = 0
        """Sends that are under way."""
        self.stopped = False
        """A graceful stop was asked for."""

    def leaving(self, items: Iterable[Item]) -> None:
        """Note a send as it begins."""
        listed = list(items)
        ids = [item.event.entity_id for item in listed]
        if self.stopped:
            self._report(f"{self._name}: a send began after the relay was asked to stop")
        if len(listed) > self._settings.batch_size:
            self._report(f"{self._name}: {len(listed)} events left in one send, with batch_size {self._settings.batch_size}")
        if len(set(ids)) < len(ids) or self._in_flight.intersection(ids):
            self._report(f"{self._name}: two events of one entity are in flight")
        self._in_flight.update(ids)
        self.flights += 1
        if self.flights > self._settings.concurrency:
            self._report(f"{self._name}: {self.flights} sends in flight, with concurrency {self._settings.concurrency}")
        self._sends.append((self._time(), len(listed)))
        for replay_id in {item.replay_id for item in listed} - {None}:
            assert replay_id is not None
            repeated = sum(item.replay_id == replay_id for item in listed)
            self._repeats.setdefault(replay_id, []).append((self._time(), repeated))

    def ended(self, items: Iterable[Item]) -> None:
        """Note that a send ended, however it did."""
        self.flights -= 1
        self._in_flight.difference_update(item.event.entity_id for item in items)

    def check(self) -> None:
        """Report a span of time in which more left than a rate allows."""
        rate = self._settings.rate_limit_per_second
        if rate is not None and _exceeds(self._sends, rate, max(rate, self._settings.batch_size)):
            self._report(f"{self._name}: more left than `rate_limit_per_second: {rate:g}` allows")
        for replay_id, repeats in self._repeats.items():
            rate = self._replay_rate(replay_id)
            if rate is not None and _exceeds(repeats, rate, max(1.0, rate) + WAITING):
                self._report(f"{self._name}: {replay_id} repeated more than its rate of {rate:g} allows")


def _exceeds(sends: Sequence[tuple[float, int]], rate: float, burst: float) -> bool:
    """Say whether between any two sends more left than `rate` a second, beside one burst."""
    totals = [0, *accumulate(count for _, count in sends)]
    least = inf
    for (at, _), before, after in zip(sends, totals, totals[1:], strict=False):
        least = min(least, before - rate * at)
        if after - rate * at - least > burst + ROUNDING_SECONDS * rate:
            return True
    return False
