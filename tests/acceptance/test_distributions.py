"""A command of another distribution is there where that is installed, and else the error says what brings it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HIDE = """
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {hidden!r} else found(name, package)
from goldwire.cli.main import main
main()
"""


def goldwire(*words: str, hidden: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line where some packages are not installed."""
    command = [sys.executable, "-c", HIDE.format(hidden=hidden), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("command", "package"), [("bench", "goldwire_lab"), ("simulate", "goldwire_lab"), ("emulator", "goldwire_emulator")]
)
def test_a_command_that_is_elsewhere_is_unknown_and_the_error_says_where_it_is(
    command: str, package: str, tmp_path: Path
) -> None:
    assert goldwire(command, "--help", hidden=(), folder=tmp_path).returncode == 0
    done = goldwire(command, hidden=(package,), folder=tmp_path)
    said = " ".join(re.sub(r"[│╭╮╰╯─]", " ", done.stderr).split())
    assert done.returncode == 2
    assert f"No such command '{command}'." in said
    assert f"The distribution {package.replace('_', '-')} has it" in said
    assert f"pip install . ./src/{package}" in said
    assert f" {command} " not in goldwire("--help", hidden=(package,), folder=tmp_path).stdout


def test_a_command_that_nothing_brings_is_only_unknown(tmp_path: Path) -> None:
    done = goldwire("benhc", hidden=(), folder=tmp_path)
    assert done.returncode == 2
    assert "No such command 'benhc'." in done.stderr
    assert "distribution" not in done.stderr
