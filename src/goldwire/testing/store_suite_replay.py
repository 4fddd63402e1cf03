"""The part of `StoreSuite` about replays: their records, the entities they come to, and what became of an entity's past."""

# ruff: noqa: D102 - a test's name is its documentation

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from goldwire.changelog.ports.store import Store
from goldwire.changelog.replays import Replay, ReplayFailure, Selection, Tally
from goldwire.changelog.rows import DELIVERED, FILTERED, SUPERSEDED, Closing
from goldwire.clock import timestamp
from goldwire.errors import FencedError, InputError, StoreCorruptError
from goldwire.testing.store_setting import (
    NOON,
    Crash,
    StoreSetting,
    acquired,
    balanced,
    change,
    commit,
    control,
    crash_at,
    opened,
    settle,
)


def _replay(replay_id: str, target: str = "t", **other: object) -> Replay:
    made = Replay(replay_id, target, Selection(after=0, upto=3), "ann", timestamp(NOON), "lost its disk")
    return replace(made, **other)


def _six(store: Store) -> int:
    """Commit a, b, a, c, b, a at 1 to 6, and acquire the target."""
    commit(store, ("a", 1), ("b", 1), ("a", 2), ("c", 1), ("b", 2), ("a", 3))
    return acquired(store)


class ReplaySuite(StoreSetting):
    """What a replay may rely on."""

    def test_a_replay_s_record_keeps_everything(self, store: Store) -> None:
        epoch = _six(store)
        first = _replay("r1", rate=2.5)
        store.add_replay(first)
        assert store.replays() == store.replays("t") == [first]
        assert store.open_replay("t") == first
        full = replace(
            first, position=2, begun=("a", "b"), waiting=("c",), started_at=timestamp(NOON), tally=Tally(events=7),
            failures=(ReplayFailure("a", 1, "too large"),),
        )  # fmt: skip
        assert store.save_replay(full, epoch)
        assert store.open_replay("t") == full
        assert store.replays("another") == []

    def test_replays_of_a_target_are_open_in_the_order_they_were_asked_for(self, store: Store) -> None:
        epoch = _six(store)
        acquired(store, "u")
        for replay in (_replay("z"), _replay("other", "u"), _replay("a")):
            store.add_replay(replay)
        assert [replay.id for replay in store.replays()] == ["z", "other", "a"]
        opened_first = store.open_replay("t")
        assert opened_first is not None
        assert opened_first.id == "z"
        assert store.save_replay(replace(opened_first, state="done"), epoch)
        following = store.open_replay("t")
        assert following is not None
        assert following.id == "a"

    def test_a_replay_of_an_unknown_target_or_with_a_known_id_is_refused(self, store: Store) -> None:
        with pytest.raises(InputError, match="missing"):
            store.add_replay(_replay("r1", "missing"))
        _six(store)
        store.add_replay(_replay("r1"))
        with pytest.raises(StoreCorruptError):
            store.add_replay(_replay("r1"))
        assert len(store.replays()) == 1

    def test_an_ended_replay_cannot_be_saved_again(self, store: Store) -> None:
        epoch = _six(store)
        store.add_replay(_replay("r1", begun=("a",), waiting=("b",)))
        ended = store.cancel_replay("r1", NOON + 5)
        assert ended is not None
        assert (ended.state, ended.ended_at, ended.begun, ended.waiting) == ("cancelled", timestamp(NOON + 5), (), ())
        assert store.replays() == [ended]
        assert store.cancel_replay("r1", NOON + 6) is None
        assert store.cancel_replay("never asked for", NOON) is None
        assert not store.save_replay(_replay("r1", position=3), epoch)
        assert store.replays() == [ended]
        assert store.open_replay("t") is None

    def test_an_older_relay_saves_no_record(self, store: Store) -> None:
        old = _six(store)
        store.add_replay(_replay("r1"))
        store.acquire("t", "beginning")
        with pytest.raises(FencedError, match="target t"):
            store.save_replay(_replay("r1", position=3), old)
        assert store.replays() == [_replay("r1")]

    def test_a_crash_while_a_record_is_saved_leaves_the_old_one(self, path: Path) -> None:
        store = self.make_store(path)
        epoch = _six(store)
        store.add_replay(_replay("r1"))
        store.close()
        store = self.make_store(path, crash_at("save_replay:before-commit"))
        with pytest.raises(Crash):
            store.save_replay(_replay("r1", position=3), epoch)
        assert store.replays() == [_replay("r1")]
        store.close()

    @pytest.mark.parametrize(
        ("after", "upto", "above", "expected"),
        [
            (0, 6, 0, [(1, "a"), (2, "b"), (4, "c")]),
            (2, 6, 2, [(3, "a"), (4, "c"), (5, "b")]),
            (3, 6, 2, [(4, "c"), (5, "b")]),
            (0, 1, 0, [(1, "a")]),
            (5, 6, 5, [(6, "a")]),
            (6, 9, 6, []),
        ],
    )
    def test_each_entity_is_met_once_at_its_first_row(
        self, store: Store, after: int, upto: int, above: int, expected: list[tuple[int, str]]
    ) -> None:
        _six(store)
        assert store.first_rows(after, upto, above, 10) == (expected, upto)

    def test_first_rows_end_where_the_limit_was_reached(self, store: Store) -> None:
        _six(store)
        assert store.first_rows(0, 6, 0, 2) == ([(1, "a"), (2, "b")], 2)
        assert store.first_rows(2, 6, 0, 2) == ([(4, "c")], 6)

    def test_a_past_holds_what_was_delivered_or_filtered_and_how_it_was_sealed(self, store: Store) -> None:
        _six(store)
        settle(store, 0, b"DDO", opened=[opened(3, "a")], controls=[control("a", 1, 1)])
        settle(store, 3, b"FSO", opened=[opened(6, "a", "pending")])
        settle(store, 6, b"", closed=[Closing(3, DELIVERED, 4)], controls=[control("a", 2, 3)])
        settle(store, 6, b"", closed=[Closing(6, FILTERED, 5)])
        pasts = store.pasts("t", ["a", "b", "c", "missing"])
        found = {
            entity_id: [(fate.row.seq, fate.row.version, fate.code, fate.revision) for fate in past.fates]
            for entity_id, past in pasts.items()
        }
        assert found == {
            "a": [(1, 1, DELIVERED, None), (3, 2, DELIVERED, 4), (6, 3, FILTERED, 5)],
            "b": [(2, 1, DELIVERED, None)],
            "c": [(4, 1, FILTERED, None)],
        }
        assert pasts["a"].fates[1].row == store.rows([3])[3]
        assert pasts["a"].control == control("a", 2, 3)
        assert pasts["b"].control is None
        balanced(store)

    def test_a_past_leaves_out_what_is_open_superseded_or_not_reached(self, store: Store) -> None:
        _six(store)
        settle(store, 0, b"DOO", opened=[opened(2, "b", "discarded"), opened(3, "a")])
        settle(store, 3, b"D", closed=[Closing(3, SUPERSEDED)])
        pasts = store.pasts("t", ["a", "b", "c"])
        assert {entity_id: [fate.row.seq for fate in past.fates] for entity_id, past in pasts.items()} == {
            "a": [1], "b": [], "c": [4],
        }  # fmt: skip

    def test_a_past_begins_where_the_target_began_and_belongs_to_it_alone(self, store: Store) -> None:
        commit(store, ("a", 1))
        acquired(store, "t", "now")
        acquired(store, "u")
        commit(store, ("a", 2))
        store.declare("t", 1, 2, "every")
        settle(store, 1, b"D")
        settle(store, 0, b"D", target="u")
        assert [fate.row.version for fate in store.pasts("t", ["a"])["a"].fates] == [2]
        assert [fate.row.version for fate in store.pasts("u", ["a"])["a"].fates] == [1]
        assert store.pasts("never acquired", ["a"]) == {}
        assert store.pasts("t", []) == {}

    def test_a_rewind_takes_the_past_back(self, store: Store) -> None:
        _six(store)
        settle(store, 0, b"DDDDDD", controls=[control("a", 3, 6)])
        store.rewind("t", 2)
        assert [fate.row.seq for fate in store.pasts("t", ["a"])["a"].fates] == [1]

    def test_a_past_knows_the_newest_erasure_also_above_the_cursor(self, store: Store) -> None:
        _six(store)
        settle(store, 0, b"DDDDDD")
        with store.ingest(NOON) as workspace:
            workspace.commit_changes([change("a", 4, kind="erased")])
        assert store.erased_since(["a", "b", "missing"], 6) == {"a"}
        assert store.erased_since(["a", "b"], 7) == store.erased_since(["b"], 0) == set()
        pasts = store.pasts("t", ["a", "b"])
        assert (pasts["a"].erased, pasts["b"].erased) == (4, 0)
        assert [fate.row.version for fate in pasts["a"].fates] == [1, 2, 3]

    def test_a_moment_is_found_among_the_positions(self, store: Store) -> None:
        assert store.position_before(timestamp(NOON)) == 0
        commit(store, ("a", 1), ("b", 1), now=NOON)
        commit(store, ("a", 2), now=NOON + 10)
        commit(store, ("a", 3), ("b", 2), now=NOON + 20)
        moments = (NOON - 1, NOON, NOON + 1, NOON + 10, NOON + 20, NOON + 21)
        assert [store.position_before(timestamp(moment)) for moment in moments] == [0, 0, 2, 2, 3, 5]
