"""The part of `StoreSuite` about reading: stretches, the latest only, single versions, histories, heads."""

# ruff: noqa: D102 - a test's name is its documentation

from __future__ import annotations

import random

import pytest

from goldwire.changelog.ports.store import Store
from goldwire.changelog.rows import LogRow
from goldwire.clock import timestamp
from goldwire.testing.store_setting import NOON, StoreSetting, change, commit, record


class LogSuite(StoreSetting):
    """What readers of the log may rely on."""

    def test_a_row_keeps_everything_that_was_committed(self, store: Store) -> None:
        with store.ingest(NOON) as workspace:
            workspace.commit_changes([change("a", 1), change("a", 2, kind="merged", merged_into="b", changed="@edges,x")])
        assert store.read(1, 2, 10) == [
            LogRow(2, "a", "Customer", 2, "merged", timestamp(NOON), "run-1", change("a", 2).state, "@edges,x", "b")
        ]

    def test_a_stretch_ends_at_its_end_and_at_its_limit(self, store: Store) -> None:
        commit(store, *[(f"e{number}", 1) for number in range(10)])
        assert [row.seq for row in store.read(2, 7, 100)] == [3, 4, 5, 6, 7]
        assert [row.seq for row in store.read(2, 7, 2)] == [3, 4]
        assert store.read(10, 100, 100) == []
        assert store.read(7, 3, 100) == []

    def test_only_the_latest_within_the_horizon_is_read(self, store: Store) -> None:
        commit(store, ("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 2))
        assert _latest(store, 0, 5, 5) == ([4, 5], 5)
        assert _latest(store, 0, 4, 4) == ([2, 4], 4)
        assert _latest(store, 0, 2, 4) == ([2], 2)
        assert _latest(store, 0, 3, 3) == ([2, 3], 3)

    def test_reading_the_latest_says_how_far_it_looked(self, store: Store) -> None:
        commit(store, ("a", 1), ("a", 2), ("b", 1), ("c", 1), ("c", 2))
        assert _latest(store, 0, 5, 5, limit=1) == ([2], 2)
        assert _latest(store, 2, 5, 5, limit=1) == ([3], 3)
        assert _latest(store, 3, 4, 5) == ([], 4)
        assert _latest(store, 0, 99, 99)[1] == 5
        assert _latest(store, 5, 99, 99) == ([], 5)

    @pytest.mark.parametrize("seed", range(5))
    def test_the_latest_agree_with_a_plain_model(self, store: Store, seed: int) -> None:
        dice = random.Random(seed)
        versions: dict[str, int] = {}
        entities: list[str] = []
        for _ in range(60):
            name = f"e{dice.randrange(12)}"
            versions[name] = versions.get(name, 0) + 1
            entities.append(name)
            commit(store, (name, versions[name]))
        for _ in range(40):
            after, upto = sorted(dice.choices(range(61), k=2))
            horizon = dice.randrange(upto, 61)
            expected = [seq for seq in range(after + 1, upto + 1) if entities[seq - 1] not in entities[seq:horizon]]
            assert _latest(store, after, upto, horizon) == (expected, upto)

    def test_single_rows_are_found_by_position_and_by_version(self, store: Store) -> None:
        commit(store, ("a", 1), ("b", 1), ("a", 2))
        assert {seq: row.entity_id for seq, row in store.rows([3, 1, 99]).items()} == {1: "a", 3: "a"}
        found = store.versions([("a", 1), ("a", 2), ("a", 3), ("b", 1), ("missing", 1)])
        assert {pair: row.seq for pair, row in found.items()} == {("a", 1): 1, ("a", 2): 3, ("b", 1): 2}
        assert store.rows([]) == {}
        assert store.versions([]) == {}

    def test_a_history_is_whole_and_in_order(self, store: Store) -> None:
        commit(store, ("a", 1), ("b", 1), ("a", 2))
        assert [(row.version, row.seq) for row in store.history("a")] == [(1, 1), (2, 3)]
        assert store.history("missing") == []

    def test_heads_come_by_entity_id_each_once(self, store: Store) -> None:
        names = [f"e{number:04}" for number in range(1203)]
        shuffled = list(names)
        random.Random(1).shuffle(shuffled)
        commit(store, *[(name, 1) for name in shuffled])
        commit(store, ("e0007", 2))
        heads = list(store.heads())
        assert [row.entity_id for row in heads] == names
        assert heads[7].version == 2

    def test_heads_may_be_of_one_type_and_leave_out_entities_without_a_version(self, store: Store) -> None:
        with store.ingest(NOON) as workspace:
            workspace.save_records([record(1, "only-named")])
            workspace.commit_changes([change("a", 1), change("b", 1, entity_type="Product")])
        assert [row.entity_id for row in store.heads()] == ["a", "b"]
        assert [row.entity_id for row in store.heads("Product")] == ["b"]
        assert list(store.heads("Nothing")) == []

    def test_the_store_may_be_written_while_heads_are_streamed(self, store: Store) -> None:
        commit(store, *[(f"e{number:04}", 1) for number in range(1203)])
        seen = []
        for row in store.heads():
            seen.append(row.entity_id)
            if len(seen) == 3:
                commit(store, ("e0001", 2))
        assert len(seen) == len(set(seen)) == 1203


def _latest(store: Store, after: int, upto: int, horizon: int, limit: int = 100) -> tuple[list[int], int]:
    rows, looked_at = store.read_latest("crm", after, upto, horizon, limit)
    return [row.seq for row in rows], looked_at
