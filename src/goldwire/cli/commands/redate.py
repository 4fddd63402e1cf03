"""`goldwire redate`: dates back what a false time from the future froze."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import counted, note, progress, say, show

if TYPE_CHECKING:
    from goldwire.services.redate import RedateResult

NOTED_SECONDS = 60.0
"""The command names a log that is ahead of the clock by more."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(redate)


def redate(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change. Needs room on the disk for a copy of the store.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Date back what a false time from the future froze: a wrong row, or a clock that was ahead. Set the clock right first.

    Values stay as they are until something with a true time is said of them; so read the sources again afterwards.
    Repeating it does no harm.
    """
    from goldwire.services.application import Application

    with Application.of(config) as application:
        trusts_clock = application.loaded.config.ingest.trust_clock
        with progress(quiet=as_json) as display:
            task = display.add_task("redate", total=None, note="")

            def moved(done: int, total: int) -> None:
                display.update(task, completed=done, total=total)

            result = application.redate_service().run(dry_run=dry_run, progress=moved)
    show(result, as_json=as_json, render=lambda: _render(result))
    if result.log_ahead_seconds > NOTED_SECONDS and not trusts_clock:
        note(
            f"goldwire: the newest change in the log is {result.log_ahead_seconds:,.0f} s ahead of this machine's clock, and "
            "rows without a time are dated as that change. If the clock is right, set `ingest: {trust_clock: true}`"
        )


def _render(result: RedateResult) -> None:
    did = "would be dated back" if result.dry_run else "dated back"
    committed = "would be committed" if result.dry_run else "committed"
    say(
        f"{counted(result.entities, 'entity', 'entities')} looked at: {counted(result.records, 'record')} and the decisions "
        f"about {counted(result.decided, 'entity', 'entities')} {did} from after {result.latest}; "
        f"{counted(result.versions, 'version')} {committed}"
    )
