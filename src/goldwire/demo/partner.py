"""The partner: a webhook receiver in a process of its own, and what it has received."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from goldwire.demo.backplane import end
from goldwire.demo.folder import DemoFolder
from goldwire.errors import GoldwireError
from goldwire.redaction import shows

_LISTENING = "listening on "


@shows("entity_id", "version")
class PartnerArrival(Struct, frozen=True):
    """One event as it arrived."""

    entity_id: str
    version: int
    body: bytes


@shows()
class _Logged(Struct):
    event: Raw


class _Identity(Struct):
    entity_id: str = msgspec.field(name="entityId")
    version: int


@contextmanager
def receiver(folder: DemoFolder) -> Iterator[str]:
    """Run the partner's receiver while the block runs; it refuses what is not signed with the folder's secret.

    Yields:
        its address, without a slash at the end.

    Raises:
        GoldwireError: it did not start.
    """
    command = [sys.executable, "-m", "goldwire.testing.webhook_receiver", "--log", str(folder.arrivals)]
    process = subprocess.Popen(  # noqa: S603 - ourselves, with our own arguments
        [*command, "--secret-file", str(folder.signing_key)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        if not first.startswith(_LISTENING):
            raise GoldwireError(f"the demo's webhook receiver did not start (exit code {process.wait()})")
        yield first.removeprefix(_LISTENING).strip()
    finally:
        end(process)


def arrivals(file: Path) -> list[PartnerArrival]:
    """Return what the receiver logged, in order of arrival; a line that is still being written is left out."""
    found = []
    whole, _, _ = file.read_bytes().rpartition(b"\n")
    for line in whole.splitlines():
        body = bytes(msgspec.json.decode(line, type=_Logged).event)
        identity = msgspec.json.decode(body, type=_Identity)
        found.append(PartnerArrival(identity.entity_id, identity.version, body))
    return found


def wait_for_lines(file: Path, count: int, process: subprocess.Popen[bytes], patience_seconds: float) -> None:
    """Return once a file has so many lines.

    Raises:
        GoldwireError: the process that makes them ended before that, or the wait was too long.
    """
    give_up = time.monotonic() + patience_seconds
    while count_lines(file) < count:
        if process.poll() is not None:
            raise GoldwireError(f"the relay ended with {process.returncode} before it could be killed in mid-send")
        if time.monotonic() > give_up:
            raise GoldwireError("the relay sent too little to be killed in mid-send")
        time.sleep(0.005)


def count_lines(file: Path) -> int:
    """Return how many lines a file has."""
    return file.read_bytes().count(b"\n")
