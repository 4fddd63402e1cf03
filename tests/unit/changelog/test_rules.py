"""The rules that every engine shares, without an engine."""

from __future__ import annotations

import pytest

from goldwire.changelog.rows import Closing, Cursor, Settlement
from goldwire.changelog.rules import check_settlement, fence, ordered
from goldwire.errors import FencedError, StoreCorruptError
from goldwire.testing.store_setting import opened

CURSOR = Cursor("t", 3, 0, 2, 6, 9, 0, 0, 0, None, "every")


def test_only_the_newest_epoch_passes_the_fence():
    fence(CURSOR, 3)
    with pytest.raises(FencedError, match="epoch 3, this one has 2"):
        fence(CURSOR, 2)
    with pytest.raises(StoreCorruptError, match="epoch 4 was never given"):
        fence(CURSOR, 4)


@pytest.mark.parametrize(
    ("begin", "end", "codes", "other", "what"),
    [
        (1, 3, b"DD", {}, "it starts at 1"),
        (2, 7, b"DDDDD", {}, "only positions up to 6"),
        (2, 4, b"D", {}, "1 codes for 2 positions"),
        (2, 4, b"DX", {}, "none of D, F, S, O"),
        (2, 4, b"DD", {"reach": 10}, "the window ends at 9"),
        (2, 4, b"DO", {}, "1 open codes and 0 opened"),
        (2, 4, b"DO", {"opened": [opened(3, "a")]}, "delivery 3 has no open code"),
        (2, 4, b"DD", {"closed": [Closing(1, ord("O"))]}, "none of D, F, S"),
    ],
)
def test_a_settlement_that_does_not_fit_is_refused_with_the_reason(begin, end, codes, other, what):
    with pytest.raises(StoreCorruptError, match=what):
        check_settlement(CURSOR, Settlement("t", 3, begin, end, codes, **other))


def test_a_settlement_that_fits_passes():
    fits = Settlement("t", 3, 2, 5, b"DOS", opened=[opened(4, "a")], closed=[Closing(1, ord("D"))], reach=9)
    check_settlement(CURSOR, fits)


@pytest.mark.parametrize(
    ("states", "become"),
    [
        (["pending", "retrying"], ["retrying", "pending"]),
        (["dead", "retrying", "pending"], ["dead", "parked", "parked"]),
        (["parked", "dead", "parked"], ["retrying", "dead", "parked"]),
        (["retrying", "pending"], ["retrying", "pending"]),
        ([], []),
    ],
)
def test_a_lane_is_put_in_the_states_that_fit_its_order(states, become):
    lane = [opened(seq, "a", state, due_at=5.0) for seq, state in enumerate(states, 1)]
    changed = {row.seq: row for row in ordered(lane, 7.0)}
    assert [changed.get(row.seq, row).state for row in lane] == become
    assert all(row.due_at == (7.0 if row.state == "retrying" else 5.0) for row in changed.values())
    assert len(changed) == sum(one != other for one, other in zip(states, become, strict=True))
