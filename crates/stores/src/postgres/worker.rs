//! This process among others: its lease, the numbers it may use, the runs it is offered.

use crate::postgres::db::{Db, Place, detail, error};
use crate::postgres::migrate::partitions;
use crate::postgres::read;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio_postgres::Error;
use tutti_engine::ports::store::{OpenRun, StoreError};
use tutti_engine::run::{RunNo, Time};

/// An offered run is nobody else's for so long.
const TAKEN: &str = "15 seconds";
/// Leases that ended so long ago are forgotten, with whose they were.
const FORGET: &str = "1 hour";

/// Best first: what was begun or is to be cancelled (kind 3), then what has waited longest for its priority; of workflows that this
/// program knows. Rows that another process is looking at are passed over. A running run is taken only when its worker's lease
/// has ended. What this process has already, on its way or running, is not offered to it either: else it would stand before all
/// that is new, and nothing new would come. Runs of those who are gone are found by worker, so a look costs the same however many
/// run: a worker's row stays until nothing runs under its number.
const TAKE: &str = "WITH known AS (SELECT name, version FROM unnest($5::text[], $6::int[]) AS k(text, version) JOIN names USING (text)),
    lost AS (SELECT run, rank FROM runs WHERE status = 1
        AND worker = ANY(ARRAY(SELECT w.worker FROM workers AS w WHERE w.lease_until <= clock_timestamp()))
      AND (workflow, version) IN (SELECT name, version FROM known) LIMIT $3 FOR UPDATE SKIP LOCKED),
    left_behind AS (SELECT run, rank FROM runs WHERE status = 1 AND worker IS NULL
      AND (workflow, version) IN (SELECT name, version FROM known) LIMIT $3 FOR UPDATE SKIP LOCKED),
    due AS (SELECT run, rank FROM runs WHERE status = 2 AND due_at <= $2 AND due_at IS NOT NULL
        AND (worker IS NULL OR taken_until < clock_timestamp())
      AND (workflow, version) IN (SELECT name, version FROM known) ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED),
    cancelled AS (SELECT run, rank FROM runs WHERE status = 0 AND run IN (SELECT inbox.run FROM inbox WHERE NOT taken AND kind = 3)
      LIMIT $3 FOR UPDATE SKIP LOCKED),
    queued AS (SELECT run, rank FROM runs AS r WHERE status = 0 AND (due_at IS NULL OR due_at <= $2)
        AND (worker IS NULL OR taken_until IS NULL OR taken_until < clock_timestamp())
        AND NOT (lane > 0 AND EXISTS (SELECT 1 FROM runs AS o WHERE o.session_no = r.session_no AND o.session_no IS NOT NULL
          AND o.status < 3 AND o.run <> r.run AND o.lane > 0 AND (o.status = 1 OR (o.status = 2 AND o.lane < 4)
            OR (o.status = 0 AND (o.due_at IS NULL OR o.due_at <= $2) AND (-(o.lane & 3), o.id) < (-(r.lane & 3), r.id)))))
      AND (workflow, version) IN (SELECT name, version FROM known) ORDER BY rank LIMIT $3 FOR UPDATE SKIP LOCKED),
    found AS (SELECT run, 0 AS class, rank FROM lost UNION ALL SELECT run, 0, rank FROM left_behind
      UNION ALL SELECT run, 0, rank FROM due UNION ALL SELECT run, 0, rank FROM cancelled
      UNION ALL SELECT run, 1, rank FROM queued),
    best AS (SELECT run FROM found GROUP BY run ORDER BY min(class), min(rank) LIMIT $3)
    UPDATE runs SET worker = $1, taken_until = clock_timestamp() + $4::text::interval FROM best WHERE runs.run = best.run
    RETURNING runs.run, runs.id, runs.status, runs.priority, runs.due_at";
/// Runs of workers that nobody knows any more.
const ORPHANS: &str = "UPDATE runs SET worker = NULL WHERE run IN (SELECT run FROM runs AS r WHERE status = 1
    AND worker IS NOT NULL AND NOT EXISTS (SELECT 1 FROM workers AS w WHERE w.worker = r.worker) FOR UPDATE SKIP LOCKED)";
/// What runs here, by number.
pub(super) const OWN: &str = "SELECT run, id, status, priority, due_at FROM runs
    WHERE status = 1 AND worker = $1 AND run > $2 ORDER BY run LIMIT $3";
