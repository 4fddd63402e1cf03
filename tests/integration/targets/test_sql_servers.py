from __future__ import annotations

import asyncio
import threading
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError
from goldwire.event.sealed import SealedEvent
from goldwire.targets.base import Delivered, Duplicate, Item, Rejected, TakenEvent, Unavailable, Unknown
from goldwire.targets.sql import ExternalIdKey, SqlSettings, SqlTarget
from goldwire.testing.events import deleted, sealed
from goldwire.testing.target_suite import SECRET, Held, TargetSuite
from support.sql_table import COLUMNS, Table, crm, numbers

WAITING = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
    "mariadb": "SELECT trx_id FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
}
"""Finds who waits for a row."""

LOOK_SECONDS = 0.25
"""Between two looks: InnoDB shows its transactions as they were, as long as they are looked at more often than every 0.1 s."""


class ServerSuite(TargetSuite):
    rejects = True
    interruptible = True
    server = ""
    settings: dict[str, Any] = {}  # noqa: RUF012 - each subclass has its own, none changes it

    @pytest.fixture(autouse=True)
    def _table(self, request: pytest.FixtureRequest) -> None:
        self.database = request.getfixturevalue(self.server)
        self.table = f"customer_{next(numbers)}"

    def make_target(self) -> SqlTarget:
        settings = SqlSettings(url=self.database.url, table=self.table, columns=COLUMNS, create_table=True, **self.settings)
        return SqlTarget("warehouse", settings, self.clock)

    def bad_event(self) -> SealedEvent:
        return sealed("bad", 1, {"name": "Mallory Smith", "city": "Springfield"}, external_ids=[("erp", "9")])

    async def held(self, entity_id: str) -> Held | None:
        where = "WHERE goldwire_entity_id = %s AND NOT goldwire_deleted"
        schema = "warehouse." if self.server == "mariadb" else ""
        rows = self.database.query(f"SELECT goldwire_version, name, city FROM {schema}{self.table} {where}", entity_id)
        assert len(rows) <= 1
        return Held(rows[0][0], {"name": rows[0][1], "city": rows[0][2]}) if rows else None

    async def take_down(self) -> None:
        self.database.wire.cut()

    async def bring_up(self) -> None:
        self.database.wire.mend()


class TestPostgresqlSoft(ServerSuite):
    server = "postgresql"
    settings = {"key": ExternalIdKey("crm")}  # noqa: RUF012


class TestPostgresqlPhysical(ServerSuite):
    server = "postgresql"
    settings = {"key": ExternalIdKey("crm"), "delete": "physical"}  # noqa: RUF012


class TestMariadbSoft(ServerSuite):
    server = "mariadb"
    settings = {"key": ExternalIdKey("crm")}  # noqa: RUF012


class TestMariadbPhysical(ServerSuite):
    server = "mariadb"
    settings = {"key": ExternalIdKey("crm"), "delete": "physical"}  # noqa: RUF012


