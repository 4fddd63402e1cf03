"""`goldwire heads`: writes what a target holds last of each entity as a signed list, for its subscribers to compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import counted, say, show


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(heads)


def heads(
    target: Annotated[str, typer.Argument(help="The target.")],
    file: Annotated[Path, typer.Argument(help="Where the list goes, JSON lines; it is replaced.")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Write version and hash of the last event of each entity, signed with `keys.heads`; `compare` of the kit reads it.

    So a subscriber finds out which last events it has missed, which no chain shows.
    """
    from goldwire.services.application import Application
    from goldwire.services.contract_documents import key
    from goldwire.services.heads import write_heads

    with Application.of(config) as application:
        signing_key = key(application.loaded, "heads", f"to sign the heads of target {target}")
        done = write_heads(application.store, target, file, signing_key)
    said = f"{done.file}: {counted(done.entities, 'entity', 'entities')} of {target} up to position {done.position:,}"
    show(done, as_json=as_json, render=lambda: say(said))
