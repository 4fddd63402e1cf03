"""Masters what a simulation draws, batch after batch, and all of it again when the rules have changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial

from goldwire.mastering.engine import Mastering
from goldwire.mastering.golden import tombstone
from goldwire.mastering.model import Model
from goldwire.mastering.remaster import Remaster
from goldwire.mastering.workspace import Change, Living, Workspace
from goldwire_lab.simulation.workload import MODELS, Batch, Entry, Erasure, Remodel

_ALL = 1_000_000

Transaction = Callable[[], AbstractContextManager[Workspace]]


class Course:
    """All mastering of one seed, under the rules of the moment. They are configuration, so they outlive a crash.

    Args:
        at_once: master everything again in one transaction, whatever the seed says of their size: it must come out the same.
    """

    def __init__(self, *, at_once: bool = False) -> None:
        self._at_once = at_once
        self.model = 0
        """Which of `MODELS` holds."""
        self.restore(0)

    def restore(self, model: int) -> None:
        """Let other rules hold, without mastering anything again: those of an earlier moment."""
        self.model = model
        self._mastering = Mastering(MODELS[model])

    def carry_out(self, batch: Batch, transaction: Transaction, correlation_id: str) -> Iterator[None]:
        """Do one batch; it yields after each transaction."""
        if isinstance(batch, Remodel):
            self.restore(batch.model)
            entities = _ALL if self._at_once else batch.entities
            yield from _remaster(MODELS[batch.model], entities, transaction, correlation_id)
            return
        with transaction() as workspace:
            self._take(batch, workspace, correlation_id)
        yield

    def _take(self, batch: Sequence[Entry], workspace: Workspace, correlation_id: str) -> None:
        """Master facts and decisions; then erase the people who ask to be forgotten."""
        self._mastering.apply([entry for entry in batch if not isinstance(entry, Erasure)], workspace, correlation_id)
        records = workspace.records([entry.record for entry in batch if isinstance(entry, Erasure)])
        heads = workspace.entities(sorted({record.entity_id for record in records.values()}))
        workspace.commit_changes(
            Change(
                head.entity_id, head.entity_type, head.version + 1, "erased", tombstone(head.state), "", correlation_id,
                head.steward,
            )
            for head in heads.values()
            if head.kind == "live"
        )  # fmt: skip


def _remaster(model: Model, entities: int, transaction: Transaction, correlation_id: str) -> Iterator[None]:
    """Do what `goldwire remaster` does: two passes, so many entities in each transaction."""
    master = Remaster(model)
    steps: tuple[Callable[[Sequence[Living], Workspace], object], ...] = (
        master.rekey,
        partial(master.revise, correlation_id=correlation_id),
    )
    for step in steps:
        ordinal = 0
        batch: Sequence[Living] = (Living(0, "", ""),)
        while batch:
            with transaction() as workspace:
                batch = workspace.living(ordinal, entities)
                step(batch, workspace)
            ordinal = batch[-1].ordinal if batch else ordinal
            yield
