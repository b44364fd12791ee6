//! Questions, one function each, on connections that only read.

use crate::sqlite::open;
use crate::sqlite::transaction::error;
use bytes::Bytes;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Result, Row as SqlRow, params, params_from_iter};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
#[cfg(test)]
use tutti_engine::ports::store::Label;
use tutti_engine::ports::store::{InboxItem, ListRuns, OpenRun, Row, RunRow, StoreError, StoreStats};
use tutti_engine::run::{Owner, RunId, RunNo, Status, Time};

/// Questions answered at once; the others wait without a thread and without a file handle.
const READERS_MAX: usize = 4;

/// Connections for reading, opened when needed.
pub(super) struct Readers {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
    free: Arc<Semaphore>,
}

impl Readers {
    pub fn new(file: PathBuf) -> Self {
        Self { file, idle: Mutex::new(Vec::new()), free: Arc::new(Semaphore::new(READERS_MAX)) }
    }

    /// Asks one question, when its turn has come.
    pub async fn ask<T: Send + 'static>(
        self: Arc<Self>,
        ask: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let unavailable = |e: &dyn std::fmt::Display| StoreError::Unavailable(e.to_string());
        let turn = Arc::clone(&self.free).acquire_owned().await.map_err(|e| unavailable(&e))?;
        // The turn goes along: whoever stops waiting for the answer does not stop the question.
        let asked = tokio::task::spawn_blocking(move || {
            let answer = self.with(ask);
            drop(turn);
            answer
        });
        asked.await.map_err(|e| unavailable(&e))?
    }

    /// A connection that failed is not used again.
    fn with<T>(&self, ask: impl FnOnce(&Connection) -> Result<T>) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let db = idle.map_or_else(|| open::reader(&self.file), Ok).map_err(|e| error(&e))?;
        let answer = ask(&db).map_err(|e| error(&e))?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(db);
        Ok(answer)
    }
}

/// `CROSS` keeps SQLite from starting at the other end.
pub(super) const RUN: &str =
    "SELECT runs.run, id, names.text, version, tenant, user, priority, parent, session, status, due_at, ended_at
    FROM runs CROSS JOIN names ON names.name = runs.workflow CROSS JOIN owners USING(owner) WHERE ";

pub(super) fn run_row(r: &SqlRow<'_>) -> Result<RunRow> {
    Ok(RunRow {
        run: RunNo(r.get(0)?),
        id: RunId(r.get(1)?),
        workflow: r.get(2)?,
        version: r.get(3)?,
        owner: Owner { tenant: r.get(4)?, user: r.get(5)? },
        priority: r.get(6)?,
        parent: r.get::<_, Option<i64>>(7)?.map(RunNo),
        session: r.get(8)?,
        status: status(r.get(9)?)?,
        due_at: r.get::<_, Option<i64>>(10)?.map(Time),
        ended_at: r.get::<_, Option<i64>>(11)?.map(Time),
        is_elsewhere: false,
    })
}

fn status(code: u8) -> Result<Status> {
    Status::from_code(code).ok_or(rusqlite::Error::IntegralValueOutOfRange(0, code.into()))
}

pub(super) fn next_run(db: &Connection) -> Result<RunNo> {
    let sql = "SELECT max(coalesce((SELECT max(run) FROM runs), 0) + 1, coalesce((SELECT value FROM meta WHERE key = 'next_run'), 1))";
    db.prepare_cached(sql)?.query_row([], |r| Ok(RunNo(r.get(0)?)))
}

pub(super) fn run_by_id(db: &Connection, id: RunId) -> Result<Option<RunRow>> {
    db.prepare_cached(&format!("{RUN} id = ?1"))?.query_row([id.0], run_row).optional()
}

pub(super) fn run(db: &Connection, run: RunNo) -> Result<Option<RunRow>> {
    db.prepare_cached(&format!("{RUN} run = ?1"))?.query_row([run.0], run_row).optional()
}

/// `once.body` and the run it led to.
pub(super) fn born_with(db: &Connection, scope: [u8; 16]) -> Result<Option<(RunNo, RunId, [u8; 16])>> {
    db.prepare_cached("SELECT once.run, runs.id, once.body FROM once JOIN runs USING(run) WHERE scope = ?1")?
        .query_row([scope.as_slice()], |r| Ok((RunNo(r.get(0)?), RunId(r.get(1)?), r.get(2)?)))
        .optional()
}

