//! PostgreSQL: the store of many processes. One writer with group commit in each, a pool of connections for questions, one for the
//! lease, one on the side.
//!
//! READ COMMITTED suffices: a row of a journal needs its predecessor, which never changes, and `(run, seq)` is unique.

mod accounts;
mod beside;
mod bulk;
mod db;
mod exact;
mod index;
mod migrate;
pub mod notify;
mod prune;
pub(crate) mod question;
mod read;
mod records;
mod sessions;
mod words;
mod worker;
mod writer;

pub use beside::{PostgresKnowledge, PostgresVault};
pub use index::PostgresIndex;
pub use records::PostgresRecords;

use crate::writer::Writer;
use bytes::Bytes;
use db::{Place, detail};
use deadpool_postgres::Pool;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::types::ToSql;
use tutti_engine::account::AccountRow;
use tutti_engine::ports::share::{LaneRun, Loaded, Share};
use tutti_engine::ports::store::{
    Done, InboxItem, ListRuns, ListSessions, ListTurns, OpenRun, Prune, Read, Row, RunRow, Store, StoreError,
    StoreStats, Transition,
};
use tutti_engine::run::{Owner, RunId, RunNo, Time};
use tutti_engine::session::{SessionNo, SessionRow, TurnRow};
use worker::{Lease, Side};
use writer::Job;

/// Where the database is and how this process uses it.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// `postgresql://user:password@host:port/database?sslmode=…`
    pub dsn: String,
    /// The schema of our tables; made where it is not there.
    pub schema: String,
    /// What this process is called, for people who look at `workers`.
    pub name: String,
    /// How long others wait for a process that no longer says that it lives.
    pub lease: Duration,
    /// Connections for questions.
    pub readers: usize,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            dsn: String::new(),
            schema: "tutti".into(),
            name: "tutti".into(),
            lease: Duration::from_secs(4),
            readers: 4,
        }
    }
}

/// Why PostgreSQL cannot be used: one line for whoever starts the program.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// The address is wrong.
    #[error("{0}")]
    Address(String),
    /// It cannot be reached, or does not let us in, or cannot hold our tables.
    #[error(
        "PostgreSQL ({place}) cannot be used: {reason}; check POSTGRES_DSN or POSTGRES_HOST, and the user's rights"
    )]
    Unusable {
        /// Database and host.
        place: String,
        /// What it said.
        reason: String,
    },
    /// Written by a later version.
    #[error(
        "PostgreSQL ({place}) was written by a newer version (schema {found}, this program knows {known}); use that version"
    )]
    Newer {
        /// Database and host.
        place: String,
        /// Its schema.
        found: usize,
        /// Ours.
        known: usize,
    },
}

/// The store in one PostgreSQL schema. Closing waits for what was submitted.
pub struct PostgresStore {
    readers: Pool,
    writer: Writer<Job>,
    side: Arc<Side>,
    lease: Arc<Lease>,
    name: String,
}

impl PostgresStore {
    /// Connects, brings the schema up to date, and joins as a worker.
    ///
    /// # Errors
    /// [`OpenError`] says in one line what is in the way and what to do.
    pub async fn open(options: &PostgresOptions) -> Result<Self, OpenError> {
        let mut place = Place::new(&options.dsn, &options.schema, &options.name).map_err(OpenError::Address)?;
        let unusable = |shown: String| move |reason: String| OpenError::Unusable { place: shown, reason };
        place.settle_tls().await.map_err(|e| unusable(place.shown())(detail(&e)))?;
        let mut db = place.connect("").await.map_err(|e| unusable(place.shown())(detail(&e)))?;
        migrate::migrate(&mut db, &place).await?;
        let lease = Lease::new(options.lease);
        lease.join(&mut db, &options.name).await.map_err(|e| unusable(place.shown())(detail(&e)))?;
        drop(db);
        tokio::spawn(worker::keep_renewing(Arc::clone(&lease), place.clone()));
        let readers = place.pool(options.readers.max(1)).map_err(unusable(place.shown()))?;
        let writer = writer::start(place.clone(), Arc::clone(&lease));
        let writer = writer.map_err(|e| unusable(place.shown())(e.to_string()))?;
        let side = Side::new(place, Arc::clone(&lease));
        Ok(Self { readers, writer, side, lease, name: options.name.clone() })
    }

    /// Writes what was submitted, then lets the database go.
    pub fn close(&self) {
        self.lease.closing.notify_one();
        self.writer.close();
    }

    fn read<T: Send + 'static>(
        &self,
        sql: &'static str,
        params: Vec<Box<dyn ToSql + Sync + Send>>,
        of: impl FnOnce(Vec<tokio_postgres::Row>) -> T + Send + 'static,
    ) -> Read<T> {
        let readers = self.readers.clone();
        Box::pin(async move {
            let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|p| p.as_ref() as &(dyn ToSql + Sync)).collect();
            read::ask(&readers, sql, &params).await.map(of)
        })
    }

    /// This worker, as the first parameter of questions about runs.
    fn me(&self) -> Box<dyn ToSql + Sync + Send> {
        Box::new(self.lease.worker())
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.close();
    }
}

