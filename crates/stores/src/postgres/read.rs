//! Questions, on connections that only read.

use crate::postgres::db::error;
use bytes::Bytes;
use deadpool_postgres::Pool;
use futures_util::future::join3;
use std::collections::BTreeMap;
use tokio_postgres::Row as SqlRow;
use tokio_postgres::types::ToSql;
use tutti_engine::ports::share::Loaded;
use tutti_engine::ports::store::{InboxItem, ListRuns, OpenRun, Row, RunRow, StoreError};
use tutti_engine::run::{Owner, RunId, RunNo, Status, Time};

/// A run's own row; $1 is this worker.
macro_rules! run {
    ($rest:literal) => {
        concat!(
            r#"SELECT runs.run, runs.id, names.text, version, tenant, "user", priority, parent, session, status, due_at, ended_at,
            (status = 1 AND worker IS DISTINCT FROM $1::bigint
              AND EXISTS (SELECT 1 FROM workers AS w WHERE w.worker = runs.worker AND w.lease_until > clock_timestamp()))
            FROM runs JOIN names ON names.name = runs.workflow JOIN owners USING (owner) WHERE "#,
            $rest
        )
    };
}

pub(super) const RUN: &str = run!("run = $2");
pub(super) const RUNS: &str = run!("run = ANY($2)");
pub(super) const INBOXES: &str =
    "SELECT run, dedup, kind, body FROM inbox WHERE run = ANY($1) AND NOT taken ORDER BY n";
pub(super) const JOURNALS: &str =
    "SELECT seq, last, prev, epoch, at, body, run FROM journal WHERE run = ANY($1) ORDER BY run, seq";
pub(super) const RUN_BY_ID: &str = run!("id = $2");
pub(super) const SESSION_RUNS: &str = run!(
    "session_no IS NOT NULL AND status < 3 AND ($2::bigint IS NULL OR session_no = $2) AND run > $3 ORDER BY run LIMIT $4"
);
const SOME: &str = run!("");

/// Rows are found by their first entry: the row that holds `after + 1` may begin before it.
pub(super) const JOURNAL: &str = "SELECT seq, last, prev, epoch, at, body FROM journal WHERE run = $1 AND last > $2::bigint
    AND seq >= coalesce((SELECT seq FROM journal WHERE run = $1 AND seq <= $2::bigint + 1 ORDER BY seq DESC LIMIT 1), 0) ORDER BY seq LIMIT $3";
pub(super) const BLOBS: &str = "SELECT hash, body FROM blobs WHERE hash = ANY($1)";
pub(super) const INBOX: &str = "SELECT run, dedup, kind, body FROM inbox WHERE run = $1 AND NOT taken ORDER BY n";
/// Messages of running runs of this worker: somebody who could not reach it put them there.
pub(super) const MAIL: &str =
    "SELECT inbox.run, dedup, kind, body FROM runs JOIN inbox ON inbox.run = runs.run AND NOT inbox.taken
    WHERE runs.status = 1 AND runs.worker = $1 ORDER BY n LIMIT $2";
pub(super) const OPEN: &str = "SELECT run, id, status, priority, due_at FROM runs
    WHERE (status IN (0, 1) OR (status = 2 AND due_at <= $1)) AND status <> 3 AND run > $2 ORDER BY run LIMIT $3";
pub(super) const NEXT_DUE: &str =
    "SELECT due_at FROM runs WHERE due_at > $1 AND due_at IS NOT NULL AND status IN (0, 2) ORDER BY due_at LIMIT 1";
pub(super) const NEXT_RUN: &str = "SELECT greatest(coalesce((SELECT max(run) FROM runs), 0) + 1, coalesce((SELECT value FROM meta WHERE key = 'next_run'), 1))";
pub(super) const BORN_WITH: &str =
    "SELECT once.run, runs.id, once.body FROM once JOIN runs USING (run) WHERE scope = $1";
/// Counts what is open exactly; the completed are all others.
pub(super) const COUNTS: &str = "SELECT status, count(*) FROM runs GROUP BY status";
/// Ids rise with time.
pub(super) const OLDEST: &str = "SELECT id FROM runs ORDER BY id LIMIT 1";
pub(super) const SIZE: &str = "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint, current_setting('server_version')
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'S')";

