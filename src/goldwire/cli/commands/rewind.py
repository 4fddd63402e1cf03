"""`goldwire rewind`: sets the cursor of a target back, so that a part of the log is worked on again."""

from __future__ import annotations

from typing import Annotated

import typer

from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import counted, say, show


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(rewind)


def rewind(
    target: Annotated[str, typer.Argument(help="The target.")],
    position: Annotated[int, typer.Argument(min=0, help="Of the log: what lies above it is worked on again.")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Set a target's cursor back, so that the next run looks again at what it filtered, discarded or superseded.

    What the target holds by the control table is not sent again: use `goldwire resync` for a target that lost data, and
    `goldwire replay` for its subscribers. It is refused while deliveries above the position may have arrived without an answer.
    A relay that runs meanwhile ends with exit code 8.
    """
    from goldwire.services.application import Application
    from goldwire.services.rewind import rewind as set_back

    with Application.of(config) as application:
        done = set_back(application.store, target, position)

    def render() -> None:
        say(f"{target} stands at position {done.position:,} now, and stood at {done.before:,}")
        say(f"{counted(done.ledger.pending, 'change')} pending; `goldwire run` works on them, and sends what it does not hold")

    show(done, as_json=as_json, render=render)
