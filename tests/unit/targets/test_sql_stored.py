"""Accepted is stored, in SQLite: what a column cannot hold exactly is a dead letter that names the column."""

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
from goldwire.targets.base import Delivered, Item, Outcome, Rejected
from goldwire.targets.sql import ExternalIdKey, SqlSettings, SqlTarget
from goldwire.testing.events import sealed

FENCE = (
    "goldwire_entity_id TEXT, goldwire_version BIGINT, goldwire_timestamp TEXT, goldwire_deleted BOOLEAN, goldwire_hash TEXT"
)


class Table:
    """One target on a table that its owner made."""

    def __init__(self, folder: Path, columns: str, key: str = "TEXT PRIMARY KEY", **settings: Any) -> None:
        self.path = folder / "t.db"
        self.query(f"CREATE TABLE t (id {key}, {columns}, {FENCE})")
        names = {column.split()[0]: column.split()[0] for column in columns.split(", ")}
        url = f"sqlite:///{self.path}"
        self.query("CREATE INDEX t_entity ON t (goldwire_entity_id)")
        self.settings = SqlSettings(url=url, table="t", columns=names, key=ExternalIdKey("crm"), create_table=True, **settings)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.path)
        try:
            with connection:
                return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def send(self, *events: SealedEvent) -> list[Outcome]:
        async def run() -> Sequence[Outcome]:
            target = SqlTarget("warehouse", self.settings, SystemClock())
            await target.open()
            try:
                return await target.send([Item(event) for event in events])
            finally:
                await target.close()

        return list(asyncio.run(run()))

    def send_value(self, value: Any) -> Outcome:
        return self.send(sealed("e", 1, {"v": value}, external_ids=[("crm", "k")]))[0]


def record(entity: str, key: str, name: str, version: int = 1) -> SealedEvent:
    return sealed(entity, version, {"name": name}, external_ids=[("crm", key)])


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("key", "first", "second"),
    [
        ("TEXT COLLATE NOCASE PRIMARY KEY", "AB1", "ab1"),
        ("TEXT COLLATE RTRIM PRIMARY KEY", "ab1", "ab1 "),
        ("INTEGER PRIMARY KEY", "7", "007"),
        ("TEXT COLLATE NOCASE PRIMARY KEY", "AB1", "Ab1"),
    ],
)
def test_a_key_that_the_column_takes_for_another_one_never_overwrites_its_row(
    key: str, first: str, second: str, together: bool, tmp_path: Path
) -> None:
    table = Table(tmp_path, "name TEXT", key)
    records = [record("a", first, "upper Ann"), record("b", second, "lower Bob"), record("c", "9", "Cy")]
    outcomes = table.send(*records) if together else [table.send(one)[0] for one in records]
    assert outcomes[0] == Delivered(first)
    assert outcomes[2] == Delivered("9")
    assert isinstance(outcomes[1], Rejected)
    assert outcomes[1].reason.startswith("column id ")
    assert second.strip() not in outcomes[1].reason.split()
    rows = table.query("SELECT id, goldwire_entity_id, name FROM t ORDER BY goldwire_entity_id")
    assert [(str(row[0]), *row[1:]) for row in rows] == [(first, "a", "upper Ann"), ("9", "c", "Cy")]


def test_a_later_version_still_reaches_the_row_whose_key_another_record_nearly_has(tmp_path: Path) -> None:
    table = Table(tmp_path, "name TEXT", "TEXT COLLATE NOCASE PRIMARY KEY")
    table.send(record("a", "AB1", "Ann"), record("b", "ab1", "Bob"))
    first, second = table.send(record("a", "AB1", "Ann II", 2), record("b", "ab1", "Bob II", 2))
    assert first == Delivered("AB1")
    assert isinstance(second, Rejected)
    assert table.query("SELECT id, name, goldwire_version FROM t") == [("AB1", "Ann II", 2)]


