"""Reads CSV files row by row; a broken row is rejected with its line, and the rows after it go on."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from goldwire.capture.fact import Fact, RejectedRow
from goldwire.capture.mapper import Mapper
from goldwire.capture.origin import LINE_LIMIT_BYTES, lines, opened
from goldwire.capture.source_spec import SourceSpec
from goldwire.errors import InputError

ROW_LINES = 1000
"""A quoted cell may span this many lines; beyond it the opening quote is taken for a mistake."""


class _OpenQuoteError(Exception):
    """A quote was opened and not closed."""


class _Feed(Iterator[str]):
    """Gives lines to the parser, and takes back those that it read by a stray quote."""

    def __init__(self, source: Iterator[bytes | None]) -> None:
        self._source = source
        self._back: deque[tuple[int, str | None, bool]] = deque()
        self._row: list[tuple[int, str | None, bool]] = []
        self._number = 0
        self._bytes = 0

    def begin(self) -> None:
        """Forget the row before: a new one begins."""
        self._row.clear()
        self._bytes = 0

    def __next__(self) -> str:
        entry = self._back.popleft() if self._back else self._read()
        if entry is None or (self._row and (len(self._row) >= ROW_LINES or self._bytes > LINE_LIMIT_BYTES)):
            if entry is not None:
                self._back.appendleft(entry)
            if self._row:
                raise _OpenQuoteError
            raise StopIteration
        self._row.append(entry)
        text = entry[1]
        if text is None:
            raise _OpenQuoteError
        self._bytes += len(text)
        return text

    def retry_after_first(self) -> None:
        """Give all lines of the row but its first again."""
        self._back.extendleft(reversed(self._row[1:]))
        del self._row[1:]

    @property
    def line(self) -> int:
        """The row's first line, from 1."""
        return self._row[0][0]

    @property
    def too_long(self) -> bool:
        """The row's first line was skipped for its length."""
        return self._row[0][1] is None

    @property
    def damaged(self) -> bool:
        """The row has bytes that are not UTF-8."""
        return any(entry[2] for entry in self._row)

    def _read(self) -> tuple[int, str | None, bool] | None:
        raw = next(self._source, b"")
        if raw == b"":
            return None
        self._number += 1
        if raw is None:
            return self._number, None, False
        if raw.endswith(b"\r\n"):
            raw = raw[:-2] + b"\n"
        try:
            return self._number, raw.decode(), False
        except UnicodeDecodeError:
            return self._number, raw.decode(errors="surrogateescape"), True


def read_csv(path: Path, spec: SourceSpec, now: float) -> Iterator[Fact | RejectedRow]:
    """Yield a fact or a reject for each row.

    Args:
        path: the file; its first row names the columns.
        spec: how rows become facts.
        now: POSIX seconds; when rows that give no time were observed.

    Raises:
        InputError: the file as a whole is unusable.
    """
    csv.field_size_limit(LINE_LIMIT_BYTES * 2)
    with opened(path) as file:
        feed = _Feed(lines(file))
        reader = csv.reader(feed, delimiter=spec.delimiter, skipinitialspace=spec.strip, strict=True)
        header = _header(path, feed, reader, strip=spec.strip)
        mapper = Mapper(spec, now, header, str(path))
        width, prefix = len(header), f"{path}:"
        while True:
            feed.begin()
            try:
                row = next(reader)
            except StopIteration:
                return
            except (csv.Error, _OpenQuoteError) as error:
                feed.retry_after_first()
                yield RejectedRow(f"{prefix}{feed.line}", "", _broken(error, too_long=feed.too_long))
                continue
            if not row:
                continue
            origin = f"{prefix}{feed.line}"
            if feed.damaged:
                yield RejectedRow(origin, _damaged_field(header, row), "is not UTF-8; save the file as UTF-8")
            elif len(row) != width:
                yield RejectedRow(
                    origin, "", f"the header has {width} cells and this row {len(row)}; quote cells that hold the delimiter"
                )
            else:
                yield mapper.fact(dict(zip(header, row, strict=True)), origin)


def _header(path: Path, feed: _Feed, reader: Iterator[list[str]], *, strip: bool) -> list[str]:
    feed.begin()
    try:
        header = next(reader)
    except StopIteration:
        raise InputError(f"{path}: is empty; its first row must name the columns") from None
    except (csv.Error, _OpenQuoteError) as error:
        raise InputError(f"{path}:1: the header {_broken(error, too_long=feed.too_long)}") from None
    if feed.damaged:
        raise InputError(f"{path}:1: the header is not UTF-8; save the file as UTF-8")
    if strip:
        header = [name.strip() for name in header]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InputError(f"{path}:1: the header names `{twice[0]}` twice; rename one of the columns")
    return header


def _broken(error: Exception, *, too_long: bool) -> str:
    if too_long:
        return f"is longer than {LINE_LIMIT_BYTES} bytes; split or drop the row"
    if isinstance(error, _OpenQuoteError):
        return "opens a quote that is never closed; close it, or double a quote that is meant literally"
    return "is no valid CSV: a closing quote must be followed by the delimiter; double a quote that is meant literally"


def _damaged_field(header: list[str], row: list[str]) -> str:
    for name, cell in zip(header, row, strict=False):
        if any("\udc80" <= character <= "\udcff" for character in cell):
            return name
    return ""
