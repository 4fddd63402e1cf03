"""`goldwire ledger`: what became of every committed change, for each target, and whether it adds up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from goldwire.cli.exit_codes import exit_code
from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import complain, say, show, table

if TYPE_CHECKING:
    from goldwire.relay.ledger import Ledger


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
    from goldwire.relay.ledger import ledger as ledger_of
    from goldwire.services.application import Application
    from goldwire.services.lookup import cursor_of

    with Application.of(config) as application:
        names = [cursor_of(application.store, name).target for name in target or ()]
        names = names or [cursor.target for cursor in application.store.cursors()]
        ledgers = [ledger_of(application.store, name, recount=recount) for name in names]

    show([plain(one) for one in ledgers], as_json=as_json, render=lambda: _render(ledgers, recount=recount))
    wrong = [one.target for one in ledgers if not one.balanced]
    if wrong:
        complain(f"the ledger of {', '.join(wrong)} does not balance")
        raise typer.Exit(exit_code(VerificationError))


def plain(one: Ledger) -> dict[str, Any]:
    """Return a ledger for machines."""
    return {
        "target": one.target,
        **one.counts._asdict(),
        "recounted": one.recounted._asdict() if one.recounted else None,
        "balanced": one.balanced,
    }


def _render(ledgers: list[Ledger], *, recount: bool) -> None:
    if not ledgers:
        say("no target has begun yet; `goldwire run` starts them")
        return
    terms = ("committed", "delivered", "filtered", "superseded", "dead", "parked", "pending")
    rows: list[tuple[Any, ...]] = []
    for one in ledgers:
        rows.append((one.target, *one.counts, "balanced" if one.balanced else "DOES NOT BALANCE"))
        if recount and one.recounted is not None and one.recounted != one.counts:
            rows.append(("  recounted", *one.recounted, ""))
    table(("target", *terms, "recounted" if recount else "ledger"), rows)
