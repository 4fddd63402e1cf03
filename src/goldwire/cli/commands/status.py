"""`goldwire status`: where the log and every target stand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import say, show, table

if TYPE_CHECKING:
    from goldwire.services.application import Application


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(*, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show where the log and every target stand."""
    from goldwire.relay.ledger import balances
    from goldwire.services.application import Application
    from goldwire.services.backlog import behind

    with Application.of(config) as application:
        store = application.store
        position = store.position()
        cursors = {cursor.target: cursor for cursor in store.cursors()}
        rows: list[dict[str, Any]] = []
        for name in sorted(set(cursors) | set(application.loaded.config.targets)):
            cursor = cursors.get(name)
            counts = store.counts(name) if cursor else None
            revisions = store.revisions(name)
            configured = name in application.loaded.config.targets
            waits = behind(store, name) if cursor and configured else None
            rows.append(
                {
                    "target": name,
                    "kind": application.loaded.config.targets[name].kind if configured else None,
                    "state": _state(configured, bool(revisions), cursor, counts),
                    "position": cursor.position if cursor else 0,
                    "lag": counts.pending if counts else None,
                    "dead": counts.dead if counts else None,
                    "parked": counts.parked if counts else None,
                    "revision": revisions[-1].revision if revisions else None,
                    "configuration_differs": _differs(application, name) if configured else False,
                    "balanced": balances(counts) if counts else None,
                    "stopped": cursor.stopped if cursor else None,
                    "unopened": cursor.unopened if cursor else None,
                    "unopened_since": cursor.unopened_since if cursor else None,
                    "last_failure": waits.reason or None if waits else None,
                }
            )

    def render() -> None:
        say(f"log: position {position:,}")
        _render(rows, config)

    show({"position": position, "targets": rows}, as_json=as_json, render=render)


def _render(rows: list[dict[str, Any]], config: Path) -> None:
    if rows:
        columns = ("target", "kind", "state", "position", "lag", "dead", "parked", "revision")
        table(columns, [[row[column] for column in columns] for row in rows])
    if fresh := ", ".join(row["target"] for row in rows if row["state"] == "not applied"):
        say(f"no contract was applied yet for {fresh}; `goldwire apply` does it")
    for row in rows:
        if row["stopped"]:
            say(f"{row['target']} is stopped: {row['stopped']}. Mend the cause, then `goldwire resume {row['target']}`")
        if row["unopened"]:
            say(f"{row['target']}: cannot be opened since {row['unopened_since']}: {row['unopened']}")
        if row["last_failure"]:
            say(f"{row['target']}: the last attempt failed: {row['last_failure']}")
        if row["configuration_differs"]:
            say(f"{row['target']}: the contract in {config} is not applied yet; `goldwire apply` does it")
        if row["configuration_differs"] is None:
            say(f"{row['target']}: `goldwire apply --check` says why its contract in {config} cannot be compared here")
        if row["balanced"] is False:
            say(f"{row['target']}: the ledger does not balance; `goldwire ledger --recount` shows where")


def _differs(application: Application, name: str) -> bool | None:
    """Say whether a contract was edited since it was applied; None where a key is not at hand: who looks need not have it."""
    from goldwire.errors import ConfigError
    from goldwire.services.apply import differs

    try:
        return differs(application, name)
    except ConfigError:
        return None


def _state(configured: bool, applied: bool, cursor: Any, counts: Any) -> str:
    if not configured:
        return "not configured"
    if not applied:
        return "not applied"
    if cursor is None:
        return "not begun"
    if cursor.stopped:
        return "stopped"
    return "caught up" if counts.pending == 0 else "behind"
