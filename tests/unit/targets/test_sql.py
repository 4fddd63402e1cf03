from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError
from goldwire.event.sealed import SealedEvent
from goldwire.targets.base import Delivered, Duplicate, Item, Outcome, Rejected, Unavailable
from goldwire.targets.sql import ExternalIdKey, SqlSettings, SqlTarget
from goldwire.targets.sql.table_settings import EdgeTableSettings, TableSettings
from goldwire.testing.events import deleted, sealed
from goldwire.testing.target_suite import Held, TargetSuite

COLUMNS = {"name": "name", "city": "city"}


class SqliteSuite(TargetSuite):
    rejects = True
    settings: dict[str, Any] = {}  # noqa: RUF012 - each subclass has its own, none changes it

    def make_target(self) -> SqlTarget:
        url = f"sqlite:///{self.folder}/target.db"
        settings = SqlSettings(url=url, table="customer", columns=COLUMNS, create_table=True, **self.settings)
        return SqlTarget("warehouse", settings, self.clock)

    def bad_event(self) -> SealedEvent:
        return sealed("bad", 1, {"name": "Mallory Smith", "city": "Springfield"}, external_ids=[("erp", "9")])

    async def held(self, entity_id: str) -> Held | None:
        with sqlite3.connect(self.folder / "target.db") as connection:
            row = connection.execute(
                "SELECT goldwire_version, name, city FROM customer WHERE goldwire_entity_id = ? AND NOT goldwire_deleted",
                (entity_id,),
            ).fetchone()
        connection.close()
        return None if row is None else Held(row[0], {"name": row[1], "city": row[2]})


class TestSoftByExternalId(SqliteSuite):
    settings = {"key": ExternalIdKey("crm")}  # noqa: RUF012


class TestPhysicalByExternalId(SqliteSuite):
    settings = {"key": ExternalIdKey("crm"), "delete": "physical"}  # noqa: RUF012


class TestSoftByEntityId(SqliteSuite):
    settings = {"types": {"city": "json"}}  # noqa: RUF012
    rejects = False

    async def held(self, entity_id: str) -> Held | None:
        held = await super().held(entity_id)
        return held and Held(held.version, {**held.values, "city": held.values["city"] and held.values["city"].strip('"')})


class TestTablesByType(SqliteSuite):
    settings = {"key": ExternalIdKey("crm")}  # noqa: RUF012

    def make_target(self) -> SqlTarget:
        tables = {"Customer": TableSettings("customer", COLUMNS), "Contact": TableSettings("contact", COLUMNS)}
        edges = {"knows": EdgeTableSettings("knows")}
        url = f"sqlite:///{self.folder}/target.db"
        settings = SqlSettings(url=url, tables=tables, edges=edges, create_table=True, **self.settings)
        return SqlTarget("warehouse", settings, self.clock)


