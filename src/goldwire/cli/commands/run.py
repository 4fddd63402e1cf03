"""`goldwire run`: delivers the log to the targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldwire.cli.exit_codes import INTERRUPTED, exit_code
from goldwire.cli.logs import begin_log
from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import complain, counted, note, progress, say, show, table, warn_unapplied

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from goldwire.changelog.ports.deliveries import Deliveries
    from goldwire.changelog.rows import Counts
    from goldwire.clock import Clock
    from goldwire.errors import GoldwireError
    from goldwire.observability.metrics import Recorder
    from goldwire.services.delivery import TargetRun
    from goldwire.services.heads_schedule import HeadsSchedule
    from goldwire.services.ledger import LedgerTerms
    from goldwire.services.run import RelayEnd, Supervisor
    from goldwire.services.subscribers import SubscriberWatch
    from goldwire.services.watch import Standing, Watch


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(run)


def run(
    *,
    target: Annotated[list[str] | None, typer.Option("--target", "-t", help="Only this target; may be repeated.")] = None,
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="End when nothing is pending, instead of waiting for more.")
    ] = False,
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", min=1, max=65535, help="The same as --metrics-address 127.0.0.1:PORT.")
    ] = None,
    metrics_address: Annotated[
        str | None,
        typer.Option(
            "--metrics-address", metavar="HOST:PORT", help="Serve /metrics to Prometheus there, and /health and /ready."
        ),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Deliver the log to every target, in order per entity, at least once.

    Ctrl-C or SIGTERM ends gracefully: what is in flight is settled. A target that has to stop does not hold up the others, and
    goes on as soon as it is resumed; without --until-caught-up the command waits for that. SIGHUP has it read the
    configuration again: new targets begin, removed ones end, changed or failed ones begin anew. The exit code is that of the
    first error.
    """
    from goldwire.cli.signals import run_until_signalled
    from goldwire.observability.metrics import Recorder
    from goldwire.services.application import Application
    from goldwire.services.delivery import deliver, side_by_side, target_runs
    from goldwire.services.run import Supervisor
    from goldwire.services.watch import Watch

    with Application.of(config) as application, application.with_store_of_its_own() as spare:
        begin_log(application.loaded.config.log)
        recorder = Recorder()
        relays = application.relays(recorder, reloads=True, follows_new=not target)
        names = list(dict.fromkeys(target or relays.names))
        unapplied = relays.check(names)
        warn_unapplied(application.loaded.file, unapplied)
        with progress(quiet=as_json) as display:
            bars, complaints = _Bars(display), _Complaints()
            supervisor = Supervisor(
                relays,
                until_caught_up=until_caught_up,
                awaits_resume=not until_caught_up,
                failed=complaints.of,
                waiting=lambda name, found: note(f"goldwire: waiting for {name}: {found.summary}. Ctrl-C ends"),
            )
            watch = Watch(supervisor, application.store, application.clock, recorder, bars.show)
            heads = _heads(lambda: spare.store, application.clock, recorder)
            work = [watch.run]
            if _served(metrics_port, metrics_address, recorder, watch):
                work.append(_subscriber_watch(supervisor, application.clock, recorder).run)
            if not until_caught_up:  # else a list that is due is written once, in the end
                work.append(partial(heads.run, supervisor.ours))

            async def reread() -> None:
                await _reread(supervisor, config, complaints, start_new=not target)

            ends = run_until_signalled(supervisor, lambda: deliver(supervisor, names, partial(side_by_side, work)), reread)
            heads.write_due(*supervisor.ours())
            runs = target_runs(application.store, ends, unapplied)
            bars.end(runs)
    show(runs, as_json=as_json, render=lambda: _render(runs))
    _exit_as_ended(ends, runs, interrupted=until_caught_up and supervisor.asked_to_end)


def _exit_as_ended(ends: Sequence[RelayEnd], runs: Sequence[TargetRun], *, interrupted: bool) -> None:
    """Exit with the code of the first error, or as interrupted where a signal came before all was delivered."""
    codes = [exit_code(end.error) for end in ends if end.error is not None]
    pending = sum(one.pending or 0 for one in runs)
    if interrupted and pending:
        note(f"goldwire: ended before all was delivered: {counted(pending, 'change')} pending; the next run goes on")
        codes.append(INTERRUPTED)
    if codes:
        raise typer.Exit(codes[0])


def _heads(store: Callable[[], Deliveries], clock: Clock, recorder: Recorder) -> HeadsSchedule:
    from goldwire.services.heads_schedule import HeadsSchedule

    return HeadsSchedule(store, clock, recorder, lambda name, reason: complain(f"{name}: heads: {reason}"))


