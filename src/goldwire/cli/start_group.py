"""A group of commands that takes `goldwire GROUP TARGET` for `goldwire GROUP start TARGET`."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class StartGroup(TyperGroup):
    """The word `start` may be left out; a target named like another command of the group still needs it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `start` before a word that is no command of the group."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["start", *args]
        return super().parse_args(ctx, args)
