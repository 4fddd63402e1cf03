"""Asks the brokers behind targets how far subscribers are: once for a command, again and again for the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

from msgspec import Struct

from goldwire.clock import Clock, timestamp
from goldwire.errors import ConfigError, GoldwireError
from goldwire.observability import metrics
from goldwire.observability.metrics import Recorder
from goldwire.services.run import Supervisor
from goldwire.services.targets import TargetMaker
from goldwire.targets.base import ShowsSubscribers, SubscriberLag
from goldwire.targets.settings import SubscribersSettings

LOOK_SECONDS = 1.0
"""How often it is looked whether a target is due."""


class SubscriberReport(Struct, frozen=True):
    """How far the subscribers of one target are, as its broker says."""

    target: str
    asked_at: str
    subscribers: list[SubscriberLag]
    """In the order of the broker's answer; empty where it gave none."""
    error: str | None
    """Why it gave none."""


def asked_for(targets: TargetMaker, name: str) -> SubscribersSettings | None:
    """Return what the settings of a target say of its subscribers; None where they say nothing.

    Raises:
        NotFoundError: there is no target of this name.
        ConfigError: a setting is wrong.
    """
    found: SubscribersSettings | None = getattr(targets.settings(name), "subscribers", None)
    return found


def with_subscribers(targets: TargetMaker) -> list[str]:
    """Return the targets whose settings say something of subscribers; their references are not resolved."""
    return [name for name in targets.names if (targets.config(name).settings or {}).get("subscribers") is not None]


async def report_on(targets: TargetMaker, name: str, clock: Clock) -> SubscriberReport:
    """Ask the broker of one target.

    Raises:
        NotFoundError: there is no target of this name.
        ConfigError: its settings say nothing of subscribers, or its kind has none.
    """
    target = targets.make(name)
    if not isinstance(target, ShowsSubscribers):
        raise ConfigError(f"target {name} is of kind {targets.config(name).kind}, which knows nothing of subscribers")
    if asked_for(targets, name) is None:
        raise ConfigError(f"target {name}: `settings.subscribers` is not set, which says whose lag is looked at")
    asked_at = timestamp(clock.now())
    try:
        return SubscriberReport(name, asked_at, list(await target.subscribers()), None)
    except (GoldwireError, OSError) as error:
        return SubscriberReport(name, asked_at, [], str(error))
    except Exception as error:  # noqa: BLE001 - a target may be written by a third party
        return SubscriberReport(name, asked_at, [], f"target {name} could not be asked ({type(error).__name__})")


class SubscriberWatch:
    """Asks the brokers of a process's targets in turn, and keeps the metrics of subscribers true.

    Args:
        supervisor: knows the targets of the process, and how they are configured now.
        clock: the time.
        recorder: where metrics go.
        failed: called with target and reason, once for each reason, where a broker does not answer.
    """

    def __init__(self, supervisor: Supervisor, clock: Clock, recorder: Recorder, failed: Callable[[str, str], None]) -> None:
        self._supervisor = supervisor
        self._clock = clock
        self._recorder = recorder
        self._failed = failed
        self._due: dict[str, float] = {}
        self._said: dict[str, str] = {}

    async def run(self) -> None:
        """Ask again and again, until the task is cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Ask the brokers that are due, all at once, so that one that does not answer holds up no other."""
        targets, ours = self._supervisor.ours()
        watched = [name for name in with_subscribers(targets) if name in ours]
        for name in self._due.keys() - set(watched):
            self._forget(name)
        now = self._clock.monotonic()
        due = [name for name in watched if self._due.get(name, -inf) <= now]
        await asyncio.gather(*(self._ask(targets, name) for name in due))

    async def _ask(self, targets: TargetMaker, name: str) -> None:
        try:
            settings = asked_for(targets, name)
            every_seconds = settings.every_seconds if settings is not None else 0.0
            self._due[name] = self._clock.monotonic() + every_seconds
            report = await report_on(targets, name, self._clock)
        except GoldwireError as error:
            self._due[name] = self._clock.monotonic() + SubscribersSettings().every_seconds
            report = SubscriberReport(name, timestamp(self._clock.now()), [], str(error))
        self._record(report)

    def _record(self, report: SubscriberReport) -> None:
        self._recorder.forget_of(_GAUGES, report.target)  # of a group that is not asked about any more
        self._recorder.gauge(metrics.SUBSCRIBERS_KNOWN, report.target, value=int(report.error is None))
        for one in report.subscribers:
            self._recorder.gauge(
                metrics.SUBSCRIBER_LAG, report.target, one.subscriber, one.partition or "", value=one.waiting
            )  # fmt: skip
            if one.dead_letters is not None:
                self._recorder.gauge(metrics.BROKER_DEAD_LETTERS, report.target, one.subscriber, value=one.dead_letters)
        if report.error is not None and self._said.get(report.target) != report.error:
            self._failed(report.target, report.error)
        self._said[report.target] = report.error or ""

    def _forget(self, name: str) -> None:
        del self._due[name]
        self._said.pop(name, None)
        self._recorder.forget_of((*_GAUGES, metrics.SUBSCRIBERS_KNOWN), name)


_GAUGES = (metrics.SUBSCRIBER_LAG, metrics.BROKER_DEAD_LETTERS)
