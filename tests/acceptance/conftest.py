"""Drives the installed command `goldwire` as a user would, in a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from support.sql_servers import postgresql

__all__ = ["postgresql"]

GOLDWIRE = Path(sys.executable).parent / "goldwire"


class Shell:
    """A folder, an environment, and the command.

    Args:
        folder: where it is run.
        starter: what `goldwire init` wrote, for `lay_out`.
    """

    def __init__(self, folder: Path, starter: Path | None = None) -> None:
        self.folder = folder
        self._starter = starter
        self.environment = {**os.environ, "COLUMNS": "200", "GOLDWIRE_CONFIG": "goldwire.yaml"}
        self.environment.pop("PYTHONUNBUFFERED", None)  # few users have it, and it hides what is lost when Python ends
        self.running: list[subprocess.Popen[str]] = []

    def run(self, *words: str, code: int = 0, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command that must exit with this code; whatever it is, there is never a traceback."""
        done = subprocess.run(
            [str(GOLDWIRE), *words],
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done

    def lay_out(self) -> None:
        """Have what `goldwire init` writes: for tests of something else, which are many."""
        assert self._starter is not None
        shutil.copytree(self._starter, self.folder, dirs_exist_ok=True)

    def fails(self, *words: str, code: int) -> str:
        """Run a command that must fail, and return what it says of it."""
        done = self.run(*words, code=code)
        assert done.stderr.startswith("goldwire: "), done.stderr
        return done.stderr

    def json(self, *words: str, code: int = 0) -> Any:
        """Run a command with --json: standard output is one document and nothing else."""
        return json.loads(self.run(*words, "--json", code=code).stdout)

    def into(self, output: IO[str], *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command whose standard output goes there."""
        return subprocess.run(
            [str(GOLDWIRE), *words],
            cwd=self.folder,
            env=self.environment,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            timeout=240,
            check=False,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command and leave it running."""
        process = subprocess.Popen(
            [str(GOLDWIRE), *words],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.running.append(process)
        return process

    def emulator(self, *words: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        """Start the emulator and leave it running; return it and what it printed when it was ready."""
        process = self.start("emulator", "--json", *words)
        assert process.stdout is not None
        assert process.stderr is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if line == "}\n":
                break
        assert lines, process.stderr.read()
        return process, json.loads("".join(lines))

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def edit(self, old: str, new: str) -> None:
        """Change the configuration."""
        path = self.folder / "goldwire.yaml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Read what a `file` target wrote."""
        return [json.loads(line) for line in (self.folder / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="session")
def _laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after `goldwire init`."""
    shell = Shell(tmp_path_factory.mktemp("laid-out"))
    shell.run("init")
    return shell.folder


@pytest.fixture
def shell(tmp_path: Path, _laid_out: Path) -> Iterator[Shell]:
    folder = tmp_path / "a folder with spaces"
    folder.mkdir()
    shell = Shell(folder, _laid_out)
    yield shell
    for process in shell.running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def _begun(tmp_path_factory: pytest.TempPathFactory, _laid_out: Path) -> Path:
    """A folder after `goldwire init` and `goldwire apply`, from which others are copied: a store takes a second to make."""
    shell = Shell(tmp_path_factory.mktemp("begun") / "a folder with spaces", _laid_out)
    shell.lay_out()
    shell.run("apply")
    return shell.folder


@pytest.fixture(scope="session")
def begun(_begun: Path) -> Callable[[Path], Shell]:
    """Make a shell in another folder, after `goldwire init` and `goldwire apply`: for what a session makes once."""

    def begin(folder: Path) -> Shell:
        shutil.copytree(_begun, folder, dirs_exist_ok=True)
        return Shell(folder)

    return begin


@pytest.fixture
def started(shell: Shell, _begun: Path) -> Shell:
    """A shell after `goldwire init` and `goldwire apply`."""
    shutil.copytree(_begun, shell.folder, dirs_exist_ok=True)
    return shell
