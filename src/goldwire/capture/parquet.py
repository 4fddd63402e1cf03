"""Reads Parquet files row group by row group; needs the extra `parquet`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from goldwire.capture.fact import Fact, RejectedRow
from goldwire.capture.mapper import Mapper
from goldwire.capture.source_spec import SourceSpec
from goldwire.errors import ConfigError, InputError
from goldwire.extras import install_command

ROWS_AT_A_TIME = 1000


def read_parquet(path: Path, spec: SourceSpec, now: float) -> Iterator[Fact | RejectedRow]:
    """Yield a fact or a reject for each row; an origin's number counts rows from 1.

    Args:
        path: the file.
        spec: how rows become facts.
        now: POSIX seconds; when rows that give no time were observed.

    Raises:
        ConfigError: the extra is not installed.
        InputError: the file as a whole is unusable.
    """
    try:
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra: only a reader of Parquet needs it
        from pyarrow import parquet  # noqa: PLC0415 - the same
    except ImportError as error:
        raise ConfigError(f"reading Parquet needs the extra `parquet`: {install_command('parquet')}") from error
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            mapper = Mapper(spec, now, list(file.schema_arrow.names), str(path))
            for batch in file.iter_batches(batch_size=ROWS_AT_A_TIME):
                for row in batch.to_pylist():
                    number += 1
                    yield mapper.fact(row, f"{path}:{number}")
    except (pa.ArrowException, OSError) as error:
        after = f" after row {number}" if number else ""
        raise InputError(f"{path}: cannot be read as Parquet{after}; check that the file is whole") from error
