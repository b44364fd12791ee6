//! Records on SQLite, in a file of their own beside the runs: what is registered is written seldom and read often, and never
//! waits for the writer of journals.

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, TransactionBehavior, params};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tutti_engine::ports::records::{Expect, Put, Record, Records};
use tutti_engine::ports::store::{Read, StoreError};
use tutti_engine::run::Time;

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(5);
/// `PRAGMA user_version` of the file.
const SCHEMA: u32 = 1;
/// A record that was deleted stays as a row without a body, so that its name goes on counting.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS records(
    kind TEXT NOT NULL, tenant TEXT NOT NULL, name TEXT NOT NULL,
    version INTEGER NOT NULL, at INTEGER NOT NULL, body BLOB,
    PRIMARY KEY(kind, tenant, name)) WITHOUT ROWID;";
const COLUMNS: &str = "kind, tenant, name, body, at, version";

/// See the module.
pub struct SqliteRecords {
    writer: Line,
    reader: Line,
}

/// A connection and the line before it: whoever waits needs no thread.
#[derive(Clone)]
struct Line {
    db: Arc<Mutex<Connection>>,
    turn: Arc<Semaphore>,
}

impl Line {
    fn new(db: Connection) -> Self {
        Self { db: Arc::new(Mutex::new(db)), turn: Arc::new(Semaphore::new(1)) }
    }

    fn ask<T: Send + 'static>(
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

impl SqliteRecords {
    /// Opens `records.db` in the data directory, and makes it where it is not there yet.
    ///
    /// # Errors
    /// In words: the file cannot be used, or is from a newer version.
    pub fn open(dir: &Path) -> Result<Self, String> {
        let file = dir.join("records.db");
        let said = |e: &dyn std::fmt::Display| format!("{} cannot be used: {e}", file.display());
        std::fs::create_dir_all(dir).map_err(|e| said(&e))?;
        let connect = || -> rusqlite::Result<Connection> {
            let db = Connection::open(&file)?;
            db.busy_timeout(BUSY)?;
            db.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))?;
            // A write is on disk before anybody hears of it.
            db.execute_batch("PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-2000;")?;
            Ok(db)
        };
        let mut writer = connect().map_err(|e| said(&e))?;
        match migrate(&mut writer).map_err(|e| said(&e))? {
            found if found > SCHEMA => {
                let newer = format!("it was written by a newer version (schema {found}, this program knows {SCHEMA})");
                return Err(said(&newer));
            }
            _ => {}
        }
        let reader = connect().map_err(|e| said(&e))?;
        Ok(Self { writer: Line::new(writer), reader: Line::new(reader) })
    }
}

/// The version that was found; a newer file is left alone.
fn migrate(db: &mut Connection) -> rusqlite::Result<u32> {
    let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: u32 = change.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    if found < SCHEMA {
        change.execute_batch(TABLE)?;
        change.pragma_update(None, "user_version", SCHEMA)?;
    }
    change.commit()?;
    Ok(found)
}

fn record(r: &Row<'_>) -> rusqlite::Result<Record> {
    let body: Vec<u8> = r.get(3)?;
    Ok(Record {
        kind: r.get(0)?,
        tenant: r.get(1)?,
        name: r.get(2)?,
        body: body.into(),
        at: Time(r.get(4)?),
        version: r.get::<_, i64>(5)?.unsigned_abs(),
    })
}

/// The last number of a name, and whether its record is there.
fn stands(db: &Connection, kind: &str, tenant: &str, name: &str) -> rusqlite::Result<Option<(i64, bool)>> {
    let select = "SELECT version, body IS NOT NULL FROM records WHERE kind = ?1 AND tenant = ?2 AND name = ?3";
    let mut select = db.prepare_cached(select)?;
    select.query_row([kind, tenant, name], |r| Ok((r.get(0)?, r.get(1)?))).optional()
}

/// The version of a record that is there.
fn version(stands: Option<(i64, bool)>) -> Option<u64> {
    stands.filter(|(_, is_there)| *is_there).map(|(version, _)| version.unsigned_abs())
}

impl Records for SqliteRecords {
    fn get(&self, kind: &str, tenant: &str, name: &str) -> Read<Option<Record>> {
        let key = [kind, tenant, name].map(String::from);
        self.reader.ask(move |db| {
            let select = format!(
                "SELECT {COLUMNS} FROM records WHERE kind = ?1 AND tenant = ?2 AND name = ?3 AND body IS NOT NULL"
            );
            db.prepare_cached(&select)?.query_row(key, record).optional()
        })
    }

    fn put(&self, wanted: Record, expect: Expect) -> Read<Put> {
        self.writer.ask(move |db| {
            let Record { kind, tenant, name, body, at, .. } = wanted;
            let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let found = stands(&change, &kind, &tenant, &name)?;
            if !expect.is_met(version(found)) {
                return Ok(Put::Conflict(version(found)));
            }
            let next = found.map_or(0, |(last, _)| last) + 1;
            let write =
                "INSERT OR REPLACE INTO records(kind, tenant, name, version, at, body) VALUES(?1, ?2, ?3, ?4, ?5, ?6)";
            change.prepare_cached(write)?.execute(params![kind, tenant, name, next, at.0, body.as_ref()])?;
            change.commit()?;
            Ok(Put::Written(next.unsigned_abs()))
        })
    }

    fn delete(&self, kind: &str, tenant: &str, name: &str, expect: Expect) -> Read<bool> {
        let [kind, tenant, name] = [kind, tenant, name].map(String::from);
        self.writer.ask(move |db| {
            let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let found = version(stands(&change, &kind, &tenant, &name)?);
            if found.is_none() || !expect.is_met(found) {
                return Ok(false);
            }
            let bury = "UPDATE records SET body = NULL WHERE kind = ?1 AND tenant = ?2 AND name = ?3";
            change.prepare_cached(bury)?.execute([kind, tenant, name])?;
            change.commit()?;
            Ok(true)
        })
    }

    fn list(&self, kind: &str, tenant: &str, after_name: Option<String>, limit: u32) -> Read<Vec<Record>> {
        let [kind, tenant] = [kind, tenant].map(String::from);
        self.reader.ask(move |db| {
            let select = format!(
                "SELECT {COLUMNS} FROM records WHERE kind = ?1 AND tenant = ?2 AND (?3 IS NULL OR name > ?3)
                AND body IS NOT NULL ORDER BY name LIMIT ?4"
            );
            let mut select = db.prepare_cached(&select)?;
            select.query_map(params![kind, tenant, after_name, limit], record)?.collect()
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn what_is_no_database_or_newer_is_refused_and_left_alone() {
        let dir = TempDir::new().unwrap();
        let refused = || SqliteRecords::open(dir.path()).err().unwrap();
        let file = dir.path().join("records.db");
        let text = "shopping list: tea, biscuits\n".repeat(500);
        std::fs::write(&file, &text).unwrap();
        assert!(refused().contains("records.db cannot be used"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        std::fs::remove_file(&file).unwrap();
        drop(SqliteRecords::open(dir.path()).unwrap());
        let db = Connection::open(&file).unwrap();
        db.pragma_update(None, "user_version", 99).unwrap();
        assert!(refused().contains("newer version (schema 99"));
        let version: u32 = db.query_row("PRAGMA user_version", [], |r| r.get(0)).unwrap();
        assert_eq!(version, 99);
    }
}
