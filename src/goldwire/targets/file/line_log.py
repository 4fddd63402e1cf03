"""An append-only file of lines, or a numbered series of them: whole lines only, through crashes and full disks.

Not safe on network file systems that ignore `flock`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import re
from collections.abc import Iterator
from pathlib import Path

_NUMBER_DIGITS = 6

_FIRST_BYTES = (b'{"changes":', b'{"entityId":')
"""How a sealed event begins: another program wrote what begins otherwise."""


class LineLog:
    """One writer's lines. With `numbered` the file is `NAME-000001.EXT`, and `rotate` begins the next number."""

    def __init__(self, path: Path, *, numbered: bool, sync: bool) -> None:
        self._path = path
        self._numbered = numbered
        self._sync = sync
        self._descriptor = -1
        self.file = path
        """The file being written."""
        self.length_bytes = 0
        """Its length."""

    def open(self) -> None:
        """Lock the newest file, or create the first, and cut off a last line that a crash left unfinished.

        Raises:
            BlockingIOError: another process writes it.
            ValueError: the file has other content; the text says so.
            OSError: as the operating system says.
        """
        assert self._descriptor == -1, "open twice"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            self.file = self._newest()
            self._lock(self.file)
            # Between finding and locking, another writer may have rotated and gone.
            if self._newest() == self.file and self._is_current():
                break
            self.close()
        try:
            self._recover()
        except BaseException:
            self.close()
            raise

    def append(self, lines: bytes) -> None:
        """Write whole lines, so that they outlive a crash (with `sync`: of the machine too).

        Raises:
            OSError: nothing was written; the file is as it was.
            TornWriteError: it is not known what was written; `open` mends it.
        """
        if not self._is_current():
            # The file was moved or deleted: what comes next belongs under the configured name.
            self.close()
            self.open()
        try:
            _write_whole(self._descriptor, lines)
            if self._sync:
                os.fsync(self._descriptor)
        except OSError as error:
            self._take_back(error)
            raise
        self.length_bytes += len(lines)

    def rotate(self) -> None:
        """Begin the next file of the series.

        Raises:
            OSError: it could not be created; the present one stays in use.
        """
        assert self._numbered, "only a numbered series rotates"
        old_descriptor, old_file = self._descriptor, self.file
        try:
            self._lock(self._number(self._number_of(self.file) + 1))
        except OSError:
            self._descriptor, self.file = old_descriptor, old_file
            raise
        os.close(old_descriptor)
        self.length_bytes = 0

    def close(self) -> None:
        """Give the lock back; safe to call twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor != -1:
            os.close(descriptor)

    def newest_first(self) -> Iterator[bytes]:
        """Yield the lines backwards, from the last one of the newest file to the first one of the oldest."""
        for file in reversed(self.files()):
            with file.open("rb") as stream:
                if os.fstat(stream.fileno()).st_size:
                    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                        yield from _lines_backwards(content)

    def files(self) -> list[Path]:
        """Return the files that exist, oldest first."""
        if not self._numbered:
            return [self._path] if self._path.exists() else []
        return sorted((file for file in self._path.parent.iterdir() if self._number_of(file)), key=self._number_of)

    def _newest(self) -> Path:
        if not self._numbered:
            return self._path
        numbered = self.files()
        if self._path.exists():
            # Written before rotation was switched on: it joins the series.
            following = self._number(self._number_of(numbered[-1]) + 1 if numbered else 1)
            self._path.rename(following)
            return following
        return numbered[-1] if numbered else self._number(1)

    def _number(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.stem}-{number:0{_NUMBER_DIGITS}d}{self._path.suffix}")

    def _number_of(self, file: Path) -> int:
        pattern = rf"{re.escape(self._path.stem)}-(\d{{{_NUMBER_DIGITS},}}){re.escape(self._path.suffix)}"
        match = re.fullmatch(pattern, file.name)
        return int(match[1]) if match else 0

    def _lock(self, file: Path) -> None:
        existed = file.exists()
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not existed:
                _sync_folder(file.parent)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor, self.file = descriptor, file

    def _is_current(self) -> bool:
        """Return whether the open file is still the one of that name."""
        try:
            named = self.file.stat()
        except FileNotFoundError:
            return False
        opened = os.fstat(self._descriptor)
        return (named.st_ino, named.st_dev) == (opened.st_ino, opened.st_dev)

    def _recover(self) -> None:
        length = os.fstat(self._descriptor).st_size
        self.length_bytes = length
        if length == 0:
            return
        with mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ) as content:
            if not any(start.startswith(content[: len(start)]) for start in _FIRST_BYTES):
                raise ValueError(f"{self.file} holds something else than events, and stays as it is; choose another path")
            whole = content.rfind(b"\n") + 1
        if whole < length:
            os.ftruncate(self._descriptor, whole)
            self.length_bytes = whole
        if self._sync:
            # The target may answer for what it finds here, so that must be as durable as what it writes.
            os.fsync(self._descriptor)

    def _take_back(self, cause: OSError) -> None:
        try:
            os.ftruncate(self._descriptor, self.length_bytes)
            if self._sync:
                os.fsync(self._descriptor)
        except OSError as error:
            self.close()
            raise TornWriteError(f"{_name(cause)}, and then {_name(error)}") from cause


class TornWriteError(Exception):
    """A write failed, and what it left could not be taken back. The log is closed."""


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


def _write_whole(descriptor: int, lines: bytes) -> None:
    remaining = memoryview(lines)
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some file systems cannot sync a folder; the file's own sync is what they have.
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lines_backwards(content: mmap.mmap) -> Iterator[bytes]:
    end = content.rfind(b"\n")
    while end > 0:
        start = content.rfind(b"\n", 0, end) + 1
        yield content[start:end]
        end = start - 1
