"""Commands that other distributions bring: added where they are installed; else an error names the package that brings them."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import typer
from typer.core import TyperGroup

_COMMANDS = {"goldwire_lab": ("bench", "simulate"), "goldwire_emulator": ("emulator",)}
"""By package; looked for by name, because a scan for entry points takes 0.1 s."""


def mount(app: typer.Typer) -> None:
    """Add the commands of the distributions that are installed."""
    for package in _COMMANDS:
        if find_spec(package) is not None:
            import_module(f"{package}.commands").register(app)


class CommandGroup(TyperGroup):
    """A group of commands whose error about an unknown one names the distribution that brings it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the first word names.

        Args:
            ctx: of the group.
            args: what was typed after it.
        """
        if self.get_command(ctx, args[0]) is None:
            for package, commands in _COMMANDS.items():
                if args[0] in commands:
                    ctx.fail(
                        f"No such command '{args[0]}'. The distribution {package.replace('_', '-')} has it, "
                        f"which is not installed; in a clone of the repository: pip install . ./src/{package}"
                    )
        return super().resolve_command(ctx, args)
