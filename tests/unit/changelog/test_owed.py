"""What a target does not hold although it should, from the records of its resyncs."""

from __future__ import annotations

from typing import Any

import pytest

from goldwire.changelog.resyncs import EffectCounts, Owed, Resync, owed


def resync(scope: Any = "stale", state: Any = "open", stale: int | None = 5, **more: Any) -> Resync:
    planned = None if stale is None else EffectCounts(changes=stale)
    return Resync("r", "t", scope, 1, "ann", "now", state=state, planned=planned, **more)


@pytest.mark.parametrize(
    ("records", "wanted"),
    [
        ([], Owed()),
        ([resync()], Owed(5)),
        ([resync(resent=2)], Owed(3)),
        ([resync(state="declined")], Owed(5)),
        ([resync(state="cancelled", resent=1)], Owed(4)),
        ([resync(state="declined"), resync(state="done")], Owed()),
        ([resync(state="declined"), resync(resent=5)], Owed()),
        ([resync(state="declined"), resync(stale=7, state="declined")], Owed(7)),
        ([resync(state="declined"), resync("all", state="done")], Owed()),
        ([resync(state="declined"), resync("all", state="cancelled")], Owed(5)),
        ([resync(state="declined"), resync("all", state="done", entities=("a",))], Owed(5)),
        ([resync("all")], Owed()),
        ([resync("all", state="declined", settings=2)], Owed(5, is_everything=True)),
        ([resync("all", state="declined", settings=2), resync(state="done")], Owed(5, is_everything=True)),
        ([resync("all", state="superseded", settings=2), resync("all", settings=2, stale=9)], Owed(9, is_everything=True)),
        ([resync("all", state="declined", settings=2), resync("all", state="done")], Owed()),
        ([resync(stale=None)], Owed()),
    ],
)
def test_what_no_resync_has_mended_is_owed(records: list[Resync], wanted: Owed) -> None:
    assert owed(records) == wanted