pub(super) fn run_row(r: &SqlRow) -> RunRow {
    RunRow {
        run: RunNo(r.get(0)),
        id: RunId(r.get(1)),
        workflow: r.get(2),
        version: r.get::<_, i32>(3).cast_unsigned(),
        owner: Owner { tenant: r.get(4), user: r.get(5) },
        priority: u8::try_from(r.get::<_, i16>(6)).unwrap_or_default(),
        parent: r.get::<_, Option<i64>>(7).map(RunNo),
        session: r.get(8),
        status: status(r.get(9)),
        due_at: r.get::<_, Option<i64>>(10).map(Time),
        ended_at: r.get::<_, Option<i64>>(11).map(Time),
        is_elsewhere: r.get(12),
    }
}

/// A code that nobody wrote needs a person.
pub(super) fn status(code: i16) -> Status {
    u8::try_from(code).ok().and_then(Status::from_code).unwrap_or(Status::Blocked)
}

pub(super) fn journal_row(r: &SqlRow) -> Row {
    let entry = |at: usize| u32::try_from(r.get::<_, i64>(at)).unwrap_or_default();
    Row {
        first: entry(0),
        last: entry(1),
        prev: entry(2),
        epoch: r.get::<_, i32>(3).cast_unsigned(),
        at: Time(r.get(4)),
        body: Bytes::copy_from_slice(r.get(5)),
    }
}

pub(super) fn message(r: &SqlRow) -> InboxItem {
    InboxItem {
        run: RunNo(r.get(0)),
        dedup: r.get(1),
        kind: u8::try_from(r.get::<_, i16>(2)).unwrap_or_default(),
        body: Bytes::copy_from_slice(r.get(3)),
    }
}

pub(super) fn open_run(r: &SqlRow) -> OpenRun {
    OpenRun {
        run: RunNo(r.get(0)),
        id: RunId(r.get(1)),
        status: status(r.get(2)),
        priority: u8::try_from(r.get::<_, i16>(3)).unwrap_or_default(),
        due_at: r.get::<_, Option<i64>>(4).map(Time),
    }
}

/// Asks one question.
pub(super) async fn ask(
    pool: &Pool,
    sql: &'static str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<SqlRow>, StoreError> {
    let db = pool.get().await.map_err(|e| unavailable(&e))?;
    let statement = db.prepare_cached(sql).await.map_err(|e| error(&e))?;
    db.query(&statement, params).await.map_err(|e| error(&e))
}

/// Runs with their messages and journals, by three questions in one round trip.
pub(super) async fn load(pool: &Pool, me: i64, runs: Vec<i64>) -> Result<Vec<Loaded>, StoreError> {
    let db = pool.get().await.map_err(|e| unavailable(&e))?;
    let mut statements = Vec::new();
    for sql in [RUNS, INBOXES, JOURNALS] {
        statements.push(db.prepare_cached(sql).await.map_err(|e| error(&e))?);
    }
    let (mine, others): ([&(dyn ToSql + Sync); 2], [&(dyn ToSql + Sync); 1]) = ([&me, &runs], [&runs]);
    let asked =
        join3(db.query(&statements[0], &mine), db.query(&statements[1], &others), db.query(&statements[2], &others));
    let (rows, messages, journals) = asked.await;
    let mut found: BTreeMap<i64, Loaded> = BTreeMap::new();
    for row in rows.map_err(|e| error(&e))? {
        let row = run_row(&row);
        found.insert(row.run.0, Loaded { row, inbox: Vec::new(), rows: Vec::new() });
    }
    for item in messages.map_err(|e| error(&e))?.iter().map(message) {
        if let Some(loaded) = found.get_mut(&item.run.0) {
            loaded.inbox.push(item);
        }
    }
    for row in journals.map_err(|e| error(&e))? {
        if let Some(loaded) = found.get_mut(&row.get::<_, i64>(6)) {
            loaded.rows.push(journal_row(&row));
        }
    }
    Ok(found.into_values().collect())
}

