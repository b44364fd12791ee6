-- What runs are found by, beside their own columns.
CREATE TABLE labels(run INTEGER NOT NULL, name INTEGER NOT NULL, value TEXT NOT NULL, PRIMARY KEY(run, name)) WITHOUT ROWID;
CREATE INDEX labels_value ON labels(name, value, run);
