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
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from goldwire.changelog.migrations import BREAKS, NEWEST, REVISIONS
from goldwire.changelog.schema import ENTITY_KEY_BYTES, metadata, schema_compatibility, store_secret
from goldwire.changelog.sqlite.queries import SCHEMA_REVISION

APPLICATION_ID = 0x474C4457
"""`GLDW`, written into the file's header: says whose file it is."""


def alembic_config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration for the revisions inside this package."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def create(raw: sqlite3.Connection, entity_key: bytes | None = None) -> None:
    """Make the tables of a new store in an empty database; a database that is not empty (any more) stays as it is.

    Args:
        raw: the connection.
        entity_key: what the store makes its entities' ids with; None: random bytes.

    Raises:
        sqlite3.Error: as SQLite reports it; nothing was changed.
    """
    with _engine(raw).begin() as connection:
        # Only now is the lock held: another process may have created it in the meantime.
        if connection.exec_driver_sql("SELECT 1 FROM sqlite_master LIMIT 1").first() is not None:
            return
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        metadata.create_all(connection)
        secret = secrets.token_bytes(ENTITY_KEY_BYTES) if entity_key is None else entity_key
        assert len(secret) == ENTITY_KEY_BYTES, f"the key of entity ids has {ENTITY_KEY_BYTES} bytes"
        connection.execute(store_secret.insert().values(name="entity_key", secret=secret))
        options: dict[str, Any] = {"transactional_ddl": True}
        MigrationContext.configure(connection, opts=options).stamp(_script(), NEWEST)
        _keep_oldest_code(connection)


def migrate(raw: sqlite3.Connection) -> None:
    """Bring the database on this connection to the newest schema; repeatable, and safe beside another upgrade.

    One that a newer Goldwire has upgraded meanwhile stays as that one left it.

    Raises:
        sqlite3.Error: as SQLite reports it; nothing was changed.
    """
    with _engine(raw).begin() as connection:
        # Only now is the lock held; Alembic does not know a newer revision.
        if connection.exec_driver_sql(SCHEMA_REVISION).scalar() not in REVISIONS:
            return
        command.upgrade(alembic_config(connection), "head")
        _keep_oldest_code(connection)


def breaks(since: str) -> bool:
    """Say whether a migration that comes after a revision shuts out the code of that revision."""
    return any(revision.module.effect == BREAKS for revision in _script().iterate_revisions("head", since))


def oldest_code() -> str:
    """Return the oldest schema revision whose code may use a store of the newest one."""
    walked = _script().walk_revisions()
    return next((each.revision for each in walked if each.module.effect == BREAKS), REVISIONS[0])


def _keep_oldest_code(connection: Connection) -> None:
    connection.execute(schema_compatibility.delete())
    connection.execute(schema_compatibility.insert().values(oldest_code=oldest_code()))


def _engine(raw: sqlite3.Connection) -> Engine:
    # The pool must hand out this very connection (an in-memory store has no other), and never close it.
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool, pool_reset_on_return=None)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _script() -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config())
