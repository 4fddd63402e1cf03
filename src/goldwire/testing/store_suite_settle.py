"""The part of `StoreSuite` about targets: acquiring them, the fence, the declared window, settlements, control rows."""

# ruff: noqa: D102 - a test's name is its documentation

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from goldwire.changelog.ports.store import Store
from goldwire.changelog.rows import DELIVERED, OPEN, SUPERSEDED, Closing, Cursor, Settlement
from goldwire.clock import timestamp
from goldwire.errors import FencedError, InputError, StoreBusyError, StoreCorruptError
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


def _three(store: Store) -> None:
    commit(store, ("a", 1), ("b", 1), ("a", 2))


class SettleSuite(StoreSetting):
    """What the relay may rely on when it settles."""

    def test_a_loss_is_kept_and_a_newer_one_replaces_it(self, store: Store) -> None:
        cursor = store.acquire("t", "beginning")
        store.note_loss("t", cursor.epoch, "a disk is gone", NOON)
        store.note_loss("t", cursor.epoch, "another one", NOON + 60)
        found = store.cursor("t")
        assert found is not None
        assert (found.loss, found.loss_since) == ("another one", timestamp(NOON + 60))
        store.acquire("t", "beginning")
        with pytest.raises(FencedError):
            store.note_loss("t", cursor.epoch, "too late", NOON)

    def test_what_holds_a_target_may_leave_a_note_that_goes_with_it(self, path: Path, store: Store) -> None:
        other = self.make_store(path)
        assert other.target_note("t") is None
        with store.lock_target("t", b"process 1"):
            assert other.target_note("t") == b"process 1"
            assert other.target_note("u") is None
        assert other.target_note("t") is None
        with store.lock_target("t"):
            assert other.target_note("t") is None
        other.close()

    @pytest.mark.parametrize(("start", "begin", "bound"), [("snapshot", 0, 3), ("beginning", 0, 0), ("now", 3, 3)])
    def test_a_new_target_starts_where_its_settings_say(self, store: Store, start: Any, begin: int, bound: int) -> None:
        _three(store)
        cursor = store.acquire("t", start)
        assert cursor == Cursor("t", 1, begin, begin, begin, bound, 0, 0, 0, None, None)
        assert store.cursors() == [cursor]

    def test_acquiring_a_known_target_only_raises_its_epoch(self, store: Store) -> None:
        _three(store)
        first = store.acquire("t", "beginning")
        assert store.acquire("t", "now") == first._replace(epoch=2)
        assert store.acquire("another", "now").epoch == 1
        assert [cursor.target for cursor in store.cursors()] == ["another", "t"]

    def test_one_cursor_is_the_one_that_the_list_has(self, store: Store) -> None:
        _three(store)
        assert store.cursor("t") is None
        acquired(store)
        acquired(store, "u", start="now")
        settle(store, 0, b"DF")
        assert [store.cursor("t"), store.cursor("u")] == store.cursors()
        assert store.cursor("never acquired") is None

    def test_an_older_relay_is_fenced_and_nothing_of_it_is_applied(self, store: Store) -> None:
        _three(store)
        old = acquired(store)
        new = store.acquire("t", "beginning").epoch
        with pytest.raises(FencedError, match="target t"):
            settle(store, 0, b"DDD", old, controls=[control("a", 2, 3)])
        with pytest.raises(FencedError, match="target t"):
            store.declare("t", old, 3, "every")
        assert store.controls("t", ["a"]) == {}
        assert store.cursors()[0].position == 0
        settle(store, 0, b"DDD", new)

    def test_a_window_keeps_the_mode_it_was_declared_in(self, store: Store) -> None:
        _three(store)
        epoch = store.acquire("t", "beginning").epoch
        store.declare("t", epoch, 2, "latest")
        assert store.cursors()[0].mode == "latest"
        store.declare("t", epoch, 3, "every")
        assert store.acquire("t", "beginning").mode == "every"

    def test_the_window_only_widens(self, store: Store) -> None:
        _three(store)
        epoch = acquired(store, bound=2)
        store.declare("t", epoch, 1, "every")
        assert store.cursors()[0].bound == 2
        store.declare("t", epoch, 1, "every", reach=2)  # inside the window, though beyond what is asked for now
        assert (store.cursors()[0].bound, store.cursors()[0].reach) == (2, 2)

    def test_nothing_is_settled_beyond_what_was_declared(self, store: Store) -> None:
        _three(store)
        acquired(store, bound=2)
        with pytest.raises(StoreCorruptError, match="declared"):
            settle(store, 0, b"DDD")
        settle(store, 0, b"DD")

    def test_a_settlement_declares_what_follows_but_only_inside_the_window(self, store: Store) -> None:
        _three(store)
        epoch = store.acquire("t", "beginning").epoch
        store.declare("t", epoch, 2, "latest", 1)
        with pytest.raises(StoreCorruptError, match="it goes to 2, but only positions up to 1"):
            settle(store, 0, b"SD")
        with pytest.raises(StoreCorruptError, match="the window ends at 2"):
            settle(store, 0, b"S", reach=3)
        settle(store, 0, b"S", reach=2)
        assert store.cursors()[0][3:6] == (1, 2, 2)
        settle(store, 1, b"D")
        with pytest.raises(StoreCorruptError, match="beyond its window"):
            store.declare("t", epoch, 2, "latest", 3)

    def test_who_ends_with_all_settled_releases_what_it_did_not_send(self, store: Store) -> None:
        _three(store)
        epoch = acquired(store)
        settle(store, 0, b"D")
        store.release("t", epoch)
        assert store.cursors()[0][3:6] == (1, 1, 3)
        assert store.apply_revision("t", b"new", NOON).effective_after == 1
        assert store.acquire("t", "beginning").reach == 1
        with pytest.raises(FencedError, match="target t"):
            store.release("t", epoch)

    def test_a_settlement_moves_the_cursor_and_counts(self, store: Store) -> None:
        _three(store)
        acquired(store)
        settle(store, 0, b"SF")
        settle(store, 2, b"D", controls=[control("a", 2, 3)])
        cursor = store.cursors()[0]
        assert (cursor.position, cursor.delivered, cursor.filtered, cursor.superseded) == (3, 1, 1, 1)
        assert balanced(store)[1:] == (1, 1, 1, 0, 0, 0)

    @pytest.mark.parametrize(
        ("begin", "end", "codes", "other", "complaint"),
        [
            (1, 3, b"DD", {}, "cursor"),
            (0, 3, b"DD", {}, "codes"),
            (0, 2, b"DDD", {}, "codes"),
            (0, 2, b"DX", {}, "none of"),
            (0, 2, b"DO", {}, "open"),
            (0, 2, b"DD", {"opened": [opened(2, "b")]}, "open"),
            (0, 2, b"DO", {"opened": [opened(3, "a")]}, "open"),
            (0, 2, b"DO", {"opened": [opened(1, "a")]}, "open"),
            (0, 2, b"OO", {"opened": [opened(2, "b"), opened(2, "b")]}, "open"),
            (0, 2, b"DD", {"updated": [opened(2, "b")]}, "not open"),
            (0, 2, b"DD", {"closed": [Closing(2, DELIVERED)]}, "not open"),
            (0, 2, b"DD", {"closed": [Closing(2, OPEN)]}, "none of"),
            (0, 2, b"DD", {"controls": [control("missing", 1, 1)]}, "missing"),
        ],
    )
    def test_a_settlement_that_contradicts_the_store_changes_nothing(
        self, store: Store, begin: int, end: int, codes: bytes, other: dict[str, Any], complaint: str
    ) -> None:
        _three(store)
        acquired(store)
        before = store.cursors()
        fields: dict[str, Any] = {"controls": [control("b", 1, 2)], **other}
        with pytest.raises(StoreCorruptError, match=complaint) as raised:
            store.settle(Settlement("t", 1, begin, end, codes, **fields))
        assert "target t" in str(raised.value)
        assert store.cursors() == before
        assert store.controls("t", ["a", "b"]) == {}
        assert store.lanes("t", ["a", "b"]) == {}
        assert balanced(store).pending == 3

    def test_an_epoch_that_was_never_given_is_refused(self, store: Store) -> None:
        _three(store)
        acquired(store)
        with pytest.raises(StoreCorruptError, match="epoch 7"):
            settle(store, 0, b"D", epoch=7)

    @pytest.mark.parametrize("step", ["settle:after-controls", "settle:after-open", "settle:before-commit"])
    def test_a_crash_inside_a_settlement_leaves_nothing_of_it(self, path: Path, step: str) -> None:
        store = self.make_store(path)
        _three(store)
        acquired(store)
        settle(store, 0, b"O", opened=[opened(1, "a")])
        store.close()
        store = self.make_store(path, crash_at(step))
        with pytest.raises(Crash):
            settle(
                store,
                1,
                b"OD",
                controls=[control("a", 2, 3)],
                opened=[opened(2, "b")],
                closed=[Closing(1, SUPERSEDED)],
                stop="x",
            )
        for seen in (store, self.make_store(path)):
            assert seen.cursors()[0].position == 1
            assert seen.cursors()[0].stopped is None
            assert seen.controls("t", ["a"]) == {}
            assert [row.seq for rows in seen.lanes("t", ["a", "b"]).values() for row in rows] == [1]
            assert balanced(seen).pending == 3
            seen.close()

    def test_a_crash_after_a_settlement_keeps_all_of_it(self, path: Path) -> None:
        store = self.make_store(path, crash_at("settle:after-commit"))
        _three(store)
        acquired(store)
        with pytest.raises(Crash):
            settle(store, 0, b"DDD", controls=[control("a", 2, 3)])
        assert store.cursors()[0].position == 3
        assert set(store.controls("t", ["a"])) == {"a"}
        store.close()

    def test_a_control_row_keeps_everything(self, store: Store) -> None:
        _three(store)
        acquired(store)
        full = control(
            "a", 2, 3, presence="gone", hash=bytes(range(32)), previous_hash=b"p" * 32, base_version=1, revision=4,
            remote_id="r-1", outcome="duplicate",
        )  # fmt: skip
        settle(store, 0, b"DDD", controls=[full, control("b", 1, 2)])
        assert store.controls("t", ["a", "b", "missing"]) == {"a": full, "b": control("b", 1, 2)}
        assert list(store.all_controls("t")) == [full, control("b", 1, 2)]

    def test_control_rows_belong_to_one_target(self, store: Store) -> None:
        _three(store)
        for target in ("t", "u"):
            acquired(store, target)
        settle(store, 0, b"DDD", controls=[control("a", 2, 3)])
        settle(store, 0, b"D", target="u", controls=[control("a", 1, 1)])
        assert store.controls("u", ["a"])["a"].version == 1
        assert [row.version for row in store.all_controls("t")] == [2]
        assert store.controls("never acquired", ["a"]) == {}
        assert list(store.all_controls("never acquired")) == []

    def test_a_control_row_is_replaced_but_never_goes_back(self, store: Store) -> None:
        _three(store)
        acquired(store)
        settle(store, 0, b"DD", controls=[control("a", 2, 3), control("b", 1, 2)])
        with pytest.raises(StoreCorruptError, match=r"target t.*entity a.*version 2"):
            settle(store, 2, b"D", controls=[control("b", 1, 2, remote_id="x"), control("a", 1, 1)])
        assert store.controls("t", ["b"])["b"].remote_id is None
        assert store.cursors()[0].position == 2
        settle(store, 2, b"D", controls=[control("a", 2, 3, outcome="duplicate")])
        assert store.controls("t", ["a"])["a"].outcome == "duplicate"

    def test_many_control_rows_stream_in_order(self, store: Store) -> None:
        names = [f"e{number:04}" for number in range(1203)]
        commit(store, *[(name, 1) for name in reversed(names)])
        acquired(store)
        rows = [control(name, 1, 1203 - number) for number, name in enumerate(names)]
        settle(store, 0, b"D" * 1203, controls=rows)
        assert list(store.all_controls("t")) == rows
        assert store.controls("t", names) == dict(zip(names, rows, strict=True))

    def test_a_settlement_may_stop_its_target_and_a_person_lets_it_run(self, store: Store) -> None:
        _three(store)
        acquired(store)
        settle(store, 0, b"D", stop="too many dead letters")
        settle(store, 1, b"D")
        assert store.cursors()[0].stopped == "too many dead letters"
        store.stop("t", None)
        assert store.cursors()[0].stopped is None
        store.stop("t", "by hand")
        assert store.acquire("t", "now").stopped == "by hand"

    def test_why_a_target_cannot_be_opened_is_kept_since_the_first_time_until_it_can(self, store: Store) -> None:
        epoch = acquired(store)
        store.note_unopened("t", epoch, "no route", NOON)
        store.note_unopened("t", epoch, "refused", NOON + 60)
        again = store.acquire("t", "now")
        assert (again.unopened, again.unopened_since) == ("refused", timestamp(NOON))
        with pytest.raises(FencedError):
            store.note_unopened("t", epoch, None, NOON)
        store.note_unopened("t", epoch + 1, None, NOON)
        assert (store.cursors()[0].unopened, store.cursors()[0].unopened_since) == (None, None)

    def test_a_target_that_never_ran_is_named_with_those_that_did(self, store: Store) -> None:
        acquired(store, "known-one")
        for ask in (
            lambda: store.counts("t"),
            lambda: store.recount("t"),
            lambda: store.stop("t", None),
            lambda: store.declare("t", 1, 1, "every"),
            lambda: store.rewind("t", 0),
            lambda: store.redrive("t", [1], NOON),
        ):
            with pytest.raises(InputError, match=r"target t: .*known-one"):
                ask()

    def test_a_target_is_held_once(self, path: Path, store: Store) -> None:
        with store.lock_target("t"), store.lock_target("T/ö: x"):
            with pytest.raises(StoreBusyError, match="target t"), store.lock_target("t"):
                pass
            other = self.make_store(path)
            with pytest.raises(StoreBusyError, match="target t"), other.lock_target("t"):
                pass
            with other.lock_target("another"):
                pass
            other.close()
        with store.lock_target("t"):
            pass
