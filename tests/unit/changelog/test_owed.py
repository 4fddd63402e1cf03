"""What a target does not hold although it should, from the records of its resyncs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import builds, integers, lists, none, sampled_from

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


def backwards(records: list[Resync]) -> Owed:
    """The same, from the newest record on."""
    contract_holds = False
    for record in reversed(records):
        if record.entities:
            continue
        of_contract = record.scope == "stale"
        left = None if record.planned is None else max(record.planned.stale - record.resent, 0)
        counts = record.settings > 0 or (of_contract and not contract_holds)
        if record.state == "done" or (counts and left == 0):
            if not of_contract:
                return Owed()
            contract_holds = True
        elif counts and left is not None:
            return Owed(left, record.settings > 0)
    return Owed()


@given(
    lists(
        builds(
            resync,
            sampled_from(("stale", "all")),
            sampled_from(("open", "held", "done", "cancelled", "superseded", "declined")),
            none() | integers(0, 3),
            resent=integers(0, 3),
            settings=integers(0, 1),
            entities=sampled_from(((), (), ("a",))),
        ),
        max_size=8,
    )
)
def test_each_resync_is_looked_at_once_and_the_answer_is_that_of_looking_back(records: list[Resync]) -> None:
    assert owed(records) == backwards(records)
