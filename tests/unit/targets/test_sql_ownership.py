"""A table belongs to one target of one store; where settings lead is known before anything is opened."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError
from goldwire.targets.base import Claims, Item
from goldwire.targets.settings import sole_destinations
from goldwire.targets.sql import SqlSettings, SqlTarget
from goldwire.targets.sql.library_loggers import LIBRARIES, silence
from goldwire.testing.events import sealed

STORE, OTHER_STORE = "0" * 32, "1" * 32


def open_once(path: Path, name: str, store_id: str | None, **settings: Any) -> None:
    given: dict[str, Any] = {"table": "customer", "columns": {"name": "name"}, "create_table": True, **settings}

    async def run() -> None:
        target = SqlTarget(name, SqlSettings(url=f"sqlite:///{path}", **given), SystemClock())
        assert isinstance(target, Claims)
        if store_id is not None:
            target.claim_for(store_id)
        try:
            await target.open()
            await target.send([Item(sealed(name, 1, {"name": "n"}))])
        finally:
            await target.close()

    asyncio.run(run())


def query(path: Path, statement: str) -> list[Any]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def test_the_same_target_of_the_same_store_opens_again(tmp_path: Path) -> None:
    for _ in range(2):
        open_once(tmp_path / "t.db", "crm", STORE)
    assert query(tmp_path / "t.db", "SELECT id, name FROM customer") == [("crm", "n")]
    owner = f"goldwire:store:{STORE}:crm"
    assert query(tmp_path / "t.db", "SELECT entity_id FROM goldwire_tombstone WHERE entity_id LIKE 'goldwire:%'") == [(owner,)]


@pytest.mark.parametrize(
    ("name", "store_id", "who"),
    [("billing", STORE, "target 'crm' of this store"), ("crm", OTHER_STORE, "another store")],
)
def test_a_table_that_another_one_writes_is_refused_until_it_is_given_free(
    name: str, store_id: str, who: str, tmp_path: Path
) -> None:
    path = tmp_path / "t.db"
    open_once(path, "crm", STORE)
    with pytest.raises(ConfigError, match=f"is written by {who}") as caught:
        open_once(path, name, store_id)
    statement = str(caught.value).partition("run: ")[2].partition(";")[0]
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM customer").fetchall() == [(1,)]
    with connection:
        assert connection.execute(statement).rowcount == 1
    connection.close()
    open_once(path, name, store_id)


def test_a_table_that_is_spelled_otherwise_is_named(tmp_path: Path) -> None:
    open_once(tmp_path / "t.db", "crm", STORE)
    with pytest.raises(ConfigError, match="CUSTOMER under another spelling"):
        open_once(tmp_path / "t.db", "billing", STORE, table="CUSTOMER")


def test_another_table_beside_it_is_free(tmp_path: Path) -> None:
    open_once(tmp_path / "t.db", "crm", STORE)
    open_once(tmp_path / "t.db", "billing", STORE, table="bill")
    assert query(tmp_path / "t.db", "SELECT id FROM customer UNION ALL SELECT id FROM bill") == [("crm",), ("billing",)]


def test_a_long_name_is_kept_as_its_hash(tmp_path: Path) -> None:
    for _ in range(2):
        open_once(tmp_path / "t.db", "x" * 300, STORE)
    connection = sqlite3.connect(tmp_path / "t.db")
    ((kept,),) = connection.execute("SELECT entity_id FROM goldwire_tombstone").fetchall()
    connection.close()
    assert len(kept) < 200


def destination(**settings: Any) -> list[str]:
    return sole_destinations(SqlSettings(**{"url": "sqlite:///x", "table": "t", "columns": {}, **settings}))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"url": "postgresql://a:p@localhost/d"}, {"url": "postgresql://b:q@127.0.0.1:5432/d", "schema": "public"}),
        ({"url": "postgresql://a:p@HOST/d"}, {"url": "postgresql+psycopg://a:p@host:5432/d?sslmode=require"}),
        ({"url": "mysql://a:p@h/d"}, {"url": "mariadb://a:p@h:3306/d", "schema": "d"}),
        ({"url": "sqlite:///x"}, {"url": "sqlite:///./x", "table": "T"}),
    ],
)
def test_spellings_of_one_table_are_one_place(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert destination(**one) == destination(**other) != []


@pytest.mark.parametrize(
    "other",
    [
        {"url": "postgresql://a@h/e"},
        {"url": "postgresql://a@h:6/d"},
        {"table": "u"},
        {"schema": "s"},
        {"url": "mariadb://a@h/d"},
    ],
)
def test_other_tables_are_other_places(other: dict[str, Any]) -> None:
    url = "postgresql://a@h/d"
    assert destination(url=url) != destination(**{"url": url, **other})


@pytest.mark.parametrize(
    ("url", "name", "words"),
    [
        ("postgresql://a@h/d", "ä" * 32, "limit of 63 bytes"),
        ("mariadb://a@h/d", "a" * 65, "limit of 64 characters"),
    ],
)
@pytest.mark.parametrize("where", ["table", "columns", "key_column", "tombstone_table", "schema"])
def test_a_name_beyond_the_database_s_limit_is_refused(url: str, name: str, words: str, where: str) -> None:
    given: dict[str, Any] = {"url": url, "table": "t", "columns": {}, where: {name: "name"} if where == "columns" else name}
    with pytest.raises(ValueError, match=words):
        SqlSettings(**given)


def test_names_within_the_limit_are_taken(tmp_path: Path) -> None:
    SqlSettings(url="postgresql://a@h/d", table="a" * 63, columns={"ä" * 31: "name"})
    SqlSettings(url="mariadb://a@h/d", table="ä" * 64, columns={})
    open_once(tmp_path / "t.db", "crm", STORE, table="a" * 200)
    assert query(tmp_path / "t.db", f"SELECT id FROM {'a' * 200}") == [("crm",)]


@pytest.mark.parametrize("name", [*LIBRARIES, "sqlalchemy.pool.impl.QueuePool", "sqlalchemy.dialects.postgresql"])
def test_what_a_library_logs_reaches_no_handler_of_the_process(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    silence()
    caught: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = caught.append  # type: ignore[method-assign] - the root of the process, as a program may set it up
    logging.getLogger().addHandler(handler)
    try:
        for _ in range(2):
            logging.getLogger(name).warning("Failing row contains (1, Ann Secretname)")
    finally:
        logging.getLogger().removeHandler(handler)
    assert caught == []
    assert "Secretname" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(("first", "second"), [(None, "main"), ("main", None), ("main", "MAIN")])
def test_the_database_file_is_one_location_by_any_name(tmp_path: Path, first: str | None, second: str | None) -> None:
    path = tmp_path / "t.db"
    open_once(path, "crm", STORE, schema=first)
    with pytest.raises(ConfigError, match="is written by another store"):
        open_once(path, "crm", OTHER_STORE, schema=second)
    open_once(path, "crm", STORE, schema=second)


def test_an_owner_that_an_older_release_kept_under_the_name_main_is_known(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    open_once(path, "crm", STORE)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE goldwire_tombstone SET target_table = 'main.customer'")
    connection.close()
    with pytest.raises(ConfigError, match="is written by another store") as caught:
        open_once(path, "crm", OTHER_STORE)
    assert "target_table = 'main.customer'" in str(caught.value)
    open_once(path, "crm", STORE)
