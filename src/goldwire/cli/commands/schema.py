"""`goldwire schema`: what a target receives, as JSON Schema or as AsyncAPI; and the JSON Schema of the configuration."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption
from goldwire.cli.output import say, show


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(schema)


def schema(
    target: Annotated[
        str | None, typer.Argument(help="The target whose events are described; with --asyncapi without it all targets.")
    ] = None,
    *,
    configuration: Annotated[bool, typer.Option("--configuration", help="Describe goldwire.yaml instead.")] = False,
    asyncapi: Annotated[
        bool,
        typer.Option(
            "--asyncapi",
            help="Write an AsyncAPI 3.0 document of the brokers and webhooks, as YAML; secrets and what references lead to are "
            "left out.",
        ),
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="With --asyncapi: as JSON. All else is always JSON.")] = False,
) -> None:
    """Print the JSON Schema (2020-12) of the events of a target as its contract shapes them, or of the configuration.

    Or print an AsyncAPI document of where others receive events.
    """
    if asyncapi and configuration:
        raise typer.BadParameter("ask for --asyncapi or for --configuration, not for both")
    if asyncapi:
        document = _asyncapi(target, config)
        show(document, as_json=as_json, render=lambda: say(_yaml(document).rstrip()))
        return
    if configuration == (target is not None):
        raise typer.BadParameter("name a target, or ask for --configuration or --asyncapi")
    show(_configuration() if target is None else _event(target, config), as_json=True, render=lambda: None)


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


def _asyncapi(target: str | None, config: Any) -> dict[str, Any]:
    from goldwire.services.application import Application
    from goldwire.services.asyncapi import asyncapi_document

    with Application.of(config) as application:
        names = application.targets.names
        if target is not None:
            application.targets.config(target)
            names = [target]
        return asyncapi_document(application.loaded, names, named=target is not None)


def _yaml(document: dict[str, Any]) -> str:
    import yaml

    class Plain(yaml.SafeDumper):
        """Writes the same mapping twice where it stands twice: not every reader follows YAML's anchors."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML calls it so
            return True

    text: str = yaml.dump(document, Dumper=Plain, sort_keys=False, allow_unicode=True, width=120)
    return text
