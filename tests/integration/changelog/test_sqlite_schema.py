"""A store of the first schema that was brought to today's one has the tables of a new store, to the last detail."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from goldwire.changelog.migrations import REVISIONS
from goldwire.changelog.sqlite.store import SqliteStore
from goldwire.changelog.sqlite.upgrade import upgrade

FIRST_SCHEMA = Path(__file__).with_name("first_schema.sql")


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A store that today's code has made."""
    path = tmp_path_factory.mktemp("new") / "goldwire.db"
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as connection:
        yield connection


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A store of the first schema after an upgrade."""
    path = tmp_path_factory.mktemp("upgraded") / "goldwire.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FIRST_SCHEMA.read_text(encoding="utf-8"))
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (REVISIONS[0],))
        connection.commit()
    upgrade(path)
    with closing(sqlite3.connect(path)) as connection:
        yield connection


def _tables(connection: sqlite3.Connection) -> list[tuple[str, bool, bool]]:
    """Every table: its name, whether its rows have no address of their own, and whether it is strict."""
    listed = connection.execute("SELECT name, wr, strict FROM pragma_table_list WHERE schema = 'main' ORDER BY name")
    return [(name, bool(keyed), bool(strict)) for name, keyed, strict in listed]


def _columns(connection: sqlite3.Connection) -> list[Any]:
    """Every column in its order: type, whether it may be empty, default, place in the primary key."""
    return connection.execute(
        'SELECT m.name, c.cid, c.name, c.type, c."notnull", c.dflt_value, c.pk, c.hidden'
        " FROM sqlite_master m, pragma_table_xinfo(m.name) c WHERE m.type = 'table' ORDER BY m.name, c.cid"
    ).fetchall()


def _indexes(connection: sqlite3.Connection) -> list[Any]:
    """Every index column in its order: of which index, whether that is unique, made by a constraint, partial, and how."""
    return connection.execute(
        'SELECT m.name, i.name, i."unique", i.origin, i.partial, c.seqno, c.name, c.desc, c.coll, c.key, s.sql'
        " FROM sqlite_master m, pragma_index_list(m.name) i, pragma_index_xinfo(i.name) c"
        " LEFT JOIN sqlite_master s ON s.type = 'index' AND s.name = i.name"
        " WHERE m.type = 'table' ORDER BY m.name, i.name, c.seqno"
    ).fetchall()


def _others(connection: sqlite3.Connection) -> list[Any]:
    """Triggers and views as they were made."""
    return connection.execute(
        "SELECT type, name, tbl_name, trim(sql, char(10)) FROM sqlite_master WHERE type NOT IN ('table', 'index') ORDER BY 1, 2"
    ).fetchall()


@pytest.mark.parametrize("read", [_tables, _columns, _indexes, _others])
def test_an_upgraded_store_is_made_like_a_new_one(upgraded: sqlite3.Connection, new: sqlite3.Connection, read: Any) -> None:
    assert read(upgraded) == read(new)


def test_both_were_looked_at_whole(new: sqlite3.Connection) -> None:
    tables = {name for name, _, _ in _tables(new)} - {"sqlite_schema"}
    assert {row[0] for row in _columns(new)} == tables
    assert {row[1] for row in _indexes(new)} >= {"log_version", "log_addressed", "open_delivery_due", "entity_entity_id"}
    assert [row[1] for row in _others(new)] == ["record_unchecked"]