@pytest.fixture(params=["postgresql", "mariadb"])
def database(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("delete", ["soft", "physical"])
@pytest.mark.parametrize("survivor_first", [True, False])
def test_after_a_merge_the_survivor_takes_the_key_over(database: Any, delete: str, survivor_first: bool) -> None:
    table = Table(database, delete=delete)
    table.send(crm("loser", 5, "K2", name="old", committed_at="2026-01-01T00:00:00.000000Z"))
    at = "2026-01-02T00:00:00.000000Z"
    survivor = crm("survivor", 2, "K2", name="new", committed_at=at)
    gone = deleted("loser", 6, reason="merged", external_ids=[("crm", "K2")], committed_at=at)
    table.send(*([survivor, gone] if survivor_first else [gone, survivor]))
    assert table.live() == [("K2", "survivor", 2, "new")]
    assert table.send(crm("loser", 4, "K9", committed_at="2026-01-01T12:00:00.000000Z")) == [Duplicate()]
    assert table.live() == [("K2", "survivor", 2, "new")]


@pytest.mark.parametrize("delete", ["soft", "physical"])
def test_a_key_that_changed_moves_the_row_and_a_delta_takes_the_rest_along(database: Any, delete: str) -> None:
    table = Table(database, delete=delete, types={"city": "json"})
    table.send(sealed("a", 1, {"name": "Ada", "city": ["Paris"]}, external_ids=[("crm", "K1")]))
    moved = sealed("a", 2, {"name": "Bea"}, external_ids=[("crm", "K2")], base_version=1)
    assert table.send(Item(moved, remote_id="K1")) == [Delivered("K2")]
    assert table.live() == [("K2", "a", 2, "Bea")]
    text = "city::text" if "postgres" in database.url else "city"
    assert database.query(f"SELECT {text} FROM {table.full} WHERE id = 'K2'") == [('["Paris"]',)]


def test_a_key_that_its_old_owner_told_of_leaving_too_late_still_passes_on(database: Any) -> None:
    table = Table(database)
    table.send(crm("old", 1, "K1", committed_at="2026-01-01T00:00:00.000000Z"))
    table.send(Item(crm("old", 9, "K9", committed_at="2026-03-01T00:00:00.000000Z"), remote_id="K1"))
    assert table.send(crm("new", 1, "K1", committed_at="2026-02-01T00:00:00.000000Z")) == [Delivered("K1")]
    assert table.live() == [("K1", "new", 1, "n"), ("K9", "old", 9, "n")]


def test_each_type_takes_what_fits_and_names_the_column_of_what_does_not(database: Any) -> None:
    types = {"i": "integer", "n": "number", "b": "boolean", "d": "date", "t": "timestamp", "j": "json"}
    table = Table(database, columns={**{name: name for name in types}, "name": "name"}, types=types)
    fit = {"i": "42", "n": 1.5, "b": True, "d": "2026-11-23", "t": "2026-11-23T10:00:00.000001Z", "j": {"a": [1, None]}}
    events = [sealed("good", 1, {**fit, "name": "x"}, external_ids=[("crm", "good")])]
    for column, wrong in [("i", "x"), ("n", "x"), ("b", "perhaps"), ("d", "soon"), ("t", 5), ("i", 1.5)]:
        events.append(sealed(f"bad-{column}-{wrong}", 1, {**fit, column: wrong}, external_ids=[("crm", f"{column}{wrong}")]))
    good, *bad = table.send(*events)
    assert good == Delivered("good")
    for outcome, column in zip(bad, "inbdti", strict=True):
        assert isinstance(outcome, Rejected)
        assert f"column {column} takes" in outcome.reason
    ((i, n, b, d, t),) = database.query(f"SELECT i, n, b, d, t FROM {table.full}")
    assert (i, n, bool(b), str(d), t.microsecond, t.second) == (42, 1.5, True, "2026-11-23", 1, 0)


def existing(database: Any, name: str) -> None:
    full = f"warehouse.{name}" if database.url.startswith("mariadb") else name
    text = "VARCHAR(255) COLLATE utf8mb4_bin" if database.url.startswith("mariadb") else "VARCHAR(255)"
    database.query(
        f"CREATE TABLE {full} (id {text} PRIMARY KEY, name VARCHAR(10) NOT NULL CHECK (name <> 'forbidden'), "
        f"city {text} UNIQUE, remark VARCHAR(20) DEFAULT 'mine', goldwire_entity_id {text}, goldwire_version BIGINT, "
        "goldwire_timestamp VARCHAR(27), goldwire_deleted BOOLEAN, goldwire_hash VARCHAR(71))"
    )


def test_what_the_database_refuses_takes_no_other_row_with_it(database: Any) -> None:
    table = Table(database)
    existing(database, table.name)

    def record(n: int, name: str | None, city: str) -> SealedEvent:
        return sealed(f"e{n}", 1, {"name": name, "city": city}, external_ids=[("crm", f"K{n}")])

    outcomes = table.send(
        record(1, "one", "Rome"),
        record(2, "forbidden", "Oslo"),
        record(3, "much too long a name", "Bonn"),
        record(4, None, "Kiel"),
        record(5, "five", "Paris"),
        record(6, "six", "Paris"),
        record(7, "seven", "Lima"),
    )
    kinds = [type(outcome).__name__ for outcome in outcomes]
    rejected = "Rejected"
    assert kinds == ["Delivered", rejected, rejected, rejected, "Delivered", rejected, "Delivered"]
    reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, Rejected)]
    assert reasons[1] == "column name takes 10 characters, the value has 20"
    assert "NOT NULL" in reasons[2]
    for reason in reasons:
        assert not [value for value in ("forbidden", "Oslo", "Bonn", "Paris", "Kiel") if value in reason]
    assert [row[0] for row in table.live()] == ["K1", "K5", "K7"]


