"""Reads the rows of many keys with statements that are compiled once for each size, and handed to the driver as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from goldwire.targets.sql.faults import translated

KEYS_AT_ONCE = 500
_SIZES = (1, 10, 100, KEYS_AT_ONCE)

Key = TypeVar("Key")


class KeyLookup:
    """One query by a column.

    Args:
        query: without the keys.
        column: the column that holds them.
        as_array: the keys are one parameter, which the server reads quicker than hundreds. Only for PostgreSQL, and only where
            the column is compared as a text.
    """

    def __init__(self, query: sa.Select[Any], column: sa.ColumnElement[Any], *, as_array: bool = False) -> None:
        self._query = query
        self._column = column
        self._as_array = as_array
        self._compiled: dict[int, tuple[str, list[Any]]] = {}

    def rows(self, connection: Connection, keys: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of these keys, as the driver reads them.

        Raises:
            sqlalchemy.exc.DBAPIError: as the database says.
        """
        for some in portions(keys):
            size = 1 if self._as_array else next(size for size in _SIZES if size >= len(some))
            text, constants = self._text(connection, size)
            # The last key once more, until the size is reached, is no other question.
            filled = [*constants, *([list(some)] if self._as_array else [*some, *[some[-1]] * (size - len(some))])]
            yield from _fetched(connection, text, tuple(filled))

    def _text(self, connection: Connection, size: int) -> tuple[str, list[Any]]:
        known = self._compiled.get(size)
        if known is None:
            query = self._query.where(self._column.in_([sa.bindparam("gw_key", type_=self._column.type)]))
            compiled: Any = query.compile(dialect=connection.dialect)
            order = list(compiled.positiontup)
            assert order[-1] == "gw_key", "the keys come last"
            # SQLAlchemy would take longer for hundreds of parameters than the database for their rows.
            before, _, after = str(compiled).rpartition(" IN (")
            one, _, rest = after.partition(")")
            text = f"{before} = ANY({one}){rest}" if self._as_array else f"{before} IN ({', '.join([one] * size)}){rest}"
            known = self._compiled[size] = (text, [compiled.params[name] for name in order[:-1]])
        return known


def _fetched(connection: Connection, text: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    result = connection.exec_driver_sql(text, values)
    assert result.cursor is not None, "a query has rows"
    try:
        with translated(connection, text):  # as of a value that Python cannot hold
            return list(result.cursor.fetchall())
    finally:
        result.close()


def portions(keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    """Yield keys in as many as one statement takes."""
    for start in range(0, len(keys), KEYS_AT_ONCE):
        yield keys[start : start + KEYS_AT_ONCE]