/// Rows are found by their first entry: the row that holds `after + 1` may begin before it.
pub(super) fn journal(db: &Connection, run: RunNo, after: u32, rows_max: u32) -> Result<Vec<Row>> {
    let sql = "SELECT seq, last, prev, epoch, at, body FROM journal WHERE run = ?1 AND last > ?2
        AND seq >= coalesce((SELECT max(seq) FROM journal WHERE run = ?1 AND seq <= ?2 + 1), 0) ORDER BY seq LIMIT ?3";
    db.prepare_cached(sql)?
        .query_map(params![run.0, after, rows_max], |r| {
            Ok(Row {
                first: r.get(0)?,
                last: r.get(1)?,
                prev: r.get(2)?,
                epoch: r.get(3)?,
                at: Time(r.get(4)?),
                body: Bytes::from(r.get::<_, Vec<u8>>(5)?),
            })
        })?
        .collect()
}

pub(super) fn blob(db: &Connection, hash: &[u8; 32]) -> Result<Option<Bytes>> {
    db.prepare_cached("SELECT body FROM blobs WHERE hash = ?1")?
        .query_row([hash.as_slice()], |r| Ok(Bytes::from(r.get::<_, Vec<u8>>(0)?)))
        .optional()
}

pub(super) fn inbox(db: &Connection, run: RunNo) -> Result<Vec<InboxItem>> {
    db.prepare_cached("SELECT dedup, kind, body FROM inbox WHERE run = ?1 AND taken = 0 ORDER BY n")?
        .query_map([run.0], |r| {
            Ok(InboxItem { run, dedup: r.get(0)?, kind: r.get(1)?, body: Bytes::from(r.get::<_, Vec<u8>>(2)?) })
        })?
        .collect()
}

/// `status <> 3` lets SQLite use the index that leaves the completed out.
const OPEN_RUNS: &str = "SELECT run, id, status, priority, due_at FROM runs WHERE status = 0 AND status <> 3 AND run > ?2
    UNION ALL SELECT run, id, status, priority, due_at FROM runs WHERE status = 1 AND status <> 3 AND run > ?2
    UNION ALL SELECT run, id, status, priority, due_at FROM runs INDEXED BY runs_due WHERE status = 2 AND due_at <= ?1 AND run > ?2
    ORDER BY run LIMIT ?3";

pub(super) fn open_runs(db: &Connection, now: Time, after: RunNo, limit: u32) -> Result<Vec<OpenRun>> {
    db.prepare_cached(OPEN_RUNS)?
        .query_map(params![now.0, after.0, limit], |r| {
            Ok(OpenRun {
                run: RunNo(r.get(0)?),
                id: RunId(r.get(1)?),
                status: status(r.get(2)?)?,
                priority: r.get(3)?,
                due_at: r.get::<_, Option<i64>>(4)?.map(Time),
            })
        })?
        .collect()
}

const NEXT_DUE: &str =
    "SELECT due_at FROM runs INDEXED BY runs_due WHERE due_at > ?1 AND status IN (0, 2) ORDER BY due_at LIMIT 1";

pub(super) fn next_due(db: &Connection, now: Time) -> Result<Option<Time>> {
    db.prepare_cached(NEXT_DUE)?.query_row([now.0], |r| Ok(Time(r.get(0)?))).optional()
}

/// Numbers rise with time: the first that is due is the oldest.
pub(super) fn oldest_runnable(db: &Connection, now: Time) -> Result<Option<Time>> {
    let sql = "SELECT id FROM runs WHERE status = 0 AND status <> 3 AND (due_at IS NULL OR due_at <= ?1) ORDER BY run LIMIT 1";
    db.prepare_cached(sql)?.query_row([now.0], |r| Ok(RunId(r.get(0)?).born())).optional()
}

