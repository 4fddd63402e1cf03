"""Rows of the log as the engine reads them: each is held against its checksum before anything is made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

from goldwire.changelog.checksums import damaged_log_row, log_checksum
from goldwire.changelog.rows import LogRow

_row = cast("Callable[[tuple[Any, ...]], LogRow]", partial(tuple.__new__, LogRow))  # half the time of `_make`


def log_rows(path: str, found: Iterable[tuple[Any, ...]]) -> list[LogRow]:
    """Return rows from their columns, as `queries.LOG_COLUMNS` lists them.

    Args:
        path: of the store, for the error.
        found: the columns.

    Raises:
        StoreCorruptError: a row is not what was written; the text names it.
    """
    rows: list[LogRow] = []
    for columns in found:
        row = _row(columns[:11])
        try:
            whole = log_checksum(row, columns[11]) == columns[12]
        except TypeError:  # the entity's number is no number any more
            whole = False
        if not whole:
            raise damaged_log_row(path, row.seq, row.entity_id, row.version)
        rows.append(row)
    return rows
