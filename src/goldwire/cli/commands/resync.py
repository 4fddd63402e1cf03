"""`goldwire resync`: sends a target again what it should hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import counted, note, progress, say, show, table, waits_for_a_yes, warn_unapplied
from goldwire.cli.start_group import StartGroup

if TYPE_CHECKING:
    from goldwire.changelog.resyncs import EffectCounts, Resync, ResyncScope
    from goldwire.services.application import Application

group = typer.Typer(
    cls=StartGroup,
    help="Send a target again what it should hold: `goldwire resync TARGET` is short for `start`.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="resync")


@group.command("start")
def resync_start(
    target: Annotated[str, typer.Argument(help="The target.")],
    *,
    stale: Annotated[bool, typer.Option("--stale", help="Only what looks different from what was sent.")] = False,
    entity: Annotated[list[str] | None, typer.Option("--entity", help="Only this one: an id or SYSTEM/ID; repeatable.")] = None,
    why: Annotated[str, typer.Option("--why", help="Why; the record keeps it.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent; send and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="It may go beyond the guards of the target.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Send a target again what it should hold. A running `goldwire run` carries it out; without one this command does.

    The word `start` may be left out. What is sent again is a new version, so no fence and no subscriber takes it for old.
    """
    from goldwire.services.application import Application

    scope: ResyncScope = "stale" if stale else "all"
    with Application.of(config) as application:
        application.targets.config(target)
        warn_unapplied(application.loaded.file, application.relays().check([target]))
        service = application.resync_service(target)
        ids = service.entities(entity or ())
        with progress(quiet=as_json) as display:
            task = display.add_task(f"{target}: judging", total=None, note="")

            def judged(done: int) -> None:
                display.update(task, completed=done)

            if dry_run:
                plan = service.plan(scope, ids, progress=judged)
            else:
                record = service.ask(scope, ids, why=why, yes=yes, progress=judged)
        if dry_run:
            result = {"target": target, "scope": scope, "effects": plan.effects, "samples": plan.samples}
            show(result, as_json=as_json, render=lambda: _render_plan(target, plan.effects))
        elif record.state == "held":
            show(record, as_json=as_json, render=lambda: _render(record))
            note(f"goldwire: {waits_for_a_yes(target, record.id)}")
        else:
            _carry_out(application, record, as_json=as_json)


@group.command("list")
def resync_list(
    target: Annotated[str | None, typer.Argument(help="Only of this target.")] = None,
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List resyncs, oldest first."""
    from goldwire.services.application import Application
    from goldwire.services.lookup import cursor_of

    with Application.of(config) as application:
        if target is not None:
            cursor_of(application.store, target)
        records = application.store.resyncs(target)

    def render() -> None:
        if not records:
            say("no resyncs")
            return
        columns = ("resync", "target", "state", "requested at", "by", "planned", "sent again", "why")
        rows = [
            (one.id, one.target, one.state, one.requested_at, one.requested_by,
             None if one.planned is None else one.planned.stale, one.resent, one.why)
            for one in records
        ]  # fmt: skip
        table(columns, rows)

    show(records, as_json=as_json, render=render)


@group.command("show")
def resync_show(
    resync_id: Annotated[str, typer.Argument(metavar="RESYNC", help="Its id, as `resync list` shows it.")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show one resync: who asked for it and why, what it came to, and how far it is."""
    from goldwire.services.application import Application
    from goldwire.services.lookup import resync_of

    with Application.of(config) as application:
        record = resync_of(application.store, resync_id)
    show(record, as_json=as_json, render=lambda: _render(record))


@group.command("cancel")
def resync_cancel(
    resync_id: Annotated[str, typer.Argument(metavar="RESYNC", help="Its id, as `resync list` shows it.")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """End a resync that is open or held; what is in the log for the target already is still sent."""
    from goldwire.services.application import Application
    from goldwire.services.lookup import resync_of

    with Application.of(config) as application:
        record = resync_of(application.store, resync_id)
        cancelled = application.store.cancel_resync(resync_id, application.clock.now())
    said = (
        f"{resync_id} is cancelled after {_entities(cancelled.resent)}"
        if cancelled
        else f"{resync_id} had ended: {record.state}"
    )
    result = {"resync": resync_id, "cancelled": cancelled is not None, "state": (cancelled or record).state}
    show(result, as_json=as_json, render=lambda: say(said))


def _carry_out(application: Application, record: Resync, *, as_json: bool) -> None:
    from goldwire.cli.target_work import carry_out_here, note_left
    from goldwire.services.lookup import resync_of

    total = record.planned.stale if record.planned is not None else None
    with progress(quiet=as_json) as display:
        task = display.add_task(record.target, total=total, note="sent again")

        def reported(resync: Resync) -> None:
            display.update(task, completed=resync.resent)

        here = carry_out_here(application, "resync", record, application.store.resyncs, reported)
    record = resync_of(application.store, record.id)
    show(record, as_json=as_json, render=lambda: _render(record))
    note_left("resync", record, here=here)


def _render_plan(target: str, effects: EffectCounts) -> None:
    say(f"{target}: {described(effects)}. Nothing was sent.")


def described(effects: EffectCounts) -> str:
    """Return in words what a revision or a resync does to what a target holds."""
    names = ("changes", "leaves", "enters", "stays", "undecided")
    words = {
        "changes": "look different",
        "leaves": "leave",
        "enters": "enter",
        "stays": "are not selected and stay",
        "undecided": "cannot be decided",
    }
    parts = [f"{getattr(effects, name):,} {words[name]}" for name in names if getattr(effects, name)]
    return ", ".join([*parts, f"{effects.same:,} as they are"])


def _entities(count: int) -> str:
    return counted(count, "entity", "entities")


def _render(record: Resync) -> None:
    say(f"{record.id}: {record.target}, {record.state}; revision {record.revision}, {_asked(record)}")
    say(f"asked for by {record.requested_by} at {record.requested_at}")
    if record.why:
        say(f"why: {record.why}")
    if record.planned is not None:
        say(f"entities when it was asked for: {described(record.planned)}")
    for effect, names in record.samples.items():
        say(f"  {effect}: e.g. {', '.join(names)}")
    say(f"{_entities(record.resent)} sent again{f', up to position {record.upto:,}' if record.upto else ''}")


def _asked(record: Resync) -> str:
    of = f" of {_entities(len(record.entities))}" if record.entities else ""
    return f"{'what looks different' if record.scope == 'stale' else 'everything'}{of}"
