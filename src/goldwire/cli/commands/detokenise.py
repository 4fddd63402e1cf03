"""`goldwire detokenise`: turns tokens back into values, for a holder of the key."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import say, show


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(detokenise)


def detokenise(
    attribute: Annotated[str, typer.Argument(help="The attribute that carried the tokens.")],
    token: Annotated[
        list[str] | None, typer.Argument(metavar="TOKEN", help="Tokens; without any, lines of standard input.")
    ] = None,
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Turn tokens of the mask `tokenise` back into the values behind them. Needs the key that made them."""
    import msgspec

    from goldwire.contract.masks import detokenise as clear_value
    from goldwire.services.application import Application
    from goldwire.services.contract_documents import key

    with Application.of(config) as application:
        keys = {"tokenise": key(application.loaded, "tokenise", "to turn tokens back")}
    tokens = token or [line.strip() for line in sys.stdin if line.strip()]
    values = [msgspec.json.decode(clear_value(one, attribute, keys)) for one in tokens]

    def render() -> None:
        for value in values:
            say(value if isinstance(value, str) else msgspec.json.encode(value).decode())

    show(dict(zip(tokens, values, strict=True)), as_json=as_json, render=render)
