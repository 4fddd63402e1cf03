"""`goldwire run`: delivers the log to the targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from goldwire.cli.exit_codes import exit_code
from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import complain, note, progress, say, show, table, warn_unapplied

if TYPE_CHECKING:
    from goldwire.changelog.rows import Cursor
    from goldwire.errors import GoldwireError
    from goldwire.services.delivery import TargetRun


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
        int | None, typer.Option("--metrics-port", min=1, max=65535, help="Serve metrics to Prometheus on 127.0.0.1.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Deliver the log to every target, in order per entity, at least once.

    Ctrl-C or SIGTERM ends gracefully: what is in flight is settled. A target that has to stop does not hold up the others; the
    exit code is then that of its error.
    """
    from goldwire.cli.signals import run_until_signalled
    from goldwire.observability.logs import set_up_logs
    from goldwire.observability.metrics import Recorder
    from goldwire.services.application import Application
    from goldwire.services.delivery import deliver, target_runs
    from goldwire.services.run import Supervisor

    with Application.of(config) as application:
        log = application.loaded.config.log
        set_up_logs(log.format, log.level)
        recorder = Recorder()
        relays = application.relays(recorder)
        names = list(dict.fromkeys(target or relays.names))
        unapplied = relays.check(names)
        warn_unapplied(application.loaded.file, unapplied)
        if metrics_port is not None:
            _serve_metrics(metrics_port, recorder)
        with progress(quiet=as_json) as display:
            newest = application.store.position()
            tasks = {name: display.add_task(name, total=newest, note="") for name in names}

            def moved(name: str, cursor: Cursor) -> None:
                done = f"{cursor.delivered:,} delivered"
                display.update(tasks[name], completed=cursor.position, total=max(newest, cursor.bound), note=done)

            supervisor = Supervisor(
                relays,
                until_caught_up=until_caught_up,
                progress=moved,
                failed=_Complaints().of,
                waiting=lambda name, found: note(f"goldwire: waiting for {name}: {found.summary}. Ctrl-C ends"),
            )
            ends = run_until_signalled(supervisor, lambda: deliver(supervisor, names))
        runs = target_runs(application.store, ends, unapplied)
    show(runs, as_json=as_json, render=lambda: _render(runs))
    codes = [exit_code(end.error) for end in ends if end.error is not None]
    if codes:
        raise typer.Exit(codes[0])


class _Complaints:
    """Reports why targets ended, each reason once: a store without room ends all of them with the same words."""

    def __init__(self) -> None:
        self._reported: set[str] = set()

    def of(self, target: str, error: GoldwireError) -> None:
        """Report one target's end, unless another ended for the same reason."""
        from goldwire.errors import StoreBusyError, StoreCorruptError, StoreFullError

        of_all = isinstance(error, StoreBusyError | StoreCorruptError | StoreFullError)
        reason = str(error) if of_all or target in str(error) else f"{target}: {error}"
        if reason not in self._reported:
            self._reported.add(reason)
            complain(reason)


def _serve_metrics(port: int, recorder: Any) -> None:
    from prometheus_client import start_http_server

    from goldwire.errors import ConfigError

    try:
        start_http_server(port, "127.0.0.1", registry=recorder.registry)
    except OSError as error:
        raise ConfigError(f"--metrics-port {port}: {error.strerror}; choose another port") from error


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
