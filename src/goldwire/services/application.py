"""Builds everything from a configuration: the store, the contracts, the targets and their relays."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from random import SystemRandom
from types import TracebackType
from typing import TYPE_CHECKING, Self

from goldwire.changelog.compatibility import Upgrade
from goldwire.changelog.location import StoreLocation
from goldwire.changelog.ports.store import Store
from goldwire.changelog.rows import Cursor
from goldwire.clock import Clock, RisingClock, SystemClock, seconds
from goldwire.config.model import TargetConfig
from goldwire.config.reader import Loaded, load
from goldwire.errors import ConfigError, NotFoundError, did_you_mean
from goldwire.invariants import require_assertions
from goldwire.mastering.model import Model
from goldwire.services.contract_documents import AppliedContracts, document
from goldwire.targets import registry
from goldwire.targets.base import Target
from goldwire.targets.settings import Settings, paths_of

if TYPE_CHECKING:  # these are imported where they are used: a command that needs no relay starts twice as fast
    from goldwire.mastering.engine import Mastering
    from goldwire.relay.connection import StoreCall
    from goldwire.relay.contract_revisions import ContractRevisions
    from goldwire.relay.metrics import Recorder
    from goldwire.relay.placement.reservation import PlacementGuard
    from goldwire.relay.relay import Relay

_SQLITE = "sqlite:///"
_NEW_STORE_MODE = 0o600
"""It holds every value unmasked. SQLite gives the files beside it the same rights."""


class Application:
    """All that one configuration describes; parts are built when they are asked for.

    Args:
        loaded: the configuration.
        clock: wall time, monotonic time and sleep.

    Raises:
        ConfigError: Python leaves assertions out.
    """

    def __init__(self, loaded: Loaded, clock: Clock | None = None) -> None:
        require_assertions()
        self.loaded = loaded
        self.clock: Clock = clock or SystemClock()
        self._documents: dict[str, bytes] = {}

    @classmethod
    def of(cls, file: Path) -> Self:
        """Read a configuration and return what it describes.

        Raises:
            ConfigError: it is wrong, or Python leaves assertions out.
        """
        require_assertions()
        return cls(load(file))

    def with_configuration(self, loaded: Loaded) -> Self:
        """Return what another configuration of the same store describes; the store is shared, and closed by this one.

        Raises:
            ConfigError: it names another store.
        """
        before, after = (one.path(one.config.store.path) for one in (self.loaded, loaded))
        if before != after:
            raise ConfigError(f"{loaded.file}: `store.path` is {after}, and relays run on {before}; end them, then start anew")
        fresh = type(self)(loaded, self.clock)
        fresh.__dict__["store"] = self.store
        return fresh

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if "store" in self.__dict__:
            self.store.close()

    @property
    def store_location(self) -> StoreLocation:
        """Where the store is, whether it is there or not."""
        return StoreLocation(self.loaded.path(self.loaded.config.store.path))

    @cached_property
    def store(self) -> Store:
        """The store, opened; made where there is none."""
        from goldwire.changelog.sqlite.store import SqliteStore  # noqa: PLC0415 - commands without a store start without it

        path = self.store_location.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # it is there, or cannot be: opening it will say so
            path.touch(mode=_NEW_STORE_MODE, exist_ok=False)
        return SqliteStore(path)

    def upgrade_store(self) -> Upgrade:
        """Bring the store to this Goldwire's schema; a store that is there already stays as it is.

        Raises:
            InputError: there is no store, or a newer Goldwire wrote it.
            StoreBusyError: a relay works on a target, or another process has the store open, and would be shut out.
        """
        from goldwire.changelog.sqlite.upgrade import upgrade  # noqa: PLC0415 - see above

        return upgrade(self.store_location.path)

    @cached_property
    def mastering(self) -> Mastering:
        """Mastering under the configured model.

        Raises:
            ConfigError: the model contradicts itself.
        """
        from goldwire.mastering.engine import Mastering  # noqa: PLC0415 - only `ingest` and `apply` need it

        config = self.loaded.config
        try:
            return Mastering(Model(config.types, config.tags))
        except ConfigError as error:
            raise ConfigError(f"{self.loaded.file}: {error}") from error

    def check_model(self) -> None:
        """See that the configured model does not contradict itself.

        Raises:
            ConfigError: it does.
        """
        _ = self.mastering  # it is built here, which is what checks the model

    def keep_time_rising(self) -> float:
        """Let the clock never be behind the newest change in the log.

        A row without a time of its own is dated by the clock. On a clock that was set back it would count as older than what
        is known, and be ignored.

        Returns:
            by how many seconds the clock is behind; 0 where it is not.
        """
        position = self.store.position()
        if position == 0:
            return 0.0
        newest = seconds(self.store.rows([position])[position].committed_at)
        behind_seconds = max(newest - self.clock.now(), 0.0)
        if isinstance(self.clock, RisingClock):
            self.clock.keep_above(newest)
        else:
            self.clock = RisingClock(self.clock, newest)
        return behind_seconds

    def target_config(self, name: str) -> TargetConfig:
        """Return a target's part of the configuration.

        Raises:
            NotFoundError: there is none of this name.
        """
        targets = self.loaded.config.targets
        if name not in targets:
            raise NotFoundError(f"{self.loaded.file} has no target {name}{did_you_mean(name, targets)}")
        return targets[name]

    def document(self, name: str) -> bytes:
        """Return all that a target's contract is compiled from, as it would be applied now."""
        if name not in self._documents:
            self._documents[name] = document(self.loaded, name)
        return self._documents[name]

    def contracts(self, name: str, where_failed: Callable[[str], None] | None = None) -> ContractRevisions:
        """Return the contracts of a target: every revision that was ever applied, compiled when it is needed.

        Args:
            name: the target.
            where_failed: called with the reason, each time that a `where` has no result.
        """
        from goldwire.relay.contract_revisions import ContractRevisions  # noqa: PLC0415 - see above

        return ContractRevisions(name, AppliedContracts(self.loaded, name).compile, where_failed)

    def check_keys(self, name: str) -> None:
        """See that the masks' keys are those that the target's newest contract revision was applied with.

        Raises:
            ConfigError: they are not.
        """
        revisions = self.store.revisions(name)
        if revisions:
            AppliedContracts(self.loaded, name).check_keys(revisions[-1])

    def settings(self, name: str) -> Settings:
        """Return a target's settings with every reference resolved.

        A setting that its kind declares as a path, and the file of a `sqlite:///` address, starts at the folder of the
        configuration, wherever the command is run.

        Raises:
            ConfigError: a variable or a file is missing, or what it holds does not fit.
        """
        config = self.target_config(name)
        where = self.loaded.where("targets", name, "settings")
        plain = self.loaded.references.resolve(config.settings, where)
        paths = paths_of(registry.settings_type(config.kind))
        for key, value in plain.items():
            if value and key in paths:
                plain[key] = str(self.loaded.path(value))
            elif isinstance(value, str) and value.startswith(_SQLITE) and not value.startswith((_SQLITE + "/", _SQLITE + ":")):
                plain[key] = _SQLITE + str(self.loaded.path(value.removeprefix(_SQLITE)))
        return registry.parse_settings(config.kind, name, plain)

    def target(self, name: str) -> Target:
        """Return a target, not yet open.

        Raises:
            ConfigError: a setting is wrong.
        """
        return registry.build(self.target_config(name).kind, name, self.settings(name), self.clock)

    def relay(
        self,
        name: str,
        recorder: Recorder,
        call: StoreCall,
        placement: PlacementGuard,
        progress: Callable[[Cursor], None] | None = None,
    ) -> Relay:
        """Return the relay of one target.

        Args:
            name: the target.
            recorder: where metrics go.
            call: how the store is reached.
            placement: asked before anything is sent.
            progress: called with the cursor after each settlement.
        """
        from goldwire.relay.observer import Observer  # noqa: PLC0415 - see above
        from goldwire.relay.relay import Relay  # noqa: PLC0415

        config = self.target_config(name)
        observer = Observer(name, recorder)
        return Relay(
            name,
            self.store,
            self.target(name),
            self.contracts(name, observer.where_failed),
            config.delivery,
            clock=self.clock,
            random=SystemRandom(),
            observer=observer,
            start=config.start,
            call=call,
            placement=placement,
            progress=progress,
        )