/// The question's text and values; `None` when it names a word that no run has.
fn list_sql(db: &Connection, query: &ListRuns) -> Result<Option<(String, Vec<Value>)>> {
    let before = query.before.map_or(i64::MAX, |r| r.0);
    let (mut sql, mut values) = (format!("{RUN} runs.run < ?"), vec![Value::from(before)]);
    let mut order = "runs.run";
    for (n, label) in query.labels.iter().enumerate() {
        let number = "SELECT name FROM names WHERE text = ?1";
        let name: Option<i64> = db.prepare_cached(number)?.query_row([&label.name], |r| r.get(0)).optional()?;
        let Some(name) = name else { return Ok(None) };
        if n == 0 {
            // The first leads, newest first; the others are looked up run by run.
            sql = sql.replacen("FROM runs", "FROM labels AS led CROSS JOIN runs ON runs.run = led.run", 1);
            sql.push_str(" AND led.run < ? AND led.name = ? AND led.value = ?");
            values.push(before.into());
            order = "led.run";
        } else {
            sql.push_str(
                " AND EXISTS (SELECT 1 FROM labels AS l WHERE l.run = runs.run AND l.name = ? AND l.value = ?)",
            );
        }
        values.extend([name.into(), label.value.clone().into()]);
    }
    let mut only = |condition: &str, value: Value| {
        sql.push_str(" AND ");
        sql.push_str(condition);
        values.push(value);
    };
    // Words become their numbers first: a number is looked up in an index, a joined text is not.
    match (&query.tenant, &query.user) {
        (Some(tenant), Some(user)) => {
            let number = "SELECT owner FROM owners WHERE tenant = ?1 AND user = ?2";
            let owner: Option<i64> = db.prepare_cached(number)?.query_row([tenant, user], |r| r.get(0)).optional()?;
            let Some(owner) = owner else { return Ok(None) };
            only("runs.owner = ?", owner.into());
        }
        (Some(tenant), None) => only("tenant = ?", tenant.clone().into()),
        (None, Some(user)) => only("user = ?", user.clone().into()),
        (None, None) => {}
    }
    if let Some(workflow) = &query.workflow {
        let number = "SELECT name FROM names WHERE text = ?1";
        let name: Option<i64> = db.prepare_cached(number)?.query_row([workflow], |r| r.get(0)).optional()?;
        let Some(name) = name else { return Ok(None) };
        only("workflow = ?", name.into());
    }
    match query.status {
        Some(Status::Completed) => only("status = ?", i64::from(Status::Completed.code()).into()),
        Some(status) => only("status <> 3 AND status = ?", i64::from(status.code()).into()),
        None => {}
    }
    if query.asking && query.labels.is_empty() {
        // The few that wait for a person, instead of all runs from the newest on.
        sql = sql.replacen("FROM runs", "FROM runs INDEXED BY runs_asks", 1);
    }
    if query.asking {
        sql.push_str(" AND asks > 0");
    }
    sql.push_str(&format!(" ORDER BY {order} DESC LIMIT ?"));
    values.push(i64::from(query.limit).into());
    Ok(Some((sql, values)))
}

pub(super) fn list(db: &Connection, query: &ListRuns) -> Result<Vec<RunRow>> {
    let Some((sql, values)) = list_sql(db, query)? else { return Ok(Vec::new()) };
    db.prepare_cached(&sql)?.query_map(params_from_iter(values), run_row)?.collect()
}

/// Counts the rows of the narrowest index and of the one without the completed: exact, and no table is read.
const COUNTS: &str = "SELECT status, count(*) FROM runs WHERE status <> 3 GROUP BY status
    UNION ALL SELECT 3, (SELECT count(*) FROM runs) - (SELECT count(*) FROM runs WHERE status <> 3)";

/// Runs by status.
pub(super) fn counts(db: &Connection) -> Result<[u64; 8]> {
    let mut runs = [0; 8];
    let mut counts = db.prepare_cached(COUNTS)?;
    for count in counts.query_map([], |r| Ok((r.get::<_, u8>(0)?, r.get::<_, i64>(1)?)))? {
        let (code, n) = count?;
        if let Some(slot) = runs.get_mut(usize::from(code)) {
            *slot = n.cast_unsigned();
        }
    }
    Ok(runs)
}

