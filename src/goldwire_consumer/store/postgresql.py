"""Keeps the guard in PostgreSQL, beside the subscriber's own tables. Needs `goldwire-consumer[postgresql]`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, ClassVar

from goldwire_consumer.errors import StoppedError
from goldwire_consumer.extra import extra
from goldwire_consumer.store.sql import ENDED, NOT_BEGUN, TABLES, Cursor, SqlTransaction
from goldwire_consumer.store.threads import ThreadConnections
from goldwire_consumer.verdict import Held

with extra("postgresql"):
    import psycopg
    from psycopg.pq import TransactionStatus
    from psycopg.rows import tuple_row

PgConnection = psycopg.Connection[Any]

_TABLES_LOCK = 0x60_1D_31_8E
"""Of an advisory lock: CREATE TABLE IF NOT EXISTS can fail when two sessions run it at once."""

_TOO_MUCH = "54"
"""Class of the errors that a value is too large for the server, which psycopg counts among the operational ones."""

_FORBIDDEN = "forbidden within a Transaction context"
"""What psycopg says of `commit` and `rollback` in a block of `Connection.transaction`."""


class PostgresTransaction(SqlTransaction[PgConnection]):
    """The guard on a connection of `psycopg`, for use with `apply` in a transaction of the caller.

    READ COMMITTED is enough: `held` locks the row, and two first events of one entity meet in the primary key.
    """

    lock: ClassVar[str] = " FOR UPDATE"

    def run(self, statement: str, values: Sequence[Any] = ()) -> Cursor:
        """Run a statement whose parameters are written `?`."""
        cursor = self.connection.cursor(row_factory=tuple_row)
        return cursor.execute(statement.replace("?", "%s").encode(), values)

    def expect(self, entity_ids: Collection[str]) -> None:
        """Read and lock many rows with one query, in an order that keeps two consumers from waiting for each other."""
        found = self.run(
            "SELECT entity_id, version, hash, gone, parked FROM goldwire_guard WHERE stream = ? AND entity_id = ANY(?) "
            "ORDER BY entity_id FOR UPDATE",
            (self._stream, list(entity_ids)),
        ).fetchall()
        self._known = dict.fromkeys(entity_ids) | {row[0]: Held(*row[1:]) for row in found}

    def begun(self) -> None:
        """Refuse to write where each statement commits by itself."""
        if self.connection.autocommit and self.connection.info.transaction_status is TransactionStatus.IDLE:
            raise StoppedError(NOT_BEGUN)

    def check(self) -> None:
        """See that the transaction is still there, and sound: where a statement failed, COMMIT rolls back and says nothing."""
        status = self.connection.info.transaction_status
        if status is TransactionStatus.INERROR:
            raise psycopg.errors.InFailedSqlTransaction("a statement failed before, and the handler went on; use a savepoint")
        if status is TransactionStatus.IDLE:
            raise StoppedError(ENDED)


class PostgresStore:
    """A database of PostgreSQL; one connection for each thread, opened anew after it broke.

    Attributes:
        keeps_letters: it has a table of dead letters.
    """

    keeps_letters = True

    def __init__(
        self,
        connect: str | Callable[[], PgConnection],
        *,
        stream: str = "goldwire",
        create: bool = True,
        lock_timeout_seconds: float = 30,
    ) -> None:
        """Say how to connect.

        Args:
            connect: a connection string, or what opens a connection (with a short-lived token as password, say).
            stream: see `SqlTransaction`.
            create: create the kit's tables now where they are not there; else see `TABLES`.
            lock_timeout_seconds: how long a statement of a transaction waits for what another one holds, the handler's too;
                then the messages come again.
        """
        self._lock_timeout = f"{max(1, round(lock_timeout_seconds * 1000))}ms"
        self._open: Callable[[], PgConnection] = (lambda: psycopg.connect(connect)) if isinstance(connect, str) else connect
        self._stream = stream
        self._connections = ThreadConnections(self._connect, sound=lambda connection: not connection.closed)
        if create:
            with self.transaction() as transaction:
                create_tables(transaction.connection)

    def _connect(self) -> PgConnection:
        found = self._open()
        found.autocommit = True
        return found

    @contextlib.contextmanager
    def transaction(self) -> Iterator[PostgresTransaction]:
        """Open a transaction; psycopg refuses a handler's own commit inside of it."""
        connection = self._connections.own()
        transaction = PostgresTransaction(connection, self._stream)
        try:
            with connection.transaction():
                # Of the transaction and not of the session, which a pooler may give to another client.
                connection.execute("SELECT set_config('lock_timeout', %s, true)", (self._lock_timeout,))
                yield transaction
                transaction.check()
        except psycopg.ProgrammingError as error:
            if error.sqlstate is None and _FORBIDDEN in str(error):
                raise StoppedError(ENDED) from error
            raise

    def is_unavailable(self, error: Exception) -> bool:
        """Whether the server is away, or ended a transaction in favour of another (deadlock, serialisation)."""
        too_much = (error.sqlstate or "").startswith(_TOO_MUCH) if isinstance(error, psycopg.Error) else False
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and not too_much

    def close(self) -> None:
        """Close the connections of all threads."""
        self._connections.close()


def create_tables(connection: PgConnection) -> None:
    """Create the kit's tables where they are not there; call it in a transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_TABLES_LOCK,))
    for statement in TABLES:
        connection.execute(statement.format(bytes="BYTEA").encode())
