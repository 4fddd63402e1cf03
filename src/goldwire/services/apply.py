"""Applying a configuration: everything is checked before anything is kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, Protocol

import msgspec
from msgspec import Struct

from goldwire.canonical import canonical
from goldwire.changelog.ports.consents import Consents
from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.changelog.ports.log import Log
from goldwire.changelog.ports.resyncs import Resyncs
from goldwire.changelog.ports.revisions import Revisions
from goldwire.changelog.resyncs import EffectCounts, Resync, ResyncScope, ResyncState
from goldwire.changelog.rows import Cursor, Revision
from goldwire.clock import Clock
from goldwire.config.reader import Loaded
from goldwire.errors import ConfigError, ContractError
from goldwire.relay.placement.check import check_placement, refuse, shared_destinations
from goldwire.relay.placement.placements import Placements
from goldwire.relay.placement.record import kept_settings
from goldwire.services.contract_documents import AppliedContracts, document, preview
from goldwire.services.mastering_rules import note_mastered
from goldwire.services.model import checked_model
from goldwire.services.placement import ConfiguredPlacements, keep_settings, reshaped, settings_document
from goldwire.services.resync import ResyncService, unended_resync
from goldwire.services.sole_destinations import sole_destination_conflicts
from goldwire.services.targets import TargetMaker

Change = Literal["new", "changed", "unchanged"]

ApplyProgress = Callable[[str, int], None]
"""Called with a target and the number of its entities that were judged so far."""


class ApplyResult(Struct, frozen=True):
    """What applying did to one target."""

    target: str
    contract: str
    change: Change
    revision: int
    effective_after: int
    """It seals the positions above this one."""
    settings: Change
    """Of kind, settings, start and delivery: these count from the next `goldwire run` on."""
    sealed_before: int = 0
    """Open positions that the revision before still seals: a person who tightens a contract must know of them."""
    effects: EffectCounts | None = None
    """What the revision does to what the target holds; None where it is no news, or the target has not begun."""
    samples: dict[str, tuple[str, ...]] = {}
    """By effect, some entity ids."""
    resync: str | None = None
    """The resync that sends again what looks different now; None where there is none."""
    needs_yes: bool = False
    """More would leave the target than its guards let go, so the resync waits for `goldwire resume TARGET --yes`."""
    warnings: tuple[str, ...] = ()
    """What is allowed, but has an effect that its author may not expect."""

    @property
    def takes_effect(self) -> str:
        """The same in words."""
        return f"from position {self.effective_after + 1}" if self.effective_after else "from the start"


class ApplyStore(Log, Deliveries, Resyncs, Revisions, Consents, Protocol):
    """What keeps what was applied, and from which position on."""


class ApplyService:
    """Checks a whole configuration, and keeps what is new of it.

    Args:
        store: where it is kept.
        loaded: the configuration.
        targets: its targets.
        clock: the time.
    """

    def __init__(self, store: ApplyStore, loaded: Loaded, targets: TargetMaker, clock: Clock) -> None:
        self._store = store
        self._loaded = loaded
        self._targets = targets
        self._clock = clock
        self._configured = ConfiguredPlacements(loaded, targets)

    def run(
        self, *, check: bool, resend: bool = True, yes: bool = False, progress: ApplyProgress | None = None
    ) -> list[ApplyResult]:
        """Check every target and, unless `check`, keep what is new.

        Args:
            check: keep nothing.
            resend: send again what looks different now; otherwise it is counted as stale until a resync mends that.
            yes: what is sent again may go beyond the guards.
            progress: called with the target and the number of its entities that were judged.

        Raises:
            ContractError, ConfigError: something is wrong; the text has a line for each problem, and nothing was kept.
        """
        names = sorted(self._targets.names)
        self._check_all(names)
        now, placements = self._clock.now(), self._configured.read(self._store, applying=True)
        done = [self._one(name, placements, now, check, resend, yes, progress or _silent) for name in names]
        if not check:
            note_mastered(self._store, checked_model(self._loaded), self._clock.now())
            self._store.keep_configuration(canonical(msgspec.to_builtins(self._loaded.config)), now)
        return done

    def _one(
        self, name: str, placements: Placements, now: float, check: bool, resend: bool, yes: bool, progress: ApplyProgress
    ) -> ApplyResult:
        store, config = self._store, self._targets.config(name)
        before = store.revisions(name)
        wanted = document(self._loaded, name)
        settings = settings_document(config)
        kept = kept_settings(store, name)
        if before and before[-1].document == wanted:
            change: Change = "unchanged"
        else:
            change = "changed" if before else "new"
        settings_change: Change = "new" if not kept else "unchanged" if kept[-1].document == settings else "changed"
        cursor = store.cursor(name)
        is_reshaped = bool(kept) and reshaped(kept[-1].document, settings)
        planned = None
        if cursor is not None and (is_reshaped or change == "changed"):
            number = self._settings_number(name, len(kept), is_reshaped=is_reshaped)
            planned = self._planned(cursor, wanted if change == "changed" else None, number, resend, yes, progress)
        if check:
            number = before[-1].revision + (change == "changed") if before else 1
            after = before[-1].effective_after if before and change == "unchanged" else 0
            after = cursor.reach if change == "changed" and cursor is not None else after
        else:
            if planned is not None and change == "unchanged":
                store.add_resync(planned, now)
            revision = store.apply_revision(name, wanted, now, planned)
            keep_settings(store, name, config, self._clock.now())
            number, after = revision.revision, revision.effective_after
        position = cursor.position if cursor is not None else after
        left = max(after - position, 0) if change == "changed" else 0
        warnings = self._warnings(placements, name)
        effects, samples = (planned.planned, planned.samples) if planned is not None else (None, {})
        opened = planned.id if planned is not None and planned.state in ("open", "held") and not check else None
        held = planned is not None and planned.state == "held"
        return ApplyResult(
            name, config.contract, change, number, after, settings_change, left, effects, samples, opened, held, warnings
        )  # fmt: skip

    def _planned(
        self, cursor: Cursor, wanted: bytes | None, settings: int, resend: bool, yes: bool, progress: ApplyProgress
    ) -> Resync:
        """Judge what the target holds by what is not kept yet; return the record of the resync that it leads to.

        Args:
            cursor: where the target stands.
            wanted: the contract's document; None: it is no news.
            settings: the number of settings that write another thing of each event and have not reached the target; 0: none.
            resend: whether it is to be carried out,
            yes: and may go beyond the guards.
            progress: see `run`.
        """
        name = cursor.target
        contracts, guards = AppliedContracts(self._loaded, name), self._targets.config(name).guards
        service = ResyncService(name, self._store, contracts, self._clock, guards)
        found = unended_resync(self._store, name)
        # An unended resync that this one takes the place of may come to more than what the contract changes.
        scope: ResyncScope = "all" if settings or (found is not None and found.scope == "all") else "stale"
        newest = self._store.newest_revision(name)
        candidate = None if wanted is None else Revision(newest + 1, cursor.reach, "", wanted)
        plan = service.plan(scope, revision=candidate, progress=partial(progress, name))
        # Also where nothing is stale: a relay may send under the revision before until this one is kept.
        state: ResyncState = "open" if resend else "declined" if plan.effects.stale else "done"
        why = "the settings changed" if wanted is None else "the contract changed"
        return service.record(scope, plan, why=why, state=state, settings=settings, yes=yes)

    def _settings_number(self, name: str, kept: int, *, is_reshaped: bool) -> int:
        """Return for which settings everything has to be sent again; 0 where none is owed."""
        if is_reshaped:
            return kept + 1
        return kept if self._store.owed(name).is_everything else 0

    def _warnings(self, placements: Placements, name: str) -> tuple[str, ...]:
        shared = shared_destinations(placements, self._targets.names, name)
        return (*self._unseen_changes(name), *(f"{self._loaded.file}: {text}" for text in shared))

    def _unseen_changes(self, name: str) -> tuple[str, ...]:
        config = self._targets.config(name)
        where = preview(self._loaded, name).where
        if where is None or not where.uses_changed or config.delivery.mode == "every":
            return ()
        text = (
            f"{self._loaded.where('targets', name, 'contract')}: the `where` of {config.contract} looks at `changed`, and "
            "`mode: latest` never looks at superseded versions, so changes may go unsent; set `delivery: {mode: every}`"
        )
        return (text,)

    def _check_all(self, names: list[str]) -> None:
        checked_model(self._loaded)
        found: list[ConfigError] = []
        for name in names:
            for step in (self._compile, self._targets.make):
                try:
                    step(name)
                except ConfigError as error:
                    found.append(error)
        found += sole_destination_conflicts(self._loaded, self._targets)
        try:
            refuse(check_placement(self._configured.read(self._store, applying=True), names))
        except ConfigError as error:
            found.append(error)
        if found:
            kind = ContractError if all(isinstance(error, ContractError) for error in found) else ConfigError
            raise kind("\n".join(dict.fromkeys(str(error) for error in found)))

    def _compile(self, name: str) -> None:
        try:
            preview(self._loaded, name)
        except ContractError as error:
            raise ContractError(f"{self._loaded.where('targets', name, 'contract')}: {error}") from error


def _silent(_target: str, _done: int) -> None:
    """Report nothing."""
