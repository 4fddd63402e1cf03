"""The statements of the SQLite engine that consents need, named and described like those of `queries`."""

from __future__ import annotations

SAVE_CONSENT = """
INSERT INTO consent (target, record) VALUES (?, ?) ON CONFLICT (target) DO UPDATE SET record = excluded.record
"""
"""A person said yes."""

CONSENT = "SELECT record FROM consent WHERE target = ?"
"""The newest yes of a target."""

HOLDINGS = """
SELECT count(*) FILTER (WHERE c.presence <> 'gone'),
  count(*) FILTER (WHERE c.presence = 'gone' AND c.previous_hash IS NOT NULL AND c.settled_at >= ? AND c.seq > ?
    AND NOT EXISTS (SELECT 1 FROM log a INDEXED BY log_addressed WHERE a.seq = c.seq AND a.addressed_to IS NOT NULL))
FROM control c WHERE c.slot >= ? AND c.slot < ?
"""
"""What a target holds, and what was removed from it since a moment and above a position; a scan of its control rows."""
