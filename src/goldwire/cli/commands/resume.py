"""`goldwire resume` and `goldwire stop`: lets a stopped target run again, or stops one by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import say, show


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(resume)
    app.command()(stop)


def resume(
    target: Annotated[str, typer.Argument(help="The target that was stopped.")],
    *,
    yes: Annotated[
        bool, typer.Option("--yes", help="Let go what its guards kept back: all that was committed so far, and its resync.")
    ] = False,
    why: Annotated[str, typer.Option("--why", help="Why that is right; kept with the yes.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Let a stopped target run again, once the cause is mended, or with --yes once a mass of removals or changes is meant.

    A running `goldwire run` begins with it within a second.
    """
    from goldwire.services.application import Application
    from goldwire.services.guards import resume as let_run

    with Application.of(config) as application:
        done = let_run(application.store, target, application.clock, yes=yes, why=why)

    def render() -> None:
        if done.was_stopped:
            say(f"{target} may run again; it had been stopped: {done.was_stopped}")
        else:
            say(f"{target} was not stopped")
        if done.consent is not None:
            say(f"its guards let go what was committed up to position {done.consent.upto:,}")
        if done.resync is not None:
            say(f"resync {done.resync} goes on with the next `goldwire run`, or the one that runs")

    show(done, as_json=as_json, render=render)


def stop(
    target: Annotated[str, typer.Argument(help="The target to stop.")],
    *,
    reason: Annotated[str, typer.Option("--reason", help="The reason, for the next person who looks.")] = "by hand",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Stop a target: nothing more is sent to it until `goldwire resume`. A running `goldwire run` obeys within a second."""
    from goldwire.services.application import Application
    from goldwire.services.lookup import cursor_of

    with Application.of(config) as application:
        cursor_of(application.store, target)
        application.store.stop(target, reason)
    show({"target": target, "stopped": reason}, as_json=as_json, render=lambda: say(f"{target} is stopped: {reason}"))
