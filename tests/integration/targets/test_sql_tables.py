"""Several entity types and their edges in tables of their own: the suite of every target, and a naive model beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import pytest

from goldwire.clock import SystemClock, timestamp
from goldwire.errors import ConfigError
from goldwire.event.sealed import SealedEvent
from goldwire.targets.base import Delivered, Duplicate, Item, Outcome, Rejected
from goldwire.targets.sql import ExternalIdKey, SqlSettings, SqlTarget
from goldwire.targets.sql.table_settings import EdgeTableSettings, TableSettings
from goldwire.testing.events import deleted, sealed
from goldwire.testing.target_suite import Held, TargetSuite
from support.sql_table import Server, numbers

TYPES = ("Customer", "Contact")


def edge(rel: str, to: str, op: str | None = None) -> dict[str, Any]:
    """Return an edge as the wire has it; `to` is `SYSTEM/ID` or an entity id."""
    system, _, id_ = to.rpartition("/")
    end = {"externalId": {"id": id_, "system": system}} if system else {"entityId": to}
    return {**({"op": op} if op else {}), "rel": rel, "to": end}


def settings_of(server: Server, number: int, **more: Any) -> SqlSettings:
    """Return two tables of rows, one table of edges for two relations, and one for a third."""
    shared = EdgeTableSettings(f"linked_{number}")
    given: dict[str, Any] = {
        "url": server.url,
        "tables": {
            "Customer": TableSettings(f"customer_{number}", {"name": "name", "city": "city"}),
            "Contact": TableSettings(f"contact_{number}", {"name": "name"}, key_column="contact_no"),
        },
        "edges": {"knows": shared, "owns": shared, "worksFor": EdgeTableSettings(f"works_for_{number}")},
        "key": ExternalIdKey("crm"),
        "create_table": True,
        **more,
    }
    return SqlSettings(**given)


class Target:
    """A `sql` target with several tables, driven without asyncio."""

    def __init__(self, server: Server, **more: Any) -> None:
        self.server = server
        self.number = next(numbers)
        self.settings = settings_of(server, self.number, **more)

    def send(self, *items: SealedEvent | Item) -> list[Outcome]:
        events = [item if isinstance(item, Item) else Item(item) for item in items]

        async def run() -> list[Outcome]:
            target = SqlTarget("warehouse", self.settings, SystemClock())
            await target.open()
            try:
                return list(await target.send(events))
            finally:
                await target.close()

        return asyncio.run(run())

    def edges(self, table: str = "linked") -> list[tuple[Any, ...]]:
        return sorted(
            self.server.query(
                "SELECT goldwire_entity_id, from_id, relation, to_system, to_id "
                f"FROM {self.server.created}{table}_{self.number}"
            )
        )

    def rows(self, table: str, key: str = "id") -> list[tuple[Any, ...]]:
        return sorted(
            self.server.query(
                f"SELECT {key}, goldwire_entity_id, goldwire_version, name FROM {self.server.created}{table}_{self.number} "
                "WHERE NOT goldwire_deleted"
            )
        )


def record(entity: str, version: int, key: str, *edges: Mapping[str, Any], entity_type: str = "Customer", **more: Any) -> Any:
    ids = [("crm", key)] if key else []
    return sealed(entity, version, {"name": entity}, entity_type=entity_type, external_ids=ids, edges=edges, **more)


@pytest.fixture(params=["soft", "physical"])
def target(request: pytest.FixtureRequest, server: Server) -> Target:
    return Target(server, delete=request.param)


def test_each_entity_type_goes_to_its_table_with_its_edges_in_one_send(target: Target) -> None:
    outcomes = target.send(
        record("a", 1, "K1", edge("knows", "erp/9"), edge("owns", "ent:b"), edge("likes", "erp/1")),
        record("c", 1, "K1", edge("worksFor", "crm/K1"), entity_type="Contact"),
        record("x", 1, "K1", entity_type="Invoice"),
    )
    assert outcomes[:2] == [Delivered("K1"), Delivered("K1")]
    assert outcomes[2] == Rejected("the target has no table for entity type Invoice; give it one in `tables`")
    assert target.rows("customer") == [("K1", "a", 1, "a")]
    assert target.rows("contact", "contact_no") == [("K1", "c", 1, "c")]
    assert target.edges() == [("a", "K1", "knows", "erp", "9"), ("a", "K1", "owns", "", "ent:b")]
    assert target.edges("works_for") == [("c", "K1", "worksFor", "crm", "K1")]


def test_the_edges_are_those_of_the_newest_version(target: Target) -> None:
    target.send(record("a", 2, "K1", edge("knows", "erp/9"), edge("knows", "erp/8"), edge("owns", "erp/9")))
    stale = record("a", 1, "K1", edge("knows", "erp/1"))
    assert isinstance(target.send(stale)[0], Duplicate)
    newer = record("a", 3, "K1", edge("knows", "erp/8"), edge("knows", "erp/7"))
    assert target.send(newer) == [Delivered("K1")]
    assert target.edges() == [("a", "K1", "knows", "erp", "7"), ("a", "K1", "knows", "erp", "8")]
    versions = f"SELECT to_id, goldwire_version FROM {target.server.created}linked_{target.number}"
    assert sorted(target.server.query(versions)) == [("7", 3), ("8", 2)]


def test_a_delta_adds_and_removes_edges(target: Target) -> None:
    target.send(record("a", 1, "K1", edge("knows", "erp/9"), edge("owns", "erp/9")))
    delta = record("a", 2, "K1", edge("knows", "erp/7"), edge("knows", "erp/9", "removed"), base_version=1)
    assert target.send(delta) == [Delivered("K1")]
    assert target.edges() == [("a", "K1", "knows", "erp", "7"), ("a", "K1", "owns", "erp", "9")]
    moved = record("a", 3, "K2", edge("knows", "erp/6"), base_version=2)
    assert target.send(Item(moved, remote_id="K1")) == [Delivered("K2")]
    assert target.edges() == [
        ("a", "K2", "knows", "erp", "6"), ("a", "K2", "knows", "erp", "7"), ("a", "K2", "owns", "erp", "9")
    ]  # fmt: skip


@pytest.mark.parametrize("reason", ["deleted", "erased", "merged", "deselected"])
def test_a_record_that_is_gone_has_no_edges(target: Target, reason: str) -> None:
    target.send(record("a", 1, "K1", edge("knows", "erp/9")), record("b", 1, "K2", edge("knows", "erp/9")))
    assert target.send(deleted("a", 2, reason=reason, external_ids=[("crm", "K1")])) == [Delivered()]
    assert target.edges() == [("b", "K2", "knows", "erp", "9")]
    assert isinstance(target.send(record("a", 1, "K1", edge("knows", "erp/9")))[0], Duplicate)
    assert target.edges() == [("b", "K2", "knows", "erp", "9")]


def test_a_record_whose_key_passed_on_leaves_no_edges_to_the_new_owner(target: Target) -> None:
    target.send(record("loser", 5, "K2", edge("knows", "erp/1"), committed_at="2026-01-01T00:00:00.000000Z"))
    at = "2026-01-02T00:00:00.000000Z"
    target.send(record("survivor", 2, "K2", edge("knows", "erp/2"), committed_at=at))
    assert target.edges() == [("survivor", "K2", "knows", "erp", "2")]
    target.send(deleted("loser", 6, reason="merged", external_ids=[("crm", "K2")], committed_at=at))
    assert target.edges() == [("survivor", "K2", "knows", "erp", "2")]


def test_an_edge_that_does_not_fit_takes_its_record_along_and_no_other(server: Server) -> None:
    target = Target(server)
    table = f"{server.prefix}linked_{target.number}"
    server.query(
        f"CREATE TABLE {table} (goldwire_entity_id VARCHAR(200), goldwire_version BIGINT, from_id VARCHAR(200), "
        "relation VARCHAR(50) CHECK (relation <> 'owns'), to_system VARCHAR(50), to_id BIGINT)"
    )
    server.query(f"CREATE INDEX linked_{target.number}_entity ON {table} (goldwire_entity_id)")
    bad = [edge("knows", "erp/x"), edge("knows", "erp/007"), edge("owns", "erp/7")]
    records = [record(f"bad{n}", 1, f"B{n}", one) for n, one in enumerate(bad)]
    first, second, third, *good = target.send(*records, record("a", 1, "K1", edge("knows", "erp/7")))
    assert good == [Delivered("K1")]
    for outcome in (first, second):
        assert isinstance(outcome, Rejected)
        assert outcome.reason.startswith("column to_id ")
    assert isinstance(third, Rejected)
    assert target.rows("customer") == [("K1", "a", 1, "a")]
    found = server.query(f"SELECT goldwire_entity_id, to_id FROM {table}")
    assert found == [("a", 7)]


def test_edges_that_a_collation_takes_for_one_are_a_dead_letter(server: Server) -> None:
    target = Target(server)
    nocase = {
        "sqlite": "VARCHAR(200) COLLATE NOCASE", "mariadb": "VARCHAR(200) COLLATE utf8mb4_general_ci", "postgresql": ""
    }[server.family]  # fmt: skip
    if not nocase:
        pytest.skip("without citext a PostgreSQL has no such collation")
    server.query(
        f"CREATE TABLE {server.prefix}linked_{target.number} (goldwire_entity_id {nocase}, goldwire_version BIGINT, "
        f"from_id VARCHAR(200), relation VARCHAR(50), to_system VARCHAR(50), to_id {nocase}, "
        "PRIMARY KEY (goldwire_entity_id, relation, to_system, to_id))"
    )
    both = record("a", 1, "K1", edge("knows", "erp/AB"), edge("knows", "erp/ab"))
    assert isinstance(target.send(both)[0], Rejected)
    assert target.send(record("b", 1, "K2", edge("knows", "erp/AB"))) == [Delivered("K2")]
    (outcome,) = target.send(record("B", 1, "K3", edge("knows", "erp/CD")))
    assert isinstance(outcome, Rejected)
    assert "table of edges" in outcome.reason
    assert target.edges() == [("b", "K2", "knows", "erp", "AB")]


def test_a_table_of_edges_belongs_to_one_target_too(server: Server) -> None:
    number = next(numbers)
    both = settings_of(server, number)
    other = SqlSettings(
        url=server.url, table=f"other_{number}", columns={}, create_table=True, edges={"worksFor": both.edges["worksFor"]}
    )

    def open_once(name: str, settings: SqlSettings) -> None:
        async def run() -> None:
            target = SqlTarget(name, settings, SystemClock())
            target.claim_for("0" * 32)
            try:
                await target.open()
            finally:
                await target.close()

        asyncio.run(run())

    open_once("warehouse", both)
    open_once("warehouse", both)
    with pytest.raises(ConfigError, match=rf"works_for_{number} is written by target 'warehouse' of this store"):
        open_once("billing", other)


def test_a_column_that_a_table_of_edges_lacks_is_named_with_the_statement_that_adds_it(server: Server) -> None:
    target = Target(server)
    server.query(f"CREATE TABLE {server.prefix}linked_{target.number} (goldwire_entity_id VARCHAR(200), to_id VARCHAR(9))")
    with pytest.raises(ConfigError, match=r"lacks relation, to_system, from_id, goldwire_version; .*ADD COLUMN relation"):
        target.send(record("a", 1, "K1"))


def test_rows_and_edges_can_be_read_back(server: Server) -> None:
    target = Target(server)
    target.send(
        record("a", 1, "K1", edge("knows", "erp/9")), record("c", 2, "K3", edge("worksFor", "crm/K1"), entity_type="Contact")
    )

    async def run() -> None:
        opened = SqlTarget("warehouse", target.settings, SystemClock())
        await opened.open()
        assert [row["id"] for row in await opened.rows("Customer")] == ["K1"]
        assert [row["contact_no"] for row in await opened.read(["K3", "K1"], "Contact")] == ["K3"]
        assert [(row["from_id"], row["to_id"]) for row in await opened.edges("worksFor")] == [("K3", "K1")]
        with pytest.raises(ValueError, match="no table for all entity types together"):
            await opened.rows()
        items = [Item(record("c", 9, "K3", entity_type="Contact")), Item(record("a", 9, "K1")), Item(record("z", 1, "Z"))]
        assert list(await opened.held_versions(items)) == [2, 1, None]
        assert [event.entity_id for event in await opened.newest(9)] == ["c", "a"]
        await opened.close()

    asyncio.run(run())


class Histories:
    """Records of two types that pass keys and edges on, and what a target should hold of them, kept naively."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.moment = 0
        self.version: dict[str, int] = {}
        self.state: dict[str, tuple[str, frozenset[tuple[str, str]]]] = {}
        """By entity, key and edges."""
        self.sent: list[SealedEvent] = []

    def next(self) -> SealedEvent:
        """Change one record."""
        self.moment += 1
        at = timestamp(1_800_000_000 + self.moment)
        entity = self.random.choice(["Customer:1", "Customer:2", "Customer:3", "Contact:1", "Contact:2"])
        entity_type = entity.partition(":")[0]
        version = self.version[entity] = self.version.get(entity, 0) + self.random.choice([1, 1, 2])
        before = self.state.get(entity)
        if before and self.random.random() < 0.2:
            del self.state[entity]
            reason = self.random.choice(["deleted", "erased", "merged"])
            ids = [("crm", before[0])]
            return deleted(entity, version, reason=reason, entity_type=entity_type, external_ids=ids, committed_at=at)
        edges = frozenset(
            (self.random.choice(["knows", "owns", "worksFor"]), self.random.choice(["erp/1", "erp/2", "crm/K1", "ent:1"]))
            for _ in range(self.random.randint(0, 4))
        )
        key = before[0] if before and self.random.random() < 0.7 else f"{entity} {self.random.randint(1, 2)}"
        is_delta = before is not None and self.random.random() < 0.5
        told = [edge(*one) for one in sorted(edges - (before[1] if is_delta and before else frozenset()))]
        if is_delta and before:
            told += [edge(*one, "removed") for one in sorted(before[1] - edges)]
        self.state[entity] = (key, edges)
        base = self.held[entity] if is_delta else None
        return record(entity, version, key, *told, entity_type=entity_type, base_version=base, committed_at=at)  # type: ignore[no-any-return] - of a helper

    @property
    def held(self) -> dict[str, int]:
        """The version of each entity that was sent last."""
        return {event.entity_id: event.version for event in self.sent}

    def expected(self) -> list[tuple[str, ...]]:
        """Return all edges that the tables should hold."""
        found = []
        for entity, (key, edges) in self.state.items():
            for rel, to in edges:
                system, _, id_ = to.rpartition("/")
                found.append((entity, key, rel, system, id_))
        return sorted(found)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_the_edges_are_those_of_the_newest_versions(target: Target, seed: int) -> None:
    history = Histories(seed)

    async def run() -> None:
        opened = SqlTarget("warehouse", target.settings, SystemClock())
        await opened.open()
        for _ in range(25):
            batch: dict[str, SealedEvent] = {}
            while not batch or history.random.random() < 0.6:
                event = history.next()
                if event.entity_id in batch:
                    await deliver(opened, list(batch.values()))
                    batch = {}
                batch[event.entity_id] = event
                history.sent.append(event)
            await deliver(opened, list(batch.values()))
            again = history.random.sample(history.sent, min(3, len(history.sent)))
            await opened.send([Item(event) for event in {event.entity_id: event for event in again}.values()])
        await opened.close()

    asyncio.run(run())
    assert sorted(target.edges() + target.edges("works_for")) == history.expected()
    rows = target.rows("customer") + target.rows("contact", "contact_no")
    assert {row[1]: row[0] for row in rows} == {entity: key for entity, (key, _) in history.state.items()}


