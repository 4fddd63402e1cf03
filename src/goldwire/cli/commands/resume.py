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
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Let a stopped target run again, once the cause is mended. A running `goldwire run` begins with it within a second."""
    from goldwire.services.application import Application
    from goldwire.services.lookup import cursor_of

    with Application.of(config) as application:
        reason = cursor_of(application.store, target).stopped
        if reason is not None:
            application.store.stop(target, None)
    said = f"{target} may run again; it had been stopped: {reason}" if reason else f"{target} was not stopped"
    show({"target": target, "was_stopped": reason}, as_json=as_json, render=lambda: say(said))


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
