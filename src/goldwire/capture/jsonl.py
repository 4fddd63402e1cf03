"""Reads JSON lines: rows under a source's mapping, or whole facts and decisions without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from goldwire.capture.fact import Decision, Fact, RejectedRow
from goldwire.capture.mapper import Mapper
from goldwire.capture.names import NAME_TWICE, has_name_twice
from goldwire.capture.native import NativeReader, not_json
from goldwire.capture.origin import LINE_LIMIT_BYTES, lines, opened
from goldwire.capture.source_spec import SourceSpec

_TOO_LONG = f"is longer than {LINE_LIMIT_BYTES} bytes; split or drop the row"


def read_jsonl(path: Path, spec: SourceSpec, now: float) -> Iterator[Fact | RejectedRow]:
    """Yield a fact or a reject for each line that holds a JSON object.

    Args:
        path: the file.
        spec: how rows become facts.
        now: POSIX seconds; when rows that give no time were observed.

    Raises:
        InputError: the file as a whole is unusable.
    """
    mapper = Mapper(spec, now, None, str(path))
    for line, origin in _lines(path):
        if line is None:
            yield RejectedRow(origin, "", _TOO_LONG)
            continue
        try:
            row = msgspec.json.decode(line)
            if has_name_twice(line):
                yield RejectedRow(origin, "", NAME_TWICE)
                continue
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            yield RejectedRow(origin, "", not_json(error))
            continue
        if isinstance(row, dict):
            yield mapper.fact(row, origin)
        else:
            yield RejectedRow(origin, "", "is no JSON object; each line must be one")


def read_native(path: Path, now: float, max_value_bytes: int) -> Iterator[Fact | Decision | RejectedRow]:
    """Yield what each line of Goldwire's own format says.

    Args:
        path: the file.
        now: POSIX seconds; when facts were observed and decisions made that give no time.
        max_value_bytes: a value with more bytes is rejected.

    Raises:
        InputError: the file as a whole is unusable.
    """
    reader = NativeReader(now, max_value_bytes)
    for line, origin in _lines(path):
        yield RejectedRow(origin, "", _TOO_LONG) if line is None else reader.read(line, origin)


def _lines(path: Path) -> Iterator[tuple[bytes | None, str]]:
    """Yield the lines that are not blank, with their origin."""
    with opened(path) as file:
        for number, line in enumerate(lines(file), 1):
            if line is None or not line.isspace():
                yield line, f"{path}:{number}"
