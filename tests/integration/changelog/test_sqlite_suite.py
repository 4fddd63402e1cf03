"""The SQLite engine is subjected to the published suite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from goldwire.changelog.sqlite.store import SqliteStore
from goldwire.testing.store_suite import StoreSuite


class TestSqliteStore(StoreSuite):
    def make_store(self, path: Path, checkpoint: Callable[[str], None] | None = None) -> SqliteStore:
        return SqliteStore(path, durable=False, checkpoint=checkpoint)

    def tamper(self, path: Path, statement: str) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(statement)
