"""Other releases of Goldwire beside the one under test: each is a tree of source, run as a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[2]
TODAY = ROOT / "src"


class Release:
    """The code in one tree of source.

    Args:
        source: the folder that holds the package `goldwire`.
    """

    def __init__(self, source: Path = TODAY) -> None:
        self.source = source

    def command(self, *words: str) -> list[str]:
        """Return what runs a command of this release; `environment` goes with it."""
        return [sys.executable, "-m", "goldwire", *words]

    @property
    def environment(self) -> dict[str, str]:
        """What a process of this release runs in."""
        environment = {**os.environ, "PYTHONPATH": str(self.source), "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"}
        environment.pop("GOLDWIRE_CONFIG", None)
        return environment

    def run(self, folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command in a folder; it must exit with this code."""
        done = subprocess.run(
            self.command(*words), cwd=folder, env=self.environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done

    def json(self, folder: Path, *words: str) -> Any:
        """Run a command with --json and return what it writes."""
        return json.loads(self.run(folder, *words, "--json").stdout)


def release_with(folder: Path, migrations: Mapping[str, str]) -> Release:
    """Return today's release with more migrations, written into a folder.

    Args:
        folder: where its tree goes.
        migrations: each new revision with the text of its module.
    """
    source = folder / "src"
    shutil.copytree(TODAY, source, ignore=shutil.ignore_patterns("__pycache__"))
    room = source / "goldwire/changelog/migrations"
    for revision, text in migrations.items():
        (room / f"versions/r{revision}_of_a_test.py").write_text(text, encoding="utf-8")
    listed = (room / "__init__.py").read_text(encoding="utf-8")
    known = next(line for line in listed.splitlines() if line.startswith("REVISIONS = "))
    more = known[:-1] + "".join(f', "{revision}"' for revision in migrations) + ")"
    (room / "__init__.py").write_text(listed.replace(known, more), encoding="utf-8")
    return Release(source)


def release_of(commit: str, folder: Path) -> Release | str:
    """Return the release that a commit holds, unpacked into a folder, or why there is none."""
    if shutil.which("git") is None:
        return "there is no git here"
    found = subprocess.run(["git", "archive", "--format=zip", commit, "src"], cwd=ROOT, capture_output=True, check=False)
    if found.returncode != 0:
        return f"the history of this tree does not reach back to {commit}: {found.stderr.decode().strip()}"
    with ZipFile(BytesIO(found.stdout)) as archive:
        archive.extractall(folder)
    return Release(folder / "src")


def table_of(file: Path) -> dict[str, Any]:
    """Return what a subscriber of a `file` target holds: the last event of each entity, without what names the moment."""
    table = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        table[event["entityId"]] = [event[key] for key in ("entityType", "eventType", "version", "changes", "externalIds")]
    return table
