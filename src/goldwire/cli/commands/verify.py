"""`goldwire verify`: checks the hash chains of a file of events, written by any program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goldwire.cli.exit_codes import exit_code
from goldwire.cli.options import JsonOption
from goldwire.cli.output import counted, note, progress, say, show

SHOWN_FINDINGS = 20
"""How many findings are shown; `--json` has the first thousand."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(verify)


def verify(
    file: Annotated[list[Path], typer.Argument(metavar="FILE", help="JSON lines of events, in the order written.")],
    *,
    partial: Annotated[
        bool, typer.Option("--partial", help="The files are not the first ones: chains may begin anywhere.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check every event's hash, and that each follows on the one before it of its entity.

    Files are taken together as one stream, in the order given. Needs nothing but the files. Exits with 9 where something does
    not hold.
    """
    from goldwire.errors import InputError, VerificationError
    from goldwire.services.verify import verify_files

    missing = [str(path) for path in file if not path.is_file()]
    if missing:
        raise InputError(f"{', '.join(missing)}: no such file")
    with progress(quiet=as_json) as display:
        task = display.add_task("bytes", total=sum(path.stat().st_size for path in file), note="")
        result = verify_files(file, from_the_start=not partial, progress=lambda done: display.update(task, completed=done))

    def render() -> None:
        if result.entities == 0 and result.findings:
            note(f"goldwire: none of the {counted(result.events, 'line')} is an event; name files of JSON lines of events")
            return
        for one in result.first_findings[:SHOWN_FINDINGS]:
            entity = f"{one.entity_id} version {one.version}: " if one.entity_id else ""
            note(f"goldwire: {one.file}:{one.line}: {entity}{one.text}")
        ending = "every hash holds, every chain is whole" if result.whole else counted(result.findings, "finding")
        repeated = f" ({counted(result.repeated, 'identical resend')})" if result.repeated else ""
        entities = counted(result.entities, "entity", "entities")
        say(f"{counted(result.events, 'event')} of {entities}{repeated}: {ending}")

    show(result, as_json=as_json, render=render)
    if not result.whole:
        raise typer.Exit(exit_code(VerificationError))
