"""`goldwire apply`: checks the configuration and keeps what is new of it as revisions."""

from __future__ import annotations

from typing import Annotated

import typer

from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import note, say, show, table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(apply)


def apply(
    *,
    check: Annotated[bool, typer.Option("--check", help="Only check and show what would change.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Check the configuration; keep each target's contract as a revision.

    A contract takes effect above what may already have been sent under the one before. Nothing is applied when anything is
    wrong. Applying the same again changes nothing.
    """
    from goldwire.services.application import Application
    from goldwire.services.mastering_rules import changed_types

    with Application.of(config) as application:
        results = application.apply_service().run(check=check)
        stale = changed_types(application.store, application.loaded.config.types)
        left = sorted(
            cursor.target for cursor in application.store.cursors() if cursor.target not in application.loaded.config.targets
        )

    def render() -> None:
        rows = [(r.target, r.contract, r.change, r.revision, r.takes_effect, r.settings) for r in results]
        if rows:
            table(("target", "contract", "change", "revision", "takes effect", "settings"), rows)
        else:
            say(f"{config} is sound; it has no targets yet")
        for r in results:
            if r.sealed_before:
                note(
                    f"goldwire: {r.target}: up to position {r.effective_after} the revision before still holds, because "
                    f"{r.sealed_before:,} of these may be on their way already"
                )
        for warning in dict.fromkeys(warning for r in results for warning in r.warnings):
            note(f"goldwire: {warning}")
        if stale:
            note(
                f"goldwire: {', '.join(stale)}: match rules or survivorship changed since all records were last mastered; "
                "`goldwire remaster` masters them again, and with --dry-run only shows what would change"
            )
        for name in left:
            note(f"goldwire: {name} is no longer configured; its control table is kept")

    result = {"applied": not check, "targets": results, "no_longer_configured": left, "to_remaster": stale}
    show(result, as_json=as_json, render=render)
