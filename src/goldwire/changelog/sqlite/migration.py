"""Create a store's tables, or bring an older store to the newest schema, in one transaction.

Imported only when there is something to do: SQLAlchemy and Alembic cost more start-up time than all the rest of a command.
"""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.pool import StaticPool

from goldwire.changelog.migrations import NEWEST
from goldwire.changelog.schema import ENTITY_KEY_BYTES, metadata, store_secret

APPLICATION_ID = 0x474C4457
"""`GLDW`, written into the file's header: says whose file it is."""


def alembic_config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration for the revisions inside this package."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def migrate(raw: sqlite3.Connection, entity_key: bytes | None = None) -> None:
    """Bring the database on this connection to the newest schema; repeatable, and safe beside another opener.

    Args:
        raw: the connection.
        entity_key: what a new store makes its entities' ids with; None: random bytes. An older store keeps its own.

    Raises:
        sqlite3.Error: as SQLite reports it; nothing was changed.
    """
    # The pool must hand out this very connection (an in-memory store has no other), and never close it.
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool, pool_reset_on_return=None)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with engine.begin() as connection:
        # Only now is the lock held: another process may have created it in the meantime.
        if _is_empty(connection):
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
            metadata.create_all(connection)
            secret = secrets.token_bytes(ENTITY_KEY_BYTES) if entity_key is None else entity_key
            assert len(secret) == ENTITY_KEY_BYTES, f"the key of entity ids has {ENTITY_KEY_BYTES} bytes"
            connection.execute(store_secret.insert().values(name="entity_key", secret=secret))
            options: dict[str, Any] = {"transactional_ddl": True}
            context = MigrationContext.configure(connection, opts=options)
            context.stamp(_script(), NEWEST)
        else:
            command.upgrade(alembic_config(connection), "head")


def _is_empty(connection: Connection) -> bool:
    return connection.exec_driver_sql("SELECT 1 FROM sqlite_master LIMIT 1").first() is None


def _script() -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config())
