"""The statements of the SQLite engine that look for damage, named and described like those of `queries`."""

# ruff: noqa: S608 - what is put into a statement are the column lists of `queries`

from __future__ import annotations

from goldwire.changelog.sqlite.queries import CONTROL_COLUMNS, LOG_COLUMNS

INTEGRITY_CHECK = "PRAGMA integrity_check"
"""What SQLite finds wrong in its own structures: pages, indexes, constraints."""

LOG_ROWS = "SELECT coalesce(max(seq), 0) FROM log"
"""How many rows the log should have."""

LOG_PAGE = f"SELECT {LOG_COLUMNS} FROM log l WHERE l.seq > ? ORDER BY l.seq LIMIT ?"
"""A page of the log."""

WRONG_HEADS = """
SELECT e.entity_id, e.version, n.versions, n.newest FROM entity e
LEFT JOIN log l ON l.seq = e.seq
LEFT JOIN (
  SELECT entity_no, count(*) AS versions, max(version) AS newest, count(addressed_to) AS addressed FROM log GROUP BY entity_no
) n ON n.entity_no = e.no
WHERE e.version IS NOT coalesce(n.newest, 0) OR (coalesce(n.addressed, 0) = 0 AND e.version IS NOT coalesce(n.versions, 0))
  OR e.version > 0 AND (l.entity_no, l.entity_id, l.version, l.entity_type, l.kind, l.merged_into)
    IS NOT (e.no, e.entity_id, e.version, e.entity_type, e.kind, e.merged_into)
ORDER BY e.no
"""
"""Heads that are not the newest of their entity's versions, or of which the log has not every version up to it; what a resync
sends again may leave versions out."""

CONTROL_ROWS = "SELECT count(*) FROM control"
"""How many control rows there are."""

CONTROL_PAGE = f"""
SELECT {CONTROL_COLUMNS}, e.entity_id FROM control c LEFT JOIN entity e ON e.no = c.slot & 1099511627775
WHERE c.slot > ? ORDER BY c.slot LIMIT ?
"""
"""A page of the control rows of all targets, with the entity that each is of."""

RECORD_ROWS = "SELECT count(*) FROM record"
"""How many records there are."""

RECORDS_WITHOUT_CHECKSUM = "SELECT count(*) FROM record WHERE checksum IS NULL"
"""How many of them were not written since their schema has checksums of records."""

RECORD_PAGE = """
SELECT no, system, id, entity_no, entity_type, body, match_keys, checksum FROM record WHERE no > ? ORDER BY no LIMIT ?
"""
"""A page of the records."""

TARGET_NAMES = "SELECT no, target FROM target_cursor"
"""The targets by their numbers."""

WITHOUT_CONTROL = """
SELECT l.seq, l.entity_id, l.version, c.version FROM log l LEFT JOIN control c ON c.slot = ? + l.entity_no
WHERE l.seq > ? AND l.seq <= ? AND (c.slot IS NULL OR c.version < l.version) ORDER BY l.seq
"""
"""Positions of a stretch whose entity has no control row, or one of an older version; takes the target's lowest slot."""

CLOSED_WITHOUT_CONTROL = """
SELECT l.seq, l.entity_id, l.version, c.version FROM closing d CROSS JOIN log l ON l.seq = d.seq
LEFT JOIN control c ON c.slot = ? + l.entity_no
WHERE d.target_no = ? AND d.code = ? AND (c.slot IS NULL OR c.version < l.version) ORDER BY l.seq
"""
"""The same of deliveries that were open and ended with a code."""

SETTLEMENTS_AFTER = """
SELECT position_from, codes FROM settlement WHERE target_no = ? AND position_from > ? ORDER BY position_from LIMIT ?
"""
"""A page of a target's settlements."""

HEADLESS = """
SELECT l.entity_id, min(l.seq) FROM log l LEFT JOIN entity e ON e.no = l.entity_no
WHERE e.no IS NULL GROUP BY l.entity_no ORDER BY 2
"""
"""Entities of the log that have no head."""

NUMBER_GAPS = {
    "record": "SELECT count(*), coalesce(max(no), 0) FROM record",
    "entity": "SELECT count(*), coalesce(max(no), 0) FROM entity",
    "replay": "SELECT count(*), coalesce(max(no), 0) FROM replay",
    "resync": "SELECT count(*), coalesce(max(no), 0) FROM resync",
    "target": "SELECT count(*), coalesce(max(no), 0) FROM target_cursor",
}
"""How many rows tables have whose rows are numbered without gaps and never deleted, and the newest number."""
