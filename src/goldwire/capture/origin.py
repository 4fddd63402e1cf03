"""Opens an input file for reading line by line, refuses what is no UTF-8 text at all, and counts lines for messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from goldwire.errors import InputError

LINE_LIMIT_BYTES = 64 * 1024 * 1024
"""A longer line is skipped and rejected as a whole, so that memory stays bounded."""

_BOM = b"\xef\xbb\xbf"
_WIDE = (b"\xff\xfe", b"\xfe\xff")


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file of text, past its byte order mark.

    Raises:
        InputError: it cannot be opened, or is UTF-16 or UTF-32.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    with file:
        start = file.peek(4096)[:4096] if hasattr(file, "peek") else b""
        if start.startswith(_WIDE) or start.count(b"\0") * 4 > len(start) > 0:
            raise InputError(f"{path}: is UTF-16 or UTF-32, not UTF-8; convert it, e.g. `iconv -f UTF-16 -t UTF-8`")
        if start.startswith(_BOM):
            file.seek(len(_BOM))
        yield file


def lines(file: BinaryIO) -> Iterator[bytes | None]:
    """Yield lines with their ends; None stands for one that was too long and is skipped."""
    while line := file.readline(LINE_LIMIT_BYTES):
        if len(line) < LINE_LIMIT_BYTES or line.endswith(b"\n"):
            yield line
            continue
        while (rest := file.readline(LINE_LIMIT_BYTES)) and not rest.endswith(b"\n"):
            pass
        yield None
