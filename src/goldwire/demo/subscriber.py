"""The subscriber: a program that is built on the kit alone, killed in mid-stream, and started again to read to the end."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress

import msgspec
from msgspec import Struct

from goldwire.demo.backplane import TARGET
from goldwire.demo.folder import DemoFolder
from goldwire.demo.result import Killed
from goldwire.errors import GoldwireError
from goldwire.services.application import Application
from goldwire.targets.azure.event_hubs.target import EventHubsSettings

KILL_AFTER_EVENTS = 500
PAUSE_SECONDS = 0.002
"""How long the subscriber rests after each event meanwhile, so that the kill meets it in mid-stream."""

_PATIENCE_SECONDS = 120.0


class _Done(Struct):
    applied: int


def kill_subscriber(application: Application, folder: DemoFolder, published: int) -> Killed:
    """Start the subscriber, and kill it with SIGKILL while it reads.

    Args:
        application: with the target.
        folder: of the demo.
        published: how many events the hub has.

    Raises:
        GoldwireError: it could not be killed in mid-stream.
    """
    process = _start(application, folder, "--pause-seconds", str(PAUSE_SECONDS))
    try:
        give_up = time.monotonic() + _PATIENCE_SECONDS
        while applied(folder) < KILL_AFTER_EVENTS:
            if process.poll() is not None:
                raise GoldwireError(f"the subscriber ended with {process.returncode}; see {folder.subscriber_log}")
            if time.monotonic() > give_up:
                raise GoldwireError(f"the subscriber read too little to be killed in mid-stream; see {folder.subscriber_log}")
            time.sleep(0.01)
    finally:
        process.kill()  # SIGKILL
        process.communicate()
    return Killed(exit_signal=-process.returncode, applied=applied(folder), published=published)


def read_to_the_end(application: Application, folder: DemoFolder) -> int:
    """Start the subscriber again, and let it read to the end of each partition.

    Returns:
        how many events it has applied in all its lives.

    Raises:
        GoldwireError: it did not get there.
    """
    process = _start(application, folder, "--until-end")
    try:
        printed, _ = process.communicate(timeout=_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise GoldwireError(
            f"the subscriber was not at the end in {_PATIENCE_SECONDS:.0f} s; see {folder.subscriber_log}"
        ) from error
    finally:
        process.kill()
        process.communicate()
    if process.returncode:
        raise GoldwireError(f"the subscriber ended with {process.returncode}; see {folder.subscriber_log}")
    return msgspec.json.decode(printed, type=_Done).applied


def applied(folder: DemoFolder) -> int:
    """Return how many events the subscriber has applied; 0 as long as it has made no table."""
    if folder.mirror.exists():
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(folder.mirror)) as connection:
            row = connection.execute("SELECT applied FROM tally").fetchone()
            return int(row[0]) if row else 0
    return 0


def _start(application: Application, folder: DemoFolder, *options: str) -> subprocess.Popen[str]:
    settings = application.targets.settings(TARGET)
    assert isinstance(settings, EventHubsSettings)
    command = [sys.executable, str(folder.subscriber), str(folder.backplane_connection), settings.hub, str(folder.mirror)]
    with folder.subscriber_log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - ourselves, with our own arguments
            [*command, "--group", "mirror", *options], stdout=subprocess.PIPE, stderr=log, text=True
        )
