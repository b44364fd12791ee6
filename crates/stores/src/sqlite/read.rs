//! Questions, one function each, on connections that only read.

use crate::sqlite::open;
use crate::sqlite::writer::error;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Result, Row as SqlRow, params};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use tutti_engine::ports::store::{InboxItem, ListRuns, OpenRun, Row, RunRow, StoreError, StoreStats};
use tutti_engine::run::{Owner, RunId, RunNo, Status, Time};

/// Readers kept open between questions.
const IDLE_MAX: usize = 4;

/// Connections for reading, opened when needed.
pub(super) struct Readers {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub fn new(file: PathBuf) -> Self {
        Self { file, idle: Mutex::new(Vec::new()) }
    }

    /// Asks one question. A connection that failed is not used again.
    pub fn with<T>(&self, ask: impl FnOnce(&Connection) -> Result<T>) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let db = idle.map_or_else(|| open::reader(&self.file), Ok).map_err(|e| error(&e))?;
        let answer = ask(&db).map_err(|e| error(&e))?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(db);
        }
        Ok(answer)
    }
}

const RUN: &str =
    "SELECT run, id, names.text, version, tenant, user, priority, parent, session, status, due_at, ended_at
    FROM runs JOIN names ON names.name = runs.workflow JOIN owners USING(owner) WHERE ";

fn run_row(r: &SqlRow<'_>) -> Result<RunRow> {
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

pub(super) fn open_runs(db: &Connection, now: Time, after: RunNo, limit: u32) -> Result<Vec<OpenRun>> {
    let sql = "SELECT run, id, status, priority, due_at FROM runs INDEXED BY runs_open
        WHERE status < 3 AND run > ?2 AND (status < 2 OR due_at <= ?1) ORDER BY run LIMIT ?3";
    db.prepare_cached(sql)?
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

pub(super) fn next_due(db: &Connection, now: Time) -> Result<Option<Time>> {
    let sql = "SELECT min(due_at) FROM runs INDEXED BY runs_open WHERE status < 3 AND status <> 1 AND due_at > ?1";
    db.prepare_cached(sql)?.query_row([now.0], |r| Ok(r.get::<_, Option<i64>>(0)?.map(Time)))
}

pub(super) fn list(db: &Connection, query: &ListRuns) -> Result<Vec<RunRow>> {
    let sql = format!(
        "{RUN} (?1 IS NULL OR tenant = ?1) AND (?2 IS NULL OR user = ?2) AND (?3 IS NULL OR status = ?3)
         AND (?4 IS NULL OR names.text = ?4) AND (?5 IS NULL OR run < ?5) ORDER BY run DESC LIMIT ?6"
    );
    let status = query.status.map(Status::code);
    let before = query.before.map(|r| r.0);
    db.prepare_cached(&sql)?
        .query_map(params![query.tenant, query.user, status, query.workflow, before, query.limit], run_row)?
        .collect()
}

pub(super) fn stats(db: &Connection) -> Result<StoreStats> {
    let mut runs = [0; 8];
    let mut counts = db.prepare_cached("SELECT status, count(*) FROM runs GROUP BY status")?;
    for count in counts.query_map([], |r| Ok((r.get::<_, u8>(0)?, r.get::<_, i64>(1)?)))? {
        let (code, n) = count?;
        if let Some(slot) = runs.get_mut(usize::from(code)) {
            *slot = n.cast_unsigned();
        }
    }
    let bytes: i64 =
        db.query_row("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()", [], |r| r.get(0))?;
    let schema = db.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    Ok(StoreStats { name: format!("SQLite {}", rusqlite::version()), schema, bytes: bytes.cast_unsigned(), runs })
}
