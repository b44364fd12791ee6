-- A session's key is the number of the run that opened it. `head` is the number of its newest turn.
CREATE TABLE sessions(
  session INTEGER PRIMARY KEY,
  owner INTEGER NOT NULL,
  id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  head INTEGER NOT NULL DEFAULT 0,
  UNIQUE(owner, id)
);
CREATE INDEX sessions_owner ON sessions(owner);

-- A turn is its run's row: twice its number in the session, plus one once it was taken back.
ALTER TABLE runs ADD COLUMN session_no INTEGER;
ALTER TABLE runs ADD COLUMN turn INTEGER;
-- Approvals that the run waits for.
ALTER TABLE runs ADD COLUMN asks INTEGER NOT NULL DEFAULT 0;

INSERT INTO sessions(session, owner, id, created_at, updated_at)
  SELECT min(run), owner, session, 0, 0 FROM runs WHERE session IS NOT NULL AND parent IS NULL GROUP BY owner, session;
UPDATE runs SET session_no = (SELECT s.session FROM sessions s WHERE s.owner = runs.owner AND s.id = runs.session)
  WHERE session IS NOT NULL AND parent IS NULL;
UPDATE runs SET turn = 2 * n FROM (
  SELECT run AS of, row_number() OVER (PARTITION BY session_no ORDER BY ended_at, run) AS n
  FROM runs WHERE session_no IS NOT NULL AND status = 3
) WHERE run = of;
UPDATE sessions SET
  created_at = coalesce((SELECT at FROM journal WHERE run = sessions.session AND seq = 1), 0),
  updated_at = coalesce((SELECT max(ended_at) FROM runs WHERE session_no = sessions.session), 0),
  head = coalesce((SELECT max(turn) / 2 FROM runs WHERE session_no = sessions.session), 0);
UPDATE sessions SET updated_at = max(created_at, updated_at);

CREATE INDEX runs_turn ON runs(session_no, turn) WHERE turn IS NOT NULL;
-- Open runs of sessions.
CREATE INDEX runs_session ON runs(session_no) WHERE session_no IS NOT NULL AND status < 3;
CREATE INDEX runs_asks ON runs(run) WHERE asks > 0;
