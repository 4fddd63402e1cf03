"""Builds from a configuration its parts, and of them the services that the doors ask for; nothing else knows all of it."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from goldwire.changelog.compatibility import Upgrade
from goldwire.changelog.location import StoreLocation
from goldwire.changelog.ports.store import Store
from goldwire.clock import Clock, RisingClock, SystemClock, seconds
from goldwire.config.reader import Loaded, load
from goldwire.errors import InputError
from goldwire.invariants import require_assertions
from goldwire.services.contract_documents import AppliedContracts
from goldwire.services.model import checked_model
from goldwire.services.targets import TargetMaker

if TYPE_CHECKING:  # these are imported where they are used: a command that needs no relay starts twice as fast
    from goldwire.mastering.engine import Mastering
    from goldwire.mastering.model import Model
    from goldwire.observability.metrics import Recorder
    from goldwire.relay.placement.placements import Placements
    from goldwire.services.apply import ApplyService
    from goldwire.services.ingest import IngestService
    from goldwire.services.redate import RedateService
    from goldwire.services.relays import ConfiguredRelays
    from goldwire.services.remaster import RemasterService
    from goldwire.services.replay import ReplayService
    from goldwire.services.resync import ResyncService

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

    @classmethod
    def of(cls, file: Path) -> Self:
        """Read a configuration and return what it describes.

        Raises:
            ConfigError: it is wrong, or Python leaves assertions out.
        """
        require_assertions()
        return cls(load(file))

    def with_store_of_its_own(self) -> Self:
        """Return what the same configuration describes, with another object on the same store; close it by itself.

        So relays and their caller use the store at the same time, each from a thread of its own.
        """
        return type(self)(self.loaded, self.clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for name in ("store", "_no_store"):
            if name in self.__dict__:
                self.__dict__[name].close()

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

    @property
    def store_to_read(self) -> Store:
        """The store for what only looks: where there is none yet, an empty one in memory, so that looking makes no file.

        Raises:
            InputError: the folder of the configuration is not there.
        """
        if "store" in self.__dict__ or self.store_location.exists():
            return self.store
        if not self.loaded.folder.is_dir():
            raise InputError(f"{self.loaded.folder}: there is no such folder, so no store to read: mend `folder`, or make it")
        return self._no_store

    @cached_property
    def _no_store(self) -> Store:
        from goldwire.changelog.sqlite.store import SqliteStore  # noqa: PLC0415 - see above

        return SqliteStore(":memory:")

    def upgrade_store(self) -> Upgrade:
        """Bring the store to this Goldwire's schema; a store that is there already stays as it is.

        Raises:
            InputError: there is no store, or a newer Goldwire wrote it.
            StoreBusyError: a relay works on a target, or another process has the store open, and would be shut out.
        """
        from goldwire.changelog.sqlite.upgrade import upgrade  # noqa: PLC0415 - see above

        return upgrade(self.store_location.path)

    @property
    def targets(self) -> TargetMaker:
        """The configured targets."""
        return TargetMaker(self.loaded, self.clock)

    @cached_property
    def model(self) -> Model:
        """The configured model.

        Raises:
            ConfigError: it contradicts itself.
        """
        return checked_model(self.loaded)

    @cached_property
    def mastering(self) -> Mastering:
        """Mastering under the configured model.

        Raises:
            ConfigError: the model contradicts itself.
        """
        from goldwire.mastering.engine import Mastering  # noqa: PLC0415 - only `ingest` needs it

        return Mastering(self.model)

    def keep_time_rising(self) -> float:
        """Let the clock never be behind the newest change in the log.

        A row without a time of its own is dated by the clock. On a clock that was set back it would count as older than what
        is known, and be ignored.

        Returns:
            by how many seconds the clock is behind; 0 where it is not.
        """
        position = self.store.position()
        if position == 0 or self.loaded.config.ingest.trust_clock:
            return 0.0
        newest = seconds(self.store.rows([position])[position].committed_at)
        behind_seconds = max(newest - self.clock.now(), 0.0)
        if isinstance(self.clock, RisingClock):
            self.clock.keep_above(newest)
        else:
            self.clock = RisingClock(self.clock, newest)
        return behind_seconds

    def placements(self) -> Placements | None:
        """Return where targets deliver and may have delivered, for one check; None where no store is there that knows it."""
        from goldwire.services.placement import ConfiguredPlacements  # noqa: PLC0415

        return ConfiguredPlacements(self.loaded, self.targets).read(self.store) if self.store_location.exists() else None

    def apply_service(self, *, only_check: bool = False) -> ApplyService:
        """Return what checks the configuration and keeps what is new of it.

        Args:
            only_check: nothing will be kept, so no store is made where there is none.
        """
        from goldwire.services.apply import ApplyService  # noqa: PLC0415

        return ApplyService(self.store_to_read if only_check else self.store, self.loaded, self.targets, self.clock)

    def ingest_service(self) -> IngestService:
        """Return what takes files and rows in; the clock is never behind the newest change in the log now.

        Raises:
            ConfigError: the model contradicts itself.
        """
        from goldwire.services.ingest import IngestService  # noqa: PLC0415

        self.keep_time_rising()
        config = self.loaded.config
        tolerance_seconds = config.ingest.future_tolerance_seconds
        return IngestService(self.store, self.mastering, self.clock, config.sources, tolerance_seconds)

    def remaster_service(self) -> RemasterService:
        """Return what masters everything again under the configured model.

        Raises:
            ConfigError: the model contradicts itself.
        """
        from goldwire.services.remaster import RemasterService  # noqa: PLC0415

        return RemasterService(self.store, self.model, self.clock, self.loaded.file)

    def redate_service(self) -> RedateService:
        """Return what dates back what a false time from the future froze.

        Raises:
            ConfigError: the model contradicts itself.
        """
        from goldwire.mastering.redate import Redate  # noqa: PLC0415 - only `redate` needs it
        from goldwire.services.redate import RedateService  # noqa: PLC0415

        tolerance_seconds = self.loaded.config.ingest.future_tolerance_seconds
        return RedateService(self.store, Redate(self.model), self.clock, tolerance_seconds)

    def replay_service(self, target: str) -> ReplayService:
        """Return what selects, plans and asks for replays of a target.

        Raises:
            NotFoundError: the target is not configured.
        """
        from goldwire.services.replay import ReplayService  # noqa: PLC0415

        limit = self.targets.config(target).delivery.rate_limit_per_second
        return ReplayService(target, self.store, AppliedContracts(self.loaded, target), self.clock, limit)

    def resync_service(self, target: str) -> ResyncService:
        """Return what plans and asks for resyncs of a target.

        Raises:
            NotFoundError: the target is not configured.
        """
        from goldwire.services.resync import ResyncService  # noqa: PLC0415

        guards = self.targets.config(target).guards
        return ResyncService(target, self.store, AppliedContracts(self.loaded, target), self.clock, guards)

    def relays(self, recorder: Recorder | None = None, *, reloads: bool = False, follows_new: bool = False) -> ConfiguredRelays:
        """Return what builds the relays of the configured targets.

        Args:
            recorder: where metrics go.
            reloads: whether this process reads the configuration again on SIGHUP,
            follows_new: and begins new targets then.
        """
        from goldwire.services.relays import ConfiguredRelays  # noqa: PLC0415

        return ConfiguredRelays(
            self.loaded, self.store, self.clock, recorder, reloads=reloads, follows_new=follows_new
        )  # fmt: skip
