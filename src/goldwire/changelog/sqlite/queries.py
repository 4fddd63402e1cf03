"""Every statement that the SQLite engine runs, named and described in one module.

`(MANY)` stands for a list of parameters; `many` writes it out. Columns of a row type are always listed in the order of its
fields, so that a result becomes the row by position.
"""

# ruff: noqa: S608 - what is put into a statement are the column lists of this very file

from __future__ import annotations

from functools import cache

CHUNK_SIZES = (10, 100, 500)
"""How long a list of parameters may be. Few sizes, so that few statements are compiled; a list is padded to the next one."""


@cache
def many(query: str, count: int) -> str:
    """Write out a query's `(MANY)` with `count` parameters."""
    return query.replace("(MANY)", "(" + ",".join("?" * count) + ")")


# --- the schema

OLDEST_CODE = "SELECT oldest_code FROM schema_compatibility LIMIT 1"
"""The oldest schema revision whose code may use the store; asked in every transaction."""

SCHEMA_REVISION = "SELECT version_num FROM alembic_version LIMIT 1"
"""The store's own schema revision."""

# --- the log

LOG_COLUMNS = (
    "l.seq, l.entity_id, l.entity_type, l.version, l.kind, l.committed_at, l.correlation_id, l.state, l.changed, l.merged_into,"
    " l.addressed_to, l.entity_no, l.checksum"
)

NEWEST_POSITION = "SELECT coalesce(max(seq), 0) FROM log"
"""The newest position; 0 for an empty log."""

NEWEST_ROW = f"SELECT {LOG_COLUMNS} FROM log l ORDER BY l.seq DESC LIMIT 1"
"""What the next committed row must follow."""

READ = f"SELECT {LOG_COLUMNS} FROM log l WHERE l.seq > ? AND l.seq <= ? ORDER BY l.seq LIMIT ?"
"""A stretch of the log, by its primary key."""

READ_LATEST = f"""
SELECT {LOG_COLUMNS} FROM log l
WHERE l.seq > ? AND l.seq <= ?
  AND NOT EXISTS (SELECT 1 FROM log n WHERE n.entity_no = l.entity_no AND n.version > l.version AND n.seq <= ?
    AND NOT EXISTS (SELECT 1 FROM log a INDEXED BY log_addressed
      WHERE a.seq = n.seq AND a.addressed_to IS NOT NULL AND a.addressed_to <> ?))
ORDER BY l.seq LIMIT ?
"""
"""A stretch of the log without rows that have a successor at or below a horizon, other than one addressed to another target.
Mostly the first look-up in the covering index `log_version` decides; `log_addressed` holds addressed rows alone."""

ROWS = f"SELECT {LOG_COLUMNS} FROM log l WHERE l.seq IN (MANY)"
"""Single rows by position."""

VERSION = f"SELECT {LOG_COLUMNS} FROM log l WHERE l.entity_no = ? AND l.version = ?"
"""One version of one entity."""

HISTORY = f"""
SELECT {LOG_COLUMNS} FROM entity e CROSS JOIN log l ON l.entity_no = e.no WHERE e.entity_id = ? ORDER BY l.version
"""
"""All versions of one entity."""

HEADS = f"""
SELECT {LOG_COLUMNS} FROM entity e CROSS JOIN log l ON l.seq = e.seq WHERE e.entity_id > ? ORDER BY e.entity_id LIMIT ?
"""
"""A page of newest rows, by entity id; entities without a version have no row in the log."""

HEADS_OF_TYPE = f"""
SELECT {LOG_COLUMNS} FROM entity e CROSS JOIN log l ON l.seq = e.seq
WHERE e.entity_id > ? AND e.entity_type = ? ORDER BY e.entity_id LIMIT ?
"""
"""The same of one entity type."""

HEADS_OF = f"SELECT {LOG_COLUMNS} FROM entity e CROSS JOIN log l ON l.seq = e.seq WHERE e.entity_id IN (MANY)"
"""The newest rows of these entities."""

MOVE_ENTITY = "UPDATE entity SET version = ?, seq = ? WHERE no = ? AND version = ?"
"""Move a head to a row that repeats its state, unless it has moved on meanwhile."""

