"""Applying a configuration: everything is checked before anything is kept."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from goldwire.canonical import canonical
from goldwire.errors import ConfigError, ContractError
from goldwire.relay.placement.check import check_placement, refuse, shared_destinations
from goldwire.relay.placement.placements import Placements
from goldwire.relay.placement.record import kept_settings
from goldwire.services.application import Application
from goldwire.services.contract_documents import preview
from goldwire.services.mastering_rules import note_mastered
from goldwire.services.placement import keep_settings, placements_of, settings_document

Change = Literal["new", "changed", "unchanged"]


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
    warnings: tuple[str, ...] = ()
    """What is allowed, but has an effect that its author may not expect."""

    @property
    def takes_effect(self) -> str:
        """The same in words."""
        return f"from position {self.effective_after + 1}" if self.effective_after else "from the start"


def apply_all(application: Application, *, check: bool) -> list[ApplyResult]:
    """Check every target and, unless `check`, keep what is new.

    Raises:
        ContractError, ConfigError: something is wrong; the text has a line for each problem, and nothing was kept.
    """
    names = sorted(application.loaded.config.targets)
    _check_all(application, names)
    store, now, placements = application.store, application.clock.now(), placements_of(application, applying=True)
    done = []
    for name in names:
        before = store.revisions(name)
        wanted = application.document(name)
        settings = settings_document(application, name)
        kept = kept_settings(store, name)
        if before and before[-1].document == wanted:
            change: Change = "unchanged"
        else:
            change = "changed" if before else "new"
        settings_change: Change = "new" if not kept else "unchanged" if kept[-1].document == settings else "changed"
        if check:
            number = before[-1].revision + (change == "changed") if before else 1
            known = {cursor.target: cursor for cursor in store.cursors()}
            after = before[-1].effective_after if before and change == "unchanged" else 0
            after = known[name].reach if change == "changed" and name in known else after
        else:
            revision = store.apply_revision(name, wanted, now)
            keep_settings(application, name)
            number, after = revision.revision, revision.effective_after
        contract = application.target_config(name).contract
        position = next((cursor.position for cursor in store.cursors() if cursor.target == name), after)
        left = max(after - position, 0) if change == "changed" else 0
        done.append(
            ApplyResult(name, contract, change, number, after, settings_change, left, _warnings(application, placements, name))
        )
    if not check:
        note_mastered(application)
        store.keep_configuration(canonical(msgspec.to_builtins(application.loaded.config)), now)
    return done


def _warnings(application: Application, placements: Placements, name: str) -> tuple[str, ...]:
    shared = shared_destinations(placements, list(application.loaded.config.targets), name)
    return (*_unseen_changes(application, name), *(f"{application.loaded.file}: {text}" for text in shared))


def _unseen_changes(application: Application, name: str) -> tuple[str, ...]:
    config = application.target_config(name)
    where = preview(application.loaded, name).where
    if where is None or not where.uses_changed or config.delivery.mode == "every":
        return ()
    text = (
        f"{application.loaded.where('targets', name, 'contract')}: the `where` of {config.contract} looks at `changed`, and "
        "`mode: latest` never looks at superseded versions, so changes may go unsent; set `delivery: {mode: every}`"
    )
    return (text,)


def _check_all(application: Application, names: list[str]) -> None:
    application.check_model()
    found: list[ConfigError] = []
    for name in names:
        for step in (_compile, _build):
            try:
                step(application, name)
            except ConfigError as error:
                found.append(error)
    try:
        refuse(check_placement(placements_of(application, applying=True), names))
    except ConfigError as error:
        found.append(error)
    if found:
        kind = ContractError if all(isinstance(error, ContractError) for error in found) else ConfigError
        raise kind("\n".join(dict.fromkeys(str(error) for error in found)))


def _compile(application: Application, name: str) -> None:
    try:
        preview(application.loaded, name)
    except ContractError as error:
        raise ContractError(f"{application.loaded.where('targets', name, 'contract')}: {error}") from error


def _build(application: Application, name: str) -> Any:
    return application.target(name)
