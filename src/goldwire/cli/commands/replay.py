"""`goldwire replay`: repeats what a target was sent, byte for byte and in order."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import counted, progress, say, show, table, warn_unapplied
from goldwire.cli.start_group import StartGroup

if TYPE_CHECKING:
    from goldwire.changelog.replays import Replay, Selection
    from goldwire.relay.replay_plan import Plan
    from goldwire.services.application import Application
    from goldwire.services.replay import ReplayService


group = typer.Typer(
    cls=StartGroup,
    help="Repeat what a target was sent, byte for byte and in order: `goldwire replay TARGET` is short for `start`.",
    no_args_is_help=True,
)

_WORDS = {
    "undecided": "versions for which `--where` had no result, such as a text compared with a number",
    "withheld": "events withheld: an erasure, or the contract of today, no longer lets them out",
    "newest_only": "entities of whose past only the newest event can be proven",
    "unconfirmed": "entities of which nothing can be proven, so nothing is sent",
    "waiting": "entities with a delivery that may have arrived and has to end first",
    "blocked": "entities behind a dead letter that may have arrived: redrive or discard it first",
    "rejected": "events rejected or given up",
    "skipped": "events skipped behind them",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="replay")


@group.command("start")
def replay_start(
    target: Annotated[str, typer.Argument(help="The target.")],
    *,
    since: Annotated[str | None, typer.Option("--since", help="Committed at or after this moment; UTC without a zone.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Committed before this moment.")] = None,
    from_seq: Annotated[int | None, typer.Option("--from-seq", min=1, help="From this position on.")] = None,
    to_seq: Annotated[int | None, typer.Option("--to-seq", min=1, help="Up to this position.")] = None,
    from_version: Annotated[
        int | None, typer.Option("--from-version", min=1, help="From this version of the one --entity on.")
    ] = None,
    to_version: Annotated[int | None, typer.Option("--to-version", min=1, help="Up to this version of it.")] = None,
    entity: Annotated[list[str] | None, typer.Option("--entity", help="Only this one: an id or SYSTEM/ID; repeatable.")] = None,
    where: Annotated[
        str | None, typer.Option("--where", help="Only entities for which this CEL expression is true, e.g. a.city == 'Rome'.")
    ] = None,
    rate: Annotated[float | None, typer.Option("--rate", min=0.001, help="Events a second at most.")] = None,
    why: Annotated[str, typer.Option("--why", help="Why; the record keeps it.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent; send and write nothing.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Repeat what a target was sent. A running `goldwire run` carries it out; without one this command does.

    The word `start` may be left out. Bodies, hashes and order are the same; the message ids end in ~ and the replay's id.
    """
    from goldwire.services.application import Application
    from goldwire.services.replay import ReplayRequest, ReplayRequestError

    if rate is not None and not isfinite(rate):
        raise typer.BadParameter("--rate: give a number of events a second, or leave it out for no limit")
    asked = ReplayRequest(
        since=since, until=until, from_seq=from_seq, to_seq=to_seq, from_version=from_version, to_version=to_version,
        entities=tuple(entity or ()), where=where,
    )  # fmt: skip
    with Application.of(config) as application:
        warn_unapplied(application.loaded.file, application.relays().check_deliverable([target]))
        service = application.replay_service(target)
        try:
            selection = service.select(asked)
        except ReplayRequestError as error:
            raise error.in_words_of(_option) from None
        if dry_run:
            _show_plan(service, target, selection, rate, as_json=as_json)
        else:
            _carry_out(application, target, selection, rate, why, as_json=as_json)


