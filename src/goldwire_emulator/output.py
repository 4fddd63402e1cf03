"""What the command writes: its result on standard output, notes and errors on standard error."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

import typer

from goldwire_emulator.errors import EmulatorError

_Arguments = ParamSpec("_Arguments")


def say(text: str) -> None:
    """Write a line of the result."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Write a line beside the result."""
    sys.stderr.write(text + "\n")


def complain(program: str, text: str) -> None:
    """Write an error, a line for each problem it holds, after the name of the program."""
    for line in text.splitlines() or [""]:
        note(f"{program}: {line}")


def reporting(command: Callable[_Arguments, None], program: str) -> Callable[_Arguments, None]:
    """Return the command with its errors reported and turned into exit codes.

    Args:
        command: raises the emulator's errors.
        program: as the user calls it; stands before each line of an error.
    """

    @functools.wraps(command)
    def reported(*args: _Arguments.args, **settings: _Arguments.kwargs) -> None:
        try:
            command(*args, **settings)
        except EmulatorError as error:
            complain(program, str(error))
            raise typer.Exit(error.exit_code) from error

    return reported
