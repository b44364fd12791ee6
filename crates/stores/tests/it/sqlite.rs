//! SQLite: the port's suite, and what only a file can do wrong.

mod disk;
mod migrations;
mod sessions;

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tutti_engine::conformance::store;
use tutti_engine::ports::store::{Append, Birth, Fence, Receipt, Refusal, Stand, Store, StoreError, Transition};
use tutti_engine::run::{RunId, RunNo, Status, Time};
use tutti_stores::sqlite::{OpenError, SqliteStore};

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

#[tokio::test]
async fn sqlite_keeps_the_contract_when_reopened() {
    store::run_reopening(|| {
        let dir = TempDir::new().unwrap();
        Box::new(move || Arc::new(SqliteStore::open(dir.path()).unwrap()))
    })
    .await;
}

/// The writer calls `done`: it must not wait for itself to end.
#[tokio::test]
async fn the_last_handle_may_go_in_a_done() {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(SqliteStore::open(dir.path()).unwrap());
    let (last, (tell, told)) = (Arc::clone(&store), channel());
    let (go, wait) = channel::<()>();
    let done = move |receipts| {
        wait.recv().unwrap();
        drop(last);
        tell.send(receipts).unwrap();
    };
    store.submit(vec![birth(1, b"body")], Box::new(done));
    drop(store);
    go.send(()).unwrap();
    assert_eq!(told.recv().unwrap(), [Receipt::Committed]);
}

/// The first row of a running run.
fn birth(run: i64, body: &[u8]) -> Transition {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&run.to_be_bytes());
    let birth = Birth::new(RunId::new(Time(1_000), random), "noop");
    let append = Append {
        run: RunNo(run),
        fence: Fence::Birth(Box::new(birth)),
        first: 1,
        last: 3,
        epoch: 1,
        at: Time(1_000),
        body: body.to_vec().into(),
        stand: Some(Stand { status: Status::Running, due_at: None, ended_at: None }),
        blobs: Vec::new(),
    };
    Transition { appends: vec![append], ..Transition::default() }
}

fn submit(store: &SqliteStore, batch: Vec<Transition>) -> Receiver<Vec<Receipt>> {
    let (tell, told) = channel();
    store.submit(batch, Box::new(move |receipts| tell.send(receipts).unwrap()));
    told
}

fn open_fails(dir: &Path) -> OpenError {
    let error = SqliteStore::open(dir).err().expect("must not open");
    let line = error.to_string();
    assert!(line.contains(&format!("{dir:?}")) && !line.contains('\n'), "not a line for a person: {line}");
    error
}

#[tokio::test]
async fn what_was_receipted_is_there_after_reopening() {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    for run in 1..=20 {
        let receipts = submit(&store, vec![birth(run, b"body")]).recv().unwrap();
        assert_eq!(receipts, [Receipt::Committed]);
    }
    let (run, journal) = (store.run(RunNo(20)).await.unwrap(), store.journal(RunNo(20), 0, 9).await.unwrap());
    drop(store);
    let store = SqliteStore::open(dir.path()).unwrap();
    assert_eq!(store.next_run().await.unwrap(), RunNo(21));
    assert_eq!(store.run(RunNo(20)).await.unwrap(), run);
    assert_eq!(store.journal(RunNo(20), 0, 9).await.unwrap(), journal);
    let receipts = submit(&store, vec![birth(20, b"again"), birth(21, b"")]).recv().unwrap();
    assert_eq!(receipts, [Receipt::Refused(Refusal::Fenced { run: RunNo(20) }), Receipt::Committed]);
}

/// A process that dies leaves the file and its log as they are at that moment.
#[tokio::test]
async fn a_receipt_survives_the_process() {
    let (dir, copy) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let store = SqliteStore::open(dir.path()).unwrap();
    for run in 1..=5 {
        assert_eq!(submit(&store, vec![birth(run, b"body")]).recv().unwrap(), [Receipt::Committed]);
    }
    for file in ["tutti.db", "tutti.db-wal"] {
        std::fs::copy(dir.path().join(file), copy.path().join(file)).unwrap();
    }
    let survivor = SqliteStore::open(copy.path()).unwrap();
    assert_eq!(survivor.next_run().await.unwrap(), RunNo(6));
    assert_eq!(survivor.journal(RunNo(5), 0, 9).await.unwrap(), store.journal(RunNo(5), 0, 9).await.unwrap());
}

#[tokio::test]
async fn closing_writes_what_was_submitted() {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    let told: Vec<_> = (1..=50).map(|run| submit(&store, vec![birth(run, b"body")])).collect();
    store.close();
    for told in told {
        assert_eq!(told.recv().unwrap(), [Receipt::Committed]);
    }
    let after = submit(&store, vec![birth(51, b""), birth(52, b"")]).recv().unwrap();
    let closed = Receipt::Failed(StoreError::Unavailable("the store is closed".into()));
    assert_eq!(after, [closed.clone(), closed]);
    assert!(matches!(store.probe().await, Err(StoreError::Unavailable(_))));
    drop(store);
    assert_eq!(SqliteStore::open(dir.path()).unwrap().next_run().await.unwrap(), RunNo(51));
}

#[test]
fn many_threads_get_one_receipt_each() {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    let (tell, told) = channel();
    std::thread::scope(|scope| {
        for run in 1..=64 {
            let (tell, store) = (tell.clone(), &store);
            scope.spawn(move || {
                let tell = move |receipts| tell.send((run, receipts)).unwrap();
                // Every number is wanted twice: by this thread and by its neighbour.
                store.submit(vec![birth(run, b"mine"), birth(run % 64 + 1, b"theirs")], Box::new(tell));
            });
        }
    });
    drop(tell);
    // Ends when the last `done` was called or dropped.
    let mut receipts: Vec<(i64, Vec<Receipt>)> = told.iter().collect();
    receipts.sort_by_key(|(run, _)| *run);
    assert_eq!(receipts.iter().map(|(run, _)| *run).collect::<Vec<_>>(), (1..=64).collect::<Vec<_>>());
    let committed = receipts.iter().flat_map(|(_, r)| r).filter(|r| **r == Receipt::Committed).count();
    assert_eq!((committed, receipts.iter().map(|(_, r)| r.len()).sum::<usize>()), (64, 128));
}
