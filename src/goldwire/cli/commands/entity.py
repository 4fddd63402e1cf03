"""`goldwire entity show`: one golden record, its versions, and what each target holds of it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import say, show, table

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

    The record is shown unmasked: whoever can read the store can read it.
    """
    import msgspec

    from goldwire.services.application import Application
    from goldwire.services.lookup import history_of

    with Application.of(config) as application:
        history = history_of(application.store, name)
        head = history[-1]
        controls = []
        for cursor in application.store.cursors():
            held = application.store.controls(cursor.target, [head.entity_id]).get(head.entity_id)
            lane = application.store.lanes(cursor.target, [head.entity_id]).get(head.entity_id, [])
            controls.append(
                {
                    "target": cursor.target,
                    "version": held.version if held else None,
                    "presence": held.presence if held else None,
                    "hash": f"sha256:{held.hash.hex()}" if held else None,
                    "remote_id": held.remote_id if held else None,
                    "settled_at": held.settled_at if held else None,
                    "open": [f"{delivery.state} version {delivery.version}" for delivery in lane],
                }
            )
    state: dict[str, Any] = msgspec.json.decode(head.state)
    versions = [
        {
            "version": row.version,
            "position": row.seq,
            "kind": row.kind,
            "committed_at": row.committed_at,
            "changed": row.changed,
            "correlation_id": row.correlation_id,
        }
        for row in history
    ]
    result = {
        "entity_id": head.entity_id,
        "entity_type": head.entity_type,
        "kind": head.kind,
        "version": head.version,
        "merged_into": head.merged_into,
        "state": state,
        "versions": versions,
        "targets": controls,
    }
    show(result, as_json=as_json, render=lambda: _render(result))


def _render(result: dict[str, Any]) -> None:
    state = result["state"]
    fate = "" if result["kind"] == "live" else f", {result['kind']}"
    fate += f" into {result['merged_into']}" if result["merged_into"] else ""
    say(f"{result['entity_type']} {result['entity_id']}: version {result['version']}{fate}")
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
    columns = ("version", "position", "kind", "committed_at", "changed")
    table(columns, [[row[column] for column in columns] for row in result["versions"]])
    if result["targets"]:
        own = ("target", "version", "presence", "remote_id", "settled_at")
        table((*own, "open"), [[*[one[field] or "" for field in own], ", ".join(one["open"])] for one in result["targets"]])


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
