"""The rejects file: one JSON line for each row that could not be taken, with the location and the reason, never the values."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from goldwire.capture.fact import RejectedRow
from goldwire.errors import GoldwireError, InputError, StoreFullError

LIMIT_BYTES = 64 * 1024 * 1024
"""A rejects file is not longer. Who has so many rejects mends their cause, and needs no list of all of them."""


class RejectsFile:
    """Writes rejects; the first one creates the file. At its limit it ends with a line that says so.

    Args:
        path: where; an earlier file is replaced.
        limit_bytes: how long it may get, but for its last line.
    """

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self.path = path
        self._limit_bytes = limit_bytes
        self._written_bytes = 0
        self.left_out = 0
        """How many came after the limit."""
        self.count = 0
        """How many were written."""
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def check(self) -> None:
        """Check, before any work is done, that the file can be created.

        Raises:
            InputError: its folder is missing, or it cannot be written.
        """
        folder = self.path.parent
        if not folder.is_dir():
            raise InputError(f"{self.path}: there is no folder {folder} for the rejects file; make it, then repeat the command")
        if self.path.is_dir():
            raise InputError(f"{self.path}: is a folder; name a file for the rejects")
        if not os.access(self.path if self.path.exists() else folder, os.W_OK):
            raise InputError(f"{self.path}: the rejects file may not be written; mend its permissions, or name another")

    def write(self, rejected: RejectedRow) -> None:
        """Append one.

        Raises:
            InputError: the file cannot be written.
            StoreFullError: there is no room for it.
        """
        line = msgspec.json.encode(rejected) + b"\n"
        if self.left_out or (self.count and self._written_bytes + len(line) > self._limit_bytes):
            self.left_out += 1
            return
        try:
            if self._file is None:
                self._file = self.path.open("wb")
            self._file.write(line)
            self._written_bytes += len(line)
        except OSError as error:
            raise self._unwritable(error) from error
        self.count += 1

    def close(self) -> None:
        """Flush and close; safe to call twice.

        Raises:
            InputError, StoreFullError: as in `write`.
        """
        file, self._file = self._file, None
        if file is not None:
            try:
                if self.left_out:
                    file.write(msgspec.json.encode(RejectedRow(str(self.path), "", self._end)) + b"\n")
                file.close()
            except OSError as error:
                raise self._unwritable(error) from error

    @property
    def _end(self) -> str:
        return (
            f"this file ends at its limit of {self._limit_bytes:,} bytes, and {self.left_out:,} more rows were rejected: mend "
            "what is named here, then ingest again"
        )

    def _unwritable(self, error: OSError) -> GoldwireError:
        kind = StoreFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else InputError
        return kind(
            f"{self.path}: the rejects file cannot be written: {error.strerror or error}; mend that, then repeat the command: "
            "what was taken already changes nothing then"
        )
