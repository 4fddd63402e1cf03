"""What a SQLite store answers does not depend on how many rows it reads at once, or a statement takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from goldwire.changelog.sqlite.store import SqliteStore
from goldwire.testing.store_setting import acquired, commit, control, settle

PAGE = 500
COUNTS = (1, 9, 10, 11, 99, 100, 101, 499, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE + 1)


def names(count: int) -> list[str]:
    return [f"e{number:04}" for number in range(1, count + 1)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    """As many targets as counts, each with the control rows of so many entities."""
    most = names(max(COUNTS))
    with closing(SqliteStore(tmp_path_factory.mktemp("pages") / "goldwire.db", durable=False)) as made:
        commit(made, *[(name, 1) for name in most])
        for count in COUNTS:
            target = f"t{count}"
            acquired(made, target)
            rows = [control(name, 1, seq) for seq, name in enumerate(names(count), 1)]
            settle(made, 0, b"D" * count, target=target, controls=rows)
        yield made


@pytest.mark.parametrize("count", COUNTS)
def test_as_many_are_found_as_were_asked_for(store: SqliteStore, count: int) -> None:
    wanted = names(count)
    target = f"t{count}"
    assert sorted(row.entity_id for row in store.heads_of(wanted)) == wanted
    assert sorted(store.controls(target, names(max(COUNTS)))) == wanted
    assert sorted(store.rows(range(1, count + 1))) == list(range(1, count + 1))
    assert sorted(store.pasts(target, wanted)) == wanted
    assert [row.entity_id for row in store.all_controls(target)] == wanted
    assert [row.entity_id for row in store.read(0, count, 9_999)] == wanted
    assert [row.entity_id for row in store.read(0, 9_999, count)] == wanted


@pytest.mark.parametrize("count", COUNTS)
def test_heads_are_listed_whole_whatever_their_number(tmp_path: Path, count: int) -> None:
    with closing(SqliteStore(tmp_path / "goldwire.db", durable=False)) as store:
        commit(store, *[(name, 1) for name in names(count)])
        assert [row.entity_id for row in store.heads()] == names(count)
        assert [row.entity_id for row in store.heads("Customer")] == names(count)
        assert list(store.heads("Product")) == []


def test_no_rows_are_found_where_none_are_wanted(store: SqliteStore) -> None:
    assert store.heads_of(()) == []
    assert store.rows(()) == {}
    assert store.controls("t1", ()) == {}
    assert store.read(0, 9, 0) == []
    assert store.read_latest("t1", 0, 9, 9, 0) == ([], 9)
    assert store.first_rows(0, 9, 0, 0) == ([], 9)
