"""`goldwire ledger`: what became of every committed change, for each target, and whether it adds up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from goldwire.cli.exit_codes import exit_code
from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import complain, not_as_the_contract_says, say, show, table, waits_for_a_yes

if TYPE_CHECKING:
    from goldwire.services.ledger import LedgerReport


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(ledger)


def ledger(
    *,
    target: Annotated[list[str] | None, typer.Option("--target", "-t", help="Only this target; may be repeated.")] = None,
    recount: Annotated[bool, typer.Option("--recount", help="Count every row again and compare.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show the ledger of each target: committed = delivered + filtered + superseded + dead + parked + pending.

    Exits with 9 where one does not balance.
    """
    from goldwire.errors import VerificationError
    from goldwire.services.application import Application
    from goldwire.services.ledger import ledger_reports

    with Application.of(config) as application:
        reports = ledger_reports(application.store, target or (), recount=recount)

    show(reports, as_json=as_json, render=lambda: _render(reports, recount=recount))
    wrong = [one.target for one in reports if not one.balanced]
    if wrong:
        complain(f"the ledger of {', '.join(wrong)} does not balance")
        raise typer.Exit(exit_code(VerificationError))


def _render(reports: list[LedgerReport], *, recount: bool) -> None:
    if not reports:
        say("no target has begun yet; `goldwire run` starts them")
        return
    terms = ("committed", "delivered", "filtered", "superseded", "dead", "parked", "pending")
    rows: list[tuple[Any, ...]] = []
    for one in reports:
        rows.append((one.target, *[getattr(one, term) for term in terms], "balanced" if one.balanced else "DOES NOT BALANCE"))
        if one.recounted is not None and one.recounted != one.terms:
            rows.append(("  recounted", *[getattr(one.recounted, term) for term in terms], ""))
    table(("target", *terms, "recounted" if recount else "ledger"), rows)
    for one in reports:
        if one.stopped:
            say(f"{one.target} is stopped: {one.stopped}")
        if one.held_resync:
            say(waits_for_a_yes(one.target, one.held_resync))
        if one.stale:
            say(not_as_the_contract_says(one.target, one.stale))
