"""Options that many commands share, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="GOLDWIRE_CONFIG", help="The configuration.", show_envvar=True),
]
DEFAULT_CONFIG = Path("goldwire.yaml")

JsonOption = Annotated[bool, typer.Option("--json", help="Write one JSON document to standard output, and nothing else there.")]
