//! SQLite: the port's suite, and what only a file can do wrong.

use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tutti_engine::conformance::store;
use tutti_engine::ports::store::Store;
use tutti_stores::sqlite::SqliteStore;

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    let dirs: Mutex<Vec<TempDir>> = Mutex::default();
    let make = || -> Arc<dyn Store> {
        let dir = TempDir::new().unwrap();
        let store = SqliteStore::open(dir.path()).unwrap();
        dirs.lock().unwrap().push(dir);
        Arc::new(store)
    };
    store::run_all(make).await;
}
