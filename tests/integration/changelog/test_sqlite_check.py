"""What a check of a SQLite store reports while it goes, page by page and part by part."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from goldwire.capture.fact import ExternalId
from goldwire.changelog.replays import Replay, Selection
from goldwire.changelog.resyncs import Resync
from goldwire.changelog.rows import Closing
from goldwire.changelog.sqlite.store import SqliteStore
from goldwire.clock import timestamp
from goldwire.errors import StoreCorruptError
from goldwire.mastering.workspace import StoredRecord
from goldwire.testing.store_setting import NOON, acquired, change, commit, control, opened, settle

MANY = 1_001
"""Two whole pages of rows, and one row."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of many entities with a record each, all delivered to one target, the last of them late."""
    path = tmp_path / "goldwire.db"
    names = [f"e{number:04}" for number in range(1, MANY + 1)]
    with closing(SqliteStore(path, durable=False)) as store:
        with store.ingest(NOON) as workspace:
            workspace.commit_changes([change(name, 1) for name in names])
            workspace.save_records([StoredRecord(ExternalId("crm", name), "Customer", name, b"{}") for name in names])
        acquired(store)
        rows = [control(name, 1, seq) for seq, name in enumerate(names, 1)]
        for begin in range(0, MANY - 1, 10):  # so many settlements that they are looked at in several transactions
            settle(store, begin, b"D" * 10, controls=rows[begin : begin + 10])
        settle(store, MANY - 1, b"O", opened=[opened(MANY, names[-1])])
        settle(store, MANY, b"", controls=rows[-1:], closed=[Closing(MANY, ord("D"), 1)])
        store.add_replay(Replay("r1", "t", Selection(after=0, upto=3), "ann", timestamp(NOON), "lost its disk"))
        store.add_resync(Resync("s1", "t", "all", 1, "ann", timestamp(NOON)), NOON)
    return path


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(path, durable=False)) as opened_store:
        yield opened_store


def test_a_check_tells_how_far_it_is_in_each_part(store: SqliteStore) -> None:
    reported: list[tuple[str, int, int]] = []
    assert list(store.damages(lambda *one: reported.append(one))) == []
    rows = [(500, MANY), (1_000, MANY), (MANY, MANY)]
    assert reported == [
        ("file", 0, 0),
        ("file", 1, 1),
        *[("log", *one) for one in rows],
        ("heads", 0, 0),
        ("heads", 1, 1),
        *[("control", *one) for one in rows],
        *[("records", *one) for one in rows],
        ("delivered", 0, 1),
        ("delivered", 1, 1),
        *[("numbers", done, 5) for done in range(6)],
        ("replays", 1, 1),
        ("resyncs", 1, 1),
        ("ledger", 0, 1),
        ("ledger", 1, 1),
    ]


def test_what_is_committed_during_a_check_is_looked_at_but_not_counted_beyond_the_whole(store: SqliteStore) -> None:
    reported: list[tuple[int, int]] = []

    def note(part: str, done: int, total: int) -> None:
        if part == "log":
            if not reported:
                commit(store, ("late", 1))
            reported.append((done, total))

    assert list(store.damages(note)) == []
    assert reported == [(500, MANY), (1_000, MANY), (MANY, MANY)]


@pytest.mark.parametrize("seq", [1, 200, 201, 500, 501, MANY])
def test_a_control_row_that_is_missing_is_named_wherever_its_delivery_was_settled(path: Path, seq: int) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM control WHERE seq = ?", (seq,))
    with closing(SqliteStore(path)) as store:
        [found] = store.damages()
    assert found == (
        "control",
        f"target t, entity e{seq:04}",
        f"missing, but version 1 was delivered at position {seq}",
    )


@pytest.mark.parametrize("table", ["log", "record"])
@pytest.mark.parametrize("row", [1, 500, 501, MANY])
def test_a_damaged_row_is_named_on_whichever_page_it_stands(path: Path, table: str, row: int) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE {table} SET checksum = checksum + 1 WHERE rowid = ?", (row,))
    with closing(SqliteStore(path)) as store:
        [found] = store.damages()
    where = f"position {row} (entity e{row:04}, version 1)" if table == "log" else f"record crm/e{row:04}"
    assert (found.where, found.text) == (where, "its checksum does not fit: it is not what was written")


def test_a_recount_of_a_log_with_a_gap_names_the_store_and_what_is_left(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM log WHERE seq = 500")
    with (
        closing(SqliteStore(path)) as store,
        pytest.raises(StoreCorruptError, match=r"goldwire\.db: the log has 1000 rows for positions 1 to 1001$"),
    ):
        store.recount("t")
