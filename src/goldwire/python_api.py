"""The Python API: one configuration, opened, with what the command line does as methods that return structs.

The same services stand under both. Errors are those of `goldwire.errors`: a value of a wrong type, or one out of range, is an
`InputError` that names the parameter, and so is a call after `close`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from goldwire.changelog.replays import Replay, Tally
from goldwire.changelog.resyncs import EffectCounts, Resync
from goldwire.config.reader import load, load_document
from goldwire.errors import InputError, NotFoundError, did_you_mean
from goldwire.event.chain import ChainFinding
from goldwire.observability.logs import set_up_logs
from goldwire.python_arguments import (
    callback,
    configuration_path,
    flag,
    number,
    numbers,
    path,
    paths,
    replay_request,
    text,
    texts,
)
from goldwire.python_arguments import rows as checked_rows
from goldwire.services.application import Application
from goldwire.services.apply import ApplyResult
from goldwire.services.dead_letters import (
    DeadLetter,
    DeadLetterDetail,
    DiscardResult,
    RedriveResult,
    dead_letter_detail,
    dead_letters,
    discard,
    named_letters,
    redrive,
)
from goldwire.services.delivery import TargetRun, carry_out, deliver, run_targets, target_runs
from goldwire.services.entity import EntityAtTarget, EntityHistory, EntityVersion, entity_history
from goldwire.services.event_loop import run_in_thread
from goldwire.services.ingest import Ingested
from goldwire.services.ledger import LedgerReport, LedgerTerms, ledger_reports
from goldwire.services.lookup import replay_of, resync_of
from goldwire.services.relays import ConfiguredRelays
from goldwire.services.replay import ReplayRequest, runs_elsewhere
from goldwire.services.run import Supervisor
from goldwire.services.status import Status, TargetStatus, status
from goldwire.services.verify import FileFinding, VerifyReport, verify_files

__all__ = [
    "ApplyResult",
    "ChainFinding",
    "DeadLetter",
    "DeadLetterDetail",
    "DiscardResult",
    "EffectCounts",
    "EntityAtTarget",
    "EntityHistory",
    "EntityVersion",
    "FileFinding",
    "Goldwire",
    "Ingested",
    "LedgerReport",
    "LedgerTerms",
    "RedriveResult",
    "Replay",
    "ReplayRequest",
    "Resync",
    "Status",
    "Tally",
    "TargetRun",
    "TargetStatus",
    "VerifyReport",
]  # fmt: skip

Files = str | Path | Sequence[str | Path]


class Goldwire:
    """All that one configuration describes; a context manager that closes the store.

    One thread uses an object at a time. While `run_async` delivers, every other method may be called: relays use a store object
    of their own. What only reads makes no store where there is none yet.

    Args:
        configuration: the path of a `goldwire.yaml`, or what one holds as a dict.
        folder: where relative paths start with a dict; the working directory unless given.

    Raises:
        ConfigError: the configuration is wrong; the text has a line for each problem.
        InputError: an argument is of a wrong type; so in all methods. After `close` all that need the store raise it, and what
            only reads does where the folder is not there.
    """

    def __init__(self, configuration: str | Path | Mapping[str, Any], *, folder: str | Path | None = None) -> None:
        start = Path.cwd() if folder is None else path("folder", folder)
        if isinstance(configuration, Mapping):
            loaded = load_document(configuration, start)
        else:
            loaded = load(configuration_path("configuration", configuration))
        self._application = Application(loaded)
        self._closed = False
        if not structlog.is_configured():  # else the program has said where log lines go
            set_up_logs(loaded.config.log.format, loaded.config.log.level)

    @classmethod
    def open(cls, configuration: str | Path | Mapping[str, Any], *, folder: str | Path | None = None) -> Self:
        """Return the same as the class itself does; it reads well after `with`."""
        return cls(configuration, folder=folder)

    def __enter__(self) -> Self:
        _ = self._opened
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closed = True
        self._application.__exit__(kind, error, trace)

    def close(self) -> None:
        """Close the store; a run under way goes on to its end. A second call does nothing."""
        self.__exit__(None, None, None)

    @property
    def targets(self) -> list[str]:
        """The names of the configured targets, sorted."""
        return sorted(self._application.loaded.config.targets)

    def apply(self, *, check: bool = False, resend: bool = True, yes: bool = False) -> list[ApplyResult]:
        """Check the whole configuration, and keep each target's contract as a revision.

        Args:
            check: only check, and return what would change.
            resend: the next run sends again what looks different under a changed contract.
            yes: what is sent again may go beyond the guards of its target.

        Raises:
            ConfigError: something is wrong; nothing was kept. ContractError is one of them.
        """
        flag("resend", resend)
        flag("yes", yes)
        return self._opened.apply_service(only_check=flag("check", check)).run(check=check, resend=resend, yes=yes)

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
        _correlation_id(correlation_id)
        rejects_file = path("rejects", rejects) if rejects is not None else None
        number("batch_size", batch_size)
        callback("progress", progress)
        found = self._files(source, files)
        return self._opened.ingest_service().files(
            source,
            found,
            rejects_file=rejects_file,
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
            InputError: a row cannot be written as JSON; nothing was committed.
            StoreBusyError, StoreFullError: nothing was committed.
        """
        taken = checked_rows("rows", rows)
        return self._opened.ingest_service().rows(taken, correlation_id=_correlation_id(correlation_id))

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
        flag("until_caught_up", until_caught_up)
        moved = _position(progress)
        with self._delivering(targets) as (application, relays, names, unapplied):
            ends = run_targets(relays, names, until_caught_up=until_caught_up, progress=moved)
            return target_runs(application.store, ends, unapplied)

    async def run_async(
        self, *targets: str, until_caught_up: bool = True, progress: Callable[[str, int], None] | None = None
    ) -> list[TargetRun]:
        """Deliver as `run` does, on the running event loop. Cancelling the task ends the relays gracefully.

        Args:
            targets: their names; none: all.
            until_caught_up: end when nothing is pending; otherwise go on until the task is cancelled.
            progress: called with target and position after each settlement.

        Raises:
            ConfigError: a target must not be delivered to as it is configured, or has no applied contract; nothing was sent.
            NotFoundError: a target is not configured.
        """
        flag("until_caught_up", until_caught_up)
        moved = _position(progress)
        with self._delivering(targets) as (application, relays, names, unapplied):
            supervisor = Supervisor(relays, until_caught_up=until_caught_up, progress=moved)
            return target_runs(application.store, await deliver(supervisor, names), unapplied)

    def status(self) -> Status:
        """Return where the log and every target stand."""
        return status(self._opened.loaded, self._opened.store_to_read)

    def ledger(self, *targets: str, recount: bool = False) -> list[LedgerReport]:
        """Return what became of every committed change, for each target.

        Args:
            targets: their names; none: all that have begun.
            recount: count all rows too, and compare.

        Raises:
            NotFoundError: a target has not begun.
            StoreCorruptError: the rows contradict one another.
        """
        return ledger_reports(self._opened.store_to_read, texts("targets", targets), recount=flag("recount", recount))

    def entity(self, name: str) -> EntityHistory:
        """Return a golden record, unmasked, with its versions and what each target was last sent of it.

        Args:
            name: its entity id, or `SYSTEM/ID` of one of its records.

        Raises:
            NotFoundError: there is none.
        """
        return entity_history(self._opened.store_to_read, text("name", name))

    def dead_letters(self, target: str | None = None, *, limit: int = 1_000) -> list[DeadLetter]:
        """Return deliveries that were given up, oldest first.

        Args:
            target: only of this one.
            limit: the most that are returned.

        Raises:
            NotFoundError: the target has not begun.
        """
        of = None if target is None else text("target", target)
        return dead_letters(self._opened.store_to_read, of, number("limit", limit))

    def dead_letter(self, target: str, position: int) -> DeadLetterDetail:
        """Return one delivery that was given up, the change in it, and what waits behind it.

        Args:
            target: whose it is.
            position: its `seq`.

        Raises:
            NotFoundError: the target has not begun, or has no dead letter at this position.
        """
        return dead_letter_detail(self._opened.store_to_read, text("target", target), number("position", position))

    def redrive(self, target: str, *positions: int) -> RedriveResult:
        """Make dead letters due for delivery again; the next run delivers them, and what is parked behind them.

        Args:
            target: whose they are.
            positions: `seq` of each; none: all.

        Raises:
            NotFoundError: the target has not begun, or has no dead letter at a position.
        """
        application = self._opened
        chosen = numbers("positions", positions)
        return redrive(application.store_to_read, application.clock, text("target", target), chosen or None)

    def discard(self, target: str, *positions: int) -> DiscardResult:
        """Give dead letters up: they stay dead in the ledger, and no longer hold up what is parked behind them.

        One that is `ambiguous` may have arrived; to discard it breaks the chain of its entity if it did.

        Args:
            target: whose they are.
            positions: `seq` of each; at least one.

        Raises:
            InputError: no position is given.
            NotFoundError: the target has not begun, or has no dead letter at a position.
        """
        application = self._opened
        text("target", target)
        chosen = numbers("positions", positions)
        if not chosen:
            raise InputError(f"name the positions of the dead letters of {target} to discard; `dead_letters` returns them")
        letters = [one for one in named_letters(application.store_to_read, target, chosen) if one.state == "dead"]
        return discard(application.store_to_read, application.clock, target, letters)

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
        asked = replay_request("request", request)
        text("why", why, empty=True)
        with self._delivering([target]) as (application, relays, _, _):
            service = application.replay_service(target)
            record = service.ask(service.select(asked), rate=rate, why=why)
            if not runs_elsewhere(application.store, target):
                supervisor = Supervisor(relays)
                run_in_thread(
                    lambda: carry_out(supervisor, relays, record, application.store.replays),
                    end=supervisor.end,
                    cancel=supervisor.cancel,
                )
            return replay_of(application.store, record.id)

    def resync(self, target: str, *entities: str, stale: bool = False, why: str = "", yes: bool = False) -> Resync:
        """Send a target again what it should hold. Works in a notebook too.

        Where another process runs the target's relay, that one carries it out, and the record returned is still open.

        Args:
            target: the target.
            entities: entity ids, or `SYSTEM/ID` of one of their records; none: all.
            stale: only what looks different from what was sent.
            why: the record keeps it.
            yes: it may go beyond the guards of the target; without it the record may be `held`, and nothing is sent.

        Raises:
            NotFoundError: the target has not begun, or there is no such entity.
            TargetStoppedError, ConfigError: the target cannot be delivered to.
        """
        texts("entities", entities)
        flag("stale", stale)
        flag("yes", yes)
        text("why", why, empty=True)
        with self._delivering([target]) as (application, relays, _, _):
            service = application.resync_service(target)
            record = service.ask("stale" if stale else "all", service.entities(entities), why=why, yes=yes)
            if record.state != "held" and not runs_elsewhere(application.store, target):
                supervisor = Supervisor(relays)
                run_in_thread(
                    lambda: carry_out(supervisor, relays, record, application.store.resyncs),
                    end=supervisor.end,
                    cancel=supervisor.cancel,
                )
            return resync_of(application.store, record.id)

    @staticmethod
    def verify(
        files: Files, *, partial: bool = False, found: Callable[[Path, ChainFinding], None] | None = None
    ) -> VerifyReport:
        """Check every event's hash, and that each follows on the one before it of its entity. Needs nothing but the files.

        Args:
            files: JSON lines of events, in the order in which they were written.
            partial: the files are not the first ones, so chains may begin anywhere.
            found: called with each finding.

        Raises:
            InputError: a file cannot be read.
        """
        return verify_files(paths("files", files), from_the_start=not flag("partial", partial), found=callback("found", found))

    @property
    def _opened(self) -> Application:
        if self._closed:
            raise InputError("this Goldwire is closed; open the configuration again with `Goldwire.open`")
        return self._application

    @contextmanager
    def _delivering(self, targets: Sequence[str]) -> Iterator[tuple[Application, ConfiguredRelays, list[str], list[str]]]:
        """Check targets, and give relays a store object of their own, so that this one stays free meanwhile.

        Yields:
            the application with that store, its relays, the names of the targets, and those of them whose configured contract
            is not applied.
        """
        asked = texts("targets", targets)
        with self._opened.with_store_of_its_own() as application:
            relays = application.relays()
            names = list(dict.fromkeys(asked or relays.names))
            yield application, relays, names, relays.check(names)

    def _files(self, source: str | None, files: Files | None) -> list[Path]:
        loaded = self._opened.loaded
        sources = loaded.config.sources
        if source is not None and text("source", source) not in sources:
            raise NotFoundError(f"{loaded.file} has no source {source}{did_you_mean(source, sources)}")
        if files is not None:
            return paths("files", files)
        configured = sources[source].path if source is not None else None
        if configured is None:
            raise InputError("name the files to ingest, or give the source a `path`")
        return [loaded.path(configured)]


def _correlation_id(given: str | None) -> str | None:
    return None if given is None else text("correlation_id", given, empty=True)


def _position(progress: Callable[[str, int], None] | None) -> Callable[[str, Any], None] | None:
    callback("progress", progress)
    return None if progress is None else lambda name, cursor: progress(name, cursor.position)
