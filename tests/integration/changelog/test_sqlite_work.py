"""How much the SQLite engine does for a question, counted in steps of its virtual machine, which no machine's load changes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from goldwire.changelog.sqlite.store import SqliteStore
from goldwire.services.lookup import cursor_of, dead_letter
from goldwire.testing.store_setting import NOON, acquired, commit, opened, settle


def steps_of(store: SqliteStore, work: Callable[[], Any]) -> int:
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    connection = store._database.connection
    connection.set_progress_handler(count, 1)
    try:
        work()
    finally:
        connection.set_progress_handler(None, 1)
    return counted


def with_dead_letters(file: Path, count: int) -> SqliteStore:
    store = SqliteStore(file, durable=False)
    commit(store, *[(f"e{number}", 1) for number in range(1, count + 1)])
    acquired(store)
    settle(store, 0, b"O" * count, opened=[opened(seq, f"e{seq}", "dead") for seq in range(1, count + 1)])
    return store


@pytest.mark.parametrize("action", ["redrive", "discard"])
def test_twenty_letters_are_dealt_with_by_the_same_work_however_many_there_are(tmp_path: Path, action: str) -> None:
    def work(store: SqliteStore) -> None:
        cursor_of(store, "t")
        letters = [dead_letter(store, "t", seq) for seq in range(11, 31)]
        assert getattr(store, action)("t", [letter.seq for letter in letters], NOON) == 20

    steps = {}
    for count in (100, 5_000):
        with closing(with_dead_letters(tmp_path / f"{count}.db", count)) as store:
            steps[count] = steps_of(store, lambda store=store: work(store))
    assert steps[5_000] == steps[100]


def test_one_cursor_costs_the_same_however_many_targets_there_are(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "goldwire.db", durable=False)) as store:
        store.acquire("t", "now")
        alone = steps_of(store, lambda: store.cursor("t"))
        for number in range(50):
            store.acquire(f"t{number}", "now")
        assert steps_of(store, lambda: store.cursor("t")) == alone


def test_the_number_of_the_newest_revision_is_found_without_a_document(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "goldwire.db", durable=False)) as store:
        store.apply_revision("t", b"0", NOON)
        first = steps_of(store, lambda: store.newest_revision("t"))
        for number in range(1, 50):
            store.apply_revision("t", b"%d" % number * 10_000, NOON)
        assert steps_of(store, lambda: store.newest_revision("t")) == first
        assert store.newest_revision("t") == 50
