"""The rules of the ledger that every engine shares, without an engine."""

from __future__ import annotations

import pytest

from goldwire.changelog.ledger import STILL_OPEN, check_positions, recounted_ends, terms, unbalanced
from goldwire.changelog.rows import DELIVERED, FILTERED, Counts, Cursor
from goldwire.errors import StoreCorruptError

CURSOR = Cursor("t", 1, 2, 7, 7, 9, 0, 0, 0, None, "every")


def test_what_was_left_open_counts_as_it_ended():
    ends = iter([(4, FILTERED), (5, DELIVERED), (7, STILL_OPEN)])
    assert recounted_ends(CURSOR, [(2, b"DOO"), (5, b"SO")], ends) == (2, 1, 1)


@pytest.mark.parametrize(
    ("settlements", "ends", "what"),
    [
        ([(2, b"DD"), (5, b"DD")], [], "settlements cover up to 4, the next one begins at 5"),
        ([(2, b"DD")], [], "settlements cover up to 4, the cursor is at 7"),
        ([(2, b"DDDDO")], [], "position 7 was left open, but is neither open nor ended"),
        ([(2, b"DDDDO")], [(8, DELIVERED)], r"neither open nor ended \(the next one is 8\)"),
        ([(2, b"DDDDD")], [(6, DELIVERED)], "position 6 has an end or is open, but no open code"),
    ],
)
def test_rows_that_do_not_fit_one_another_are_named(settlements, ends, what):
    with pytest.raises(StoreCorruptError, match=f"target t.*{what}"):
        recounted_ends(CURSOR, settlements, iter(ends))


def test_a_gap_in_the_log_is_named():
    check_positions("store.db", 0, 1, 0)
    check_positions("store.db", 3, 1, 3)
    with pytest.raises(StoreCorruptError, match="2 rows for positions 1 to 3"):
        check_positions("store.db", 2, 1, 3)


def test_counters_and_a_recount_are_compared_term_by_term():
    counts = terms(CURSOR, 9, (2, 1, 1), {"dead": 1, "parked": 1})
    assert counts == Counts(committed=7, delivered=2, filtered=1, superseded=1, dead=1, parked=1, pending=2)
    assert unbalanced(counts, counts) == "it does not balance"
    whole = counts._replace(pending=1)
    assert unbalanced(whole, whole) is None
    assert unbalanced(whole, whole._replace(dead=0)) == "the counters differ from a recount of the rows: dead 1 and 0"
