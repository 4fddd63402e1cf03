"""Opens files of facts: picks the reader that fits a file and its source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from goldwire.capture.csv import read_csv
from goldwire.capture.fact import Decision, Fact, RejectedRow
from goldwire.capture.jsonl import read_jsonl, read_native
from goldwire.capture.parquet import read_parquet
from goldwire.capture.source_spec import MEBIBYTE, SourceSpec, check_source, suffix_format
from goldwire.errors import ConfigError, InputError


def read_file(path: Path, spec: SourceSpec | None, now: float, source: str = "NAME") -> Iterator[Fact | Decision | RejectedRow]:
    """Yield what a file says, row by row, in constant memory.

    Args:
        path: the file.
        spec: the source it comes from; None for JSON lines in Goldwire's own format.
        now: POSIX seconds; when rows that give no time were observed.
        source: the source's name in goldwire.yaml, for errors.

    Raises:
        ConfigError: the source does not fit the format; raised before the first row.
        InputError: the file as a whole is unusable; also raised in the middle where it breaks off.
    """
    if not path.is_file():
        raise InputError(f"{path}: {'is no file' if path.exists() else 'there is no such file'}")
    kind = (spec.format if spec else None) or suffix_format(str(path))
    if kind is None:
        raise ConfigError(f"{path}: the suffix names no format; set sources.{source}.format to csv, jsonl or parquet")
    if spec is not None:
        check_source(source, spec)
    if spec is None or spec.id is None:
        if kind != "jsonl":
            raise ConfigError(f"{path}: {kind} needs a source that maps its columns; set sources.{source}.id")
        return read_native(path, now, spec.max_value_bytes if spec else MEBIBYTE)
    if kind == "csv":
        return read_csv(path, spec, now)
    if kind == "jsonl":
        return read_jsonl(path, spec, now)
    return read_parquet(path, spec, now)
