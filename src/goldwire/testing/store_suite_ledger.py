"""The part of `StoreSuite` about proof: the ledger and its recount, the rewind of a cursor, revisions, documents."""

# ruff: noqa: D102 - a test's name is its documentation

from __future__ import annotations

import random
from pathlib import Path
from typing import Literal

import pytest

from goldwire.changelog.ports.store import Store
from goldwire.changelog.rows import DELIVERED, FILTERED, OPEN, SUPERSEDED, Closing, Revision
from goldwire.clock import timestamp
from goldwire.errors import FencedError, InputError, StoreCorruptError
from goldwire.testing.store_setting import (
    NOON,
    Crash,
    StoreSetting,
    acquired,
    balanced,
    commit,
    control,
    crash_at,
    opened,
    settle,
)


def _ten(store: Store) -> None:
    """Settle ten positions in three chunks: D F S O | D O S | D D O, and close the open one at 4."""
    commit(store, *[(f"e{number}", 1) for number in range(1, 10)], ("e6", 2))
    acquired(store)
    settle(store, 0, b"DFSO", opened=[opened(4, "e4")])
    settle(store, 4, b"DOS", opened=[opened(6, "e6", "dead")], closed=[Closing(4, DELIVERED)])
    settle(store, 7, b"DDO", opened=[opened(10, "e6", "parked")], controls=[control("e8", 1, 8)])


