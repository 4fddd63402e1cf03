"""What is asked each second takes an effort that does not grow with the history. Calls are counted."""

from __future__ import annotations

import sys
from contextlib import closing
from types import FrameType

from goldwire.changelog.resyncs import EffectCounts, Owed, Resync
from goldwire.changelog.sqlite.store import SqliteStore
from goldwire.changelog.sqlite.work_records import WorkRecords


def test_a_resync_that_has_ended_is_read_once() -> None:
    read = 0

    def look(frame: FrameType, what: str, _called: object) -> None:
        nonlocal read
        read += what == "call" and frame.f_code is WorkRecords.read.__code__

    with closing(SqliteStore(":memory:")) as store:
        store.acquire("t", "beginning")
        planned = EffectCounts(changes=3)
        for number in range(50):
            store.add_resync(Resync(f"r{number}", "t", "stale", 1, "ann", "now", state="open", planned=planned), 0.0)
        sys.setprofile(look)
        try:
            first = store.owed("t"), read
            second = store.owed("t"), read - first[1]
        finally:
            sys.setprofile(None)
    assert (first, second) == ((Owed(3), 50), (Owed(3), 1))
