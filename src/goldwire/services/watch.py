"""Looks into the store each second while relays run, so that what people say of a target is followed and metrics stay true.

A relay reports of itself while it works. It says nothing once it has ended, while it waits for a target that does not open,
and of what other processes do; the store knows all of that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Literal, NamedTuple, Protocol

from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.changelog.ports.ingest import Intakes
from goldwire.changelog.ports.resyncs import Resyncs
from goldwire.changelog.rows import Counts, Cursor, IntakeTotals
from goldwire.clock import Clock, seconds
from goldwire.errors import GoldwireError
from goldwire.observability import metrics
from goldwire.observability.metrics import Recorder
from goldwire.observability.reports import RecordingObserver
from goldwire.relay.ledger import balances
from goldwire.services.run import Supervisor

WATCH_SECONDS = 1.0
"""How often it looks."""

STALLED_SECONDS = 60.0
"""A process that has not looked for so long does not work any more: its store or its event loop hangs."""

Readiness = Literal["delivering", "ended", "stopped", "failed", "not open"]
"""`not open`: the relay runs, and its target cannot be opened so far."""


class Standing(NamedTuple):
    """Where one target stands in the store."""

    cursor: Cursor
    counts: Counts
    stale: int


class WatchStore(Deliveries, Resyncs, Intakes, Protocol):
    """Where targets stand, and how much came in."""


class Watch:
    """Follows the store for one process, beside its relays.

    Args:
        supervisor: runs the relays; the store is reached as theirs is.
        store: theirs.
        clock: the time.
        recorder: where metrics go.
        looked: called with where each of its targets stands, each time.
    """

    def __init__(
        self, supervisor: Supervisor, store: WatchStore, clock: Clock, recorder: Recorder,
        looked: Callable[[Mapping[str, Standing]], None] | None = None,
    ) -> None:  # fmt: skip
        self._supervisor = supervisor
        self._store = store
        self._clock = clock
        self._recorder = recorder
        self._looked = looked
        self._looked_at = clock.monotonic()
        self._looked_once = False
        self._known: frozenset[str] = frozenset()
        self._readiness: dict[str, Readiness] = {}

    async def run(self) -> None:
        """Look again and again, until the task is cancelled."""
        while True:
            with suppress(GoldwireError):  # a store that is busy or full: the relays meet that too, and have more to say of it
                await self.look()
            await self._clock.sleep(WATCH_SECONDS)

    async def look(self) -> None:
        """Look once: follow stops and resumes, and report where targets stand.

        Raises:
            GoldwireError: the store cannot be read now.
        """
        names = [one.target for one in self._supervisor.status() if one.state is not None]
        standings = await self._supervisor.call(self._read, names)
        await self._supervisor.follow({name: standing.cursor.stopped for name, standing in standings.items()})
        self._report(standings)
        self._report_intake(await self._supervisor.call(self._store.intake))
        if self._looked is not None:
            self._looked(standings)
        self._looked_at = self._clock.monotonic()
        self._looked_once = True

    @property
    def healthy(self) -> bool:
        """Whether the process works, as it does while it begins. Safe to ask from any thread."""
        return self._clock.monotonic() - self._looked_at < STALLED_SECONDS

    @property
    def ready(self) -> bool:
        """Whether it delivers to all of its targets. Safe to ask from any thread."""
        return self._looked_once and self.healthy and all(state == "delivering" for state in self._readiness.values())

    @property
    def readiness(self) -> dict[str, Readiness]:
        """By target, whether it is delivered to. Safe to ask from any thread."""
        return self._readiness

    def _read(self, names: list[str]) -> dict[str, Standing]:
        found = {}
        for name in names:
            cursor = self._store.cursor(name)
            if cursor is not None:
                found[name] = Standing(cursor, self._store.counts(name), self._store.owed(name).entities)
        return found

    def _report_intake(self, found: Sequence[IntakeTotals]) -> None:
        for one in found:
            for metric, value in (
                (metrics.INGEST_ROWS, one.rows),
                (metrics.INGEST_REJECTS, one.rejected),
                (metrics.INGEST_VERSIONS, one.versions),
                (metrics.INGEST_MERGES, one.merges),
            ):
                self._recorder.total(metric, one.source, value=value)
            self._recorder.gauge(metrics.INGEST_AGE, one.source, value=max(self._clock.now() - seconds(one.last_at), 0.0))

    def _report(self, standings: Mapping[str, Standing]) -> None:
        states = {one.target: one.state for one in self._supervisor.status() if one.state is not None}
        for name, (cursor, counts, stale) in standings.items():
            RecordingObserver(name, self._recorder).status(
                counts, balanced=balances(counts), stopped=cursor.stopped is not None, stale=stale
            )
        for name, state in states.items():
            if state != "running":  # an open replay waits for the next relay
                self._recorder.gauge(metrics.REPLAYING, name, value=0)
        for name in self._known - states.keys():  # a target that is no longer configured has no lag
            self._recorder.forget(name)
        self._known = frozenset(states)
        self._readiness = {name: "delivering" if state == "running" else state for name, state in sorted(states.items())}
        for name, standing in standings.items():
            if self._readiness.get(name) == "delivering" and standing.cursor.unopened is not None:
                self._readiness[name] = "not open"