fn value<T: ToSql + Sync + Send + 'static>(of: T) -> Box<dyn ToSql + Sync + Send> {
    Box::new(of)
}

fn int(n: u32) -> Box<dyn ToSql + Sync + Send> {
    Box::new(i64::from(n))
}

fn first<T>(of: impl Fn(&tokio_postgres::Row) -> T) -> impl FnOnce(Vec<tokio_postgres::Row>) -> Option<T> {
    move |rows| rows.first().map(of)
}

fn each<T>(of: impl Fn(&tokio_postgres::Row) -> T) -> impl FnOnce(Vec<tokio_postgres::Row>) -> Vec<T> {
    move |rows| rows.iter().map(of).collect()
}

impl Store for PostgresStore {
    fn submit(&self, batch: Vec<Transition>, done: Done) {
        self.writer.send(Job::Write(batch, done));
    }

    fn next_run(&self) -> Read<RunNo> {
        self.read(read::NEXT_RUN, vec![], |rows| RunNo(rows.first().map_or(1, |r| r.get(0))))
    }

    fn run_by_id(&self, id: RunId) -> Read<Option<RunRow>> {
        self.read(read::RUN_BY_ID, vec![self.me(), value(id.0)], first(read::run_row))
    }

    fn run(&self, run: RunNo) -> Read<Option<RunRow>> {
        self.read(read::RUN, vec![self.me(), value(run.0)], first(read::run_row))
    }

    fn journal(&self, run: RunNo, after: u32, rows_max: u32) -> Read<Vec<Row>> {
        self.read(read::JOURNAL, vec![value(run.0), int(after), int(rows_max)], each(read::journal_row))
    }

    fn blobs(&self, hashes: Vec<[u8; 32]>) -> Read<Vec<Bytes>> {
        let asked: Vec<Vec<u8>> = hashes.iter().map(|hash| hash.to_vec()).collect();
        let found = self.read(read::BLOBS, vec![value(asked)], |rows| {
            let body = |r: &tokio_postgres::Row| (r.get::<_, &[u8]>(0).to_vec(), Bytes::copy_from_slice(r.get(1)));
            rows.iter().map(body).collect::<BTreeMap<Vec<u8>, Bytes>>()
        });
        Box::pin(async move {
            let found = found.await?;
            let missing = || StoreError::Damaged("a large body is missing".into());
            hashes.iter().map(|hash| found.get(hash.as_slice()).cloned().ok_or_else(missing)).collect()
        })
    }

    fn inbox(&self, run: RunNo) -> Read<Vec<InboxItem>> {
        self.read(read::INBOX, vec![value(run.0)], each(read::message))
    }

    fn open_runs(&self, now: Time, after: RunNo, limit: u32) -> Read<Vec<OpenRun>> {
        self.read(read::OPEN, vec![value(now.0), value(after.0), int(limit)], each(read::open_run))
    }

    fn next_due(&self, now: Time) -> Read<Option<Time>> {
        self.read(read::NEXT_DUE, vec![value(now.0)], first(|r| Time(r.get(0))))
    }

    fn oldest_runnable(&self, now: Time) -> Read<Option<Time>> {
        self.read(worker::OLDEST, vec![value(now.0)], |rows| {
            rows.first().and_then(|r| r.get::<_, Option<i64>>(0)).map(Time)
        })
    }

    fn accounts(&self, names: Vec<String>) -> Read<Vec<AccountRow>> {
        self.read(accounts::SELECT, vec![value(names.clone())], move |rows| {
            let found: BTreeMap<String, AccountRow> =
                rows.iter().map(accounts::row).map(|row| (row.name.clone(), row)).collect();
            let of = |name: String| found.get(&name).cloned().unwrap_or(AccountRow { name, ..AccountRow::default() });
            names.into_iter().map(of).collect()
        })
    }

    fn list(&self, query: ListRuns) -> Read<Vec<RunRow>> {
        let (readers, me) = (self.readers.clone(), self.lease.worker());
        Box::pin(async move { read::list(&readers, me, &query).await })
    }

    fn born_with(&self, scope: [u8; 16]) -> Read<Option<(RunNo, RunId, [u8; 16])>> {
        self.read(read::BORN_WITH, vec![value(scope.to_vec())], |rows| {
            rows.first().map(|r| {
                let body: &[u8] = r.get(2);
                (RunNo(r.get(0)), RunId(r.get(1)), body.try_into().unwrap_or_default())
            })
        })
    }

