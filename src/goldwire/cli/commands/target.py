"""`goldwire target check`: whether a target's set-up is sound, and what to mend."""

from __future__ import annotations

from typing import Annotated

import typer

from goldwire.cli.exit_codes import exit_code
from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import say, show, table

group = typer.Typer(help="One target: is its set-up sound?", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="target")


@group.command("check")
def check(
    target: Annotated[str, typer.Argument(help="The target.")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Connect to a target and verify rights and settings, as far as Goldwire can see them without writing.

    Each finding is `ok`, a `note`, or a `fix` with what to do; with a `fix` the exit code is 2.
    """
    from goldwire.errors import ConfigError
    from goldwire.services.application import Application
    from goldwire.services.target_check import check_target

    with Application.of(config) as application:
        checked = check_target(target, application.targets, application.placements)

    def render() -> None:
        table(("what", "state", "finding"), [(one.subject, one.state, one.text) for one in checked.findings])
        say(f"{target} ({checked.kind}) " + ("is sound" if checked.sound else "needs a fix"))

    document = {"target": checked.target, "kind": checked.kind, "sound": checked.sound, "findings": checked.findings}
    show(document, as_json=as_json, render=render)
    if not checked.sound:
        raise typer.Exit(exit_code(ConfigError))
