"""Hold a target for one process: a lock file beside the store, which the operating system releases however the process ends."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from goldwire.errors import InputError, StoreBusyError

_PLAIN_NAME = re.compile(r"[a-z0-9_-]{1,64}")


TRIES = 100
TRY_SECONDS = 0.001
"""How often, and after how long each time, a lock is tried that others only share."""


class TargetLocks:
    """The lock files of one store; for a store in memory, which no other process sees, a set."""

    def __init__(self, path: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._path = path
        self._sleep = sleep
        self._held: dict[str, bytes] = {}

    def file(self, target: str) -> Path:
        """Return a target's lock file: `STORE.TARGET.lock`, with a hash where the name is no plain file name."""
        name = target
        if not _PLAIN_NAME.fullmatch(target):
            plain = re.sub(r"[^a-z0-9_-]+", "-", target.lower())[:40]
            name = f"{plain}~{hashlib.sha256(target.encode()).hexdigest()[:12]}"
        return Path(f"{self._path}.{name}.lock")

    @contextmanager
    def hold(self, target: str, note: bytes = b"") -> Iterator[None]:
        """See `Store.lock_target`."""
        if self._path == ":memory:":
            if target in self._held:
                raise _busy(target)
            self._held[target] = note
            try:
                yield
            finally:
                del self._held[target]
            return
        file = self.file(target)
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise InputError(f"{file}: the lock file cannot be opened ({error.strerror}): mend its permissions") from error
        try:
            self._lock(descriptor, target)
            os.ftruncate(descriptor, 0)
            with suppress(OSError):  # a full disk takes no note; the relay meets that soon, and says it better
                os.pwrite(descriptor, note, 0)
            # The file stays: removing it would let two processes lock two files of one name.
            try:
                yield
            finally:
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int, target: str) -> None:
        """Take the lock; who only asks whether it is held, as `note` does, has it shared for a moment and is waited for.

        Raises:
            StoreBusyError: it is held.
        """
        for _ in range(TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not _shares(descriptor):
                    break
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # or two that wait would keep each other out
                self._sleep(TRY_SECONDS)
            else:
                return
        raise _busy(target)

    def note(self, target: str) -> bytes | None:
        """See `Store.target_note`."""
        if self._path == ":memory:":
            return self._held.get(target)
        try:
            with self.file(target).open("rb") as opened:
                if not os.fstat(opened.fileno()).st_size or _shares(opened.fileno()):
                    return None  # it was released, or a process that died has left its note, and no lock
                return opened.read() or None  # only now: another one may have taken the lock since, and left its own
        except OSError:
            return None


def _shares(descriptor: int) -> bool:
    """Share the lock, which goes on until the descriptor is closed or asks for more; False where another one holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _busy(target: str) -> StoreBusyError:
    return StoreBusyError(f"target {target}: another relay is working on it: stop that one, then repeat the command")
