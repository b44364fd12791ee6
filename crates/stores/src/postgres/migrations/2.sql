-- Documents in passages. A revision is never given twice.
CREATE TABLE documents(
  revision bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL,
  title text NOT NULL, content text NOT NULL, metadata jsonb NOT NULL, at bigint NOT NULL,
  title_words tsvector NOT NULL GENERATED ALWAYS AS (to_tsvector('english', title)) STORED,
  chars int NOT NULL, passages int NOT NULL,
  UNIQUE(tenant, id)
);
-- Words are those of the title and the text; `size` counts them, so that ranking need not read them. Vectors are plain numbers, so
-- that they can be kept where the extension comes later.
CREATE TABLE passages(
  revision bigint NOT NULL REFERENCES documents ON DELETE CASCADE,
  ordinal int NOT NULL,
  "start" int NOT NULL, "end" int NOT NULL, text text NOT NULL,
  words tsvector NOT NULL,
  size int NOT NULL GENERATED ALWAYS AS (length(words)) STORED,
  model text, vector real[],
  PRIMARY KEY(revision, ordinal)
);
CREATE INDEX passages_words ON passages USING gin(words);
