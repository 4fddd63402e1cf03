"""Writes rows with as few statements as the database takes, and hands them to the driver as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

_ROWS_AT_ONCE = 500


class ManyRows:
    """An upsert of many rows.

    Args:
        upsert: of one row.
        names: the columns, in the order of the rows.
        most_parameters: how many values a statement takes; None: the driver joins rows by itself.
    """

    def __init__(self, upsert: sa.Insert, names: Sequence[str], most_parameters: int | None) -> None:
        self._upsert = upsert
        self._names = list(names)
        self._rows_at_once = None if most_parameters is None else min(_ROWS_AT_ONCE, most_parameters // len(names))
        self._text: str | None = None

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write rows, in a transaction.

        Raises:
            sqlalchemy.exc.DBAPIError: as the database says.
        """
        text = self._text = self._text or self._positional(connection)
        if self._rows_at_once is None:
            connection.exec_driver_sql(text, list(rows))
            return
        before, _, after = text.partition(" VALUES (")
        one, _, rest = after.partition(")")
        for start in range(0, len(rows), self._rows_at_once):
            some = rows[start : start + self._rows_at_once]
            joined = f"{before} VALUES {', '.join([f'({one})'] * len(some))}{rest}"
            connection.exec_driver_sql(joined, tuple(value for row in some for value in row))

    def _positional(self, connection: Connection) -> str:
        """Return the upsert as text: SQLAlchemy would look at each value."""
        compiled: Any = self._upsert.compile(dialect=connection.dialect, column_keys=self._names)
        order = list(compiled.positiontup)
        assert order == self._names, "in the order of the rows"
        return str(compiled)
