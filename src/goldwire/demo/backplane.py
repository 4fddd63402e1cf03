"""The backplane: an emulator of Event Hubs in a process of its own, where the packages for it are installed."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from goldwire.demo.folder import DemoFolder
from goldwire.errors import GoldwireError

TARGET = "backplane"
INSTALL = "pip install '.[azure]' ./src/goldwire_consumer ./src/goldwire_emulator"
"""What brings the packages that this part needs, in a clone of the repository."""

_NEEDED = ("azure.eventhub", "goldwire_consumer", "goldwire_emulator")
_READY = "ready: "
_PATIENCE_SECONDS = 30.0


def installed() -> bool:
    """Return whether the SDK of Event Hubs, the kit for subscribers and the emulator are installed; all are optional."""
    try:
        for module in _NEEDED:
            importlib.import_module(module)
    except ModuleNotFoundError:
        return False
    return True


@contextmanager
def emulator(folder: DemoFolder) -> Iterator[None]:
    """Run an emulator while the block runs, and set its address in the target's settings.

    Raises:
        GoldwireError: it did not start.
    """
    command = [sys.executable, "-m", "goldwire", "emulator", "--port", "0"]
    command += ["--config", str(folder.hub_config), "--data", str(folder.emulator_data)]
    with folder.emulator_log.open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)  # noqa: S603 - ourselves, with our own arguments
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        if not first.startswith(_READY):
            raise GoldwireError(f"the demo's emulator did not start (exit code {process.wait()}); see {folder.emulator_log}")
        folder.point_backplane_at(first.removeprefix(_READY).strip())
        yield
    finally:
        end(process)


def written_at(folder: DemoFolder) -> int:
    """Return when the emulator last wrote, in nanoseconds; 0 where there is none. No other process may open its file."""
    return max((one.stat().st_mtime_ns for one in folder.emulator_data.glob("*-wal")), default=0)


def end(process: subprocess.Popen[str]) -> None:
    """End a process of the demo gracefully, and for certain."""
    process.terminate()
    try:
        process.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