pub(super) fn unavailable(e: &deadpool_postgres::PoolError) -> StoreError {
    match e {
        deadpool_postgres::PoolError::Backend(e) => error(e),
        deadpool_postgres::PoolError::Timeout(_) => {
            StoreError::Unavailable("PostgreSQL: no connection became free in time".into())
        }
        e => StoreError::Unavailable(format!("PostgreSQL: {e}")),
    }
}

/// The question's text and values. Newest first is by id: numbers of several processes do not rise with time.
fn list_sql(me: i64, query: &ListRuns) -> (String, Vec<Box<dyn ToSql + Sync + Send>>) {
    let mut values: Vec<Box<dyn ToSql + Sync + Send>> = vec![Box::new(me)];
    let mut sql = String::from(SOME);
    let mut order = "runs.id";
    let mut conditions: Vec<String> = Vec::new();
    let mut value = |of: Box<dyn ToSql + Sync + Send>| {
        values.push(of);
        format!("${}", values.len())
    };
    let before = query.before.map(|before| value(Box::new(before.0)));
    for (n, label) in query.labels.iter().enumerate() {
        let (name, text) = (value(Box::new(label.name.to_string())), value(Box::new(label.value.clone())));
        let is = format!("name = (SELECT name FROM names WHERE text = {name}) AND l.value = {text}");
        if n == 0 {
            // The first leads, newest first; the others are looked up run by run.
            sql = sql.replacen("FROM runs", "FROM labels AS l JOIN runs ON runs.run = l.run", 1);
            conditions.push(format!("l.{is}"));
            order = "l.id";
        } else {
            conditions.push(format!("EXISTS (SELECT 1 FROM labels AS l WHERE l.run = runs.run AND l.{is})"));
        }
    }
    if let Some(before) = before {
        // The page before may have ended with a run that has left since.
        conditions.push(format!(
            "{order} < coalesce((SELECT b.id FROM runs AS b WHERE b.run = {before}),
              (SELECT b.id FROM runs AS b WHERE b.run > {before} ORDER BY b.run LIMIT 1), 'ffffffff-ffff-ffff-ffff-ffffffffffff')"
        ));
    }
    match (&query.tenant, &query.user) {
        (Some(tenant), Some(user)) => {
            let (tenant, user) = (value(Box::new(tenant.clone())), value(Box::new(user.clone())));
            conditions.push(format!(
                r#"runs.owner = (SELECT o.owner FROM owners AS o WHERE o.tenant = {tenant} AND o."user" = {user})"#
            ));
        }
        (Some(tenant), None) => conditions.push(format!("tenant = {}", value(Box::new(tenant.clone())))),
        (None, Some(user)) => conditions.push(format!(r#""user" = {}"#, value(Box::new(user.clone())))),
        (None, None) => {}
    }
    if let Some(workflow) = &query.workflow {
        let text = value(Box::new(workflow.clone()));
        conditions.push(format!("workflow = (SELECT name FROM names WHERE text = {text})"));
    }
    match query.status {
        Some(Status::Completed) => conditions.push("status = 3".into()),
        Some(status) => conditions.push(format!("status = {} AND status <> 3", status.code())),
        None => {}
    }
    if query.asking {
        conditions.push("asks > 0".into());
    }
    if conditions.is_empty() {
        conditions.push("true".into());
    }
    let limit = value(Box::new(i64::from(query.limit)));
    sql.push_str(&format!("{} ORDER BY {order} DESC LIMIT {limit}", conditions.join(" AND ")));
    (sql, values)
}

pub(super) async fn list(pool: &Pool, me: i64, query: &ListRuns) -> Result<Vec<RunRow>, StoreError> {
    let (sql, values) = list_sql(me, query);
    let db = pool.get().await.map_err(|e| unavailable(&e))?;
    let statement = db.prepare_cached(&sql).await.map_err(|e| error(&e))?;
    let params: Vec<&(dyn ToSql + Sync)> = values.iter().map(|v| v.as_ref() as &(dyn ToSql + Sync)).collect();
    let rows = db.query(&statement, &params).await.map_err(|e| error(&e))?;
    Ok(rows.iter().map(run_row).collect())
}