pub(super) fn stats(db: &Connection) -> Result<StoreStats> {
    let bytes: i64 =
        db.query_row("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()", [], |r| r.get(0))?;
    let oldest = "SELECT id FROM runs ORDER BY run LIMIT 1";
    let oldest = db.prepare_cached(oldest)?.query_row([], |r| Ok(RunId(r.get(0)?).born())).optional()?;
    let schema = db.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    Ok(StoreStats {
        name: format!("SQLite {}", rusqlite::version()),
        schema,
        bytes: bytes.cast_unsigned(),
        runs: counts(db)?,
        oldest,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::sqlite::open::open;
    use tempfile::TempDir;

    /// What SQLite would do to answer.
    fn plan(db: &Connection, sql: &str, values: impl rusqlite::Params) -> String {
        let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = plan.query_map(values, |r| r.get::<_, String>(3)).unwrap();
        steps.collect::<Result<Vec<_>>>().unwrap().join("; ")
    }

    #[test]
    fn questions_read_an_index() {
        let dir = TempDir::new().unwrap();
        let db = open(dir.path()).unwrap().writer;
        db.execute_batch("INSERT INTO owners VALUES(1, 't', 'u'); INSERT INTO names VALUES(1, 'w');").unwrap();
        let open_runs = plan(&db, OPEN_RUNS, params![0, 0, 9]);
        assert_eq!(open_runs.matches("USING INDEX runs_status (status=? AND rowid>?)").count(), 2, "{open_runs}");
        assert!(open_runs.contains("USING INDEX runs_due") && !open_runs.contains("SCAN runs"), "{open_runs}");
        let due = plan(&db, NEXT_DUE, [0]);
        assert!(due.contains("runs_due (due_at>?)") && !due.contains("TEMP B-TREE"), "{due}");
        let counts = plan(&db, COUNTS, []);
        assert_eq!(counts.matches("USING COVERING INDEX").count(), 3, "{counts}");

        let asking = ListRuns { tenant: Some("t".into()), asking: true, limit: 9, ..ListRuns::default() };
        let (sql, values) = list_sql(&db, &asking).unwrap().unwrap();
        let asking = plan(&db, &sql, params_from_iter(values));
        assert!(asking.contains("USING INDEX runs_asks (run<?)") && !asking.contains("TEMP B-TREE"), "{asking}");
        let turns = plan(&db, crate::sqlite::sessions::TURNS, params![1, 1, 9, false, 9]);
        assert!(turns.contains("runs_turn (session_no=? AND turn>? AND turn<?)") && !turns.contains("TEMP"), "{turns}");

        let mine = ListRuns { tenant: Some("t".into()), user: Some("u".into()), limit: 9, ..ListRuns::default() };
        let failed = ListRuns { status: Some(Status::Failed), limit: 9, ..ListRuns::default() };
        let labels = vec![Label::new("w", "a"), Label::new("w", "b")];
        let labelled = ListRuns { labels, tenant: Some("t".into()), limit: 9, ..ListRuns::default() };
        let by_label = "labels_value (name=? AND value=? AND run<?)";
        for (query, index) in [(mine, "runs_owner (owner=?"), (failed, "runs_status (status=?"), (labelled, by_label)] {
            let (sql, values) = list_sql(&db, &query).unwrap().unwrap();
            let plan = plan(&db, &sql, params_from_iter(values));
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{query:?}: {plan}");
        }
    }

    #[tokio::test]
    async fn few_questions_are_asked_at_once() {
        let dir = TempDir::new().unwrap();
        let opened = open(dir.path()).unwrap();
        let readers = Arc::new(Readers::new(opened.file.clone()));
        let now_and_most = Arc::new(Mutex::new((0, 0)));
        let questions = (0..200).map(|n| {
            let now_and_most = Arc::clone(&now_and_most);
            tokio::spawn(Arc::clone(&readers).ask(move |db| {
                let mut seen = now_and_most.lock().unwrap();
                *seen = (seen.0 + 1, seen.1.max(seen.0 + 1));
                drop(seen);
                let answer = db.query_row("SELECT ?1", [n], |r| r.get::<_, i64>(0));
                now_and_most.lock().unwrap().0 -= 1;
                answer
            }))
        });
        for (n, question) in questions.collect::<Vec<_>>().into_iter().enumerate() {
            assert_eq!(question.await.unwrap().unwrap(), n as i64);
        }
        let (now, most) = *now_and_most.lock().unwrap();
        assert!(now == 0 && most <= READERS_MAX && readers.idle.lock().unwrap().len() <= READERS_MAX, "{most} at once");
    }
}
