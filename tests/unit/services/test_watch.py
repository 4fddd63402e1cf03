"""A process that begins is well, and not ready before it has looked whether it delivers."""

from __future__ import annotations

import asyncio
from pathlib import Path

from goldwire.clock import SystemClock
from goldwire.config.reader import load_document
from goldwire.observability.metrics import Recorder
from goldwire.services.application import Application
from goldwire.services.run import Supervisor
from goldwire.services.watch import STALLED_SECONDS, Watch

DOCUMENT = {"types": {"C": {"attributes": {"name": {}}}}}


class SteppedClock(SystemClock):
    """The time since the beginning, as a test sets it."""

    passed_seconds = 0.0

    def monotonic(self) -> float:
        return self.passed_seconds


def test_a_process_is_well_from_its_beginning_ready_once_it_has_looked_and_neither_once_it_hangs(tmp_path: Path) -> None:
    clock = SteppedClock()
    with Application(load_document(DOCUMENT, tmp_path), clock) as application:

        async def story() -> None:
            async with Supervisor(application.relays()) as supervisor:
                watch = Watch(supervisor, application.store, clock, Recorder())
                assert (watch.healthy, watch.ready) == (True, False)
                await watch.look()
                assert (watch.healthy, watch.ready) == (True, True)
                clock.passed_seconds = STALLED_SECONDS
                assert (watch.healthy, watch.ready) == (False, False)

        asyncio.run(story())
