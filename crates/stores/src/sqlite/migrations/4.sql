-- What runs hold and have spent of the accounts that they share.
CREATE TABLE accounts(
  name TEXT PRIMARY KEY,
  held_tokens INTEGER NOT NULL, held_cost INTEGER NOT NULL, held_purchases INTEGER NOT NULL,
  tokens INTEGER NOT NULL, cost INTEGER NOT NULL, purchases INTEGER NOT NULL
) WITHOUT ROWID;
