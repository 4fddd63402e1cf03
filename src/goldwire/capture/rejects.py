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


class RejectsFile:
    """Writes rejects; the first one creates the file.

    Args:
        path: where; an earlier file is replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
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
        try:
            if self._file is None:
                self._file = self.path.open("wb")
            self._file.write(msgspec.json.encode(rejected) + b"\n")
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
                file.close()
            except OSError as error:
                raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> GoldwireError:
        kind = StoreFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else InputError
        return kind(
            f"{self.path}: the rejects file cannot be written: {error.strerror or error}; mend that, then repeat the command: "
            "what was taken already changes nothing then"
        )
