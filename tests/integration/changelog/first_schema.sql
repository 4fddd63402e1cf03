-- The tables of a store of the first schema revision, 0001. They never change any more: what came later is in the migrations.

CREATE TABLE apart (
  low_id TEXT NOT NULL,
  high_id TEXT NOT NULL,
  PRIMARY KEY (low_id, high_id)
) WITHOUT ROWID;

CREATE INDEX apart_high_id ON apart (high_id);

CREATE TABLE carried_out (
  decision BLOB NOT NULL,
  PRIMARY KEY (decision)
) WITHOUT ROWID;

CREATE TABLE closing (
  target_no INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  code INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  PRIMARY KEY (target_no, seq)
) WITHOUT ROWID;

CREATE TABLE control (
  slot INTEGER NOT NULL,
  version INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  presence TEXT NOT NULL,
  hash BLOB NOT NULL,
  previous_hash BLOB,
  base_version INTEGER,
  revision INTEGER NOT NULL,
  remote_id TEXT,
  settled_at TEXT NOT NULL,
  outcome TEXT NOT NULL,
  PRIMARY KEY (slot)
);

CREATE TABLE document (
  name TEXT NOT NULL,
  number INTEGER NOT NULL,
  saved_at TEXT NOT NULL,
  document BLOB NOT NULL,
  PRIMARY KEY (name, number)
);

CREATE TABLE entity (
  no INTEGER NOT NULL,
  entity_id TEXT NOT NULL,
  entity_type TEXT NOT NULL,
  version INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  kind TEXT NOT NULL,
  merged_into TEXT,
  steward BLOB NOT NULL,
  PRIMARY KEY (no)
);

CREATE UNIQUE INDEX entity_entity_id ON entity (entity_id);

CREATE TABLE log (
  seq INTEGER NOT NULL,
  entity_no INTEGER NOT NULL,
  version INTEGER NOT NULL,
  entity_id TEXT NOT NULL,
  entity_type TEXT NOT NULL,
  kind TEXT NOT NULL,
  committed_at TEXT NOT NULL,
  correlation_id TEXT NOT NULL,
  changed TEXT NOT NULL,
  merged_into TEXT,
  state BLOB NOT NULL,
  PRIMARY KEY (seq)
);

CREATE UNIQUE INDEX log_version ON log (entity_no, version);

CREATE TABLE match_key (
  match_key BLOB NOT NULL,
  records INTEGER NOT NULL,
  entity_no INTEGER NOT NULL,
  first_no INTEGER,
  PRIMARY KEY (match_key)
) WITHOUT ROWID;

CREATE TABLE match_link (
  match_key BLOB NOT NULL,
  record_no INTEGER NOT NULL,
  PRIMARY KEY (match_key, record_no)
) WITHOUT ROWID;

CREATE TABLE open_delivery (
  target_no INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  entity_id TEXT NOT NULL,
  entity_type TEXT NOT NULL,
  version INTEGER NOT NULL,
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  strikes INTEGER NOT NULL,
  ambiguous INTEGER NOT NULL,
  first_attempt_at TEXT,
  last_attempt_at TEXT,
  due_at FLOAT NOT NULL,
  reason TEXT NOT NULL,
  revision INTEGER NOT NULL,
  PRIMARY KEY (target_no, seq)
) WITHOUT ROWID;

CREATE INDEX open_delivery_dead ON open_delivery (seq) WHERE state IN ('dead', 'discarded');

CREATE INDEX open_delivery_due ON open_delivery (target_no, due_at) WHERE state = 'retrying';

CREATE INDEX open_delivery_lane ON open_delivery (target_no, entity_id, seq);

CREATE TABLE record (
  no INTEGER NOT NULL,
  system TEXT NOT NULL,
  id TEXT NOT NULL,
  entity_no INTEGER,
  entity_type TEXT NOT NULL,
  body BLOB NOT NULL,
  match_keys BLOB NOT NULL,
  PRIMARY KEY (no)
);

CREATE INDEX record_entity_no ON record (entity_no);

CREATE UNIQUE INDEX record_ref ON record (system, id);

CREATE TABLE replay (
  no INTEGER NOT NULL,
  id TEXT NOT NULL,
  target TEXT NOT NULL,
  state TEXT NOT NULL,
  record BLOB NOT NULL,
  PRIMARY KEY (no),
  UNIQUE (id)
);

CREATE INDEX replay_target ON replay (target, no);

CREATE TABLE revision (
  target TEXT NOT NULL,
  revision INTEGER NOT NULL,
  effective_after INTEGER NOT NULL,
  applied_at TEXT NOT NULL,
  document BLOB NOT NULL,
  PRIMARY KEY (target, revision)
);

CREATE TABLE settlement (
  target_no INTEGER NOT NULL,
  position_from INTEGER NOT NULL,
  codes BLOB NOT NULL,
  PRIMARY KEY (target_no, position_from)
) WITHOUT ROWID;

CREATE TABLE store_secret (
  name TEXT NOT NULL,
  secret BLOB NOT NULL,
  PRIMARY KEY (name)
);

CREATE TABLE target_cursor (
  no INTEGER NOT NULL,
  target TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  start_after INTEGER NOT NULL,
  position INTEGER NOT NULL,
  reach INTEGER NOT NULL,
  bound INTEGER NOT NULL,
  delivered INTEGER NOT NULL,
  filtered INTEGER NOT NULL,
  superseded INTEGER NOT NULL,
  stopped TEXT,
  mode TEXT,
  PRIMARY KEY (no),
  UNIQUE (target)
);