def test_a_row_that_would_collide_elsewhere_harms_no_other_record(database: Any) -> None:
    table = Table(database)
    existing(database, table.name)
    table.send(sealed("a", 1, {"name": "a", "city": "Paris"}, external_ids=[("crm", "K1")]))
    (outcome,) = table.send(sealed("b", 9, {"name": "b", "city": "Paris"}, external_ids=[("crm", "K2")]))
    assert isinstance(outcome, Rejected)
    assert table.live() == [("K1", "a", 1, "a")]


def test_a_commit_whose_answer_is_lost_is_unknown_and_resolved_by_a_look_up(database: Any) -> None:
    table = Table(database)
    table.send(crm("a", 1, "K1"))

    async def run() -> None:
        target = SqlTarget("warehouse", table.settings, SystemClock())
        await target.open()
        item = Item(crm("a", 2, "K1", name="new"))
        database.wire.loses_commit = True
        (outcome,) = await target.send([item])
        assert outcome == Unknown("the connection broke during the commit")
        assert list(await target.held_versions([item])) == [2]
        assert list(await target.send([item])) == [Duplicate("K1", TakenEvent("a", 2, item.event.hash))]
        await target.close()

    asyncio.run(run())
    assert table.live() == [("K1", "a", 2, "new")]


def test_a_connection_lost_before_the_commit_wrote_nothing(database: Any) -> None:
    table = Table(database, lock_timeout_seconds=120.0, answer_timeout_seconds=240.0)
    table.send(crm("a", 1, "K1"))

    async def run() -> None:
        target = SqlTarget("warehouse", table.settings, SystemClock())
        await target.open()
        holder = database._connect()
        with holder.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {table.full} FOR UPDATE")
            sending = asyncio.ensure_future(target.send([Item(crm("a", 2, "K1", name="new"))]))
            while not database.query(WAITING[database.url.partition(":")[0]]):
                assert not sending.done(), "it was to wait for the row"
                await asyncio.sleep(LOOK_SECONDS)
            database.wire.cut()
            outcomes = await sending
            database.wire.mend()
        holder.rollback()
        holder.close()
        assert isinstance(outcomes[0], Unavailable)
        assert (await target.send([Item(crm("a", 2, "K1", name="new"))]))[0] == Delivered("K1")
        await target.close()

    asyncio.run(run())


def test_a_row_that_somebody_else_locks_is_unavailable_after_the_time_given(database: Any) -> None:
    table = Table(database, lock_timeout_seconds=1.0)
    table.send(crm("a", 1, "K1"))
    holder = database._connect()
    with holder.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table.full} FOR UPDATE")
        (outcome,) = table.send(crm("a", 2, "K1"))  # the row is free only afterwards
        assert isinstance(outcome, Unavailable)
        assert "lock not available" in outcome.reason
    holder.rollback()
    holder.close()


def test_a_look_up_waits_for_nobody_who_has_locked_a_row(database: Any) -> None:
    table = Table(database, lock_timeout_seconds=1.0, answer_timeout_seconds=5.0)
    table.send(crm("a", 1, "K1"))

    async def look_up() -> list[int | None]:
        target = SqlTarget("warehouse", table.settings, SystemClock())
        await target.open()
        try:
            return list(await target.held_versions([Item(crm("a", 2, "K1"))]))
        finally:
            await target.close()

    holder = database._connect()
    with holder.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table.full} FOR UPDATE")
        # It would wait for this row no longer than until it is free again.
        free = threading.Timer(10.0, holder.rollback)
        free.start()
        assert asyncio.run(look_up()) == [1]
        assert free.is_alive(), "it waited for the row"
        free.cancel()
    holder.rollback()
    holder.close()


def test_two_relays_at_once_never_let_a_stale_event_win(database: Any) -> None:
    table = Table(database)
    table.send(crm("a", 1, "K1"))
    errors: list[BaseException] = []

    def writer(first: int) -> None:
        async def run() -> None:
            target = SqlTarget("warehouse", table.settings, SystemClock())
            await target.open()
            for version in range(first, first + 60, 2):
                event = deleted("a", version, external_ids=[("crm", "K1")]) if version % 3 == 0 else crm("a", version, "K1")
                (outcome,) = await target.send([Item(event)])
                assert isinstance(outcome, Delivered | Duplicate), outcome
            await target.close()

        try:
            asyncio.run(run())
        except BaseException as error:  # noqa: BLE001 - reported by the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=writer, args=(first,)) for first in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert table.live() == [("K1", "a", 61, "n")]


