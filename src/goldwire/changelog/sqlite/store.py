"""The store on SQLite: one file, one writer at a time, durable at every commit. The embedded default."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

from goldwire.changelog.sqlite.connection import connect
from goldwire.changelog.sqlite.consents import SqliteConsents
from goldwire.changelog.sqlite.documents import SqliteDocuments
from goldwire.changelog.sqlite.entities import EntityNumbers
from goldwire.changelog.sqlite.ingest import SqliteIngest
from goldwire.changelog.sqlite.integrity import SqliteIntegrity
from goldwire.changelog.sqlite.lanes import SqliteLanes
from goldwire.changelog.sqlite.ledger import SqliteLedger
from goldwire.changelog.sqlite.log import SqliteLog
from goldwire.changelog.sqlite.queries import ENTITY_KEY
from goldwire.changelog.sqlite.replays import SqliteReplays
from goldwire.changelog.sqlite.resyncs import SqliteResyncs
from goldwire.changelog.sqlite.settlements import SqliteSettlements
from goldwire.changelog.sqlite.targets import SqliteTargets
from goldwire.changelog.sqlite.transaction import Checkpoint, Database, translated
from goldwire.errors import StoreCorruptError


class SqliteStore(
    SqliteIngest,
    SqliteLog,
    SqliteTargets,
    SqliteSettlements,
    SqliteLanes,
    SqliteLedger,
    SqliteReplays,
    SqliteResyncs,
    SqliteDocuments,
    SqliteConsents,
    SqliteIntegrity,
):
    """A `goldwire.changelog.ports.store.Store` in one SQLite file; every method does what the port says of it.

    Use an object from one thread at a time. Other objects and other processes may use the same file meanwhile: they read
    freely, and wait for one another to write.

    Args:
        path: the file, created with its tables when it is not there; `:memory:` for a store that ends with the object.
        busy_timeout_seconds: how long to wait for another writer before `StoreBusyError`.
        durable: fsync each commit. False only where losing the store at a power cut does no harm: tests and simulations.
        entity_key: what a store that is created now makes the ids of its entities with, 32 bytes. Leave it out: then they are
            random. A simulation gives it, so that it repeats itself. An existing store keeps its own.
        checkpoint: called with a name inside each write transaction and after its commit (`settle:after-controls`,
            `settle:before-commit`, `settle:after-commit`, ...); what it raises stands for a crash there.

    Raises:
        InputError: the file cannot be opened, is no Goldwire store, or its schema is not for this Goldwire. Every transaction
            raises it as well, once an upgrade has shut this version out.
        StoreBusyError: another process is creating or upgrading it for longer than the timeout.
        StoreCorruptError: it is damaged, or no SQLite database.
        StoreFullError: no room to create it.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        busy_timeout_seconds: float = 5.0,
        durable: bool = True,
        entity_key: bytes | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.path = str(path)
        try:
            connection = connect(self.path, busy_timeout_seconds, durable=durable, entity_key=entity_key)
        except sqlite3.Error as error:
            raise translated(error, self.path) from error
        database = Database(connection, self.path, checkpoint)
        super().__init__(database, EntityNumbers(database))
        database.damaged_row = self.damaged_row

    def identity(self) -> str:
        """See `RelayStore.identity`; of the key that was made with the store, which stays hidden."""
        row = self._database.execute(ENTITY_KEY).fetchone()
        if row is None:
            raise StoreCorruptError("the store has lost the key that it makes entity ids with: restore a copy of it")
        return sha256(b"goldwire store identity\0" + bytes(row[0])).hexdigest()[:32]

    @contextmanager
    def rehearsal(self) -> Iterator[SqliteStore]:
        """See `Store.rehearsal`; the copy lies in a folder beside the store that only its owner may read."""
        folder = None if self.path == ":memory:" else Path(self.path).absolute().parent
        with tempfile.TemporaryDirectory(prefix=".goldwire-rehearsal-", dir=folder) as name:
            copied = Path(name) / "store.db"
            try:
                with closing(sqlite3.connect(copied)) as copy:
                    self._database.connection.backup(copy)
            except sqlite3.Error as error:
                raise translated(error, str(copied)) from error
            store = SqliteStore(copied, durable=False)
            try:
                yield store
            finally:
                store.close()

    def close(self) -> None:
        """See `Store.close`; a transaction that is still open is rolled back."""
        self._database.connection.close()