def _served(port: int | None, address: str | None, recorder: Recorder, watch: Watch) -> bool:
    """Serve the metrics where that is asked for; return whether it is."""
    if port is not None:
        _serve_metrics(f"--metrics-port {port}", f"127.0.0.1:{port}", recorder, watch)
    if address is not None:
        _serve_metrics(f"--metrics-address {address}", address, recorder, watch)
    return port is not None or address is not None


def _subscriber_watch(supervisor: Supervisor, clock: Clock, recorder: Recorder) -> SubscriberWatch:
    from goldwire.services.subscribers import SubscriberWatch

    return SubscriberWatch(
        supervisor, clock, recorder, lambda name, reason: complain(f"{name}: subscribers: {reason}")
    )  # fmt: skip


async def _reread(supervisor: Supervisor, config: Path, complaints: _Complaints, *, start_new: bool) -> None:
    """Follow the configuration as it is now; one that is wrong changes nothing, and is reported."""
    from goldwire.config.reader import load
    from goldwire.errors import GoldwireError

    try:
        done = await supervisor.reload(await supervisor.call(load, config), start_new=start_new)
    except GoldwireError as error:
        complaints.forget()
        complain(f"{error}\nthe configuration was read again and refused; everything goes on as before")
        return
    complaints.forget()
    words = {"began": done.started, "ended": done.ended, "began anew": done.restarted}
    said = "; ".join(f"{word}: {', '.join(names)}" for word, names in words.items() if names)
    note(f"goldwire: the configuration was read again; {said or 'no target changed'}")


class _Bars:
    """A progress bar for each target: how much of what was committed for it has ended."""

    def __init__(self, display: Progress) -> None:
        self._display = display
        self._tasks: dict[str, TaskID] = {}

    def show(self, standings: Mapping[str, Standing]) -> None:
        """Show where targets stand."""
        for name, (_, counts, _) in standings.items():
            self._show(name, counts)

    def end(self, runs: Sequence[TargetRun]) -> None:
        """Show where targets stand in the end."""
        for one in runs:
            if (counts := one.counts) is not None:
                self._show(one.target, counts)

    def _show(self, name: str, counts: Counts | LedgerTerms) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._display.add_task(name, total=None, note="")
        ended = f"{counts.delivered:,} delivered" + (f", {counts.dead:,} dead" if counts.dead else "")
        self._display.update(self._tasks[name], completed=counts.committed - counts.pending, total=counts.committed, note=ended)


class _Complaints:
    """Reports why targets ended; a store without room ends all of them with the same words, which are reported once."""

    def __init__(self) -> None:
        self._reported: set[str] = set()

    def forget(self) -> None:
        """Report everything anew."""
        self._reported.clear()

    def of(self, target: str, error: GoldwireError) -> None:
        """Report one target's end, unless another ended for the same reason."""
        from goldwire.errors import StoreBusyError, StoreCorruptError, StoreFullError

        of_all = isinstance(error, StoreBusyError | StoreCorruptError | StoreFullError)
        reason = str(error) if of_all or target in str(error) else f"{target}: {error}"
        if reason not in self._reported:
            complain(reason)
        if of_all:
            self._reported.add(reason)


def _serve_metrics(option: str, address: str, recorder: Recorder, watch: Watch) -> None:
    from goldwire.errors import ConfigError
    from goldwire.observability.endpoint import Address, Endpoint, Report

    def health() -> Report:
        return Report(watch.healthy, {"healthy": watch.healthy})

    def ready() -> Report:
        is_ready = watch.ready
        return Report(is_ready, {"ready": is_ready, "targets": watch.readiness})

    try:
        Endpoint(Address.of(address), recorder.registry, health, ready)
    except OSError as error:
        what = "port" if option.startswith("--metrics-port") else "address"
        raise ConfigError(f"{option}: {error.strerror}; choose another {what}") from error


def _render(runs: list[TargetRun]) -> None:
    if not runs:
        say("no targets are configured")
        return
    terms = ("committed", "delivered", "filtered", "superseded", "dead", "parked", "pending")
    rows = [(one.target, *[getattr(one, term) for term in terms], one.state if one.error else "") for one in runs]
    table(("target", *terms, ""), rows)
    for one in runs:
        if one.last_failure:
            say(f"{one.target}: the last attempt failed: {one.last_failure}")
        if one.dead:
            say(f"{one.target}: `goldwire dead list {one.target}` shows what was given up, and why")