@pytest.mark.parametrize(("part", "wrong"), [("/postgres", "/nowhere"), ("/warehouse", "/nowhere"), ("//", "//x")])
def test_a_wrong_login_or_database_is_a_wrong_setting(database: Any, part: str, wrong: str) -> None:
    if part not in database.url:
        pytest.skip("of the other server")
    table = Table(database, url=database.url.replace(part, wrong))
    with pytest.raises(ConfigError, match="mend user, password") as caught:
        table.send(crm("a", 1, "K1"))
    assert SECRET not in str(caught.value)


def test_keys_that_differ_by_case_alone_are_told_apart_or_refused(database: Any) -> None:
    table = Table(database)
    assert table.send(crm("a", 1, "k1"), crm("b", 1, "K1")) == [Delivered("k1"), Delivered("K1")]
    assert len(table.live()) == 2


@pytest.mark.parametrize("written_out", [True, False])
@pytest.mark.parametrize("older", [True, False])
def test_a_schema_written_out_keeps_what_was_deleted(database: Any, written_out: bool, older: bool) -> None:
    own = "warehouse" if "mariadb" in database.url else "public"
    tombstones = f"{own}.goldwire_tombstone"
    first, second = (None, own) if written_out else (own, None)
    table = Table(database, delete="physical", schema=first)
    table.send(crm("a", 1, "K1"))
    table.send(deleted("a", 3, external_ids=[("crm", "K1")]))
    if older:  # it kept the fence by the spelling of its settings
        name = f"{own}.{table.name}" if first else table.name
        database.query(f"UPDATE {tombstones} SET target_table = '{name}' WHERE target_table = '{own}.{table.name}'")
    table.settings = msgspec.structs.replace(table.settings, schema=second)
    assert table.send(crm("a", 2, "K1")) == [Duplicate()]
    assert table.live() == []
    assert table.send(crm("a", 4, "K1")) == [Delivered("K1")]
    assert table.send(deleted("a", 5, external_ids=[("crm", "K1")])) == [Delivered()]
    assert table.send(crm("a", 4, "K1")) == [Duplicate()]


def test_the_rows_of_a_send_are_one_statement(database: Any) -> None:
    table = Table(database)
    table.send(crm("first", 1, "K"))
    inserts: list[bool] = []

    def look(_connection: Any, _cursor: Any, statement: str, _values: Any, _context: Any, many: bool) -> None:
        if statement.startswith("INSERT") and table.name in statement.partition("(")[0]:
            inserts.append(many)

    sa.event.listen(Engine, "before_cursor_execute", look)
    try:
        outcomes = table.send(*(crm(f"e{n}", 1, f"K{n:04}") for n in range(99)))
    finally:
        sa.event.remove(Engine, "before_cursor_execute", look)
    assert outcomes == [Delivered(f"K{n:04}") for n in range(99)]
    # The driver of MariaDB makes one statement of many rows, that of PostgreSQL one for each.
    assert inserts == [database.url.startswith("mariadb")]


def test_a_table_of_many_columns_takes_no_more_parameters_than_a_statement_may_have(postgresql: Any) -> None:
    columns = {f"c{n}": f"c{n}" for n in range(700)}
    table = Table(postgresql, columns=columns)
    events = [sealed(f"e{n}", 1, {"c0": "x", "c699": str(n)}, external_ids=[("crm", f"K{n:02}")]) for n in range(99)]
    assert table.send(*events) == [Delivered(f"K{n:02}") for n in range(99)]
    rows = postgresql.query(f"SELECT c699 FROM {table.full} ORDER BY id")
    assert rows == [(str(n),) for n in range(99)]


def test_a_thousand_rows_go_in_one_send(database: Any) -> None:
    table = Table(database)
    outcomes = table.send(*(crm(f"e{n}", 1, f"K{n:04}") for n in range(1000)))
    assert set(map(type, outcomes)) == {Delivered}
    assert len(table.live()) == 1000
