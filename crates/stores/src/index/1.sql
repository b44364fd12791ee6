-- AUTOINCREMENT: a revision is never given twice, not even after its document was deleted.
CREATE TABLE documents(
  revision INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant TEXT NOT NULL, id TEXT NOT NULL,
  title TEXT NOT NULL, content TEXT NOT NULL, metadata TEXT NOT NULL, at INTEGER NOT NULL,
  chars INTEGER NOT NULL, passages INTEGER NOT NULL,
  UNIQUE(tenant, id)
);
CREATE TABLE passages(
  passage INTEGER PRIMARY KEY,
  revision INTEGER NOT NULL, ordinal INTEGER NOT NULL,
  "start" INTEGER NOT NULL, "end" INTEGER NOT NULL, text TEXT NOT NULL,
  UNIQUE(revision, ordinal)
);
-- Holds words only; their texts stand in the tables above.
CREATE VIRTUAL TABLE words USING fts5(
  title, text, content='', contentless_delete=1, tokenize="porter unicode61 remove_diacritics 2"
);
-- Vectors that can be compared: of one model and one length, in one tenant.
CREATE TABLE spaces(
  space INTEGER PRIMARY KEY, tenant TEXT NOT NULL, model TEXT NOT NULL, length INTEGER NOT NULL,
  UNIQUE(tenant, model, length)
);
-- Apart from the texts, so that comparing them all reads nothing else. A body is the numbers as little-endian f32.
CREATE TABLE vectors(passage INTEGER PRIMARY KEY, space INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX vectors_space ON vectors(space);