async def deliver(opened: SqlTarget, events: Sequence[SealedEvent]) -> None:
    outcomes = await opened.send([Item(event) for event in events])
    assert {type(outcome) for outcome in outcomes} <= {Delivered}, outcomes


class TablesSuite(TargetSuite):
    """What every target must do, done by one whose records have tables by type."""

    rejects = True
    kind = ""
    delete = "soft"

    @pytest.fixture(autouse=True)
    def _server(self, request: pytest.FixtureRequest) -> None:
        database = request.getfixturevalue(self.kind)
        self.server = Server(self.kind, database.url, database._connect, "warehouse." if self.kind == "mariadb" else "")
        self.number = next(numbers)

    def make_target(self) -> SqlTarget:
        return SqlTarget("warehouse", settings_of(self.server, self.number, delete=self.delete), self.clock)

    def bad_event(self) -> SealedEvent:
        return sealed("bad", 1, {"name": "Mallory Smith", "city": "Springfield"}, external_ids=[("erp", "9")])

    async def held(self, entity_id: str) -> Held | None:
        rows = self.server.query(
            f"SELECT goldwire_entity_id, goldwire_version, name, city FROM {self.server.prefix}customer_{self.number} "
            "WHERE NOT goldwire_deleted"
        )
        found = [Held(row[1], {"name": row[2], "city": row[3]}) for row in rows if row[0] == entity_id]
        return found[0] if found else None


class TestPostgresql(TablesSuite):
    kind = "postgresql"


class TestMariadb(TablesSuite):
    kind = "mariadb"
    delete = "physical"


def test_a_table_of_edges_that_finds_no_entity_is_refused_with_the_statement_that_mends_it(server: Server) -> None:
    target = Target(server)
    name = f"{server.prefix}works_for_{target.number}"
    key = "PRIMARY KEY (relation, to_system, to_id, goldwire_entity_id)"
    ends = ", ".join(f"{column} VARCHAR(90) NOT NULL" for column in ("relation", "to_system", "to_id", "from_id"))
    server.query(f"CREATE TABLE {name} (goldwire_entity_id VARCHAR(90), {ends}, goldwire_version BIGINT, {key})")
    event = record("a", 1, "K1", edge("worksFor", "erp/1"))
    with pytest.raises(ConfigError, match="has no index that begins with goldwire_entity_id") as caught:
        target.send(event)
    server.query(str(caught.value).partition("run: ")[2])
    assert target.send(event) == [Delivered("K1")]