FIND_RECORD = """
SELECT r.no, r.system, r.id, r.entity_no, r.entity_type, r.body, r.match_keys, r.checksum, e.entity_id
FROM record r LEFT JOIN entity e ON e.no = r.entity_no WHERE r.system = ? AND r.id = ?
"""
"""One record, in the order in which its checksum is made, and the entity that it belongs to."""

ENTITY_NUMBERS = "SELECT entity_id, no FROM entity WHERE entity_id IN (MANY)"
"""The short numbers of entities."""

# --- ingest: entities

ENTITY_KEY = "SELECT secret FROM store_secret WHERE name = 'entity_key'"
"""What ids of entities are made with."""

ENTITIES = """
SELECT e.entity_id, e.entity_type, e.version, e.kind, e.merged_into, e.steward, l.state, e.no,
  e.seq, l.committed_at, l.correlation_id, l.changed, l.addressed_to, l.checksum
FROM entity e LEFT JOIN log l ON l.seq = e.seq WHERE e.entity_id IN (MANY)
"""
"""Heads with their state, and what else their row's checksum is of."""

ENTITY_VERSIONS = "SELECT entity_id, no, version FROM entity WHERE entity_id IN (MANY)"
"""What a commit must follow."""

LIVING = """
SELECT no, entity_id, entity_type FROM entity WHERE no > ? AND kind = 'live' AND version > 0 ORDER BY no LIMIT ?
"""
"""A page of the entities that live, by their numbers, which are given in the order in which they are first met."""

NEWEST_ENTITY_NO = "SELECT coalesce(max(no), 0) FROM entity"
"""The number that was given last."""

INSERT_ENTITY = """
INSERT INTO entity (no, entity_id, entity_type, version, seq, kind, merged_into, steward) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
"""A new head, or with version 0 only the name of an entity that a record mentions."""

UPDATE_ENTITY = "UPDATE entity SET entity_type = ?, version = ?, seq = ?, kind = ?, merged_into = ?, steward = ? WHERE no = ?"
"""Move a head. The entity id is not among the columns, so no index is touched."""

UPDATE_STEWARD = "UPDATE entity SET steward = ? WHERE entity_id = ? AND version > 0"
"""Replace a head's steward part."""

