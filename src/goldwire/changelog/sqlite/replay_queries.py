"""The statements of the SQLite engine about what a target was sent of an entity's past, described like those of `queries`."""

# ruff: noqa: S608 - what is put into a statement are the column lists of `queries`

from __future__ import annotations

from goldwire.changelog.sqlite.queries import LOG_COLUMNS

FIRST_ROWS = """
SELECT l.seq, l.entity_id FROM log l
WHERE l.seq > ? AND l.seq <= ?
  AND NOT coalesce((SELECT p.seq > ? FROM log p WHERE p.entity_no = l.entity_no AND p.version < l.version
    ORDER BY p.version DESC LIMIT 1), 0)
ORDER BY l.seq LIMIT ?
"""
"""Rows that are their entity's first above a position: one look-up of the version before in the covering index `log_version`
decides."""

PASTS = f"""
SELECT {LOG_COLUMNS}, c.code, c.revision,
  (SELECT substr(s.codes, l.seq - s.position_from, 1) FROM settlement s
    WHERE s.target_no = ? AND s.position_from < l.seq ORDER BY s.position_from DESC LIMIT 1)
FROM log l LEFT JOIN closing c ON c.target_no = ? AND c.seq = l.seq
WHERE l.entity_no IN (MANY) ORDER BY l.entity_no, l.version
"""
"""How each version of these entities ended for a target: the code of its closing, or else the byte of its settlement (NULL
before the target's start, empty above its cursor). Whole rows, since which of them was an erasure must not rest on a damaged
one."""

SINCE = f"SELECT {LOG_COLUMNS} FROM log l WHERE +l.seq > ? AND l.entity_no IN (MANY)"
"""Versions of entities above a position. `log_version` holds the positions, so only newer rows are looked up."""