class Table:
    """One target on one SQLite file, driven without asyncio."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.path = path
        defaults: dict[str, Any] = {"table": "customer", "columns": COLUMNS, "create_table": True, "key": ExternalIdKey("crm")}
        self.settings = SqlSettings(url=f"sqlite:///{path}", **{**defaults, **settings})

    def send(self, *items: SealedEvent | Item) -> list[Outcome]:
        async def run() -> Sequence[Outcome]:
            target = SqlTarget("warehouse", self.settings, SystemClock())
            await target.open()
            try:
                return await target.send([item if isinstance(item, Item) else Item(item) for item in items])
            finally:
                await target.close()

        return [Duplicate(one.remote_id) if isinstance(one, Duplicate) else one for one in asyncio.run(run())]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.path)
        try:
            with connection:
                return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def live(self) -> list[tuple[Any, ...]]:
        return self.query(
            "SELECT id, goldwire_entity_id, goldwire_version, name FROM customer WHERE NOT goldwire_deleted ORDER BY id"
        )


def crm(entity: str, version: int, *ids: str, name: str = "n", **more: Any) -> SealedEvent:
    return sealed(entity, version, {"name": name}, external_ids=[("crm", id_) for id_ in ids], **more)


@pytest.fixture(params=["soft", "physical"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Table:
    return Table(tmp_path / "t.db", delete=request.param)


def test_the_row_carries_key_version_time_and_hash(table: Table) -> None:
    event = crm("a", 1, "K1")
    assert table.send(event) == [Delivered("K1")]
    row = table.query("SELECT id, goldwire_entity_id, goldwire_version, goldwire_timestamp, goldwire_hash FROM customer")
    assert row == [("K1", "a", 1, event.timestamp, f"sha256:{event.hash.hex()}")]


def test_a_record_that_the_system_does_not_know_is_refused_and_the_system_named(table: Table) -> None:
    (outcome,) = table.send(sealed("a", 1, {"name": "n"}, external_ids=[("erp", "9")]))
    assert isinstance(outcome, Rejected)
    assert "no external id of system crm" in outcome.reason


def test_a_record_that_the_system_does_not_know_can_be_skipped(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.db", missing_key="skip")
    assert table.send(sealed("a", 1, {"name": "n"})) == [Delivered()]
    assert table.query("SELECT * FROM customer") == []
    assert table.send(crm("a", 2, "K1")) == [Delivered("K1")]


def test_a_skipped_version_keeps_the_older_ones_out(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.db", missing_key="skip")
    table.send(sealed("a", 5, {"name": "n"}))
    assert table.send(crm("a", 4, "K1")) == [Duplicate()]
    assert table.live() == []


def test_a_key_that_changed_moves_the_row(table: Table) -> None:
    table.send(crm("a", 1, "K1"))
    assert table.send(Item(crm("a", 2, "K2"), remote_id="K1")) == [Delivered("K2")]
    assert table.live() == [("K2", "a", 2, "n")]
    assert table.send(crm("a", 1, "K1")) == [Duplicate()]
    assert table.live() == [("K2", "a", 2, "n")]


def test_a_row_that_moved_is_found_without_its_remote_id(table: Table) -> None:
    table.send(crm("a", 1, "K1"))
    table.send(crm("a", 2, "K2"))
    assert table.live() == [("K2", "a", 2, "n")]


def test_of_several_keys_the_one_written_last_stays(table: Table) -> None:
    table.send(crm("a", 1, "K5"))
    assert table.send(Item(crm("a", 2, "K1", "K5"), remote_id="K5")) == [Delivered("K5")]
    assert table.live() == [("K5", "a", 2, "n")]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("survivor_first", [True, False])
def test_after_a_merge_the_survivor_takes_the_key_over(table: Table, survivor_first: bool, together: bool) -> None:
    table.send(crm("loser", 5, "K2", name="old", committed_at="2026-01-01T00:00:00.000000Z"))
    at = "2026-01-02T00:00:00.000000Z"
    survivor = crm("survivor", 2, "K2", name="new", committed_at=at)
    gone = deleted("loser", 6, reason="merged", external_ids=[("crm", "K2")], committed_at=at)
    events = [survivor, gone] if survivor_first else [gone, survivor]
    if together:
        table.send(*events)
    else:
        for event in events:
            table.send(event)
    assert table.live() == [("K2", "survivor", 2, "new")]
    # whatever comes late of the loser changes nothing, under the old key and under any other
    late = "2026-01-01T12:00:00.000000Z"
    assert table.send(crm("loser", 5, "K2", committed_at=late)) == [Duplicate()]
    assert table.send(crm("loser", 4, "K9", committed_at=late)) == [Duplicate()]
    assert table.live() == [("K2", "survivor", 2, "new")]


@pytest.mark.parametrize("survivor_first", [True, False])
def test_after_an_unmerge_each_has_its_row_again(table: Table, survivor_first: bool) -> None:
    table.send(crm("a", 3, "K1", "K2", name="both", committed_at="2026-01-01T00:00:00.000000Z"))
    at = "2026-01-02T00:00:00.000000Z"
    a = Item(crm("a", 4, "K2", name="a", committed_at=at), remote_id="K1")
    b = Item(crm("b", 7, "K1", name="b", committed_at=at))
    outcomes = table.send(*([a, b] if survivor_first else [b, a]))
    assert {type(outcome) for outcome in outcomes} == {Delivered}
    assert table.live() == [("K1", "b", 7, "b"), ("K2", "a", 4, "a")]


def test_a_record_that_lost_its_key_loses_its_row(table: Table) -> None:
    table.send(crm("a", 1, "K1"))
    assert table.send(Item(sealed("a", 2, {"name": "n"}), remote_id="K1")) == [Delivered()]
    assert table.live() == []
    assert table.send(crm("a", 1, "K1")) == [Duplicate()]


def test_an_older_owner_never_takes_a_key_back(table: Table) -> None:
    table.send(crm("new", 1, "K1", committed_at="2026-02-01T00:00:00.000000Z"))
    assert table.send(crm("old", 9, "K1", committed_at="2026-01-01T00:00:00.000000Z")) == [Duplicate()]
    assert table.live() == [("K1", "new", 1, "n")]


def test_a_key_that_its_old_owner_told_of_leaving_too_late_still_passes_on(table: Table) -> None:
    table.send(crm("old", 1, "K1", committed_at="2026-01-01T00:00:00.000000Z"))
    moved = crm("old", 9, "K9", committed_at="2026-03-01T00:00:00.000000Z")
    table.send(Item(moved, remote_id="K1"))
    assert table.send(crm("new", 1, "K1", committed_at="2026-02-01T00:00:00.000000Z")) == [Delivered("K1")]
    assert table.live() == [("K1", "new", 1, "n"), ("K9", "old", 9, "n")]
    assert table.send(crm("old", 1, "K1", committed_at="2026-01-01T00:00:00.000000Z")) == [Duplicate()]
    assert table.live() == [("K1", "new", 1, "n"), ("K9", "old", 9, "n")]


def test_a_delete_leaves_another_entity_s_row_alone(table: Table) -> None:
    table.send(crm("a", 1, "K1"))
    assert table.send(deleted("b", 9, external_ids=[("crm", "K1")])) == [Delivered()]
    assert table.live() == [("K1", "a", 1, "n")]


def test_erasure_removes_the_row_also_where_deletion_is_soft(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.db", delete="soft")
    table.send(crm("a", 1, "K1", name="Ada"), crm("b", 1, "K2", name="Bea"))
    table.send(deleted("a", 2, reason="erased", external_ids=[("crm", "K1")]))
    table.send(deleted("b", 2, external_ids=[("crm", "K2")]))
    assert table.query("SELECT id, name, goldwire_deleted FROM customer") == [("K2", "Bea", 1)]
    assert table.send(crm("a", 1, "K1")) == [Duplicate()]
    assert b"Ada" not in b"".join(repr(row).encode() for row in table.query("SELECT * FROM goldwire_tombstone"))


def test_a_delta_touches_only_what_changed(table: Table) -> None:
    table.send(sealed("a", 1, {"name": "Ada", "city": "Paris"}, external_ids=[("crm", "K1")]))
    table.query("UPDATE customer SET city = 'edited there'")
    table.send(crm("a", 2, "K1", name="Ada II", base_version=1))
    assert table.query("SELECT name, city, goldwire_version FROM customer") == [("Ada II", "edited there", 2)]


def test_a_delta_with_null_empties_the_column(table: Table) -> None:
    table.send(crm("a", 1, "K1"))
    table.send(sealed("a", 2, {"name": None}, external_ids=[("crm", "K1")], base_version=1))
    assert table.live() == [("K1", "a", 2, None)]


def test_a_delta_on_a_key_that_changed_takes_the_rest_along(table: Table) -> None:
    table.send(sealed("a", 1, {"name": "Ada", "city": "Paris"}, external_ids=[("crm", "K1")]))
    event = sealed("a", 2, {"name": "Bea"}, external_ids=[("crm", "K2")], base_version=1)
    assert table.send(Item(event, remote_id="K1")) == [Delivered("K2")]
    assert table.query("SELECT id, name, city FROM customer WHERE NOT goldwire_deleted") == [("K2", "Bea", "Paris")]


@pytest.mark.parametrize(("base", "words"), [(1, "row is not there"), (2, "row is not there")])
def test_a_delta_without_its_row_is_refused(table: Table, base: int, words: str) -> None:
    (outcome,) = table.send(crm("a", 3, "K1", base_version=base))
    assert isinstance(outcome, Rejected)
    assert words in outcome.reason


def test_a_delta_on_another_version_than_its_base_is_refused(table: Table) -> None:
    table.send(crm("a", 3, "K1"))
    (outcome,) = table.send(crm("a", 5, "K1", base_version=4))
    assert isinstance(outcome, Rejected)
    assert "since version 4, but the row is at version 3" in outcome.reason


def test_values_that_are_no_scalars_become_json_text(table: Table) -> None:
    table.send(sealed("a", 1, {"name": ["b", {"z": 1, "a": None}], "city": 12.50}, external_ids=[("crm", "K1")]))
    assert table.query("SELECT name, city FROM customer") == [('["b",{"a":null,"z":1}]', "12.5")]


def test_values_are_fitted_to_the_column_s_type_or_refused_with_its_name(tmp_path: Path) -> None:
    types = {"name": "integer", "city": "date"}
    table = Table(tmp_path / "t.db", types=types)
    good = sealed("a", 1, {"name": "42", "city": "2026-11-23"}, external_ids=[("crm", "K1")])
    bad = sealed("b", 1, {"name": "fortytwo", "city": "2026-11-23"}, external_ids=[("crm", "K2")])
    worse = sealed("c", 1, {"name": 1, "city": "the day after"}, external_ids=[("crm", "K3")])
    outcomes = table.send(good, bad, worse)
    assert outcomes[0] == Delivered("K1")
    assert outcomes[1] == Rejected("column name takes a whole number, the value is a string that is none")
    assert outcomes[2] == Rejected("column city takes a date such as 2026-11-23, the value is a string that is none")
    assert table.query("SELECT name, city FROM customer") == [(42, "2026-11-23")]


def existing(path: Path, *more: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(
            "CREATE TABLE customer (id TEXT PRIMARY KEY, name TEXT NOT NULL CHECK (name <> 'forbidden'), city TEXT UNIQUE, "
            "remark TEXT DEFAULT 'mine', goldwire_entity_id TEXT, goldwire_version BIGINT, goldwire_timestamp TEXT, "
            "goldwire_deleted BOOLEAN, goldwire_hash TEXT)"
        )
        for statement in more:
            connection.execute(statement)
    connection.close()


def test_an_existing_row_is_adopted_and_its_other_columns_are_left_alone(tmp_path: Path) -> None:
    existing(tmp_path / "t.db", "INSERT INTO customer (id, name, remark) VALUES ('K1', 'before', 'theirs')")
    table = Table(tmp_path / "t.db")
    assert table.send(crm("a", 1, "K1", name="Ada")) == [Delivered("K1")]
    assert table.query("SELECT name, remark FROM customer") == [("Ada", "theirs")]


def test_what_the_database_refuses_takes_no_other_row_with_it(tmp_path: Path) -> None:
    existing(tmp_path / "t.db")
    table = Table(tmp_path / "t.db")
    events = [crm("a", 1, "K1"), crm("b", 1, "K2", name="forbidden"), sealed("c", 1, {}, external_ids=[("crm", "K3")])]
    first = sealed("d", 1, {"name": "d", "city": "Paris"}, external_ids=[("crm", "K4")])
    second = sealed("e", 1, {"name": "e", "city": "Paris"}, external_ids=[("crm", "K5")])
    outcomes = table.send(*events, first, second)
    assert [type(outcome) for outcome in outcomes] == [Delivered, Rejected, Rejected, Delivered, Rejected]
    reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, Rejected)]
    assert "CHECK constraint" in reasons[0]
    assert reasons[1] == "column name may not be empty (NOT NULL), and the record has no value for it"
    assert "UNIQUE constraint on customer.city" in reasons[2]
    assert not [reason for reason in reasons if "forbidden" in reason or "Paris" in reason]
    assert [row[0] for row in table.live()] == ["K1", "K4"]


def test_a_locked_database_is_unavailable_and_nothing_is_written(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.db", lock_timeout_seconds=0.2)
    table.send(crm("a", 1, "K1"))

    async def run() -> Outcome:
        target = SqlTarget("warehouse", table.settings, SystemClock())
        await target.open()
        blocker = sqlite3.connect(table.path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        try:
            return (await target.send([Item(crm("a", 2, "K1"))]))[0]
        finally:
            blocker.close()
            await target.close()

    assert asyncio.run(run()) == Unavailable("the database did not take it: database is locked")
    assert table.live() == [("K1", "a", 1, "n")]


def test_a_full_database_is_unavailable_and_nothing_is_written(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.db")
    table.send(crm("a", 1, "K1"))

    async def run() -> list[Outcome]:
        target = SqlTarget("warehouse", table.settings, SystemClock())
        await target.open()
        assert target._writer is not None
        with target._writer._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 10")
        try:
            return list(await target.send([Item(crm("a", 2, "K1", name="x" * 1_000_000))]))
        finally:
            await target.close()

    assert asyncio.run(run()) == [Unavailable("the database did not take it: database or disk is full")]
    assert table.live() == [("K1", "a", 1, "n")]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": "oracle://x:geheim@h/d"}, "must begin with"),
        ({"url": "not a url geheim"}, "no database URL"),
        ({"url": "sqlite://"}, "name a file"),
        ({"url": "sqlite:////no/such/folder/x.db"}, "mend user"),
        ({"create_table": False}, "create_table: true"),
    ],
)
def test_wrong_settings_are_named_without_their_secrets(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    given = {"url": f"sqlite:///{tmp_path}/t.db", "table": "t", "columns": COLUMNS, "create_table": True, **settings}
    target = SqlTarget("warehouse", SqlSettings(**given), SystemClock())
    with pytest.raises(ConfigError, match=words) as caught:
        asyncio.run(target.open())
    asyncio.run(target.close())
    assert "geheim" not in str(caught.value)
    assert "geheim" not in repr(target.settings)


def test_a_table_without_the_fence_columns_gets_the_statement_that_adds_them(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "t.db")
    connection.execute("CREATE TABLE customer (id TEXT PRIMARY KEY, name TEXT, city TEXT)")
    connection.close()
    with pytest.raises(ConfigError, match=r"lacks goldwire_entity_id, .*ALTER TABLE customer ADD COLUMN"):
        Table(tmp_path / "t.db").send(crm("a", 1, "K1"))


def test_a_key_without_a_unique_index_gets_the_statement_that_makes_one(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "t.db")
    connection.execute(
        "CREATE TABLE customer (id TEXT, name TEXT, city TEXT, goldwire_entity_id TEXT, goldwire_version BIGINT, "
        "goldwire_timestamp TEXT, goldwire_deleted BOOLEAN, goldwire_hash TEXT)"
    )
    connection.close()
    with pytest.raises(ConfigError, match="CREATE UNIQUE INDEX"):
        Table(tmp_path / "t.db").send(crm("a", 1, "K1"))


def test_a_column_with_two_purposes_is_refused() -> None:
    with pytest.raises(ValueError, match="column id has two purposes"):
        SqlSettings(url="sqlite:///x", table="t", columns={"id": "name"})


def test_rows_can_be_read_back(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.db")
    table.send(crm("a", 1, "K1", name="Ada"), crm("b", 1, "K2"), crm("c", 1, "K3"))
    table.send(deleted("b", 2, external_ids=[("crm", "K2")]))

    async def run() -> None:
        target = SqlTarget("warehouse", table.settings, SystemClock())
        await target.open()
        rows = await target.rows()
        assert [(row["id"], row["name"], row["goldwire_version"]) for row in rows] == [("K1", "Ada", 1), ("K3", "n", 1)]
        assert [row["id"] for row in await target.read(["K3", "K2", "nobody"])] == ["K3"]
        await target.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "name the table of all records as `table`"),
        ({"table": "t", "tables": {"C": TableSettings("c", {})}}, "name the table of all records as `table`"),
        ({"table": "t"}, "`columns` is missing"),
        ({"tables": {"C": TableSettings("c", {})}, "columns": {"a": "b"}}, "each table has `columns`"),
        ({"tables": {"C": TableSettings("c", {}), "D": TableSettings("c", {})}}, "table c has two purposes"),
        ({"table": "t", "columns": {}, "edges": {"r": EdgeTableSettings("t")}}, "table t has two purposes"),
        ({"table": "t", "columns": {}, "edges": {"r": EdgeTableSettings("goldwire_tombstone")}}, "has two purposes"),
        (
            {"table": "t", "columns": {}, "edges": {"r": EdgeTableSettings("e", to_column="from_id")}},
            "column from_id of table e",
        ),
        (
            {"table": "t", "columns": {}, "edges": {"r": EdgeTableSettings("e"), "s": EdgeTableSettings("e", to_column="x")}},
            "other columns than another relation of table e",
        ),
        ({"tables": {"C": TableSettings("c", {"id": "x"})}}, "column id has two purposes"),
        ({"tables": {"C": TableSettings("c", {}, types={"x": "text"})}}, "`types` names column x"),
    ],
)
def test_settings_of_tables_that_contradict_themselves_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SqlSettings(url="sqlite:///x", **given)


class CountedList(list[str]):
    """Counts how often it is gone through."""

    times = 0

    def __iter__(self) -> Any:
        self.times += 1
        return super().__iter__()


def test_the_rows_of_many_keys_are_read_with_a_few_looks_at_the_keys(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.db")
    keys = CountedList(f"K{n:02}" for n in range(50))
    table.send(*(crm(f"e{n}", 1, key) for n, key in enumerate(keys)))
    keys.times = 0

    async def run() -> list[dict[str, Any]]:
        target = SqlTarget("warehouse", table.settings, SystemClock())
        await target.open()
        try:
            return await target.read(keys)
        finally:
            await target.close()

    assert [row["id"] for row in asyncio.run(run())] == list(keys)
    assert keys.times <= 3