@group.command("list")
def replay_list(
    target: Annotated[str | None, typer.Argument(help="Only of this target.")] = None,
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List replays, oldest first."""
    from goldwire.services.application import Application
    from goldwire.services.lookup import cursor_of

    with Application.of(config) as application:
        if target is not None:
            cursor_of(application.store, target)
        records = application.store.replays(target)

    def render() -> None:
        if not records:
            say("no replays")
            return
        columns = ("replay", "target", "state", "requested at", "by", "events", "entities", "rejected", "why")
        rows = [
            (one.id, one.target, one.state, one.requested_at, one.requested_by, one.tally.events, one.tally.entities,
             one.tally.rejected, one.why)
            for one in records
        ]  # fmt: skip
        table(columns, rows)

    show([_plain(one) for one in records], as_json=as_json, render=render)


@group.command("show")
def replay_show(
    replay_id: Annotated[str, typer.Argument(metavar="REPLAY", help="Its id, as `replay list` shows it.")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show one replay: what was asked for, how far it is, and what could not be repeated."""
    from goldwire.services.application import Application
    from goldwire.services.lookup import replay_of

    with Application.of(config) as application:
        record = replay_of(application.store, replay_id)
    show(_plain(record), as_json=as_json, render=lambda: _render(record))


@group.command("cancel")
def replay_cancel(
    replay_id: Annotated[str, typer.Argument(metavar="REPLAY", help="Its id, as `replay list` shows it.")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """End an open replay; what it sent stays sent."""
    from goldwire.services.application import Application
    from goldwire.services.lookup import replay_of

    with Application.of(config) as application:
        record = replay_of(application.store, replay_id)
        cancelled = application.store.cancel_replay(replay_id, application.clock.now())
    said = f"{replay_id} is cancelled after {counted(record.tally.events, 'event')}"
    result = {"replay": replay_id, "cancelled": cancelled is not None, "state": (cancelled or record).state}
    show(result, as_json=as_json, render=lambda: say(said if cancelled else f"{replay_id} had ended: {record.state}"))


def _option(field: str) -> str:
    """Return the option that gives a field of a `ReplayRequest`."""
    return "--entity" if field == "entities" else f"--{field.replace('_', '-')}"


def _show_plan(service: ReplayService, target: str, selection: Selection, rate: float | None, *, as_json: bool) -> None:
    with progress(quiet=as_json) as display:
        task = display.add_task(target, total=selection.upto - selection.after, note="")
        found = service.plan(selection, rate, lambda position: display.update(task, completed=position - selection.after))
    show({"target": target, "selection": selection, "plan": found}, as_json=as_json, render=lambda: _render_plan(found))


def _render_plan(plan: Plan) -> None:
    how_long = "no rate is set: as fast as the target takes them"
    if plan.seconds is not None:
        how_long = f"{plan.seconds:,.0f} s at {plan.rate:g} events a second"
    say(f"{_of(plan.events, plan.entities)}, {plan.bytes:,} bytes; {how_long}. Nothing was sent.")
    _notes(
        {name: getattr(plan, name) for name in ("undecided", "withheld", "newest_only", "unconfirmed", "waiting", "blocked")}
    )
    for one in plan.blocked_entities:
        say(f"  {one.entity_id}: {one.reason}")


def _carry_out(
    application: Application, target: str, selection: Selection, rate: float | None, why: str, *, as_json: bool
) -> None:
    from goldwire.cli.target_work import carry_out_here, note_left
    from goldwire.services.lookup import replay_of

    record = application.replay_service(target).ask(selection, rate=rate, why=why)
    with progress(quiet=as_json) as display:
        task = display.add_task(target, total=selection.upto - selection.after, note="")

        def reported(replay: Replay) -> None:
            display.update(task, completed=max(replay.position - selection.after, 0), note=f"{replay.tally.events:,} events")

        here = carry_out_here(application, "replay", record, application.store.replays, reported)
    record = replay_of(application.store, record.id)
    show(_plain(record), as_json=as_json, render=lambda: _render(record))
    note_left("replay", record, here=here)
    _exit_if_failed(record)


def _exit_if_failed(record: Replay) -> None:
    from goldwire.cli.exit_codes import DONE_WITH_REJECTS, exit_code
    from goldwire.errors import GoldwireError

    if record.state == "failed":
        raise typer.Exit(exit_code(GoldwireError))
    if record.tally.rejected or record.tally.blocked:
        raise typer.Exit(DONE_WITH_REJECTS)


def _plain(record: Replay) -> dict[str, Any]:
    """Return a record for machines, with the counts beside the rest and without what only a relay needs."""
    from msgspec import to_builtins

    plain: dict[str, Any] = to_builtins(record)
    for name in ("begun", "waiting"):
        plain[name] = len(plain[name])
    tally: dict[str, int] = plain.pop("tally")
    return {**plain, **tally}


def _render(record: Replay) -> None:
    tally, selection = record.tally, record.selection
    say(f"{record.id}: {record.target}, {record.state}{': ' if record.reason else ''}{record.reason}")
    at = f" (at {max(record.position, selection.after):,} now)" if record.state == "open" else ""
    positions = f"positions {selection.after + 1:,} to {selection.upto:,}{at}"
    say(f"{positions}, asked for by {record.requested_by} at {record.requested_at}")
    if record.why:
        say(f"why: {record.why}")
    say(f"{_of(tally.events, tally.entities)} taken, {tally.bytes:,} bytes; {tally.duplicates:,} were held")
    names = ("undecided", "withheld", "newest_only", "unconfirmed", "blocked", "rejected", "skipped")
    _notes({**{name: getattr(tally, name) for name in names}, "waiting": len(record.waiting)})
    for one in record.failures:
        say(f"  {one.entity_id} version {one.version}: {one.reason}")


def _notes(counts: dict[str, int]) -> None:
    for name, count in counts.items():
        if count:
            say(f"{count:,} {_WORDS[name]}")


def _of(events: int, entities: int) -> str:
    return f"{counted(events, 'event')} of {counted(entities, 'entity', 'entities')}"
