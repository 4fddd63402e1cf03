"""`goldwire remaster`: runs all golden records through the present match rules and survivorship."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import counted, note, progress, say, show

if TYPE_CHECKING:
    from goldwire.services.remaster import Remastered


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(remaster)


def remaster(
    *,
    entity_type: Annotated[str | None, typer.Option("--type", help="Only entities of this type.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change. Needs room on the disk for a copy of the store.")
    ] = False,
    correlation_id: Annotated[
        str | None, typer.Option("--correlation-id", help="Travels with every change of this run; without it a new one.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Master all golden records again, after match rules or survivorship have changed.

    A version is committed only where a golden record changes. Records that share a match key now are merged; nothing is split,
    and what stewards decided holds. May run beside `ingest` and `run`; repeating it after a crash does the rest.
    """
    from goldwire.services.application import Application
    from goldwire.services.mastering_rules import changed_types

    with Application.of(config) as application:
        with progress(quiet=as_json) as display:
            task = display.add_task("remaster", total=None, note="")

            def moved(done: int, total: int, result: Remastered) -> None:
                display.update(task, completed=done, total=total, note=counted(result.versions, "version"))

            service = application.remaster_service()
            result = service.run(entity_type, dry_run=dry_run, correlation_id=correlation_id, progress=moved)
        left = [] if dry_run else changed_types(application.store, application.model)
    show(result, as_json=as_json, render=lambda: _render(result))
    if left:
        note(f"goldwire: {', '.join(left)}: still mastered under other rules; `goldwire remaster` masters all types again")


def _render(result: Remastered) -> None:
    did, merged = ("would be committed", "would be merged") if result.dry_run else ("committed", "merged")
    seen, merges = (counted(number, "entity", "entities") for number in (result.entities, result.merges))
    say(f"{seen} looked at: {counted(result.versions, 'version')} {did}, {merges} {merged}")
