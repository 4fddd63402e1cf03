"""Mastering again what is in the store, under the present model: batch by batch, each in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from goldwire.changelog.ports.ingest import Ingest
from goldwire.changelog.ports.log import Log
from goldwire.clock import Clock
from goldwire.errors import NotFoundError, did_you_mean
from goldwire.mastering.model import Model
from goldwire.mastering.remaster import Remaster
from goldwire.mastering.workspace import Living, Workspace
from goldwire.services.garbage_collection import without_collection
from goldwire.services.mastering_rules import MasteringStore, note_mastered

BATCH_SIZE = 500
"""Entities in one transaction: few enough that ingest and relays never wait long for their turn to write."""


class Remastered(Struct):
    """What mastering again did, or would do."""

    correlation_id: str
    dry_run: bool
    types: list[str]
    entities: int = 0
    """Living entities looked at."""
    versions: int = 0
    """New versions committed, tombstones included."""
    merges: int = 0
    """Entities that were merged into another one."""
    position: int = 0
    """The newest position of the log afterwards."""


class WorkedStore(Ingest, Log, Protocol):
    """What both passes read and commit to: the store, or a copy of it."""


class RemasterStore(WorkedStore, MasteringStore, Protocol):
    """What is mastered again, and keeps under which rules that was done."""


RemasterProgress = Callable[[int, int, Remastered], None]
"""Called with steps done, steps in all, and what came of it so far."""


class RemasterService:
    """Masters everything again under one model.

    Args:
        store: where the records are.
        model: all entity types and tags; it does not contradict itself.
        clock: the time.
        file: of the configuration, for errors.
    """

    def __init__(self, store: RemasterStore, model: Model, clock: Clock, file: Path) -> None:
        self._store = store
        self._model = model
        self._clock = clock
        self._file = file

    def run(
        self,
        entity_type: str | None = None,
        *,
        dry_run: bool = False,
        batch_size: int = BATCH_SIZE,
        correlation_id: str | None = None,
        progress: RemasterProgress | None = None,
    ) -> Remastered:
        """Master everything again. What was cut off is simply begun again: what is done already commits nothing.

        Args:
            entity_type: only these; None: all.
            dry_run: do it on a copy of the store.
            batch_size: entities in one transaction.
            correlation_id: travels with every change; a new one unless given.
            progress: called after each batch.

        Raises:
            NotFoundError: there is no such entity type.
            StoreBusyError, StoreFullError: the batch in hand was rolled back; repeating the command does the rest.
        """
        known = self._model.types
        if entity_type is not None and entity_type not in known:
            raise NotFoundError(f"{self._file} has no entity type {entity_type}{did_you_mean(entity_type, known)}")
        types = {name: each for name, each in known.items() if entity_type in (None, name)}
        result = Remastered(correlation_id or f"remaster-{uuid.uuid4()}", dry_run, sorted(types))
        work = _Passes(
            Remaster(Model(types, self._model.tags, self._model.placeholders)), self._clock, result, batch_size, progress
        )
        if dry_run:
            with self._store.rehearsal() as copy:
                work.all(copy)
        else:
            work.all(self._store)
            note_mastered(self._store, self._model, self._clock.now(), result.types)
        return result


class _Passes:
    def __init__(
        self, master: Remaster, clock: Clock, result: Remastered, batch_size: int, progress: RemasterProgress | None
    ) -> None:
        self._master = master
        self._clock = clock
        self._result = result
        self._batch_size = batch_size
        self._progress = progress

    def all(self, store: WorkedStore) -> None:
        """Do both passes."""
        self._pass(store, 0, self._master.rekey)
        self._pass(store, 1, self._revise)
        self._result.position = store.position()

    def _pass(self, store: WorkedStore, passed: int, step: Callable[[Sequence[Living], Workspace], None]) -> None:
        ordinal, upto = 0, None
        while True:
            with without_collection(), store.ingest(self._clock.now()) as workspace:
                # What is founded meanwhile is mastered under the present model anyway.
                upto = workspace.newest_ordinal() if upto is None else upto
                batch = [entity for entity in workspace.living(ordinal, self._batch_size) if entity.ordinal <= upto]
                step(batch, workspace)
            if not batch:
                return
            ordinal = batch[-1].ordinal
            if self._progress is not None:
                self._progress(passed * upto + ordinal, 2 * upto, self._result)

    def _revise(self, batch: Sequence[Living], workspace: Workspace) -> None:
        done = self._master.revise(batch, workspace, self._result.correlation_id)
        self._result.entities += done.entities
        self._result.versions += done.versions
        self._result.merges += done.merges
