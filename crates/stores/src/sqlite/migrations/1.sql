-- Integers are run numbers, entry numbers, milliseconds since the epoch, or codes from tutti-engine.

CREATE TABLE owners(owner INTEGER PRIMARY KEY, tenant TEXT NOT NULL, user TEXT NOT NULL, UNIQUE(tenant, user));
CREATE TABLE names(name INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

-- Written at birth, on claim, when a run parks and when it ends; not per step.
CREATE TABLE runs(
  run INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE,
  workflow INTEGER NOT NULL,
  version INTEGER NOT NULL,
  owner INTEGER NOT NULL,
  status INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  ended_at INTEGER,
  due_at INTEGER,
  parent INTEGER,
  session TEXT,
  epoch INTEGER,
  lease_until INTEGER
);
-- All but the completed (3): a run that is born completed costs no entry, and what needs a worker is found among few.
CREATE INDEX runs_status ON runs(status) WHERE status <> 3;
CREATE INDEX runs_due ON runs(due_at) WHERE due_at IS NOT NULL;
CREATE INDEX runs_owner ON runs(owner);

-- Append-only, in commit order: clustering by run would touch one page per live run and commit.
CREATE TABLE journal(
  pos INTEGER PRIMARY KEY,
  run INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  last INTEGER NOT NULL,
  prev INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  at INTEGER NOT NULL,
  body BLOB NOT NULL
);
CREATE UNIQUE INDEX journal_run ON journal(run, seq);

-- Taken messages stay until the run is pruned, so that a repeat is known as one.
CREATE TABLE inbox(
  n INTEGER PRIMARY KEY,
  run INTEGER NOT NULL,
  dedup TEXT NOT NULL,
  kind INTEGER NOT NULL,
  body BLOB NOT NULL,
  taken INTEGER NOT NULL DEFAULT 0,
  UNIQUE(run, dedup)
);

CREATE TABLE once(scope BLOB PRIMARY KEY, run INTEGER NOT NULL, body BLOB NOT NULL, born INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX once_run ON once(run);

CREATE TABLE blobs(hash BLOB PRIMARY KEY, body BLOB NOT NULL, born INTEGER NOT NULL);
CREATE TABLE blob_refs(run INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY(run, hash)) WITHOUT ROWID;
CREATE INDEX blob_refs_hash ON blob_refs(hash);
