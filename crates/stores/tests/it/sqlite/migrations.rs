//! Databases written by earlier versions.

use rusqlite::{Connection, params};
use tempfile::TempDir;
use tutti_engine::ports::store::{ListRuns, ListTurns, Store};
use tutti_engine::run::{Owner, RunNo, Time};
use tutti_engine::session::SessionNo;
use tutti_stores::sqlite::SqliteStore;

type Old = (i64, Option<&'static str>, Option<i64>, u8, Option<i64>);

/// Runs of version 1: number, session, parent, status, end.
const RUNS: [Old; 7] = [
    (1, None, None, 3, Some(110)),
    (2, Some("s"), None, 3, Some(230)),
    (3, Some("s"), Some(2), 3, Some(220)),
    (4, Some("s"), None, 4, Some(240)),
    (5, Some("s"), None, 3, Some(225)),
    (6, Some("t"), None, 1, None),
    (7, Some("s"), None, 2, None),
];

#[tokio::test]
async fn sessions_of_version_1_become_logs() {
    let dir = TempDir::new().unwrap();
    let db = Connection::open(dir.path().join("tutti.db")).unwrap();
    db.execute_batch(include_str!("../../../src/sqlite/migrations/1.sql")).unwrap();
    db.execute_batch("INSERT INTO owners VALUES(1, 'default', 'local'); INSERT INTO names VALUES(1, 'noop');").unwrap();
    for (run, session, parent, status, ended) in RUNS {
        let id = uuid::Uuid::from_u128(run as u128);
        db.execute(
            "INSERT INTO runs(run, id, workflow, version, owner, status, priority, ended_at, parent, session, epoch)
             VALUES(?1, ?2, 1, 1, 1, ?3, 5, ?4, ?5, ?6, 1)",
            params![run, id, status, ended, parent, session],
        )
        .unwrap();
        db.execute("INSERT INTO journal VALUES(?1, ?1, 1, 1, 0, 1, ?2, x'')", [run, 100 * run]).unwrap();
    }
    db.pragma_update(None, "user_version", 1).unwrap();
    drop(db);

    let store = SqliteStore::open(dir.path()).unwrap();
    let s = store.session(Owner::local(), "s".into()).await.unwrap().unwrap();
    assert_eq!((s.no, s.head, s.created_at, s.updated_at), (SessionNo(2), 2, Time(200), Time(240)));
    let t = store.session(Owner::local(), "t".into()).await.unwrap().unwrap();
    assert_eq!((t.no, t.head, t.created_at, t.updated_at), (SessionNo(6), 0, Time(600), Time(600)));
    let all = ListTurns { session: s.no, from: 1, to: 9, voids: true, limit: 9 };
    let turns: Vec<_> = store.turns(all).await.unwrap().iter().map(|t| (t.n, t.run.0)).collect();
    assert_eq!(turns, [(2, 2), (1, 5)], "in the order in which they ended; children and failures add none");
    let open: Vec<_> = store.session_runs(None, RunNo(0), 9).await.unwrap().iter().map(|r| r.run.0).collect();
    assert_eq!(open, [6, 7]);
    assert_eq!(store.list(ListRuns { limit: 9, ..ListRuns::default() }).await.unwrap().len(), RUNS.len());
    assert_eq!(store.stats().await.unwrap().schema, 4);
}
