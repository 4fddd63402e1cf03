"""`goldwire schema`: JSON Schemas of the events a target receives, and of the configuration."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption
from goldwire.cli.output import show


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(schema)


def schema(
    target: Annotated[str | None, typer.Argument(help="The target whose events are described.")] = None,
    *,
    configuration: Annotated[bool, typer.Option("--configuration", help="Describe goldwire.yaml instead.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="For symmetry: the output is always JSON.")] = True,
) -> None:
    """Print the JSON Schema (2020-12) of the events of a target as its contract shapes them, or of the configuration."""
    if configuration == (target is not None):
        raise typer.BadParameter("name a target, or ask for --configuration")
    show(_configuration() if target is None else _event(target, config), as_json=as_json or True, render=lambda: None)


def _configuration() -> dict[str, Any]:
    from goldwire.config.json_schema import config_schema

    return config_schema()


def _event(target: str, config: Any) -> dict[str, Any]:
    from goldwire.event.schema import event_schema
    from goldwire.services.application import Application
    from goldwire.services.contract_documents import preview

    with Application.of(config) as application:
        application.targets.config(target)
        return event_schema(preview(application.loaded, target))