class LedgerSuite(StoreSetting):
    """What a reader of the ledger may rely on."""

    def test_the_ledger_counts_every_position_once(self, store: Store) -> None:
        _ten(store)
        commit(store, ("e1", 2), ("e2", 2))
        assert balanced(store) == (12, 5, 1, 2, 1, 1, 2)

    @pytest.mark.parametrize(("start", "committed"), [("snapshot", 10), ("beginning", 10), ("now", 0)])
    def test_what_lies_before_the_start_does_not_concern_the_target(
        self, store: Store, start: Literal["snapshot", "beginning", "now"], committed: int
    ) -> None:
        commit(store, *[(f"e{number}", 1) for number in range(1, 11)])
        store.acquire("t", start)
        assert balanced(store).committed == committed
        commit(store, ("e1", 2))
        assert balanced(store).pending == committed + 1

    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM settlement WHERE position_from = 0",
            "DELETE FROM settlement WHERE position_from = 4",
            "DELETE FROM settlement WHERE position_from = 7",
            "UPDATE settlement SET codes = substr(codes, 1, 2) WHERE position_from = 4",
            "INSERT INTO settlement (target_no, position_from, codes) VALUES (1, 6, x'53')",
            "DELETE FROM open_delivery WHERE seq = 6",
            "DELETE FROM closing WHERE seq = 4",
            "UPDATE open_delivery SET seq = 5 WHERE seq = 6",
            "INSERT INTO closing (target_no, seq, code, revision) SELECT target_no, 6, 68, 0 FROM closing",
            "INSERT INTO closing (target_no, seq, code, revision) SELECT target_no, 1, 68, 0 FROM closing",
            "UPDATE target_cursor SET position = 9",
            "UPDATE target_cursor SET position = 11",
            "DELETE FROM log WHERE seq = 5",
        ],
    )
    def test_a_recount_finds_rows_that_do_not_cover_every_position_once(self, store: Store, path: Path, statement: str) -> None:
        _ten(store)
        self.tamper(path, statement)
        with pytest.raises(StoreCorruptError):
            store.recount("t")

    def test_a_recount_finds_a_hole_that_an_overlap_makes_up_for(self, store: Store, path: Path) -> None:
        commit(store, *[(f"e{number}", 1) for number in range(1, 5)])
        acquired(store)
        settle(store, 0, b"DD")
        settle(store, 2, b"DD")
        self.tamper(path, "UPDATE settlement SET position_from = 1 WHERE position_from = 2")
        with pytest.raises(StoreCorruptError, match="cover"):
            store.recount("t")

    def test_a_recount_finds_an_end_that_belongs_to_no_open_code(self, store: Store, path: Path) -> None:
        commit(store, ("a", 1))
        acquired(store)
        settle(store, 0, b"D")
        self.tamper(path, "INSERT INTO closing (target_no, seq, code, revision) VALUES (1, 1, 68, 0)")
        with pytest.raises(StoreCorruptError, match="position 1"):
            store.recount("t")

    def test_a_recount_differs_from_counters_that_lie(self, store: Store, path: Path) -> None:
        _ten(store)
        self.tamper(path, "UPDATE target_cursor SET delivered = delivered + 1")
        assert store.recount("t").delivered == store.counts("t").delivered - 1

    @pytest.mark.parametrize("position", range(11))
    def test_a_rewind_withdraws_what_lies_above_and_the_ledger_balances(self, store: Store, position: int) -> None:
        _ten(store)
        codes = b"DFSDDOSDDO"[:position]
        store.rewind("t", position)
        counts = balanced(store)
        assert counts[1:4] == tuple(codes.count(code) for code in (DELIVERED, FILTERED, SUPERSEDED))
        assert counts.dead + counts.parked == codes.count(OPEN)
        assert counts.pending == 10 - position
        cursor = store.cursors()[0]
        assert (cursor.position, cursor.epoch, cursor.bound) == (position, 2, 10)

    def test_what_was_rewound_is_settled_again(self, store: Store) -> None:
        _ten(store)
        store.rewind("t", 2)
        settle(store, 2, b"OSFDDDDD", epoch=2, opened=[opened(3, "e3")])
        assert balanced(store) == (10, 6, 2, 1, 0, 0, 1)
        settle(store, 10, b"", epoch=2, closed=[Closing(3, SUPERSEDED)])
        assert balanced(store) == (10, 6, 2, 2, 0, 0, 0)

    def test_a_rewind_fences_the_relay_that_runs_and_keeps_control_rows(self, store: Store) -> None:
        _ten(store)
        store.rewind("t", 0)
        with pytest.raises(FencedError):
            settle(store, 0, b"D", epoch=1)
        assert set(store.controls("t", ["e8"])) == {"e8"}

    def test_a_rewind_refuses_to_forget_what_may_have_arrived(self, store: Store) -> None:
        _ten(store)
        settle(store, 10, b"", updated=[opened(10, "e6", "retrying", ambiguous=True)])
        with pytest.raises(InputError, match="may have arrived"):
            store.rewind("t", 9)
        store.rewind("t", 10)
        settle(store, 10, b"", epoch=2, closed=[Closing(10, DELIVERED)])
        store.rewind("t", 9)
        balanced(store)

    def test_a_rewind_refuses_to_bring_back_a_discarded_letter_before_what_may_have_arrived(self, store: Store) -> None:
        commit(store, ("a", 1), ("a", 2), ("b", 1), ("b", 2))
        acquired(store)
        settle(store, 0, b"OSO", opened=[opened(1, "a", "dead"), opened(3, "b", "dead")])
        store.discard("t", [1, 3], NOON)
        store.rewind("t", 3)
        with pytest.raises(InputError, match="1 discarded"):
            store.rewind("t", 0)
        settle(store, 3, b"D", epoch=2)
        store.rewind("t", 0)
        balanced(store)

    def test_a_rewind_keeps_the_window_so_that_its_revision_stays(self, store: Store) -> None:
        _ten(store)
        store.rewind("t", 3)
        assert store.apply_revision("t", b"new", NOON).effective_after == 10

    @pytest.mark.parametrize("position", [2, 11])
    def test_a_rewind_goes_only_where_the_target_has_been(self, store: Store, position: int) -> None:
        commit(store, *[(f"e{number}", 1) for number in range(1, 4)])
        acquired(store, start="now")
        commit(store, *[(f"e{number}", 2) for number in range(1, 4)])
        with pytest.raises(InputError, match="target t"):
            store.rewind("t", position)
        assert store.cursors()[0].epoch == 1

    def test_a_crash_inside_a_rewind_leaves_nothing_of_it(self, path: Path) -> None:
        store = self.make_store(path, crash_at("rewind:after-withdrawal"))
        _ten(store)
        before = balanced(store)
        with pytest.raises(Crash):
            store.rewind("t", 3)
        assert balanced(store) == before
        store.close()

    @pytest.mark.parametrize("seed", range(5))
    def test_the_ledger_balances_whatever_happens(self, store: Store, seed: int) -> None:
        dice = random.Random(seed)
        commit(store, *[(f"e{number}", 1) for number in range(1, 101)])
        epoch = acquired(store)
        for _ in range(60):
            _, _, _, position, *_ = store.cursors()[0]
            open_seqs = [row.seq for rows in store.lanes("t", [f"e{n}" for n in range(101)]).values() for row in rows]
            act = dice.random()
            if act < 0.1:
                store.rewind("t", dice.randrange(position + 1))
                epoch += 1
            elif act < 0.2 and open_seqs:
                store.discard("t", dice.sample(open_seqs, 1), NOON)
            elif act < 0.3:
                store.redrive("t", [row.seq for _, row in store.dead_letters("t")][:2], NOON)
            else:
                codes = bytes(dice.choices(b"DFSO", k=min(100 - position, dice.randrange(8))))
                new = [position + at + 1 for at, code in enumerate(codes) if code == OPEN]
                states = [dice.choice(["retrying", "pending", "parked", "dead"]) for _ in new]
                settle(
                    store,
                    position,
                    codes,
                    epoch,
                    opened=[opened(seq, f"e{seq}", state) for seq, state in zip(new, states, strict=True)],  # type: ignore[arg-type]  # from literals
                    closed=[Closing(seq, dice.choice(b"DFS")) for seq in dice.sample(open_seqs, min(2, len(open_seqs)))],
                )
            balanced(store)

    def test_revisions_rise_and_an_unchanged_document_makes_none(self, store: Store) -> None:
        first = store.apply_revision("t", b"one", NOON)
        assert first == Revision(1, 0, timestamp(NOON), b"one")
        assert store.apply_revision("t", b"one", NOON + 1) == first
        second = store.apply_revision("t", b"two", NOON + 2)
        third = store.apply_revision("t", b"one", NOON + 3)
        assert [second.revision, third.revision] == [2, 3]
        assert list(store.revisions("t")) == [first, second, third]
        assert list(store.revisions("u")) == []
        assert [store.newest_revision("t"), store.newest_revision("u")] == [3, 0]

    def test_a_revision_takes_effect_above_what_may_have_been_sent(self, store: Store) -> None:
        commit(store, *[(f"e{number}", 1) for number in range(1, 11)])
        epoch = store.acquire("t", "beginning").epoch
        store.declare("t", epoch, 9, "latest", 5)
        assert store.apply_revision("t", b"one", NOON).effective_after == 5
        settle(store, 0, b"DDD", reach=7)
        assert store.apply_revision("t", b"two", NOON).effective_after == 7
        assert store.apply_revision("u", b"one", NOON).effective_after == 0

    def test_what_is_kept_of_a_target_is_numbered_and_not_kept_twice_in_a_row(self, store: Store) -> None:
        for keep, kept in ((store.keep_settings, store.kept_settings), (store.reserve_placement, store.placements)):
            numbers = [keep("t", document, NOON + at) for at, document in enumerate((b"one", b"one", b"two", b"one"))]
            assert numbers == [1, 1, 2, 3]
            assert keep("another", b"two", NOON) == 1
            assert kept("t") == [
                (1, timestamp(NOON), b"one"),
                (2, timestamp(NOON + 2), b"two"),
                (3, timestamp(NOON + 3), b"one"),
            ]
            assert kept("another") == [(1, timestamp(NOON), b"two")]
            assert kept("nothing") == []

    def test_what_is_kept_of_the_store_is_numbered_and_not_kept_twice_in_a_row(self, store: Store) -> None:
        for keep, kept in (
            (store.keep_mastering_rules, store.mastering_rules),
            (store.keep_configuration, store.configurations),
        ):
            assert kept() == []
            assert [keep(document, NOON + at) for at, document in enumerate((b"one", b"one", b"two"))] == [1, 1, 2]
            assert kept() == [(1, timestamp(NOON), b"one"), (2, timestamp(NOON + 2), b"two")]