/// When the oldest was born that is due and that nobody has: waiting behind a full house is not the same as being forgotten.
pub(super) const OLDEST: &str =
    "SELECT min(rank + priority * 10000) FROM runs WHERE status = 0 AND (due_at IS NULL OR due_at <= $1)";

/// The lease, as this process sees it.
pub(super) struct Lease {
    worker: AtomicI64,
    /// Until when, in milliseconds after `origin`; the margin is taken off already.
    until_ms: AtomicI64,
    origin: Instant,
    length: Duration,
    is_lost: AtomicBool,
    lost: watch::Sender<bool>,
    pub closing: Notify,
}

impl Lease {
    pub fn new(length: Duration) -> Arc<Self> {
        Arc::new(Self {
            worker: AtomicI64::new(0),
            until_ms: AtomicI64::new(0),
            origin: Instant::now(),
            length,
            is_lost: AtomicBool::new(false),
            lost: watch::Sender::new(false),
            closing: Notify::new(),
        })
    }

    /// This worker's number.
    pub fn worker(&self) -> i64 {
        self.worker.load(Ordering::Acquire)
    }

    /// How long others wait for us.
    pub fn length(&self) -> Duration {
        self.length
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.origin.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Whether what it holds is its own. Once it was not, it stays so until it has joined anew.
    pub fn is_held(&self) -> bool {
        if self.is_lost.load(Ordering::Acquire) {
            return false;
        }
        if self.now_ms() < self.until_ms.load(Ordering::Acquire) {
            return true;
        }
        self.lose();
        false
    }

    fn lose(&self) {
        self.is_lost.store(true, Ordering::Release);
        self.lost.send_replace(true);
    }

    /// Resolves when the lease is lost.
    pub async fn lost(self: Arc<Self>) {
        let mut lost = self.lost.subscribe();
        loop {
            if *lost.borrow_and_update() || !self.is_held() {
                return;
            }
            let left = self.until_ms.load(Ordering::Acquire).saturating_sub(self.now_ms()).max(1);
            let left = Duration::from_millis(left.cast_unsigned());
            tokio::select! {
                _ = lost.changed() => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    /// The lease as asked for at `asked`: the server began to count after that. A third is kept as a margin, for what is on its
    /// way out when the end comes.
    fn extend(&self, asked: i64) {
        let length = i64::try_from(self.length.as_millis()).unwrap_or(i64::MAX);
        self.until_ms.store(asked.saturating_add(length - length / 3), Ordering::Release);
    }

    fn text(&self) -> String {
        format!("{} milliseconds", self.length.as_millis())
    }

    /// Becomes a worker under a new number.
    pub async fn join(&self, db: &mut Db, name: &str) -> Result<(), Error> {
        let asked = self.now_ms();
        let forget = "DELETE FROM workers AS w WHERE lease_until < clock_timestamp() - $1::text::interval
            AND NOT EXISTS (SELECT 1 FROM runs AS r WHERE r.status = 1 AND r.worker = w.worker)";
        db.execute(forget, &[&FORGET]).await?;
        db.execute(ORPHANS, &[]).await?;
        let insert = "INSERT INTO workers(name, lease_until) VALUES($1, clock_timestamp() + $2::text::interval) RETURNING worker";
        if let Some(row) = db.row(insert, &[&name, &self.text()]).await? {
            self.worker.store(row.get(0), Ordering::Release);
            self.extend(asked);
            self.is_lost.store(false, Ordering::Release);
            self.lost.send_replace(false);
        }
        Ok(())
    }

    /// Says that it lives. A lease that has ended is not renewed: others may have taken what was held.
    async fn renew(&self, db: &mut Db) -> Result<(), Error> {
        let asked = self.now_ms();
        let update = "UPDATE workers SET lease_until = clock_timestamp() + $2::text::interval
            WHERE worker = $1 AND lease_until > clock_timestamp()";
        if db.execute(update, &[&self.worker(), &self.text()]).await? == 0 {
            self.lose();
        } else if !self.is_lost.load(Ordering::Acquire) {
            self.extend(asked);
        }
        Ok(())
    }

    pub async fn leave(&self, db: &mut Db) -> Result<(), Error> {
        // Who is gone is known by its row until nothing runs under its number.
        let leave = "UPDATE workers SET lease_until = clock_timestamp() WHERE worker = $1";
        db.execute(leave, &[&self.worker()]).await?;
        Ok(())
    }
}

/// Renews the lease for as long as the store is open, over a connection that nothing else waits for.
pub(super) async fn keep_renewing(lease: Arc<Lease>, place: Place) {
    let pause = lease.length / 5;
    let mut db: Option<Db> = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = lease.closing.notified() => return,
        }
        // Nothing is renewed before it has joined anew.
        if !lease.is_held() {
            continue;
        }
        let renewed = async {
            let mut held = match db.take() {
                Some(held) => held,
                None => place.connect("SET statement_timeout = '5s'").await?,
            };
            lease.renew(&mut held).await?;
            Ok::<Db, Error>(held)
        };
        match tokio::time::timeout(pause * 2, renewed).await {
            Ok(Ok(held)) => db = Some(held),
            Ok(Err(e)) => tracing::warn!("the lease could not be renewed, trying again: {}", detail(&e)),
            Err(_) => tracing::warn!("the lease could not be renewed within {:?}, trying again", pause * 2),
        }
    }
}

/// One connection for short writes that are no transitions: numbers, offers, joining.
pub(super) struct Side {
    pub place: Place,
    pub lease: Arc<Lease>,
    db: tokio::sync::Mutex<Option<Db>>,
    known_partition: Mutex<i64>,
}

impl Side {
    pub fn new(place: Place, lease: Arc<Lease>) -> Arc<Self> {
        Arc::new(Self { place, lease, db: tokio::sync::Mutex::new(None), known_partition: Mutex::new(-1) })
    }

    /// Does something on the connection; one that fails is not used again.
    pub async fn with<T>(&self, work: impl AsyncFnOnce(&mut Db) -> Result<T, Error>) -> Result<T, StoreError> {
        let mut slot = self.db.lock().await;
        let mut db = match slot.take() {
            Some(db) if !db.client.is_closed() => db,
            _ => self.place.connect("SET statement_timeout = '10s'").await.map_err(|e| error(&e))?,
        };
        let done = work(&mut db).await;
        if !db.client.is_closed() {
            *slot = Some(db);
        }
        done.map_err(|e| error(&e))
    }

    /// As [`with`](Self::with), in one transaction.
    pub async fn transaction<T>(&self, work: impl AsyncFnOnce(&mut Db) -> Result<T, Error>) -> Result<T, StoreError> {
        self.with(async |db| {
            db.client.batch_execute("BEGIN").await?;
            let done = work(db).await;
            db.client.batch_execute(if done.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
            done
        })
        .await
    }

    pub async fn reserve(self: Arc<Self>, count: u32) -> Result<RunNo, StoreError> {
        let this = Arc::clone(&self);
        self.with(async move |db| {
            // One step of the sequence stands for so many numbers.
            let block = i64::from(count.max(1));
            let sql = "SELECT setval('run_numbers', nextval('run_numbers') + $1 - 1) - $1 + 1";
            let lock = "SELECT pg_advisory_lock(hashtext(current_schema() || '.run_numbers'))";
            let unlock = "SELECT pg_advisory_unlock(hashtext(current_schema() || '.run_numbers'))";
            db.query(lock, &[]).await?;
            let first = db.row(sql, &[&block]).await;
            db.query(unlock, &[]).await?;
            let first: i64 = first?.map_or(1, |row| row.get(0));
            let last = first + block;
            let of = last / super::migrate::PARTITION_RUNS;
            let is_known = *this.known_partition.lock().unwrap_or_else(PoisonError::into_inner) >= of;
            if !is_known {
                if !partitions(db, first..=last).await? {
                    return Ok(RunNo(first));
                }
                *this.known_partition.lock().unwrap_or_else(PoisonError::into_inner) = of;
            }
            Ok(RunNo(first))
        })
        .await
    }

    pub async fn take(
        self: Arc<Self>,
        now: Time,
        limit: u32,
        known: Vec<(String, u32)>,
    ) -> Result<Vec<OpenRun>, StoreError> {
        let me = self.lease.worker();
        let (names, versions): (Vec<String>, Vec<i32>) =
            known.into_iter().map(|(name, n)| (name, n.cast_signed())).unzip();
        self.with(async |db| {
            let rows = db.query(TAKE, &[&me, &now.0, &i64::from(limit), &TAKEN, &names, &versions]).await?;
            let mut taken: Vec<OpenRun> = rows.iter().map(read::open_run).collect();
            taken.sort_by_key(|open| open.run);
            Ok(taken)
        })
        .await
    }
}
