"""`goldwire targets`: the target kinds of this installation, and what each wants to know."""

from __future__ import annotations

from typing import Annotated

import typer

from goldwire.cli.options import JsonOption
from goldwire.cli.output import say, show


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(targets)


def targets(
    kind: Annotated[str | None, typer.Argument(help="Only this kind.")] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """List the target kinds and their settings."""
    from goldwire.config.settings_documentation import settings_of
    from goldwire.errors import NotFoundError, did_you_mean
    from goldwire.targets import registry

    kinds = sorted(registry.kinds())
    if kind is not None and kind not in kinds:
        raise NotFoundError(f"{kind} is no known target kind{did_you_mean(kind, kinds)}")
    found = {name: registry.settings_type(name) for name in ([kind] if kind else kinds)}

    def render() -> None:
        for name, struct in found.items():
            say(f"{name}: {(struct.__doc__ or '').strip().splitlines()[0] if struct.__doc__ else ''}")
            for setting in settings_of(struct):
                marks = ", secret: write a reference such as ${env:NAME}" if setting.secret else ""
                default = "required" if setting.default == "required" else f"default {setting.default}"
                say(f"  {setting.name} ({setting.type}; {default}{marks})")
                if setting.description:
                    say(f"      {setting.description}")
                if setting.examples:
                    say(f"      e.g. {', '.join(setting.examples)}")
            say("")

    show({name: settings_of(struct) for name, struct in found.items()}, as_json=as_json, render=render)
