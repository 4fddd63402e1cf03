"""Builds the relays that a configuration describes, and checks what must hold before one begins."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from random import SystemRandom

from msgspec import Struct

from goldwire.changelog.ports.store import RelayStore
from goldwire.changelog.rows import Cursor, Start
from goldwire.clock import Clock
from goldwire.config.model import KeysConfig
from goldwire.config.reader import Loaded
from goldwire.errors import ConfigError
from goldwire.observability.metrics import Recorder
from goldwire.observability.reports import RecordingObserver
from goldwire.redaction import shows
from goldwire.relay.connection import StoreCall
from goldwire.relay.contract_revisions import ContractRevisions
from goldwire.relay.placement.record import kept_settings
from goldwire.relay.relay import Relay
from goldwire.relay.settings import DeliverySettings, GuardSettings
from goldwire.services.contract_documents import AppliedContracts
from goldwire.services.holder import Holder
from goldwire.services.placement import ConfiguredPlacements, keep_settings, reshaped, settings_document
from goldwire.services.preflight import check_deliverable
from goldwire.services.resync import ResyncService
from goldwire.services.targets import TargetMaker
from goldwire.targets.base import Claims
from goldwire.targets.settings import Settings


@shows("kind", "start")
class RelayTerms(Struct, frozen=True):
    """The part of a configuration that a relay was built with; without its contract, since a relay follows that itself."""

    kind: str
    settings: Settings
    """References resolved: a secret that was renewed is another setting."""
    start: Start
    delivery: DeliverySettings
    guards: GuardSettings
    keys: KeysConfig
    document: bytes
    """The settings as they are written, with references: what is kept gets another number when they change."""


class ConfiguredRelays:
    """Builds the relays of one configuration.

    Args:
        loaded: the configuration.
        store: what the relays read and settle in.
        clock: wall time, monotonic time and sleep.
        recorder: where metrics go.
        reloads: whether this process reads the configuration again on SIGHUP,
        follows_new: and begins new targets then.
    """

    def __init__(
        self, loaded: Loaded, store: RelayStore, clock: Clock, recorder: Recorder | None = None, *,
        reloads: bool = False, follows_new: bool = False,
    ) -> None:  # fmt: skip
        self._loaded = loaded
        self.store = store
        """The store that relays read and settle in."""
        self.clock = clock
        """The time."""
        self.recorder = recorder or Recorder()
        """The metrics."""
        self._reloads = reloads
        self._follows_new = follows_new
        self.targets = TargetMaker(loaded, clock)
        """The configured targets."""
        self._placements = ConfiguredPlacements(loaded, self.targets)
        self._numbers: dict[str, int] = {}
        self._store_id: str | None = None

    @property
    def names(self) -> list[str]:
        """The configured targets, sorted."""
        return sorted(self.targets.names)

    def with_configuration(self, loaded: Loaded) -> ConfiguredRelays:
        """Return the relays of another configuration of the same store.

        Raises:
            ConfigError: it names another store.
        """
        before, after = (one.path(one.config.store.path) for one in (self._loaded, loaded))
        if before != after:
            raise ConfigError(f"{loaded.file}: `store.path` is {after}, and relays run on {before}; end them, then start anew")
        return ConfiguredRelays(
            loaded, self.store, self.clock, self.recorder, reloads=self._reloads, follows_new=self._follows_new
        )  # fmt: skip

    def terms(self, name: str) -> RelayTerms:
        """Return what a relay of this target is built with now.

        Raises:
            NotFoundError: there is no such target.
            ConfigError: a setting is wrong.
        """
        config = self.targets.config(name)
        settings, keys = self.targets.settings(name), self._loaded.config.keys
        return RelayTerms(
            config.kind, settings, config.start, config.delivery, config.guards, keys, settings_document(config)
        )  # fmt: skip

    def check(self, names: Sequence[str]) -> list[str]:
        """Refuse targets that must not receive anything as configured, and keep the settings of the others. Uses the store.

        Returns:
            the targets whose configured contract is not applied: the applied one goes on to count.

        Raises:
            NotFoundError, ConfigError: see `check_deliverable`; no settings were kept.
        """
        unapplied = self.check_deliverable(names)
        self.keep_settings(names)
        return unapplied

    def check_deliverable(self, names: Sequence[str]) -> list[str]:
        """Refuse targets that must not be delivered to as they are. Uses the store, and writes nothing.

        Returns:
            the targets whose configured contract is not applied: the applied one goes on to count.

        Raises:
            NotFoundError, ConfigError: see `check_deliverable`.
        """
        for name in names:
            self.targets.config(name)
        return check_deliverable(
            names, loaded=self._loaded, store=self.store, placements=self._placements.read(self.store)
        )  # fmt: skip

    def keep_settings(self, names: Sequence[str]) -> None:
        """Keep the settings of targets as they are written, before anything is delivered with them. Uses the store.

        Where they write another thing of each event, and `goldwire apply` has not seen them, a resync is asked for.
        """
        self._store_id = self.store.identity()
        for name in names:
            config, kept = self.targets.config(name), kept_settings(self.store, name)
            if kept and self.store.cursor(name) is not None and reshaped(kept[-1].document, settings_document(config)):
                contracts = AppliedContracts(self._loaded, name)
                service = ResyncService(name, self.store, contracts, self.clock, config.guards)
                why = "the settings changed"
                record = service.record("all", service.plan("all"), why=why, settings=len(kept) + 1)
                self.store.add_resync(record, self.clock.now())
            self._numbers[name] = keep_settings(self.store, name, config, self.clock.now())

    def build(self, name: str, call: StoreCall, progress: Callable[[Cursor], None]) -> Relay:
        """Return the relay of a target, not yet running.

        Args:
            name: the target.
            call: how it reaches the store.
            progress: called with the cursor after each settlement.

        Raises:
            NotFoundError: there is no such target.
            ConfigError: a setting is wrong.
        """
        config = self.targets.config(name)
        observer = RecordingObserver(name, self.recorder)
        number = self._numbers.get(name, 0)
        target = self.targets.make(name)
        if self._store_id is not None and isinstance(target, Claims):
            target.claim_for(self._store_id)
        compile_revision = AppliedContracts(self._loaded, name).compile
        return Relay(
            name,
            self.store,
            target,
            ContractRevisions(name, compile_revision, observer.where_failed),
            config.delivery,
            guards=config.guards,
            settings_number=number,
            note=Holder(os.getpid(), number, self._reloads, self._follows_new).note(),
            clock=self.clock,
            random=SystemRandom(),
            observer=observer,
            start=config.start,
            call=call,
            placement=self._placements.guard(name, self.store, self.clock),
            progress=progress,
        )
