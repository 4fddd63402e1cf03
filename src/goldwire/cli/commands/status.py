"""`goldwire status`: where the log and every target stand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import not_as_the_contract_says, say, show, table, waits_for_a_yes

if TYPE_CHECKING:
    from goldwire.services.status import TargetStatus


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(*, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show where the log and every target stand."""
    from goldwire.services.application import Application
    from goldwire.services.status import status as status_of

    with Application.of(config) as application:
        found = status_of(application.loaded, application.store)

    def render() -> None:
        say(f"log: position {found.position:,}")
        _render(found.targets, config)

    show(found, as_json=as_json, render=render)


def _render(rows: list[TargetStatus], config: Path) -> None:
    if rows:
        columns = ("target", "kind", "state", "position", "lag", "dead", "parked", "revision")
        table(columns, [[getattr(row, column) for column in columns] for row in rows])
    if fresh := ", ".join(row.target for row in rows if row.state == "not applied"):
        say(f"no contract was applied yet for {fresh}; `goldwire apply` does it")
    for row in rows:
        for line in _remarks(row, config):
            say(line)


def _remarks(row: TargetStatus, config: Path) -> Iterator[str]:
    """Say what a person should know of one target beside the table."""
    from goldwire.errors import stopped_text

    if row.stopped:
        yield stopped_text(row.target, row.stopped)
    if row.unopened:
        yield f"{row.target}: cannot be opened since {row.unopened_since}: {row.unopened}"
    if row.loss:
        yield (
            f"{row.target}: {row.loss}, seen at {row.loss_since}; `goldwire resync {row.target}` sends again what it should "
            f"hold, `goldwire replay {row.target} --since` what it was sent"
        )
    if row.last_failure:
        yield f"{row.target}: the last attempt failed: {row.last_failure}"
    if row.configuration_differs:
        yield f"{row.target}: the contract in {config} is not applied yet; `goldwire apply` does it"
    if row.configuration_differs is None:
        yield f"{row.target}: `goldwire apply --check` says why its contract in {config} cannot be compared here"
    if row.stale and not row.held_resync:
        yield not_as_the_contract_says(row.target, row.stale)
    if row.held_resync:
        yield waits_for_a_yes(row.target, row.held_resync)
    if row.balanced is False:
        yield f"{row.target}: the ledger does not balance; `goldwire ledger --recount` shows where"
