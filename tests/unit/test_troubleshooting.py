"""Every command that the page on troubleshooting names exists, and takes what the page gives it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from goldwire.cli.main import app

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
EXAMPLES = {"POSITION": "7", "ID": "7", "FILE": str(PAGE), "SYSTEM/ID": "crm/1"}
COMMANDS = sorted(set(re.findall(r"`(goldwire [^`\n]+)`", PAGE.read_text(encoding="utf-8"))))


def parse(line: str) -> str:
    """Parse a command line as the program does, down to the last command, and run nothing."""
    words = [EXAMPLES.get(word, word) for word in shlex.split(line)[1:]]
    command = typer.main.get_command(app)
    context = command.make_context("goldwire", words)
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        assert command is not None, name
        context = command.make_context(name, rest, parent=context)
    return context.command_path


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_on_the_page_can_be_called_so(line: str) -> None:
    assert parse(line).startswith("goldwire ")


def test_a_command_that_is_not_there_would_be_found() -> None:
    for wrong in (
        "goldwire statuss",
        "goldwire status --recount",
        "goldwire replay start",
        "goldwire replay --dry-run",
        "goldwire dead show billing x",
    ):
        with pytest.raises(Exception, match=r"(?i)no such|missing|valid integer"):
            parse(wrong)


def test_the_page_covers_the_table_with_a_command_for_each() -> None:
    sections = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))
    for wanted in (
        "Duplicates",
        "Lost ordering",
        "Throttling, or nothing moves",
        "Wrong key",
        "A value that should not be there",
    ):
        assert "`goldwire " in sections[wanted]
