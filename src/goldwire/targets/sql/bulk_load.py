"""Loads many rows into PostgreSQL: copied into a table of the transaction's own, and merged in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.selectable import TableClause

from goldwire.targets.sql.faults import translated

LEAST_ROWS = 100
"""Fewer are written as quickly by a statement with all of them."""

_NAME = "goldwire_stage"


class BulkLoad:
    """The statements that load one table.

    Args:
        rows: the table, with all columns that are written.
        merge: the insert that meets rows with the fence; it gets its rows from the staging table.
    """

    def __init__(self, rows: TableClause, merge: Any) -> None:
        self._names = [column.name for column in rows.columns]
        stage = sa.table(_NAME, *(sa.column(name) for name in self._names), schema="pg_temp")
        self._shape = sa.select(*rows.columns)
        self._drop = sa.text(f"DROP TABLE pg_temp.{_NAME}")
        self._merge = merge.from_select(self._names, sa.select(*stage.columns))

    def load(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write rows, in the order of the table's columns, in a transaction.

        Raises:
            sqlalchemy.exc.DBAPIError: as the database says.
        """
        shape = self._shape.compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {_NAME} ON COMMIT DROP AS {shape} WITH NO DATA")
        self._copy(connection, rows)
        connection.execute(self._merge)
        connection.execute(self._drop)

    def _copy(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        quote = connection.dialect.identifier_preparer.quote
        statement = f"COPY pg_temp.{_NAME} ({', '.join(map(quote, self._names))}) FROM STDIN"
        driver = connection.connection.driver_connection
        assert driver is not None, "a connection in a transaction has one"
        with translated(connection, statement), driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