INSERT_LOG = """
INSERT INTO log (
  seq, entity_id, entity_type, version, kind, committed_at, correlation_id, state, changed, merged_into, addressed_to,
  entity_no, checksum
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
"""Append a version."""

# --- ingest: records and match keys

RECORDS = """
SELECT r.system, r.id, r.entity_type, e.entity_id, r.body, r.no, r.match_keys, r.entity_no, r.checksum
FROM record r LEFT JOIN entity e ON e.no = r.entity_no WHERE r.system = ? AND r.id IN (MANY)
"""
"""Records of one system by id."""

RECORDS_OF = """
SELECT r.system, r.id, r.entity_type, e.entity_id, r.body, r.no, r.match_keys, r.entity_no, r.checksum
FROM entity e CROSS JOIN record r ON r.entity_no = e.no WHERE e.entity_id IN (MANY)
"""
"""All records of these entities."""

NEWEST_RECORD_NO = "SELECT coalesce(max(no), 0) FROM record"
"""The number that was given last."""

INSERT_RECORD = """
INSERT INTO record (no, system, id, entity_no, entity_type, body, match_keys, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
"""A record that was never seen before."""

UPDATE_RECORD = "UPDATE record SET entity_type = ?, body = ?, match_keys = ?, checksum = ? WHERE no = ?"
"""A record that says something new; no index is touched."""

MOVE_RECORD = "UPDATE record SET entity_no = ?, checksum = ? WHERE no = ?"
"""A record that now belongs to another entity."""

INSERT_LINK = "INSERT INTO match_link (match_key, record_no) VALUES (?, ?)"
"""A further record has a key."""

DELETE_LINK = "DELETE FROM match_link WHERE match_key = ? AND record_no = ?"
"""A record that had a link has the key no more."""

SAVE_KEY = """
INSERT INTO match_key (match_key, records, entity_no, first_no) VALUES (?, ?, ?, ?)
ON CONFLICT (match_key) DO UPDATE SET records = excluded.records, entity_no = excluded.entity_no, first_no = excluded.first_no
"""
"""A key's row: how many records have it, whose entity id is the lowest, and the record that has no link."""

DELETE_KEY = "DELETE FROM match_key WHERE match_key = ?"
"""No record has the key any more."""

KEY_OWNERS = """
SELECT k.match_key, k.records, e.entity_id, k.first_no FROM match_key k CROSS JOIN entity e ON e.no = k.entity_no
WHERE k.match_key IN (MANY)
"""
"""The keys' rows."""

LOWEST_OWNER = """
SELECT min(e.entity_id) FROM (SELECT record_no FROM match_link WHERE match_key = ? UNION ALL SELECT ?) k
CROSS JOIN record r ON r.no = k.record_no CROSS JOIN entity e ON e.no = r.entity_no
"""
"""Look a key's lowest entity up again, because the one it had lost a record. Nothing else reads all links of a key."""

# --- ingest: entities held apart

APART = """
SELECT low_id, high_id FROM apart WHERE low_id IN (MANY)
UNION SELECT low_id, high_id FROM apart WHERE high_id IN (MANY)
"""
"""Pairs that touch one of these; takes the list twice."""

SAVE_APART = "INSERT INTO apart (low_id, high_id) VALUES (?, ?) ON CONFLICT DO NOTHING"
"""Hold a pair apart."""

DROP_APART = "DELETE FROM apart WHERE low_id = ? AND high_id = ?"
"""Hold a pair apart no more."""

# --- ingest: decisions

CARRIED_OUT = "SELECT decision FROM carried_out WHERE decision IN (MANY)"
"""Which of these decisions were carried out before."""

SAVE_CARRIED_OUT = "INSERT INTO carried_out (decision) VALUES (?) ON CONFLICT DO NOTHING"
"""A decision was carried out."""

# --- targets

CURSOR_COLUMNS = (
    "target, epoch, start_after, position, reach, bound, delivered, filtered, superseded, stopped, mode, "
    "unopened, unopened_since, loss, loss_since"
)

CURSORS = f"SELECT {CURSOR_COLUMNS} FROM target_cursor ORDER BY target"
"""Where every target stands."""

CURSOR = f"SELECT {CURSOR_COLUMNS}, no FROM target_cursor WHERE target = ?"
"""Where one target stands, and its number."""

INSERT_CURSOR = """
INSERT INTO target_cursor (no, target, epoch, start_after, position, reach, bound, delivered, filtered, superseded)
SELECT coalesce(max(no), 0) + 1, ?, 1, ?, ?, ?, ?, 0, 0, 0 FROM target_cursor
"""
"""A target met for the first time."""

RAISE_EPOCH = "UPDATE target_cursor SET epoch = epoch + 1 WHERE no = ?"
"""A target is taken over."""

DECLARE = "UPDATE target_cursor SET bound = max(bound, ?), mode = ?, reach = max(reach, ?) WHERE no = ?"
"""Widen the window; it never shrinks."""

RELEASE = "UPDATE target_cursor SET reach = position WHERE no = ?"
"""Nothing above the cursor was sent."""

STOP = "UPDATE target_cursor SET stopped = ? WHERE no = ?"
"""Stop a target, or with NULL let it run."""

UNOPENED = "UPDATE target_cursor SET unopened = ?, unopened_since = ? WHERE no = ?"
"""Why a target cannot be opened, and since when; or with NULL that it can."""

LOSS = "UPDATE target_cursor SET loss = ?, loss_since = ? WHERE no = ?"
"""What a target has lost."""

ADVANCE = """
UPDATE target_cursor SET position = ?, reach = max(reach, ?),
  delivered = delivered + ?, filtered = filtered + ?, superseded = superseded + ?, stopped = coalesce(?, stopped) WHERE no = ?
"""
"""A settlement's effect on its cursor."""

REWIND = """
UPDATE target_cursor SET position = ?, epoch = epoch + 1,
  delivered = delivered - ?, filtered = filtered - ?, superseded = superseded - ? WHERE no = ?
"""
"""Set a cursor back, with what is withdrawn from its counters. What may have been sent stays as it was."""

# --- control rows

CONTROL_COLUMNS = (
    "c.slot, c.version, c.seq, c.presence, c.hash, c.previous_hash, c.base_version, c.revision, c.remote_id, c.settled_at,"
    " c.outcome, c.checksum"
)

CONTROLS = f"SELECT {CONTROL_COLUMNS} FROM control c WHERE c.slot IN (MANY)"
"""Control rows by slot."""

ALL_CONTROLS = f"""
SELECT {CONTROL_COLUMNS}, e.entity_id FROM entity e CROSS JOIN control c ON c.slot = ? + e.no
WHERE e.entity_id > ? ORDER BY e.entity_id LIMIT ?
"""
"""A page of a target's control rows, by entity id; takes the target's lowest slot."""

SAVE_CONTROL = """
INSERT INTO control AS c (
  slot, version, seq, presence, hash, previous_hash, base_version, revision, remote_id, settled_at, outcome, checksum
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (slot) DO UPDATE SET version = excluded.version, seq = excluded.seq, presence = excluded.presence,
  hash = excluded.hash, previous_hash = excluded.previous_hash, base_version = excluded.base_version,
  revision = excluded.revision, remote_id = excluded.remote_id, settled_at = excluded.settled_at, outcome = excluded.outcome,
  checksum = excluded.checksum
WHERE excluded.version >= c.version
"""
"""Insert or replace a control row; one that would go back changes nothing, which the row count shows."""

# --- open deliveries

OPEN_COLUMNS = (
    "o.seq, o.entity_id, o.entity_type, o.version, o.state, o.attempts, o.strikes, o.ambiguous, o.first_attempt_at,"
    " o.last_attempt_at, o.due_at, o.reason, o.revision"
)

INSERT_OPEN = """
INSERT INTO open_delivery (target_no, seq, entity_id, entity_type, version, state, attempts, strikes, ambiguous,
  first_attempt_at, last_attempt_at, due_at, reason, revision) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
"""A delivery that the cursor passes without an end."""

UPDATE_OPEN = """
UPDATE open_delivery SET state = ?, attempts = ?, strikes = ?, ambiguous = ?, first_attempt_at = ?, last_attempt_at = ?,
  due_at = ?, reason = ?, revision = ? WHERE target_no = ? AND seq = ?
"""
"""What changes about an open delivery; which version it is does not."""

DELETE_OPEN = "DELETE FROM open_delivery WHERE target_no = ? AND seq = ?"
"""An open delivery ended."""

ANY_OPEN = "SELECT 1 FROM open_delivery WHERE target_no = ? LIMIT 1"
"""Whether a target has open deliveries at all: mostly it has none, and nothing else need be asked."""

LANES = f"""
SELECT {OPEN_COLUMNS} FROM open_delivery o WHERE o.target_no = ? AND o.entity_id IN (MANY) AND o.state <> 'discarded'
ORDER BY o.entity_id, o.seq
"""
"""What is open of these entities."""

DUE = f"""
SELECT {OPEN_COLUMNS} FROM open_delivery o WHERE o.target_no = ? AND o.state = 'retrying' AND o.due_at <= ?
  AND NOT EXISTS (SELECT 1 FROM open_delivery f
    WHERE f.target_no = o.target_no AND f.entity_id = o.entity_id AND f.seq < o.seq AND f.state <> 'discarded')
ORDER BY o.due_at, o.seq LIMIT ?
"""
"""Retrying deliveries that are due and first of their entity."""

NEXT_DUE = """
SELECT o.due_at FROM open_delivery o WHERE o.target_no = ? AND o.state = 'retrying'
  AND NOT EXISTS (SELECT 1 FROM open_delivery f
    WHERE f.target_no = o.target_no AND f.entity_id = o.entity_id AND f.seq < o.seq AND f.state <> 'discarded')
ORDER BY o.due_at LIMIT 1
"""
"""When the soonest of them is due."""

DEAD_LETTERS = f"""
SELECT t.target, {OPEN_COLUMNS} FROM open_delivery o CROSS JOIN target_cursor t ON t.no = o.target_no
WHERE o.state IN ('dead', 'discarded') ORDER BY o.seq, t.target LIMIT ?
"""
"""Dead and discarded deliveries of all targets."""

DEAD_LETTERS_OF = f"""
SELECT t.target, {OPEN_COLUMNS} FROM open_delivery o CROSS JOIN target_cursor t ON t.no = o.target_no
WHERE o.state IN ('dead', 'discarded') AND t.target = ? ORDER BY o.seq LIMIT ?
"""
"""Those of one target."""

DEAD_LETTER = f"""
SELECT {OPEN_COLUMNS} FROM open_delivery o WHERE o.target_no = ? AND o.seq = ? AND o.state IN ('dead', 'discarded')
"""
"""One of them, by the primary key."""

OPEN_BY_SEQ = f"SELECT {OPEN_COLUMNS} FROM open_delivery o WHERE o.target_no = ? AND o.seq IN (MANY)"
"""Open deliveries by position."""

# --- the ledger

INSERT_SETTLEMENT = "INSERT INTO settlement (target_no, position_from, codes) VALUES (?, ?, ?)"
"""How a stretch of positions ended."""

INSERT_CLOSING = "INSERT INTO closing (target_no, seq, code, revision) VALUES (?, ?, ?, ?)"
"""How one ended that had been left open."""

OPEN_STATES = "SELECT state, count(*) FROM open_delivery WHERE target_no = ? GROUP BY state"
"""How many deliveries are open, by state."""

SETTLEMENTS = "SELECT position_from, codes FROM settlement WHERE target_no = ? ORDER BY position_from"
"""All settlements of a target, in order."""

ENDS = """
SELECT seq, code FROM closing WHERE target_no = ?
UNION ALL SELECT seq, 0 FROM open_delivery WHERE target_no = ? ORDER BY seq
"""
"""What became of the positions that settlements left open, in order: the code of a closing, 0 while still open."""

OTHERS_ABOVE = """
SELECT count(*) FROM log INDEXED BY log_addressed WHERE seq > ? AND addressed_to IS NOT NULL AND addressed_to <> ?
"""
"""How many rows above a position are addressed to other targets, from the small index of addressed rows."""

LOG_SIZE = "SELECT count(*), coalesce(min(seq), 1), coalesce(max(seq), 0) FROM log"
"""Whether the log has gaps."""

SETTLEMENTS_ABOVE = """
SELECT position_from, codes FROM settlement WHERE target_no = ? AND position_from + length(codes) > ?
"""
"""Settlements that a rewind withdraws, wholly or in part."""

DELETE_SETTLEMENTS = "DELETE FROM settlement WHERE target_no = ? AND position_from >= ?"
"""Withdraw settlements wholly."""

CUT_SETTLEMENT = "UPDATE settlement SET codes = ? WHERE target_no = ? AND position_from = ?"
"""Withdraw a settlement's end."""

CLOSINGS_ABOVE = "SELECT code, count(*) FROM closing WHERE target_no = ? AND seq > ? GROUP BY code"
"""Closings that a rewind withdraws."""

DELETE_CLOSINGS = "DELETE FROM closing WHERE target_no = ? AND seq > ?"
"""Withdraw closings."""

UNCLEAR_ABOVE = """
SELECT count(*) FROM open_delivery WHERE target_no = ? AND seq > ? AND ambiguous AND state <> 'discarded'
"""
"""How many deliveries a rewind would forget although they may have arrived."""

DISCARDED_BEFORE_UNCLEAR = """
SELECT count(*) FROM open_delivery o WHERE o.target_no = ? AND o.seq > ? AND o.state = 'discarded' AND EXISTS (
  SELECT 1 FROM entity e CROSS JOIN log l ON l.entity_no = e.no
  WHERE e.entity_id = o.entity_id AND l.version > o.version AND l.seq > ? AND l.seq <= ?)
"""
"""How many deliveries that a rewind would bring back have a successor that may have arrived without being settled."""

DELETE_OPEN_ABOVE = "DELETE FROM open_delivery WHERE target_no = ? AND seq > ?"
"""Withdraw open deliveries."""

# --- revisions

NEWEST_REVISION = """
SELECT revision, effective_after, applied_at, document FROM revision WHERE target = ? ORDER BY revision DESC LIMIT 1
"""
"""The contract revision applied last."""

NEWEST_REVISION_NUMBER = "SELECT coalesce(max(revision), 0) FROM revision WHERE target = ?"
"""Its number, without its document."""

INSERT_REVISION = "INSERT INTO revision (target, revision, effective_after, applied_at, document) VALUES (?, ?, ?, ?, ?)"
"""Apply a contract revision."""

REVISIONS = "SELECT revision, effective_after, applied_at, document FROM revision WHERE target = ? ORDER BY revision"
"""All contract revisions of a target."""
