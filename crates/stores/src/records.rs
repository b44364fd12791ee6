//! Records on SQLite, in a file of their own beside the runs: what is registered is written seldom and read often, and never
//! waits for the writer of journals.

use crate::line::{self, Line};
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use std::path::Path;
use tutti_engine::ports::records::{Expect, Put, Record, Records};
use tutti_engine::ports::store::Read;
use tutti_engine::run::Time;

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

impl SqliteRecords {
    /// Opens `records.db` in the data directory, and makes it where it is not there yet.
    ///
    /// # Errors
    /// In words: the file cannot be used, or is from a newer version.
    pub fn open(dir: &Path) -> Result<Self, String> {
        let file = line::File { path: dir.join("records.db"), migrations: &[TABLE] };
        let writer = file.open()?;
        let reader = file.connect()?;
        Ok(Self { writer: Line::new(writer), reader: Line::new(reader) })
    }
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
