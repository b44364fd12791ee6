//! What stands beside the runs for those who block: articles of tickets, and secrets of runs.

use crate::knowledge::{rate, words};
use crate::postgres::PostgresStore;
use crate::postgres::read::ask;
use crate::postgres::worker::Side;
use crate::vault::{AGE_MAX, Seal, now};
use deadpool_postgres::Pool;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Handle;
use tutti_engine::ports::knowledge::{Article, Found, KnowledgeBase};
use tutti_engine::ports::store::StoreError;
use tutti_engine::ports::vault::Vault;

/// The way to the database from a thread that may block.
struct Blocking {
    side: Arc<Side>,
    readers: Pool,
    runtime: Handle,
}

impl Blocking {
    fn of(store: &PostgresStore) -> Self {
        Self { side: Arc::clone(&store.side), readers: store.readers.clone(), runtime: Handle::current() }
    }

    fn wait<T>(&self, what: impl Future<Output = Result<T, StoreError>>) -> Result<T, String> {
        self.runtime.block_on(what).map_err(|e| e.to_string())
    }
}

/// Articles in the schema of a store, found by full text search.
pub struct PostgresKnowledge(Blocking);

/// Secrets in the schema of a store.
pub struct PostgresVault {
    db: Blocking,
    seal: Seal,
}

impl PostgresStore {
    /// The articles beside the runs. To be called inside a runtime, and used from threads that may block.
    #[must_use]
    pub fn articles(&self) -> PostgresKnowledge {
        PostgresKnowledge(Blocking::of(self))
    }

    /// The secrets beside the runs. Every process needs the same key: `key` where somebody chose one, else a file in `dir`, which
    /// is right as long as all processes see that directory.
    ///
    /// # Errors
    /// In words: the key cannot be used.
    pub fn vault(&self, key: Option<&str>, dir: &Path) -> Result<PostgresVault, String> {
        let seal = match key {
            Some(text) => Seal::of_text(text).map_err(|why| format!("VAULT_KEY: {why}"))?,
            None => Seal::of_file(dir)?,
        };
        Ok(PostgresVault { db: Blocking::of(self), seal })
    }
}

const SEARCH: &str = "SELECT id, title, content, ts_rank_cd(words, asked)::float8 AS rank
    FROM articles, to_tsquery('english', $1) AS asked WHERE words @@ asked ORDER BY rank DESC, id LIMIT $2";
const PUT: &str = "INSERT INTO articles(id, title, content) VALUES($1, $2, $3)
    ON CONFLICT (id) DO UPDATE SET title = excluded.title, content = excluded.content";
const LIST: &str = "SELECT id, title, content FROM articles WHERE id > $1 ORDER BY id LIMIT $2";

impl KnowledgeBase for PostgresKnowledge {
    fn search(&self, question: &str, limit: u32) -> Result<Vec<Found>, String> {
        // Letters and digits only: nothing of a question is taken for an operator.
        let asked = words(question).join(" | ");
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.0.wait(ask(&self.0.readers, SEARCH, &[&asked, &i64::from(limit)]))?;
        let of = |r: &tokio_postgres::Row| Found { id: r.get(0), title: r.get(1), content: r.get(2), score: r.get(3) };
        let mut found: Vec<Found> = rows.iter().map(of).collect();
        rate(&mut found);
        Ok(found)
    }

    fn put(&self, articles: Vec<Article>) -> Result<u64, String> {
        self.0.wait(self.0.side.transaction(async |db| {
            for Article { id, title, content } in &articles {
                db.execute(PUT, &[id, title, content]).await?;
            }
            Ok(articles.len() as u64)
        }))
    }

    fn list(&self, after: Option<&str>, limit: u32) -> Result<Vec<Article>, String> {
        let after = after.unwrap_or_default();
        let rows = self.0.wait(ask(&self.0.readers, LIST, &[&after, &i64::from(limit)]))?;
        Ok(rows.iter().map(|r| Article { id: r.get(0), title: r.get(1), content: r.get(2) }).collect())
    }

    fn remove(&self, id: &str) -> Result<bool, String> {
        let removed = self.0.side.with(async |db| db.execute("DELETE FROM articles WHERE id = $1", &[&id]).await);
        self.0.wait(removed).map(|n| n > 0)
    }
}

impl Vault for PostgresVault {
    fn put(&self, handle: &str, secret: &str) -> Result<(), String> {
        let body = self.seal.seal(secret)?;
        let put = "INSERT INTO secrets VALUES($1, $2, $3) ON CONFLICT (handle) DO UPDATE SET body = excluded.body, born = excluded.born";
        self.db.wait(self.db.side.with(async |db| {
            // What no run can need any more goes along.
            db.execute("DELETE FROM secrets WHERE born < $1 AND handle NOT LIKE 'kept/%'", &[&(now() - AGE_MAX)])
                .await?;
            db.execute(put, &[&handle, &body, &now()]).await.map(|_| ())
        }))
    }

    fn get(&self, handle: &str) -> Result<Option<String>, String> {
        let rows = self.db.wait(ask(&self.db.readers, "SELECT body FROM secrets WHERE handle = $1", &[&handle]))?;
        rows.first().map(|r| self.seal.open(r.get(0))).transpose()
    }

    fn remove(&self, handle: &str) -> Result<(), String> {
        self.db.wait(
            self.db
                .side
                .with(async |db| db.execute("DELETE FROM secrets WHERE handle = $1", &[&handle]).await.map(|_| ())),
        )
    }

    fn fingerprint(&self, secret: &str) -> String {
        self.seal.fingerprint(secret)
    }
}
