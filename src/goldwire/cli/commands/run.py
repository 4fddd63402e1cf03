"""`goldwire run`: delivers the log to the targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from goldwire.cli.exit_codes import exit_code
from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import complain, note, progress, say, show, table, warn_unapplied

if TYPE_CHECKING:
    from goldwire.errors import GoldwireError
    from goldwire.services.application import Application


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
    from goldwire.observability.logs import set_up_logs
    from goldwire.relay.metrics import Recorder
    from goldwire.services.application import Application
    from goldwire.services.placement import keep_settings
    from goldwire.services.preflight import check_deliverable
    from goldwire.services.run import run_targets

    with Application.of(config) as application:
        log = application.loaded.config.log
        set_up_logs(log.format, log.level)
        names = [
            name
            for name in dict.fromkeys(target or sorted(application.loaded.config.targets))
            if application.target_config(name)
        ]
        warn_unapplied(application.loaded.file, check_deliverable(application, names))
        for name in names:
            keep_settings(application, name)
        recorder = Recorder()
        if metrics_port is not None:
            _serve_metrics(metrics_port, recorder)
        with progress(quiet=as_json) as display:
            newest = application.store.position()
            tasks = {name: display.add_task(name, total=newest, note="") for name in names}

            def moved(name: str, cursor: Any) -> None:
                done = f"{cursor.delivered:,} delivered"
                display.update(tasks[name], completed=cursor.position, total=max(newest, cursor.bound), note=done)

            ended = run_targets(
                application,
                names,
                until_caught_up=until_caught_up,
                recorder=recorder,
                progress=moved,
                failed=_Complaints().of,
                waiting=lambda name, found: note(f"goldwire: waiting for {name}: {found.told}. Ctrl-C ends"),
            )
        result = _result(application, names, {one.target: one.error for one in ended})
    show(result, as_json=as_json, render=lambda: _render(result))
    codes = [exit_code(one.error) for one in ended if one.error is not None]
    if codes:
        raise typer.Exit(codes[0])


class _Complaints:
    """Tells why targets ended, each thing once: a store without room ends all of them with the same words."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def of(self, target: str, error: GoldwireError) -> None:
        """Tell of one target, unless the same was told of another."""
        from goldwire.errors import StoreBusyError, StoreCorruptError, StoreFullError

        of_all = isinstance(error, StoreBusyError | StoreCorruptError | StoreFullError)
        told = str(error) if of_all or target in str(error) else f"{target}: {error}"
        if told not in self._told:
            self._told.add(told)
            complain(told)


def _serve_metrics(port: int, recorder: Any) -> None:
    from prometheus_client import start_http_server

    from goldwire.errors import ConfigError

    try:
        start_http_server(port, "127.0.0.1", registry=recorder.registry)
    except OSError as error:
        raise ConfigError(f"--metrics-port {port}: {error.strerror}; choose another port") from error


def _result(application: Application, names: list[str], errors: dict[str, Any]) -> list[dict[str, Any]]:
    from goldwire.services.backlog import behind

    cursors = {cursor.target: cursor for cursor in application.store.cursors()}
    result = []
    for name in names:
        begun, error = name in cursors, errors[name]
        waits = behind(application.store, name) if begun else None
        result.append(
            {
                "target": name,
                "position": cursors[name].position if begun else 0,
                **(application.store.counts(name)._asdict() if begun else {}),
                "state": _state(error) if error else "behind" if waits else "caught up",
                "last_failure": waits.reason or None if waits else None,
                "error": str(error) if error else None,
            }
        )
    return result


def _state(error: Exception) -> str:
    """Say in a word how a relay ended that had to."""
    from goldwire import errors

    words: dict[type[Exception], str] = {
        errors.TargetStoppedError: "stopped",
        errors.StoreBusyError: "busy",
        errors.FencedError: "taken over",
    }
    return words.get(type(error), "failed")


def _render(result: list[dict[str, Any]]) -> None:
    if not result:
        say("no targets are configured")
        return
    terms = ("committed", "delivered", "filtered", "superseded", "dead", "parked", "pending")
    rows = [(one["target"], *[one.get(term) for term in terms], one["state"] if one["error"] else "") for one in result]
    table(("target", *terms, ""), rows)
    for one in result:
        if one["last_failure"]:
            say(f"{one['target']}: the last attempt failed: {one['last_failure']}")
        if one.get("dead"):
            say(f"{one['target']}: `goldwire dead list {one['target']}` tells what was given up, and why")
