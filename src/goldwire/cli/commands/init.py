"""`goldwire init`: writes a configuration to start from, and a few customers to try it on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goldwire.cli.options import JsonOption
from goldwire.cli.output import say, show


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(init)


def init(
    directory: Annotated[Path, typer.Argument(help="Where; it is made if it does not exist.")] = Path(),
    *,
    as_json: JsonOption = False,
) -> None:
    """Write a commented goldwire.yaml and sample data. Nothing that exists is overwritten."""
    from goldwire.errors import InputError
    from goldwire.services.starter import write_start

    files = write_start(directory)
    if not files:
        raise InputError(f"{directory / 'goldwire.yaml'} exists already; name another directory, or remove it first")

    def render() -> None:
        for file in files:
            say(f"wrote {file}")
        step = "" if directory == Path() else f"cd {directory} && "
        say(f"next: {step}goldwire apply && goldwire ingest crm data/crm.csv && goldwire ingest billing data/billing.csv")
        say("then: goldwire run --until-caught-up && goldwire ledger && goldwire verify out/events.jsonl")

    show([str(file) for file in files], as_json=as_json, render=render)