@pytest.mark.parametrize(
    ("column", "sent", "held"),
    [
        ("v INTEGER", "2033735037361704962", 2033735037361704962),
        ("v INTEGER", "203373503736170496", 203373503736170496),
        ("v INTEGER", "-9223372036854775808", -(2**63)),
        ("v NUMERIC", "99999999999999.9", 99999999999999.9),
        ("v NUMERIC", "0.30", 0.3),
        ("v BOOLEAN", "yes", 1),
        ("v BOOLEAN", "N", 0),
        ("v DATE", "2026-11-23T00:00:00+01:00", "2026-11-23"),
        ("v TEXT", "18446744073709551616", "18446744073709551616"),
    ],
)
def test_what_fits_is_stored_as_it_was_sent(column: str, sent: Any, held: Any, tmp_path: Path) -> None:
    table = Table(tmp_path, column)
    assert table.send_value(sent) == Delivered("k")
    assert table.query("SELECT v FROM t") == [(held,)]


@pytest.mark.parametrize(
    ("column", "sent"),
    [
        ("v INTEGER", "9223372036854775909"),
        ("v INTEGER", "1e400"),
        ("v NUMERIC", "1e-400"),
        ("v NUMERIC", "99999999999999.99"),
        ("v NUMERIC", "0.1234567890123456789"),
        ("v REAL", "18446744073709551617"),
        ("v REAL", "Infinity"),
        ("v DATE", "2026-11-23T10:00:00Z"),
        ("v BOOLEAN", "perhaps"),
    ],
)
def test_what_a_column_would_narrow_is_a_dead_letter_that_names_it(column: str, sent: Any, tmp_path: Path) -> None:
    table = Table(tmp_path, column)
    outcome = table.send_value(sent)
    assert isinstance(outcome, Rejected)
    assert outcome.reason.startswith("column v ")
    assert sent not in outcome.reason
    assert table.query("SELECT v FROM t") == []


def test_a_column_whose_affinity_changes_a_text_is_noticed(tmp_path: Path) -> None:
    table = Table(tmp_path, "v NUMERIC", types={"v": "text"})
    outcome = table.send_value("007")
    assert isinstance(outcome, Rejected)
    assert outcome.reason.startswith("column v does not hold what was sent")
    assert table.send_value("seven") == Delivered("k")


def test_a_trigger_that_undoes_a_deletion_is_noticed(tmp_path: Path) -> None:
    table = Table(tmp_path, "name TEXT")
    table.send(record("a", "K1", "Ann"))
    table.query(
        "CREATE TRIGGER undo AFTER UPDATE ON t WHEN new.goldwire_deleted "
        "BEGIN UPDATE t SET goldwire_deleted = 0 WHERE id = new.id; END"
    )
    (outcome,) = table.send(sealed("a", 2, reason="deleted", external_ids=[("crm", "K1")]))
    assert not isinstance(outcome, Delivered)
    assert table.query("SELECT goldwire_deleted, goldwire_version FROM t") == [(0, 1)]


def test_a_generated_column_ends_at_opening(tmp_path: Path) -> None:
    table = Table(tmp_path, "name TEXT GENERATED ALWAYS AS (id || 'x') STORED, city TEXT")
    with pytest.raises(ConfigError, match=r"column name of t is generated by the database"):
        table.send_value("x")


def test_may_differ_names_a_column_that_is_written() -> None:
    with pytest.raises(ValueError, match="`may_differ` names column zip"):
        SqlSettings(url="sqlite:///x", table="t", columns={"city": "city"}, may_differ=("zip",))


@pytest.mark.parametrize(("rule", "sent"), [("coalesce(NEW.v, 'unknown')", None), ("nullif(NEW.v, 'n/a')", "n/a")])
def test_a_column_that_may_differ_may_be_filled_or_emptied_by_a_rule_of_the_table(
    tmp_path: Path, rule: str, sent: str | None
) -> None:
    for may_differ in ((), ("v",)):
        folder = tmp_path / f"f{len(may_differ)}"
        folder.mkdir()
        table = Table(folder, "v TEXT", may_differ=may_differ)
        table.query(f"CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET v = {rule} WHERE id = NEW.id; END")
        outcome = table.send_value(sent)
        if may_differ:
            assert outcome == Delivered("k")
        else:
            assert isinstance(outcome, Rejected)
            assert "column v does not hold what was sent" in outcome.reason