    fn session(&self, owner: Owner, id: String) -> Read<Option<SessionRow>> {
        let params = vec![value(owner.tenant), value(owner.user), value(id)];
        self.read(sessions::NAMED, params, first(sessions::session_row))
    }

    fn session_of(&self, run: RunNo) -> Read<Option<SessionRow>> {
        self.read(sessions::OF_RUN, vec![value(run.0)], first(sessions::session_row))
    }

    fn sessions(&self, query: ListSessions) -> Read<Vec<SessionRow>> {
        let ListSessions { tenant, user, before, limit } = query;
        let page = if user.is_some() { sessions::PAGE } else { sessions::PAGE_OF_TENANT };
        let params = vec![value(tenant), value(user), value(before.map(|no| no.0)), int(limit)];
        self.read(page, params, each(sessions::session_row))
    }

    fn turns(&self, query: ListTurns) -> Read<Vec<TurnRow>> {
        let ListTurns { session, from, to, voids, limit } = query;
        let params = vec![value(session.0), int(from), int(to), value(i64::from(voids)), int(limit)];
        self.read(sessions::TURNS, params, each(sessions::turn_row))
    }

    fn session_runs(&self, session: Option<SessionNo>, after: RunNo, limit: u32) -> Read<Vec<RunRow>> {
        let params = vec![self.me(), value(session.map(|no| no.0)), value(after.0), int(limit)];
        self.read(read::SESSION_RUNS, params, each(read::run_row))
    }

    fn stats(&self) -> Read<StoreStats> {
        let counts = self.read(read::COUNTS, vec![], |rows| {
            let mut runs = [0; 8];
            for row in rows {
                let slot = usize::try_from(row.get::<_, i16>(0)).ok().and_then(|code| runs.get_mut(code));
                if let Some(slot) = slot {
                    *slot = row.get::<_, i64>(1).cast_unsigned();
                }
            }
            runs
        });
        let size = self.read(read::SIZE, vec![], first(|r| (r.get::<_, i64>(0), r.get::<_, String>(1))));
        let oldest = self.read(read::OLDEST, vec![], first(|r| RunId(r.get(0)).born()));
        Box::pin(async move {
            let (bytes, version) = size.await?.unwrap_or_default();
            let runs = counts.await?;
            let (name, oldest) = (format!("PostgreSQL {version}"), oldest.await?);
            Ok(StoreStats { name, schema: migrate::VERSION, bytes: bytes.cast_unsigned(), runs, oldest })
        })
    }

    fn prune(&self, prune: Prune) -> Read<u64> {
        let side = Arc::clone(&self.side);
        Box::pin(async move { side.with(async |db| prune::prune(db, prune).await).await })
    }

    fn probe(&self) -> Read<()> {
        let side = Arc::clone(&self.side);
        let write = "INSERT INTO meta VALUES('probed', 1) ON CONFLICT (key) DO UPDATE SET value = meta.value + 1";
        Box::pin(async move { side.with(async |db| db.execute(write, &[]).await.map(|_| ())).await })
    }

    fn share(&self) -> Option<&dyn Share> {
        Some(self)
    }
}

impl Share for PostgresStore {
    fn reserve(&self, count: u32) -> Read<RunNo> {
        Box::pin(Arc::clone(&self.side).reserve(count))
    }

    fn is_owner(&self) -> bool {
        self.lease.is_held()
    }

    fn sweep_every(&self) -> Duration {
        self.lease.length() / 8
    }

    fn disowned(&self) -> BoxFuture<'static, ()> {
        Box::pin(Arc::clone(&self.lease).lost())
    }

    fn rejoin(&self) -> Read<()> {
        let (side, lease, name) = (Arc::clone(&self.side), Arc::clone(&self.lease), self.name.clone());
        Box::pin(async move { side.with(async |db| lease.join(db, &name).await).await })
    }

    fn take(&self, now: Time, limit: u32, known: &[(String, u32)]) -> Read<Vec<OpenRun>> {
        Box::pin(Arc::clone(&self.side).take(now, limit, known.to_vec()))
    }

    fn own(&self, after: RunNo, limit: u32) -> Read<Vec<OpenRun>> {
        self.read(worker::OWN, vec![self.me(), value(after.0), int(limit)], each(read::open_run))
    }

    fn load(&self, runs: Vec<RunNo>) -> Read<Vec<Loaded>> {
        let (readers, me) = (self.readers.clone(), self.lease.worker());
        Box::pin(async move { read::load(&readers, me, runs.into_iter().map(|run| run.0).collect()).await })
    }

    fn mail(&self, limit: u32) -> Read<Vec<InboxItem>> {
        self.read(read::MAIL, vec![self.me(), int(limit)], each(read::message))
    }

    fn lane(&self, session: SessionNo) -> Read<Vec<LaneRun>> {
        self.read(sessions::LANE, vec![value(session.0)], each(sessions::lane_row))
    }
}
