//! A SQLite file beside the runs, for what is written seldom and read often: its migrations, and connections that are asked one
//! after the other without a thread for each who waits.

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tutti_engine::ports::store::{Read, StoreError};

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(5);

/// A file.
pub(crate) struct File {
    pub path: PathBuf,
    /// Applied in order; `PRAGMA user_version` counts them.
    pub migrations: &'static [&'static str],
}

impl File {
    /// A connection to the file, made and brought up to date where it has to be.
    ///
    /// # Errors
    /// In words: the file cannot be used, or is from a newer version.
    pub fn open(&self) -> Result<Connection, String> {
        let said = |e: &dyn std::fmt::Display| format!("{} cannot be used: {e}", self.path.display());
        if let Some(dir) = self.path.parent() {
            std::fs::create_dir_all(dir).map_err(|e| said(&e))?;
        }
        let mut db = self.connect()?;
        let (found, known) = (self.migrate(&mut db).map_err(|e| said(&e))?, self.migrations.len());
        if found > known {
            let newer = format!("it was written by a newer version (schema {found}, this program knows {known})");
            return Err(said(&newer));
        }
        Ok(db)
    }

    /// One more connection.
    ///
    /// # Errors
    /// In words: the file cannot be used.
    pub fn connect(&self) -> Result<Connection, String> {
        let connect = || -> rusqlite::Result<Connection> {
            let db = Connection::open(&self.path)?;
            db.busy_timeout(BUSY)?;
            db.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))?;
            // A write is on disk before anybody hears of it.
            db.execute_batch("PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-2000;")?;
            Ok(db)
        };
        connect().map_err(|e| format!("{} cannot be used: {e}", self.path.display()))
    }

    /// The version that was found; a newer file is left alone.
    fn migrate(&self, db: &mut Connection) -> rusqlite::Result<usize> {
        let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found: u32 = change.query_row("PRAGMA user_version", [], |r| r.get(0))?;
        let found = found as usize;
        for (done, migration) in self.migrations.iter().enumerate().skip(found) {
            change.execute_batch(migration)?;
            change.pragma_update(None, "user_version", u32::try_from(done).unwrap_or(0) + 1)?;
        }
        change.commit()?;
        Ok(found)
    }
}

/// A connection and the line before it: whoever waits needs no thread.
#[derive(Clone)]
pub(crate) struct Line {
    db: Arc<Mutex<Connection>>,
    turn: Arc<Semaphore>,
}

impl Line {
    pub fn new(db: Connection) -> Self {
        Self { db: Arc::new(Mutex::new(db)), turn: Arc::new(Semaphore::new(1)) }
    }

    pub fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Read<T> {
        let Self { db, turn } = self.clone();
        Box::pin(async move {
            let unavailable = |e: &dyn std::fmt::Display| StoreError::Unavailable(e.to_string());
            let turn = turn.acquire_owned().await.map_err(|e| unavailable(&e))?;
            // The turn goes along: whoever stops waiting for the answer does not stop the question.
            let asked = tokio::task::spawn_blocking(move || {
                let answer = ask(&mut db.lock().unwrap_or_else(PoisonError::into_inner));
                drop(turn);
                answer
            });
            asked.await.map_err(|e| unavailable(&e))?.map_err(|e| error(&e))
        })
    }
}

fn error(e: &rusqlite::Error) -> StoreError {
    match e.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged(e.to_string()),
        _ => StoreError::Unavailable(e.to_string()),
    }
}
