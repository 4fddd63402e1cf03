"""The part of `StoreSuite` about consents: what a person let pass a target's guards, and what these are measured by."""

# ruff: noqa: D102 - a test's name is its documentation

from __future__ import annotations

from pathlib import Path

import pytest

from goldwire.changelog.consents import Consent, Holdings
from goldwire.changelog.ports.store import Store
from goldwire.changelog.resyncs import Resend, Resync
from goldwire.clock import timestamp
from goldwire.errors import InputError, StoreCorruptError
from goldwire.testing.store_setting import NOON, StoreSetting, acquired, commit, control, settle

_EARLIER, _NOW = timestamp(NOON - 60), timestamp(NOON)


def _held(resync_id: str = "r1", target: str = "t") -> Resync:
    return Resync(resync_id, target, "stale", 2, "ann", timestamp(NOON), state="held")


class ConsentSuite(StoreSetting):
    """What guards may rely on."""

    def test_a_consent_replaces_the_one_before(self, store: Store, path: Path) -> None:
        acquired(store)
        acquired(store, "u")
        assert store.consent("t") is None
        for one in (Consent(3, "ann", _EARLIER), Consent(7, "bob", _NOW, "the region was sold")):
            store.keep_consent("t", one)
        assert store.consent("t") == one
        assert store.consent("u") is None
        store.close()
        again = self.make_store(path)
        assert again.consent("t") == one
        again.close()

    def test_a_target_that_never_ran_has_nothing_to_consent_to(self, store: Store) -> None:
        with pytest.raises(InputError, match="never ran"):
            store.keep_consent("t", Consent(3, "ann", _NOW))
        assert store.holdings("t", "", 0) == Holdings(0, 0)

    def test_a_consent_opens_the_resync_that_waits_for_it(self, store: Store) -> None:
        for target in "tu":
            acquired(store, target)
            store.add_resync(_held(f"r-{target}", target), NOON)
        assert store.open_resync("t") is None
        store.keep_consent("t", Consent(3, "ann", _NOW))
        assert [(one.id, one.state) for one in store.resyncs()] == [("r-t", "open"), ("r-u", "held")]

    def test_a_held_resync_can_be_cancelled_and_gives_way_to_the_next(self, store: Store) -> None:
        acquired(store)
        store.add_resync(_held("a"), NOON)
        store.add_resync(_held("b"), NOON)
        assert store.cancel_resync("b", NOON) is not None
        assert [one.state for one in store.resyncs("t")] == ["superseded", "cancelled"]
        store.keep_consent("t", Consent(3, "ann", _NOW))
        assert [one.state for one in store.resyncs("t")] == ["superseded", "cancelled"]

    def test_a_damaged_consent_is_named(self, store: Store, path: Path) -> None:
        acquired(store)
        store.keep_consent("t", Consent(3, "ann", _NOW))
        self.tamper(path, "UPDATE consent SET record = 'x'")
        with pytest.raises(StoreCorruptError, match="the consent of target t"):
            store.consent("t")

    def test_holdings_count_what_is_held_and_what_was_removed_since(self, store: Store) -> None:
        commit(store, *[(name, 1) for name in "abcdefg"])
        commit(store, *[(name, 2) for name in "cde"])
        epoch = acquired(store)
        acquired(store, "u")
        sent = {"previous_hash": b"p" * 32, "presence": "gone"}
        rows = [
            control("a", 1, 1),
            control("b", 1, 2, presence="out"),
            control("c", 2, 8, settled_at=_EARLIER, **sent),
            control("d", 2, 9, settled_at=_NOW, **sent),
            control("e", 2, 10, settled_at=_NOW, **sent),
            control("f", 1, 6, presence="gone", settled_at=_NOW),  # never sent, so nothing was removed
        ]
        settle(store, 0, b"D" * 10, epoch, controls=rows)
        settle(store, 0, b"D" * 10, controls=[control("g", 1, 7)], target="u")
        assert store.holdings("t", _EARLIER, 0) == Holdings(2, 3)
        assert store.holdings("t", _NOW, 0) == Holdings(2, 2)
        assert store.holdings("t", _NOW, 9) == Holdings(2, 1)
        assert store.holdings("u", "", 0) == Holdings(1, 0)

    def test_what_a_resync_removed_counts_for_no_guard(self, store: Store) -> None:
        commit(store, ("a", 1), ("b", 1))
        epoch = acquired(store)
        store.add_resync(Resync("r1", "t", "stale", 2, "ann", _NOW), NOON)
        store.resend(Resync("r1", "t", "stale", 2, "ann", _NOW), [Resend("a", 1, 0)], epoch, NOON)
        store.declare("t", epoch, 3, "every")
        sent = {"previous_hash": b"p" * 32, "presence": "gone", "settled_at": _NOW}
        settle(store, 0, b"DDD", epoch, controls=[control("a", 2, 3, **sent), control("b", 1, 2, **sent)])
        assert store.holdings("t", _NOW, 0) == Holdings(0, 1)
