"""`goldwire subscribers`: how far those are who read what targets were sent, as their brokers say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from goldwire.cli.exit_codes import exit_code
from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import complain, say, show, table

if TYPE_CHECKING:
    from goldwire.services.subscribers import SubscriberReport


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(subscribers)


def subscribers(
    target: Annotated[str | None, typer.Argument(help="Only this target.")] = None,
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show how many events subscribers have yet to read, and how many they gave up, as the broker of each target says.

    A target is asked about whose settings have `subscribers`; nothing is written. `goldwire run` serves the same as metrics.
    Exits with 1 where a broker gives no answer.
    """
    import asyncio

    from goldwire.errors import GoldwireError
    from goldwire.services.application import Application
    from goldwire.services.subscribers import report_on, with_subscribers

    with Application.of(config) as application:
        targets = application.targets
        names = [target] if target is not None else with_subscribers(targets)

        async def ask() -> list[SubscriberReport]:
            return await asyncio.gather(*(report_on(targets, name, application.clock) for name in names))

        reports = asyncio.run(ask())
    show(reports, as_json=as_json, render=lambda: _render(reports))
    for report in reports:
        if report.error is not None:
            complain(report.error)
    if any(report.error is not None for report in reports):
        raise typer.Exit(exit_code(GoldwireError))


def _render(reports: list[SubscriberReport]) -> None:
    if not reports:
        say("no target has `subscribers` in its settings, which say whose lag is looked at")
        return
    columns = ("target", "subscriber", "partition", "read to", "newest", "waiting", "dead letters")
    rows = [
        (report.target, one.subscriber, one.partition, one.read_to, one.newest, one.waiting, one.dead_letters)
        for report in reports
        for one in report.subscribers
    ]
    if rows:
        table(columns, rows)
