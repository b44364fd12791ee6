-- Integers are run numbers, entry numbers, milliseconds since the epoch, or codes from tutti-engine.

CREATE TABLE meta(key text PRIMARY KEY, value bigint NOT NULL);
CREATE TABLE owners(owner int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant text NOT NULL, "user" text NOT NULL, UNIQUE(tenant, "user"));
CREATE TABLE names(name int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text NOT NULL UNIQUE);

-- Processes. A run belongs to its worker until the lease ends by this server's clock.
CREATE TABLE workers(
  worker bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  joined_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  lease_until timestamptz NOT NULL
);
-- Run numbers are handed out in blocks; what a process does not use is never used.
CREATE SEQUENCE run_numbers;

-- Written at birth, on claim, when a run parks and when it ends; not per step.
CREATE TABLE runs(
  run bigint PRIMARY KEY,
  id uuid NOT NULL UNIQUE,
  workflow int NOT NULL,
  version int NOT NULL,
  owner int NOT NULL,
  status smallint NOT NULL,
  priority smallint NOT NULL,
  epoch int NOT NULL,
  ended_at bigint,
  due_at bigint,
  -- Who goes first: time of birth, less ten seconds for each step of priority.
  rank bigint NOT NULL,
  parent bigint,
  session text,
  session_no bigint,
  -- Twice the number of the run's turn in its session, plus one once it was taken back.
  turn bigint,
  -- 0 none; 1 in line, 2 in front; 4 more where it gives its place up while it waits.
  lane smallint NOT NULL DEFAULT 0,
  asks int NOT NULL DEFAULT 0,
  worker bigint,
  -- Offered to its worker until then.
  taken_until timestamptz
) WITH (fillfactor = 80);
-- All but the completed (3): a run that is born completed costs no entry, and what needs a worker is found among few.
CREATE INDEX runs_status ON runs(status, id) WHERE status <> 3;
CREATE INDEX runs_queued ON runs(rank) WHERE status = 0;
CREATE INDEX runs_running ON runs(worker) WHERE status = 1;
CREATE INDEX runs_due ON runs(due_at) WHERE due_at IS NOT NULL AND status IN (0, 2);
CREATE INDEX runs_owner ON runs(owner, id);
CREATE INDEX runs_turn ON runs(session_no, turn) WHERE turn IS NOT NULL;
CREATE INDEX runs_session ON runs(session_no) WHERE session_no IS NOT NULL AND status < 3;
CREATE INDEX runs_asks ON runs(id) WHERE asks > 0;
CREATE INDEX runs_ended ON runs(run) WHERE status BETWEEN 3 AND 6;

-- By ranges of run numbers, that is by time of birth: what retention empties is dropped whole.
CREATE TABLE journal(
  run bigint NOT NULL,
  seq bigint NOT NULL,
  last bigint NOT NULL,
  prev bigint NOT NULL,
  epoch int NOT NULL,
  at bigint NOT NULL,
  body bytea NOT NULL,
  PRIMARY KEY(run, seq)
) PARTITION BY RANGE (run);
-- For numbers that nobody reserved: restored rows, tests.
CREATE TABLE journal_rest PARTITION OF journal DEFAULT;

-- Taken messages stay until the run is pruned, so that a repeat is known as one.
CREATE TABLE inbox(
  n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run bigint NOT NULL,
  dedup text NOT NULL,
  kind smallint NOT NULL,
  body bytea NOT NULL,
  taken boolean NOT NULL DEFAULT false,
  UNIQUE(run, dedup)
);
CREATE INDEX inbox_open ON inbox(run) WHERE NOT taken;

CREATE TABLE once(scope bytea PRIMARY KEY, run bigint NOT NULL, body bytea NOT NULL, born bigint NOT NULL);
CREATE INDEX once_run ON once(run);

CREATE TABLE blobs(hash bytea PRIMARY KEY, body bytea NOT NULL, born bigint NOT NULL);
CREATE TABLE blob_refs(run bigint NOT NULL, hash bytea NOT NULL, PRIMARY KEY(run, hash));
CREATE INDEX blob_refs_hash ON blob_refs(hash);

-- A session's key is the number of the run that opened it. `head` is the number of its newest turn.
CREATE TABLE sessions(
  session bigint PRIMARY KEY,
  owner int NOT NULL,
  id text NOT NULL,
  created_at bigint NOT NULL,
  updated_at bigint NOT NULL,
  head int NOT NULL DEFAULT 0,
  UNIQUE(owner, id)
);
CREATE INDEX sessions_owner ON sessions(owner, created_at, session);

-- What runs are found by, beside their own columns.
CREATE TABLE labels(run bigint NOT NULL, name int NOT NULL, value text NOT NULL, id uuid NOT NULL, PRIMARY KEY(run, name));
CREATE INDEX labels_value ON labels(name, value, id);

-- What runs hold and have spent of the accounts that they share.
CREATE TABLE accounts(
  name text PRIMARY KEY,
  held_tokens bigint NOT NULL, held_cost bigint NOT NULL, held_purchases bigint NOT NULL,
  tokens bigint NOT NULL, cost bigint NOT NULL, purchases bigint NOT NULL
);

-- Small named documents that are no runs. One that was deleted stays without a body, so that its name goes on counting.
CREATE TABLE records(
  kind text COLLATE "C" NOT NULL, tenant text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL,
  version bigint NOT NULL, at bigint NOT NULL, body bytea,
  PRIMARY KEY(kind, tenant, name)
);

-- Articles of tickets, found by their words; a title counts more than a text.
CREATE TABLE articles(
  id text COLLATE "C" PRIMARY KEY,
  title text NOT NULL,
  content text NOT NULL,
  words tsvector NOT NULL GENERATED ALWAYS AS
    (setweight(to_tsvector('english', title), 'A') || setweight(to_tsvector('english', content), 'C')) STORED
);
CREATE INDEX articles_words ON articles USING gin(words);

-- Secrets of runs, sealed with a key that is not here. `born` in seconds since the epoch.
CREATE TABLE secrets(handle text PRIMARY KEY, body bytea NOT NULL, born bigint NOT NULL);
