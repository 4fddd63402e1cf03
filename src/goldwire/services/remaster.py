"""Mastering again what is in the store, under the present model: batch by batch, each in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence

from msgspec import Struct

from goldwire.changelog.ports.store import Store
from goldwire.errors import NotFoundError, did_you_mean
from goldwire.mastering.model import Model
from goldwire.mastering.remaster import Remaster
from goldwire.mastering.workspace import Living, Workspace
from goldwire.services.application import Application
from goldwire.services.garbage_collection import without_collection
from goldwire.services.mastering_rules import note_mastered

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


def remaster(
    application: Application,
    entity_type: str | None = None,
    *,
    dry_run: bool = False,
    batch_size: int = BATCH_SIZE,
    correlation_id: str | None = None,
    progress: Callable[[int, int, Remastered], None] | None = None,
) -> Remastered:
    """Master everything again. What was cut off is simply begun again: what is done already commits nothing.

    Args:
        application: what one configuration describes.
        entity_type: only these; None: all.
        dry_run: do it on a copy of the store.
        batch_size: entities in one transaction.
        correlation_id: travels with every change; a new one unless given.
        progress: called after each batch with steps done, steps in all, and what came of it so far.

    Raises:
        NotFoundError: there is no such entity type.
        ConfigError: the model contradicts itself.
        StoreBusyError, StoreFullError: the batch in hand was rolled back; repeating the command does the rest.
    """
    config = application.loaded.config
    if entity_type is not None and entity_type not in config.types:
        raise NotFoundError(
            f"{application.loaded.file} has no entity type {entity_type}{did_you_mean(entity_type, config.types)}"
        )
    application.check_model()
    types = {name: each for name, each in config.types.items() if entity_type in (None, name)}
    result = Remastered(correlation_id or f"remaster-{uuid.uuid4()}", dry_run, sorted(types))
    work = _Remastering(application, Remaster(Model(types, config.tags)), result, batch_size, progress)
    if dry_run:
        with application.store.rehearsal() as copy:
            work.all(copy)
    else:
        work.all(application.store)
        note_mastered(application, result.types)
    return result


class _Remastering:
    def __init__(
        self,
        application: Application,
        master: Remaster,
        result: Remastered,
        batch_size: int,
        progress: Callable[[int, int, Remastered], None] | None,
    ) -> None:
        self._application = application
        self._master = master
        self._result = result
        self._batch_size = batch_size
        self._progress = progress

    def all(self, store: Store) -> None:
        """Do both passes."""
        self._pass(store, 0, self._master.rekey)
        self._pass(store, 1, self._revise)
        self._result.position = store.position()

    def _pass(self, store: Store, passed: int, step: Callable[[Sequence[Living], Workspace], None]) -> None:
        ordinal, upto = 0, None
        while True:
            with without_collection(), store.ingest(self._application.clock.now()) as workspace:
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
