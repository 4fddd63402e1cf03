"""The statements of the SQLite engine about the records of replays and of resyncs: one table each, of the same form."""

# ruff: noqa: S608 - what is put into a statement are the names of this very file

from __future__ import annotations

from typing import NamedTuple


class WorkStatements(NamedTuple):
    """What is asked of one table; records come with their id, in the order in which they were asked for."""

    insert: str
    """Takes id, target, state and record."""
    update: str
    """Replace the record of one that has not ended, given state, record and id; the row count shows whether it was one."""
    all: str
    of_target: str
    of_target_after: str
    """Those of a target after a number; each with its number and state before the rest."""
    newest: str
    """The one of a target that was asked for last."""
    open: str
    """The oldest open one of a target."""
    open_by_id: str
    """One that is open."""
    held: str
    """The one of a target that waits for a yes, as only resyncs do."""
    unended: str
    """The one of a target that was asked for last and is open or held."""
    unended_by_id: str
    """One that is open or held."""


UNENDED = ("open", "held")
"""The states of what has not ended; the record of what has is replaced no more."""


def _statements(table: str) -> WorkStatements:
    select, unended = f"SELECT id, record FROM {table}", f"state IN {UNENDED}"
    return WorkStatements(
        f"INSERT INTO {table} (no, id, target, state, record) SELECT coalesce(max(no), 0) + 1, ?, ?, ?, ? FROM {table}",
        f"UPDATE {table} SET state = ?, record = ? WHERE id = ? AND {unended}",
        f"{select} ORDER BY no",
        f"{select} WHERE target = ? ORDER BY no",
        f"SELECT no, state, id, record FROM {table} WHERE target = ? AND no > ? ORDER BY no",
        f"{select} WHERE target = ? ORDER BY no DESC LIMIT 1",
        f"{select} WHERE target = ? AND state = 'open' ORDER BY no LIMIT 1",
        f"{select} WHERE id = ? AND state = 'open'",
        f"{select} WHERE target = ? AND state = 'held' ORDER BY no DESC LIMIT 1",
        f"{select} WHERE target = ? AND {unended} ORDER BY no DESC LIMIT 1",
        f"{select} WHERE id = ? AND {unended}",
    )


REPLAYS = _statements("replay")
RESYNCS = _statements("resync")
