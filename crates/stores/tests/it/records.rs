//! Records on SQLite: the port's suite.

use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tutti_engine::conformance::records;
use tutti_engine::ports::records::Records;
use tutti_stores::records::SqliteRecords;

#[tokio::test]
async fn records_on_sqlite_keep_the_contract() {
    let dirs: Mutex<Vec<TempDir>> = Mutex::default();
    let make = || -> Arc<dyn Records> {
        let dir = TempDir::new().unwrap();
        let records = SqliteRecords::open(dir.path()).unwrap();
        dirs.lock().unwrap().push(dir);
        Arc::new(records)
    };
    records::run_all(make).await;
}

#[tokio::test]
async fn records_on_sqlite_keep_the_contract_when_reopened() {
    records::run_reopening(|| {
        let dir = TempDir::new().unwrap();
        Box::new(move || Arc::new(SqliteRecords::open(dir.path()).unwrap()))
    })
    .await;
}
