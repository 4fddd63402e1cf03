"""`goldwire apply`: checks the configuration and keeps what is new of it as revisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import note, progress, say, show, table

if TYPE_CHECKING:
    from goldwire.services.apply import ApplyResult
    from goldwire.services.holder import NotTakenUp


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(apply)


def apply(
    *,
    check: Annotated[bool, typer.Option("--check", help="Only check and show what would change.")] = False,
    no_resend: Annotated[
        bool, typer.Option("--no-resend", help="Do not send again what looks different under a changed contract.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="What is sent again may go beyond the guards of its target.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Check the configuration; keep each target's contract as a revision.

    A contract takes effect above what may already have been sent under the one before, and what the target holds already is
    sent again where it looks different now. Nothing is applied when anything is wrong. Applying the same again changes nothing.
    """
    from goldwire.services.application import Application
    from goldwire.services.holder import not_taken_up
    from goldwire.services.mastering_rules import changed_types

    with Application.of(config) as application:
        with progress(quiet=as_json) as display:
            tasks: dict[str, Any] = {}

            def judged(target: str, done: int) -> None:
                if target not in tasks:
                    tasks[target] = display.add_task(f"{target}: judging", total=None, note="")
                display.update(tasks[target], completed=done)

            results = application.apply_service().run(check=check, resend=not no_resend, yes=yes, progress=judged)
        left_out = [] if check else not_taken_up(application.loaded, application.store)
        stale = changed_types(application.store, application.model)
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
            _render_effects(r, check=check)
        for warning in dict.fromkeys(warning for r in results for warning in r.warnings):
            note(f"goldwire: {warning}")
        _render_leftovers(stale, left)
        _render_left_out(left_out)

    result = {
        "applied": not check, "targets": results, "no_longer_configured": left, "to_remaster": stale, "not_taken_up": left_out,
    }  # fmt: skip
    show(result, as_json=as_json, render=render)


def _render_leftovers(stale: list[str], left: list[str]) -> None:
    """Say what of the store is still as an older configuration wanted it."""
    if stale:
        note(
            f"goldwire: {', '.join(stale)}: match rules or survivorship changed since all records were last mastered; "
            "`goldwire remaster` masters them again, and with --dry-run only shows what would change"
        )
    for name in left:
        note(f"goldwire: {name} is no longer configured; its control table is kept")


def _render_left_out(left_out: list[NotTakenUp]) -> None:
    """Say what running processes have not taken up, and what mends it."""
    words = {
        "older settings": "delivers to {target} with older settings",
        "not running": "does not deliver to {target}",
        "no longer configured": "still delivers to {target}, which is no longer configured",
    }
    for one in left_out:
        said = words[one.why].format(target=one.target)
        mend = f"`kill -HUP {one.process}` has it take up what is applied" if one.reloads else "end it and start it again"
        note(f"goldwire: process {one.process} {said}; {mend}")


def _render_effects(result: ApplyResult, *, check: bool) -> None:
    """Say what a changed contract does to what the target holds, and what follows."""
    from goldwire.cli.commands.resync import described

    effects, target = result.effects, result.target
    if effects is None:
        return
    say(f"{target}: of the entities that it may hold, {described(effects)}")
    for effect, names in result.samples.items():
        say(f"  {effect}: e.g. {', '.join(names)}")
    if effects.stays:
        note(
            f"goldwire: {target}: {effects.stays:,} that are selected no more stay at the target, because its contract sends "
            "no deletions for that; `deselect: true` does"
        )
    if result.needs_yes:
        mend = "goldwire apply --yes" if check else f"goldwire resume {target} --yes"
        note(
            f"goldwire: {target}: {effects.leaves:,} would leave it, which is more than its guards let go; nothing is sent "
            f"again before `{mend}`"
        )
    elif result.resync is not None:
        note(
            f"goldwire: {target}: `goldwire run` sends them again; `goldwire resync show {result.resync}` shows how far that is"
        )
    elif effects.stale and check:
        note(f"goldwire: {target}: `goldwire apply` has them sent again")
    elif effects.stale:
        note(f"goldwire: {target}: they are not sent again before `goldwire resync {target} --stale`")
