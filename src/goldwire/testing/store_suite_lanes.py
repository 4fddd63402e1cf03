"""The part of `StoreSuite` about open deliveries: lanes, what is due, dead letters, redrive, discard."""

# ruff: noqa: D102 - a test's name is its documentation

from __future__ import annotations

import pytest

from goldwire.changelog.ports.store import Store
from goldwire.changelog.rows import DELIVERED, FILTERED, SUPERSEDED, Closing
from goldwire.testing.store_setting import (
    NOON,
    StoreSetting,
    acquired,
    balanced,
    commit,
    lane_states,
    opened,
    settle,
)

LATER = NOON + 60


def _six(store: Store) -> None:
    """Commit a, a, a, b, b, c at 1 to 6."""
    commit(store, ("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2), ("c", 1))
    acquired(store)


def _dead_lane(store: Store) -> None:
    """Leave a dead at 1 with 2 and 3 parked behind it, b retrying at 4 with 5 pending behind it, c delivered."""
    _six(store)
    settle(
        store,
        0,
        b"OOOOOD",
        opened=[
            opened(1, "a", "dead"),
            opened(2, "a", "parked"),
            opened(3, "a", "parked"),
            opened(4, "b", "retrying"),
            opened(5, "b", "pending"),
        ],
    )


class LaneSuite(StoreSetting):
    """What the relay and a person may rely on about deliveries that have not ended."""

    def test_an_open_delivery_keeps_everything(self, store: Store) -> None:
        _six(store)
        row = opened(
            1, "a", "dead", attempts=7, strikes=3, ambiguous=True, first_attempt_at="x", last_attempt_at="y", due_at=1.5
        )
        settle(store, 0, b"O", opened=[row])
        assert store.lanes("t", ["a", "b"]) == {"a": [row]}
        changed = row._replace(state="retrying", attempts=8, ambiguous=False, reason="other")
        settle(store, 1, b"", updated=[changed])
        assert store.lanes("t", ["a"]) == {"a": [changed]}
        assert store.lanes("t", ["a"])["a"][0].ambiguous is False
        assert store.lanes("never acquired", ["a"]) == {}

    def test_a_lane_is_in_order_of_position(self, store: Store) -> None:
        _dead_lane(store)
        assert lane_states(store, "a") == {1: "dead", 2: "parked", 3: "parked"}
        assert list(lane_states(store, "a")) == [1, 2, 3]
        assert lane_states(store, "c") == {}

    def test_every_open_state_has_its_part_in_the_ledger(self, store: Store) -> None:
        _dead_lane(store)
        commit(store, ("c", 2))
        assert balanced(store) == (7, 1, 0, 0, 1, 2, 3)

    @pytest.mark.parametrize(("code", "term"), [(DELIVERED, 1), (FILTERED, 2), (SUPERSEDED, 3)])
    def test_an_open_delivery_ends_with_its_code(self, store: Store, code: int, term: int) -> None:
        _dead_lane(store)
        before = balanced(store)
        settle(store, 6, b"", closed=[Closing(4, code)])
        after = balanced(store)
        assert after[term] == before[term] + 1
        assert after.pending == before.pending - 1
        assert lane_states(store, "b") == {5: "pending"}

    def test_only_the_first_of_a_lane_is_due_and_the_soonest_comes_first(self, store: Store) -> None:
        _six(store)
        settle(
            store,
            0,
            b"OOOOOO",
            opened=[
                opened(1, "a", due_at=NOON + 20),
                opened(2, "a", due_at=NOON),
                opened(3, "a", "pending"),
                opened(4, "b", "dead"),
                opened(5, "b", due_at=NOON),
                opened(6, "c", due_at=NOON + 10),
            ],
        )
        assert store.due("t", NOON + 5, 10) == []
        assert store.next_due("t") == NOON + 10
        assert [row.seq for row in store.due("t", NOON + 10, 10)] == [6]
        assert [row.seq for row in store.due("t", NOON + 20, 10)] == [6, 1]
        assert [row.seq for row in store.due("t", NOON + 20, 1)] == [6]

    def test_nothing_is_due_where_nothing_retries(self, store: Store) -> None:
        _six(store)
        settle(store, 0, b"O", opened=[opened(1, "a", "dead")])
        assert store.due("t", LATER, 10) == []
        assert store.next_due("t") is None
        assert store.due("never acquired", LATER, 10) == []
        assert store.next_due("never acquired") is None

    def test_dead_letters_are_listed_oldest_first_with_their_target(self, store: Store) -> None:
        _dead_lane(store)
        acquired(store, "u")
        settle(store, 0, b"SSSSSO", target="u", opened=[opened(6, "c", "discarded")])
        assert [(target, row.seq) for target, row in store.dead_letters()] == [("t", 1), ("u", 6)]
        assert [(target, row.seq) for target, row in store.dead_letters("u")] == [("u", 6)]
        assert [(target, row.seq) for target, row in store.dead_letters(limit=1)] == [("t", 1)]
        assert store.dead_letters("never acquired") == []

    def test_one_dead_letter_is_found_by_its_position_and_a_living_delivery_is_none(self, store: Store) -> None:
        _six(store)
        dead, given_up, waiting = opened(1, "a", "dead"), opened(2, "b", "discarded"), opened(3, "a", "parked")
        settle(store, 0, b"OOO", opened=[dead, given_up, waiting])
        acquired(store, "u")
        found = [store.dead_letter("t", seq) for seq in (1, 2, 3, 4)]
        assert found == [dead, given_up, None, None]
        assert store.dead_letter("u", 1) is None
        assert store.dead_letter("never acquired", 1) is None

    def test_a_redriven_letter_retries_at_once_and_frees_what_was_parked(self, store: Store) -> None:
        _six(store)
        letter = opened(1, "a", "dead", attempts=9, strikes=5, ambiguous=True)
        settle(store, 0, b"OO", opened=[letter, opened(2, "a", "parked")])
        assert store.redrive("t", [1, 2, 99], LATER) == 1
        assert store.lanes("t", ["a"])["a"][0] == letter._replace(state="retrying", strikes=0, due_at=LATER)
        assert lane_states(store, "a") == {1: "retrying", 2: "pending"}
        assert [row.seq for row in store.due("t", LATER, 10)] == [1]
        assert balanced(store).dead == 0

    def test_a_redrive_leaves_living_deliveries_alone(self, store: Store) -> None:
        _dead_lane(store)
        before = store.lanes("t", ["a", "b"])
        assert store.redrive("t", [2, 4, 5], LATER) == 0
        assert store.discard("t", [2, 4, 5], LATER) == 0
        assert store.lanes("t", ["a", "b"]) == before

    def test_a_letter_that_is_named_often_is_dealt_with_once(self, store: Store) -> None:
        _dead_lane(store)
        assert store.redrive("t", [1] * 1_200, LATER) == 1
        assert lane_states(store, "a") == {1: "retrying", 2: "pending", 3: "pending"}

    def test_what_is_redriven_behind_another_dead_one_stays_behind_it(self, store: Store) -> None:
        _six(store)
        settle(store, 0, b"OOO", opened=[opened(1, "a", "dead"), opened(2, "a", "dead"), opened(3, "a", "parked")])
        assert store.redrive("t", [2], LATER) == 1
        assert lane_states(store, "a") == {1: "dead", 2: "parked", 3: "parked"}
        assert store.redrive("t", [1], LATER) == 1
        assert lane_states(store, "a") == {1: "retrying", 2: "pending", 3: "pending"}

    def test_two_redriven_letters_of_one_entity_keep_their_order(self, store: Store) -> None:
        _six(store)
        settle(store, 0, b"OO", opened=[opened(1, "a", "dead"), opened(2, "a", "dead")])
        assert store.redrive("t", [2, 1], LATER) == 2
        assert lane_states(store, "a") == {1: "retrying", 2: "pending"}

    def test_a_discarded_letter_stays_dead_in_the_ledger_and_parks_nothing(self, store: Store) -> None:
        _dead_lane(store)
        before = balanced(store)
        assert store.discard("t", [1], LATER) == 1
        assert lane_states(store, "a") == {2: "retrying", 3: "pending"}
        assert [row.seq for row in store.due("t", LATER, 10)] == [4, 2]
        assert [row.state for _, row in store.dead_letters("t")] == ["discarded"]
        after = balanced(store)
        assert (after.dead, after.parked, after.pending) == (before.dead, 0, before.pending + 2)

    def test_discarding_before_another_dead_one_leaves_the_rest_parked(self, store: Store) -> None:
        _six(store)
        settle(store, 0, b"OOO", opened=[opened(1, "a", "dead"), opened(2, "a", "dead"), opened(3, "a", "parked")])
        assert store.discard("t", [1], LATER) == 1
        assert lane_states(store, "a") == {2: "dead", 3: "parked"}

    def test_what_is_parked_behind_a_letter_that_was_discarded_meanwhile_retries(self, store: Store) -> None:
        _six(store)
        settle(store, 0, b"O", opened=[opened(1, "a", "dead")])
        assert store.discard("t", [1], LATER) == 1
        settle(store, 1, b"OO", opened=[opened(2, "a", "parked"), opened(3, "a", "parked")])
        assert lane_states(store, "a") == {2: "retrying", 3: "pending"}
        assert [row.seq for row in store.due("t", LATER, 10)] == [2]
        assert balanced(store).parked == 0

    def test_what_is_parked_behind_a_letter_that_was_redriven_meanwhile_is_pending(self, store: Store) -> None:
        _six(store)
        settle(store, 0, b"O", opened=[opened(1, "a", "dead")])
        assert store.redrive("t", [1], LATER) == 1
        settle(store, 1, b"O", opened=[opened(2, "a", "parked")])
        assert lane_states(store, "a") == {1: "retrying", 2: "pending"}

    def test_a_discarded_letter_is_given_up_for_good(self, store: Store) -> None:
        _dead_lane(store)
        store.discard("t", [1], LATER)
        assert store.redrive("t", [1], LATER + 1) == 0
        assert [row.state for _, row in store.dead_letters("t")] == ["discarded"]
        balanced(store)

    def test_a_dead_letter_may_end_after_its_redrive(self, store: Store) -> None:
        _dead_lane(store)
        store.redrive("t", [1], LATER)
        settle(store, 6, b"", closed=[Closing(1, DELIVERED)], updated=[opened(2, "a", "retrying", due_at=LATER)])
        assert lane_states(store, "a") == {2: "retrying", 3: "pending"}
        assert balanced(store).delivered == 2

    def test_open_deliveries_belong_to_one_target(self, store: Store) -> None:
        _dead_lane(store)
        acquired(store, "u")
        settle(store, 0, b"O", target="u", opened=[opened(1, "a", "dead")])
        store.redrive("u", [1], LATER)
        assert lane_states(store, "a") == {1: "dead", 2: "parked", 3: "parked"}
        assert lane_states(store, "a", "u") == {1: "retrying"}

    def test_more_lanes_than_one_statement_takes(self, store: Store) -> None:
        count = 1203
        commit(store, *[(f"e{number}", 1) for number in range(count)])
        acquired(store)
        rows = [opened(number + 1, f"e{number}", "dead") for number in range(count)]
        settle(store, 0, b"O" * count, opened=rows)
        assert len(store.lanes("t", [f"e{number}" for number in range(count)])) == count
        assert store.redrive("t", range(1, count + 1), LATER) == count
        assert len(store.due("t", LATER, 5000)) == count
        balanced(store)
