"""Writes the lists of heads that are due while a process runs; how old a list is, its own file says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path

from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.clock import Clock
from goldwire.errors import GoldwireError, NotFoundError
from goldwire.observability import metrics
from goldwire.observability.metrics import Recorder
from goldwire.services.contract_documents import key
from goldwire.services.heads import HeadsWritten, write_heads
from goldwire.services.targets import TargetMaker

LOOK_SECONDS = 5.0
"""How often it is looked whether a list is due."""


class HeadsSchedule:
    """Keeps the lists of a process's targets as new as their configuration wants.

    Args:
        store: returns one of its own, since a long list must not hold up the relays; asked for the first list.
        clock: the time.
        recorder: where metrics go.
        failed: called with target and reason, once for each reason, where a list cannot be written.
    """

    def __init__(
        self, store: Callable[[], Deliveries], clock: Clock, recorder: Recorder, failed: Callable[[str, str], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._recorder = recorder
        self._failed = failed
        self._said: dict[str, str] = {}

    async def run(self, ours: Callable[[], tuple[TargetMaker, Collection[str]]]) -> None:
        """Write what is due again and again, until the task is cancelled; what is being written then is written to its end.

        Args:
            ours: returns the targets as they are configured now, and which of them this process delivers to.
        """
        while True:
            writing = asyncio.create_task(asyncio.to_thread(self.write_due, *ours()))
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                await writing  # the store is closed next
                raise
            await self._clock.sleep(LOOK_SECONDS)

    def write_due(self, targets: TargetMaker, names: Collection[str]) -> list[HeadsWritten]:
        """Write the lists of these targets that are due; what cannot be written is reported, and tried again."""
        written = []
        for name in sorted(names):
            config = targets.config(name).heads
            if config is None:
                continue
            file = targets.loaded.path(config.path)
            try:
                if self._age_seconds(file) >= config.every_seconds:
                    file.parent.mkdir(parents=True, exist_ok=True)
                    signing_key = key(targets.loaded, "heads", f"to sign the heads of target {name}")
                    written.append(write_heads(self._store(), name, file, signing_key))
                self._said.pop(name, None)
                self._recorder.gauge(metrics.HEADS_AGE, name, value=self._age_seconds(file))
            except NotFoundError:
                continue  # its relay has not begun so far
            except (GoldwireError, OSError) as error:
                self._report(name, str(error) if isinstance(error, GoldwireError) else f"{file}: {error.strerror}")
        return written

    def _age_seconds(self, file: Path) -> float:
        """Return how old a file is; endless where there is none, or where its time has yet to come."""
        try:
            age = self._clock.now() - file.stat().st_mtime
        except FileNotFoundError:
            return float("inf")
        return age if age >= -LOOK_SECONDS else float("inf")

    def _report(self, name: str, reason: str) -> None:
        if self._said.get(name) != reason:
            self._failed(name, reason)
        self._said[name] = reason
