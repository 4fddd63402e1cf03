"""Dating back what a false time from the future froze: batch by batch, each in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from goldwire.changelog.ports.ingest import Ingest
from goldwire.changelog.ports.log import Log
from goldwire.clock import Clock, seconds, timestamp
from goldwire.mastering.redate import Redate
from goldwire.services.garbage_collection import without_collection

BATCH_SIZE = 500
"""Entities in one transaction: few enough that ingest and relays never wait long for their turn to write."""


class RedateResult(Struct):
    """What was dated back, or would be."""

    correlation_id: str
    dry_run: bool
    latest: str
    """What is dated after this time was dated back."""
    entities: int = 0
    """Entities looked at."""
    records: int = 0
    """Records that held a time from the future."""
    decided: int = 0
    """Entities about which a decision was made at one."""
    versions: int = 0
    """New versions committed, where another value wins now."""
    position: int = 0
    """The newest position of the log afterwards."""
    log_ahead_seconds: float = 0.0
    """How far the newest change in the log is ahead of the clock; 0 where it is not."""


class RedatedStore(Ingest, Log, Protocol):
    """What is dated back, and a copy of it for a rehearsal."""


RedateProgress = Callable[[int, int], None]
"""Called with the entities looked at, and all there are."""


class RedateService:
    """Dates records and decisions back under one configuration.

    Args:
        store: where they are.
        redate: what dates them back.
        clock: the time, which is right now.
        tolerance_seconds: how far a true time may be ahead of it.
    """

    def __init__(self, store: RedatedStore, redate: Redate, clock: Clock, tolerance_seconds: float) -> None:
        self._store = store
        self._redate = redate
        self._clock = clock
        self._tolerance_seconds = tolerance_seconds

    def run(
        self, *, dry_run: bool = False, batch_size: int = BATCH_SIZE, progress: RedateProgress | None = None
    ) -> RedateResult:
        """Date everything back. What was cut off is simply begun again: what is done already holds no such time.

        Args:
            dry_run: do it on a copy of the store.
            batch_size: entities in one transaction.
            progress: called after each batch.

        Raises:
            StoreBusyError, StoreFullError: the batch in hand was rolled back; repeating the command does the rest.
        """
        latest = timestamp(self._clock.now() + self._tolerance_seconds)
        result = RedateResult(f"redate-{uuid.uuid4()}", dry_run, latest)
        if dry_run:
            with self._store.rehearsal() as copy:
                self._all(copy, result, batch_size, progress)
        else:
            self._all(self._store, result, batch_size, progress)
        return result

    def _all(self, store: RedatedStore, result: RedateResult, batch_size: int, progress: RedateProgress | None) -> None:
        entity_ids = [head.entity_id for head in store.heads()]
        for start in range(0, len(entity_ids), batch_size):
            batch = entity_ids[start : start + batch_size]
            with without_collection(), store.ingest(self._clock.now()) as workspace:
                done = self._redate.mend(batch, result.latest, workspace, result.correlation_id)
            result.entities += len(batch)
            result.records += done.records
            result.decided += done.decided
            result.versions += done.versions
            if progress is not None:
                progress(result.entities, len(entity_ids))
        result.position = store.position()
        if result.position:
            newest = seconds(store.rows([result.position])[result.position].committed_at)
            result.log_ahead_seconds = max(newest - self._clock.now(), 0.0)
