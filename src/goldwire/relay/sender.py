"""Sends items in batches, some at once, within the target's pace; what could not be sent yet comes back untouched."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from aiolimiter import AsyncLimiter

from goldwire.clock import Clock
from goldwire.errors import ConfigError, StoreBusyError, TargetRefusedError
from goldwire.relay.connection import Connection, Stop, StoreCall
from goldwire.relay.divergence import Divergence
from goldwire.relay.observer import Observer
from goldwire.relay.pace import Breaker
from goldwire.relay.placement.reservation import PlacementGuard
from goldwire.relay.settings import DeliverySettings
from goldwire.targets.base import Delivered, Duplicate, Item, Outcome, Rejected, Throttled, Unavailable, Unknown

RESERVE_SECONDS = 30.0
"""How long another process may keep a target from reserving its placement: it reads and writes, which takes it no time."""

RESERVE_AGAIN_SECONDS = 0.05


class PlacementReservation:
    """Whether the target's placement is reserved as its contract is now.

    Args:
        placement: what reserves it.
        call: how the store is reached.
        clock: for the wait while another relay reserves.
        stop: ends that wait.
    """

    def __init__(self, placement: PlacementGuard, call: StoreCall, clock: Clock, stop: Stop) -> None:
        self._placement = placement
        self._call = call
        self._clock = clock
        self._stop = stop
        self._is_made = False

    async def make(self) -> bool:
        """Reserve, unless that was done; False when a stop was asked for first.

        Raises:
            ConfigError: the target may not deliver there.
            StoreBusyError: another process was in the way for too long.
        """
        give_up = self._clock.monotonic() + RESERVE_SECONDS
        while not self._is_made:
            try:
                await self._call(self._placement.reserve)
                self._is_made = True
            except StoreBusyError:
                # The wait is here and not in the store's thread, which all relays share and no signal reaches.
                if self._clock.monotonic() >= give_up:
                    raise
                if not await self._stop.unless(self._clock.sleep(RESERVE_AGAIN_SECONDS)):
                    return False
        return True

    def renew(self) -> None:
        """Reserve once more before anything else is sent."""
        self._is_made = False


class Sender:
    """One target's way out. Items of one call are of different entities, so their order among themselves is free.

    Args:
        connection, settings, breaker, clock, observer, stop: the relay's.
        reservation: of the target's placement; made before anything is sent.
        divergence: looks at what the target says that it holds already.
    """

    def __init__(
        self, connection: Connection, settings: DeliverySettings, breaker: Breaker, clock: Clock, observer: Observer,
        stop: Stop, reservation: PlacementReservation, divergence: Divergence,
    ) -> None:  # fmt: skip
        self._divergence = divergence
        self._connection = connection
        self._settings = settings
        self._breaker = breaker
        self._clock = clock
        self._observer = observer
        self._stop = stop
        self._reservation = reservation
        self._batch_size = min(settings.batch_size, connection.batch_limit)
        self.loss: str | None = None
        """What the target said to have lost, until the relay has kept it."""
        self._limiter: AsyncLimiter | None = None
        if settings.rate_limit_per_second is not None:
            # A batch is let through as a whole, so the bucket must hold one, also after the division's rounding.
            period = max(1.0, self._batch_size / settings.rate_limit_per_second)
            self._limiter = AsyncLimiter(max(settings.rate_limit_per_second * period, self._batch_size), period)

    async def reserve(self) -> bool:
        """Reserve the target's placement, unless that was done; False when a stop was asked for first.

        Raises:
            ConfigError: the target may not deliver there.
        """
        return await self._reservation.make()

    def reserve_again(self) -> None:
        """Reserve once more before anything else is sent: what may be sent has changed."""
        self._reservation.renew()

    async def send(self, items: Sequence[Item]) -> list[Outcome | None]:
        """Send all, as far as the breaker and a stop allow.

        Returns:
            an outcome for each item, or None where it was not attempted.

        Raises:
            ConfigError: the target found a setting wrong, or may not deliver to its destination; nothing more may be sent.
        """
        return await self._divergence.checked(items, await self._sent(items))

    async def _sent(self, items: Sequence[Item]) -> list[Outcome | None]:
        outcomes: list[Outcome | None] = [None] * len(items)
        if not await self.reserve():
            return outcomes
        if len(items) <= self._batch_size:
            await self._send_batch(items, 0, outcomes)
            return outcomes
        starts = iter(range(0, len(items), self._batch_size))

        async def work() -> None:
            for start in starts:
                await self._send_batch(items, start, outcomes)

        batches = -(-len(items) // self._batch_size)
        if self._settings.concurrency == 1:
            await work()
            return outcomes
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._settings.concurrency, batches)):
                    group.create_task(work())
        except BaseExceptionGroup as errors:
            # Not `except*`: it would wrap the error that callers look for into a group again.
            wrong, others = errors.split((ConfigError, TargetRefusedError))
            if wrong is None or others is not None:
                raise
            raise wrong.exceptions[0] from None
        return outcomes

    async def resend(self, items: Sequence[tuple[Item, bool]], alone: Collection[int] = ()) -> list[Outcome | None]:
        """Send again, except what a look-up shows to have arrived the first time.

        Args:
            items: each with whether an earlier attempt may have had its effect.
            alone: the indices of those that failed while the target took others: each goes in a send of its own, so that
                neither takes others with it nor is taken with others.
        """
        arrived = await self._look_up({index: item for index, (item, ambiguous) in enumerate(items) if ambiguous})
        missing = [index for index in range(len(items)) if index not in arrived]
        outcomes: list[Outcome | None] = [arrived.get(index) for index in range(len(items))]
        together = [index for index in missing if index not in alone]
        for group in (together, *([index] for index in missing if index in alone)):
            if group:
                for index, outcome in zip(group, await self.send([items[i][0] for i in group]), strict=True):
                    outcomes[index] = outcome
        return outcomes

    async def _look_up(self, unclear: dict[int, Item]) -> dict[int, Outcome]:
        if not unclear or not self._connection.looks_up or not self._breaker.closed:
            return {}
        versions = await self._connection.held_versions(list(unclear.values()))
        return {
            index: Duplicate()
            for (index, item), version in zip(unclear.items(), versions, strict=True)
            if version is not None and version >= item.event.version
        }

    async def _send_batch(self, items: Sequence[Item], start: int, outcomes: list[Outcome | None]) -> None:
        batch = items[start : start + self._batch_size]
        if not await self._admitted(len(batch)):
            return
        started = self._clock.monotonic()
        answers = await self._connection.send(batch)
        now = self._clock.monotonic()
        answers = self._note(answers, now)
        self._observer.attempt(batch, answers, now - started)
        outcomes[start : start + len(batch)] = answers

    async def _admitted(self, count: int) -> bool:
        """Wait for the rate limit; False when a stop or the breaker keeps this send back.

        A probing breaker lets one send through, the one that finds no other send probing. It is asked again after the wait:
        another send may have opened it meanwhile.
        """
        if self._limiter is not None and self._breaker.admits(self._clock.monotonic()):
            await self._stop.unless(self._limiter.acquire(count))
        return not self._stop.asked and self._breaker.enter(self._clock.monotonic())

    def _note(self, answers: list[Outcome], now: float) -> list[Outcome]:
        """Report to the breaker, and return the answers with no wait longer than the settings allow."""
        self.loss = next((one.reason for one in answers if type(one) is Unknown and one.lost), self.loss)
        throttled = [answer for answer in answers if type(answer) is Throttled]
        if throttled:
            asked = max((t.wait_seconds for t in throttled if t.wait_seconds is not None), default=None)
            if asked is not None and asked > self._settings.wait_limit_seconds:
                self._observer.asked_for_too_long(asked, self._settings.wait_limit_seconds)
                answers, asked = self._capped(answers), self._settings.wait_limit_seconds
            self._breaker.asked_to_wait(now, asked)
        elif any(type(answer) in (Delivered, Duplicate, Rejected) or _counted(answer) for answer in answers):
            self._breaker.succeeded()
        else:
            self._breaker.failed(now)
        return answers

    def _capped(self, answers: list[Outcome]) -> list[Outcome]:
        limit = self._settings.wait_limit_seconds
        return [
            Throttled(limit) if type(answer) is Throttled and (answer.wait_seconds or 0.0) > limit else answer
            for answer in answers
        ]


def _counted(answer: Outcome) -> bool:
    """Say whether the target works and refuses this item alone."""
    return type(answer) is Unavailable and answer.counted
