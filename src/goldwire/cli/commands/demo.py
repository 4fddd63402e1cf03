"""`goldwire demo`: the whole path on real customers, with a crash in the middle and the proof at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goldwire.cli.options import JsonOption


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    directory: Annotated[
        Path,
        typer.Argument(help="Where the demo works: a new folder, an empty one, or that of an earlier demo, which is emptied."),
    ] = Path("demo-out"),
    *,
    as_json: JsonOption = False,
) -> None:
    """Master 10,000 records of 5,000 customers, deliver them to four targets, crash, go on, and prove the result.

    One target is an Event Hub of the emulator, which a subscriber reads; without the packages for that there are three targets.
    Exits with 9 where a promise was broken.
    """
    from goldwire.cli.exit_codes import exit_code
    from goldwire.demo import run_demo
    from goldwire.errors import VerificationError

    if not run_demo(directory, as_json=as_json):
        raise typer.Exit(exit_code(VerificationError))
