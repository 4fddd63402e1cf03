"""The Python API: one configuration, opened, with what the command line does as methods that return structs.

The same services stand under both. Errors are those of `goldwire.errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from goldwire.changelog.replays import Replay, Tally
from goldwire.config.reader import load, load_document
from goldwire.errors import InputError, NotFoundError, did_you_mean
from goldwire.event.chain import ChainFinding, Verified
from goldwire.observability.logs import set_up_logs
from goldwire.services.application import Application
from goldwire.services.apply import ApplyResult
from goldwire.services.dead_letters import DeadLetter, dead_letters, discard, named_letters, redrive
from goldwire.services.delivery import TargetRun, deliver, run_targets, target_runs
from goldwire.services.entity import EntityAtTarget, EntityHistory, EntityVersion, entity_history
from goldwire.services.event_loop import run_in_thread
from goldwire.services.ingest import Ingested
from goldwire.services.ledger import LedgerReport, LedgerTerms, ledger_reports
from goldwire.services.relays import ConfiguredRelays
from goldwire.services.replay import ReplayRequest, carry_out, runs_elsewhere
from goldwire.services.run import RelayEnd, Supervisor
from goldwire.services.status import Status, TargetStatus, status
from goldwire.services.verify import verify_files

__all__ = [
    "ApplyResult",
    "ChainFinding",
    "DeadLetter",
    "EntityAtTarget",
    "EntityHistory",
    "EntityVersion",
    "Goldwire",
    "Ingested",
    "LedgerReport",
    "LedgerTerms",
    "Replay",
    "ReplayRequest",
    "Status",
    "Tally",
    "TargetRun",
    "TargetStatus",
    "Verified",
]  # fmt: skip

Files = str | Path | Sequence[str | Path]


class Goldwire:
    """All that one configuration describes; a context manager that closes the store.

    Not for several threads at once: an object belongs to the thread that uses it.

    Args:
        configuration: the path of a `goldwire.yaml`, or what one holds as a dict.
        folder: where relative paths start with a dict; the working directory unless given.

    Raises:
        ConfigError: the configuration is wrong; the text has a line for each problem.
    """

    def __init__(self, configuration: str | Path | Mapping[str, Any], *, folder: str | Path | None = None) -> None:
        if isinstance(configuration, Mapping):
            loaded = load_document(configuration, Path(folder) if folder is not None else Path.cwd())
        else:
            loaded = load(Path(configuration))
        self._application = Application(loaded)
        if not structlog.is_configured():  # else the program has said where log lines go
            set_up_logs(loaded.config.log.format, loaded.config.log.level)

    @classmethod
    def open(cls, configuration: str | Path | Mapping[str, Any], *, folder: str | Path | None = None) -> Self:
        """Return the same as the class itself does; it reads well after `with`."""
        return cls(configuration, folder=folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._application.__exit__(kind, error, trace)

    def close(self) -> None:
        """Close the store."""
        self.__exit__(None, None, None)

    @property
    def targets(self) -> list[str]:
        """The names of the configured targets, sorted."""
        return sorted(self._application.loaded.config.targets)

    def apply(self, *, check: bool = False) -> list[ApplyResult]:
        """Check the whole configuration, and keep each target's contract as a revision.

        Args:
            check: only check, and return what would change.

        Raises:
            ConfigError: something is wrong; nothing was kept. ContractError is one of them.
        """
        return self._application.apply_service().run(check=check)

    def ingest(
        self,
        source: str | None,
        files: Files | None = None,
        *,
        rejects: str | Path | None = None,
        batch_size: int = 1_000,
        correlation_id: str | None = None,
        progress: Callable[[Ingested], None] | None = None,
    ) -> Ingested:
        """Take files in: good rows are committed whatever bad rows stand beside them.

        Args:
            source: which source of the configuration says how the files are read; None: JSON lines of facts and decisions.
            files: one or several, in order; None: the one that the source's `path` names.
            rejects: a file where each rejected row is named; without it the result names the first twenty.
            batch_size: rows in one transaction.
            correlation_id: travels with every change; a new one unless given.
            progress: called after each batch.

        Raises:
            NotFoundError: there is no such source.
            InputError: a file is unusable, or none is named.
            StoreBusyError, StoreFullError: the batch in hand was rolled back; repeating the call takes the rest.
        """
        found = self._files(source, files)
        return self._application.ingest_service().files(
            source,
            found,
            rejects_file=Path(rejects) if rejects is not None else None,
            batch_size=batch_size,
            correlation_id=correlation_id,
            progress=progress,
        )

    def ingest_rows(self, rows: Sequence[Mapping[str, Any]], *, correlation_id: str | None = None) -> Ingested:
        """Take facts and decisions in that are at hand as dicts, in the form of Goldwire's own JSON lines.

        Args:
            rows: each with `record` and `attributes`, or with `decision`.
            correlation_id: travels with every change; a new one unless given.

        Raises:
            StoreBusyError, StoreFullError: nothing was committed.
        """
        return self._application.ingest_service().rows(rows, correlation_id=correlation_id)

    def run(
        self, *targets: str, until_caught_up: bool = True, progress: Callable[[str, int], None] | None = None
    ) -> list[TargetRun]:
        """Deliver the log to targets, in order per entity, at least once. Works in a notebook too.

        One target that fails does not hold up the others; its `error` says why. Ctrl-C ends gracefully.

        Args:
            targets: their names; none: all.
            until_caught_up: end when nothing is pending; otherwise go on until Ctrl-C.
            progress: called with target and position after each settlement, in another thread.

        Raises:
            ConfigError: a target must not be delivered to as it is configured, or has no applied contract; nothing was sent.
            NotFoundError: a target is not configured.
            KeyboardInterrupt: Ctrl-C was pressed, and what was in flight is settled.
        """
        relays, names = self._checked(targets)
        ends = run_targets(relays, names, until_caught_up=until_caught_up, progress=_position(progress))
        return self._runs(ends)

    async def run_async(
        self, *targets: str, until_caught_up: bool = True, progress: Callable[[str, int], None] | None = None
    ) -> list[TargetRun]:
        """Deliver as `run` does, on the running event loop. To cancel the task ends the relays gracefully.

        Args:
            targets: their names; none: all.
            until_caught_up: end when nothing is pending; otherwise go on until the task is cancelled.
            progress: called with target and position after each settlement.

        Raises:
            ConfigError: a target must not be delivered to as it is configured, or has no applied contract; nothing was sent.
            NotFoundError: a target is not configured.
        """
        relays, names = self._checked(targets)
        supervisor = Supervisor(relays, until_caught_up=until_caught_up, progress=_position(progress))
        return self._runs(await deliver(supervisor, names))

    def status(self) -> Status:
        """Return where the log and every target stand."""
        return status(self._application.loaded, self._application.store)

    def ledger(self, *targets: str, recount: bool = False) -> list[LedgerReport]:
        """Return what became of every committed change, for each target.

        Args:
            targets: their names; none: all that have begun.
            recount: count all rows too, and compare.

        Raises:
            NotFoundError: a target has not begun.
            StoreCorruptError: the rows contradict one another.
        """
        return ledger_reports(self._application.store, targets, recount=recount)

    def entity(self, name: str) -> EntityHistory:
        """Return a golden record, unmasked, with its versions and what each target was last sent of it.

        Args:
            name: its entity id, or `SYSTEM/ID` of one of its records.

        Raises:
            NotFoundError: there is none.
        """
        return entity_history(self._application.store, name)

    def dead_letters(self, target: str | None = None, *, limit: int = 1_000) -> list[DeadLetter]:
        """Return deliveries that were given up, oldest first.

        Raises:
            NotFoundError: the target has not begun.
        """
        return dead_letters(self._application.store, target, limit)

    def redrive(self, target: str, *positions: int) -> int:
        """Make dead letters due for delivery again; the next run delivers them, and what is parked behind them.

        Args:
            target: whose they are.
            positions: `seq` of each; none: all.

        Returns:
            how many.

        Raises:
            NotFoundError: the target has not begun, or has no dead letter at a position.
        """
        return redrive(self._application.store, self._application.clock, target, positions or None)

    def discard(self, target: str, *positions: int) -> int:
        """Give dead letters up: they stay dead in the ledger, and no longer hold up what is parked behind them.

        One that is `ambiguous` may have arrived; to discard it breaks the chain of its entity if it did.

        Args:
            target: whose they are.
            positions: `seq` of each; at least one.

        Returns:
            how many.

        Raises:
            InputError: no position is given.
            NotFoundError: the target has not begun, or has no dead letter at a position.
        """
        if not positions:
            raise InputError(f"name the positions of the dead letters of {target} to discard; `dead_letters` returns them")
        store = self._application.store
        letters = [one for one in named_letters(store, target, positions) if one.state == "dead"]
        return discard(store, self._application.clock, target, letters)

    def replay(self, target: str, request: ReplayRequest | None = None, *, rate: float | None = None, why: str = "") -> Replay:
        """Repeat what a target was sent, byte for byte and in order. Works in a notebook too.

        Where another process runs the target's relay, that one carries it out, and the record returned is still open.

        Args:
            target: the target.
            request: what is repeated; all unless given.
            rate: events a second at most.
            why: the record keeps it.

        Raises:
            InputError: the request contradicts itself, or selects nothing.
            TargetStoppedError, ConfigError: the target cannot be delivered to.
        """
        store = self._application.store
        relays, _ = self._checked([target])
        service = self._application.replay_service(target)
        record = service.ask(service.select(request or ReplayRequest()), rate=rate, why=why)
        if not runs_elsewhere(store, target):
            supervisor = Supervisor(relays)
            run_in_thread(
                lambda: carry_out(supervisor, relays, record), end=supervisor.end, cancel=supervisor.cancel
            )  # fmt: skip
        return next(one for one in store.replays(target) if one.id == record.id)

    @staticmethod
    def verify(files: Files, *, partial: bool = False, found: Callable[[Path, ChainFinding], None] | None = None) -> Verified:
        """Check every event's hash, and that each follows on the one before it of its entity. Needs nothing but the files.

        Args:
            files: JSON lines of events, in the order in which they were written.
            partial: the files are not the first ones, so chains may begin anywhere.
            found: called with each finding.

        Raises:
            InputError: a file cannot be read.
        """
        return verify_files(_paths(files), from_the_start=not partial, found=found or (lambda _file, _finding: None))

    def _checked(self, targets: Sequence[str]) -> tuple[ConfiguredRelays, list[str]]:
        relays = self._application.relays()
        names = list(dict.fromkeys(targets or relays.names))
        relays.check(names)
        return relays, names

    def _runs(self, ends: Sequence[RelayEnd]) -> list[TargetRun]:
        return target_runs(self._application.store, ends)

    def _files(self, source: str | None, files: Files | None) -> list[Path]:
        loaded = self._application.loaded
        sources = loaded.config.sources
        if source is not None and source not in sources:
            raise NotFoundError(f"{loaded.file} has no source {source}{did_you_mean(source, sources)}")
        if files is not None:
            return _paths(files)
        path = sources[source].path if source is not None else None
        if path is None:
            raise InputError("name the files to ingest, or give the source a `path`")
        return [loaded.path(path)]


def _paths(files: Files) -> list[Path]:
    return [Path(files)] if isinstance(files, str | Path) else [Path(file) for file in files]


def _position(progress: Callable[[str, int], None] | None) -> Callable[[str, Any], None] | None:
    return None if progress is None else lambda name, cursor: progress(name, cursor.position)
