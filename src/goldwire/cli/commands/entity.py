"""`goldwire entity show`: one golden record, its versions, and what each target holds of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import say, show, table

if TYPE_CHECKING:
    from goldwire.services.entity import EntityHistory

WIDTH = 80
"""What fits beside the other columns, in characters."""

group = typer.Typer(help="Look at one golden record.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="entity")


@group.command("show")
def entity_show(
    name: Annotated[str, typer.Argument(metavar="ENTITY", help="An entity id, or SYSTEM/ID of one of its records.")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show a golden record, its versions, and what each target was last sent of it.

    The record is shown unmasked: every person who can read the store can read it.
    """
    from goldwire.services.application import Application
    from goldwire.services.entity import entity_history

    with Application.of(config) as application:
        found = entity_history(application.store, name)
    show(found, as_json=as_json, render=lambda: _render(found))


def _render(found: EntityHistory) -> None:
    state = found.state
    fate = "" if found.kind == "live" else f", {found.kind}"
    fate += f" into {found.merged_into}" if found.merged_into else ""
    say(f"{found.entity_type} {found.entity_id}: version {found.version}{fate}")
    known_as = ", ".join(f"{one['system']}/{one['id']}" for one in state["externalIds"])
    say(f"{state['status']}, {state['approval']}; known as {known_as}")
    if state["attributes"]:
        rows = [
            (name, _short(one["value"]), one["provenance"], f"{one['confidence']:g}", one["lastSeen"])
            for name, one in state["attributes"].items()
        ]
        table(("attribute", "value", "from", "confidence", "last seen"), rows)
    for edge in state["edges"]:
        to = edge["to"]
        say(f"{edge['rel']} -> {to.get('entityId') or '/'.join(to['externalId'].values())}")
    columns = ("version", "position", "kind", "committed_at")
    rows = [
        (
            *[getattr(row, column) for column in columns],
            f"nothing: sent again to {row.sent_again_to}" if row.sent_again_to else row.changed,
        )
        for row in found.versions
    ]
    table((*columns, "changed"), rows)
    if found.targets:
        own = ("target", "version", "presence", "remote_id", "settled_at")
        held = [[*[getattr(one, field) or "" for field in own], ", ".join(one.open)] for one in found.targets]
        table((*own, "open"), held)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
