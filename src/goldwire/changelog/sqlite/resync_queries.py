"""The statements of the SQLite engine that resyncs need, named and described like those of `queries`."""

from __future__ import annotations

INSERT_RESYNC = """
INSERT INTO resync (no, id, target, state, record) SELECT coalesce(max(no), 0) + 1, ?, ?, ?, ? FROM resync
"""
"""A resync was asked for, or declined."""

UPDATE_RESYNC = "UPDATE resync SET state = ?, record = ? WHERE id = ? AND state IN ('open', 'held')"
"""Replace the record of one that has not ended; the row count shows whether it was one."""

RESYNCS = "SELECT record FROM resync ORDER BY no"
"""All records."""

RESYNCS_OF = "SELECT record FROM resync WHERE target = ? ORDER BY no"
"""Those of one target."""

NEWEST_RESYNC = "SELECT record FROM resync WHERE target = ? ORDER BY no DESC LIMIT 1"
"""The newest one of a target."""

OPEN_RESYNC = "SELECT record FROM resync WHERE target = ? AND state = 'open' ORDER BY no DESC LIMIT 1"
"""The open one of a target."""

OPEN_RESYNC_BY_ID = "SELECT record FROM resync WHERE id = ? AND state = 'open'"
"""One that is open."""

UNENDED_RESYNC = "SELECT record FROM resync WHERE target = ? AND state IN ('open', 'held') ORDER BY no DESC LIMIT 1"
"""The one of a target that is open or held."""

HELD_RESYNC = "SELECT record FROM resync WHERE target = ? AND state = 'held' ORDER BY no DESC LIMIT 1"
"""The one of a target that waits for a yes."""

UNENDED_RESYNC_BY_ID = "SELECT record FROM resync WHERE id = ? AND state IN ('open', 'held')"
"""One that has not ended."""
