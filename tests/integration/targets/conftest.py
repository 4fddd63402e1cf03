"""Real servers behind a wire that can be cut: PostgreSQL, MariaDB and nginx; and a Kafka cluster."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from goldwire_emulator.kafka.cluster import KafkaCluster
from support.kafka_stage import TOPIC
from support.pooler import Pooler
from support.sql_servers import mariadb, postgresql
from support.sql_table import Server

__all__ = ["mariadb", "postgresql"]


POSTGRESQL_STATE = {
    "timezone": "'America/New_York'",
    "datestyle": "'SQL, DMY'",
    "extra_float_digits": "-15",
    "search_path": "elsewhere, public",
    "standard_conforming_strings": "off",
    "bytea_output": "escape",
    "default_transaction_isolation": "serializable",
    "intervalstyle": "sql_standard",
    "enable_indexscan": "off",
}


@pytest.fixture
def hostile_postgresql(postgresql: Any) -> Iterator[Any]:
    """A PostgreSQL in America/New_York, whose defaults are all unusual."""
    postgresql.query("CREATE SCHEMA IF NOT EXISTS elsewhere")
    for name, value in POSTGRESQL_STATE.items():
        postgresql.query(f"ALTER DATABASE postgres SET {name} = {value}")
    try:
        yield postgresql
    finally:
        for name in POSTGRESQL_STATE:
            postgresql.query(f"ALTER DATABASE postgres RESET {name}")


@pytest.fixture
def hostile_mariadb(mariadb: Any) -> Iterator[Any]:
    """A MariaDB at -05:00 with an unusual mode, and a database with the server's default collation."""
    zone, mode = mariadb.query("SELECT @@global.time_zone, @@global.sql_mode")[0]
    mariadb.query("SET GLOBAL time_zone = '-05:00'")
    mariadb.query("SET GLOBAL sql_mode = 'PAD_CHAR_TO_FULL_LENGTH,ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'")
    try:
        yield mariadb
    finally:
        mariadb.query("SET GLOBAL time_zone = %s", zone)
        mariadb.query("SET GLOBAL sql_mode = %s", mode)


@pytest.fixture(params=["sqlite", "postgresql", "pgbouncer", "mariadb"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    if request.param == "sqlite":
        path = tmp_path / "t.db"
        yield Server("sqlite", f"sqlite:///{path}", lambda: sqlite3.connect(path))
    elif request.param == "mariadb":
        database = request.getfixturevalue("hostile_mariadb")

        def connect() -> Any:
            connection = database._connect()
            connection.query("SET time_zone = '+00:00', sql_mode = ''")
            return connection

        yield Server("mariadb", database.url, connect, "warehouse.")
    else:
        database = request.getfixturevalue("hostile_postgresql")

        def connect_postgresql() -> Any:
            with database._connect() as known:
                dsn = known.info.dsn
            return psycopg.connect(dsn, options="-c extra_float_digits=3 -c timezone=UTC -c datestyle=ISO")

        if request.param == "postgresql":
            yield Server("postgresql", database.url, connect_postgresql, "public.", "elsewhere.")
        else:
            with tempfile.TemporaryDirectory() as folder:
                pooler = Pooler(database, folder, 1)
                yield Server("postgresql", pooler.url, connect_postgresql, "public.", "elsewhere.")
                pooler.close()


@pytest.fixture
def cluster() -> Iterator[KafkaCluster]:
    """One broker, with a topic of four partitions."""
    with KafkaCluster(1, {TOPIC: 4}) as found:
        yield found
