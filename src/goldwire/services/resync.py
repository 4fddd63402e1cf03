"""Asking for a resync: what it would come to, and its record."""

from __future__ import annotations

from collections.abc import Sequence
from random import SystemRandom
from typing import Protocol

from goldwire.changelog.ports.consents import Consents
from goldwire.changelog.ports.resyncs import Resyncs
from goldwire.changelog.resyncs import FOREIGN, Resync, ResyncScope, ResyncState
from goldwire.changelog.rows import Revision
from goldwire.clock import Clock, timestamp
from goldwire.errors import InputError, TargetStoppedError
from goldwire.relay.contract_revisions import ContractRevisions
from goldwire.relay.resync import Progress, ResyncPlan, ResyncStore, RevisionEffects, plan_resync
from goldwire.relay.settings import GuardSettings
from goldwire.services.account import account
from goldwire.services.contract_documents import AppliedContracts
from goldwire.services.guards import goes_beyond
from goldwire.services.lookup import cursor_of, history_of


class GuardedResyncStore(ResyncStore, Consents, Protocol):
    """What a resync is counted with, and what its target's guards are measured by."""


class ResyncService:
    """The resyncs of one target: what one would come to, and asking for it.

    Args:
        target: its name.
        store: the log, and what the target was sent of it.
        contracts: those of the target.
        clock: the time.
        guards: how much may leave the target before a person says yes.
    """

    def __init__(
        self, target: str, store: GuardedResyncStore, contracts: AppliedContracts, clock: Clock, guards: GuardSettings
    ) -> None:
        self._guards = guards
        self._target = target
        self._store = store
        self._contracts = contracts
        self._clock = clock

    def entities(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the ids of entities that a person names by id or by `SYSTEM/ID`.

        Raises:
            NotFoundError: there is none of this name.
        """
        return tuple(dict.fromkeys(history_of(self._store, name)[0].entity_id for name in names))

    def plan(
        self,
        scope: ResyncScope,
        entities: Sequence[str] = (),
        *,
        revision: Revision | None = None,
        progress: Progress | None = None,
    ) -> ResyncPlan:
        """Return what a resync would come to; nothing is sent and nothing is written.

        Args:
            scope: what is sent again.
            entities: entity ids; none: all.
            revision: one that is not applied yet, to measure by; None: the newest that is.
            progress: called with the number of entities judged so far.

        Raises:
            NotFoundError: the target has not begun.
            ConfigError: no contract was applied, or a key is not the one that it was applied with.
        """
        cursor = cursor_of(self._store, self._target)
        revisions = ContractRevisions(self._target, self._contracts.compile)
        revisions.refresh([*self._store.revisions(self._target), *([revision] if revision is not None else [])])
        effects = RevisionEffects(cursor, revisions, everything=scope == "all")
        return plan_resync(self._store, effects, self._target, entities, progress or _silent)

    def record(
        self,
        scope: ResyncScope,
        plan: ResyncPlan,
        *,
        entities: Sequence[str] = (),
        why: str = "",
        state: ResyncState = "open",
        settings: int = 0,
        yes: bool = False,
    ) -> Resync:
        """Return the record of a new resync, not yet kept; it is held where it goes beyond the guards and no yes was given."""
        now = timestamp(self._clock.now())
        if state == "open" and not yes and goes_beyond(self._store, self._target, self._guards, plan.effects):
            state = "held"
        ended = now if state not in ("open", "held") else None
        return Resync(
            f"{SystemRandom().getrandbits(40):010x}", self._target, scope, self._store.newest_revision(self._target), account(),
            now, why, tuple(entities), state, ended, plan.effects, dict(plan.samples),
            settings,
        )  # fmt: skip

    def ask(
        self,
        scope: ResyncScope,
        entities: Sequence[str] = (),
        *,
        why: str = "",
        yes: bool = False,
        progress: Progress | None = None,
    ) -> Resync:
        """Count what a resync comes to, keep its record, and return that; it is held where it goes beyond the guards.

        Args:
            scope: what is sent again.
            entities: entity ids; none: all.
            why: kept with the record.
            yes: it may go beyond the guards.
            progress: called with the number of entities judged so far.

        Where settings write another thing of each event, what looks different is everything.

        Raises:
            NotFoundError: the target has not begun.
            InputError: one is open that comes to entities which this one does not come to; nothing was kept.
            TargetStoppedError: the target takes nothing before a person lets it run; nothing was kept.
            ConfigError: no contract was applied, or a key is not the one that it was applied with.
        """
        stopped = cursor_of(self._store, self._target).stopped
        lifts = stopped is not None and stopped.startswith(FOREIGN) and scope == "all" and not entities
        if stopped is not None and not lifts:
            raise TargetStoppedError(
                f"target {self._target} is stopped: {stopped}. Mend the cause, then `goldwire resume {self._target}`; no "
                "resync was kept"
            )
        is_everything = self._store.owed(self._target).is_everything
        if is_everything and not entities:
            scope = "all"
        self._refuse_to_drop(scope, entities)
        settings = len(self._store.kept_settings(self._target)) if is_everything and not entities else 0
        plan = self.plan(scope, entities, progress=progress)
        record = self.record(scope, plan, entities=entities, why=why, settings=settings, yes=yes)
        self._store.add_resync(record, self._clock.now())
        if lifts and record.state == "open":
            self._store.stop(self._target, None)
        return record

    def _refuse_to_drop(self, scope: ResyncScope, entities: Sequence[str]) -> None:
        """See that a new resync comes to all that the open one comes to, since it takes its place."""
        found = unended_resync(self._store, self._target)
        if found is not None and (entities or (scope == "stale" and found.scope == "all")):
            raise InputError(
                f"resync {found.id} of target {self._target} is {found.state}, and would end: let it be carried out first, or "
                f"`goldwire resync cancel {found.id}`; nothing was kept"
            )


def unended_resync(store: Resyncs, target: str) -> Resync | None:
    """Return the resync of a target that is open or waits for a yes; a new one ends it, so it is the newest."""
    newest = store.newest_resync(target)
    return newest if newest is not None and newest.state in ("open", "held") else None


def _silent(_done: int) -> None:
    """Report nothing."""
