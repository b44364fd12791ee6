//! The schema: made and brought up to date under a lock, so that any number of processes may start at once.

use crate::postgres::OpenError;
use crate::postgres::db::{Db, Place, detail};
use std::ops::RangeInclusive;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// Applied in order; `meta.schema` counts them.
const MIGRATIONS: &[&str] = &[include_str!("migrations/1.sql"), include_str!("migrations/2.sql")];
/// Advisory locks are numbers; this one is ours ("tutti" in ASCII).
const LOCK: i64 = 0x0074_7574_7469;
/// Run numbers that share a partition of the journal.
pub(super) const PARTITION_RUNS: i64 = 1_000_000;

/// The schema's version.
pub(super) const VERSION: u32 = MIGRATIONS.len() as u32;

pub(super) async fn migrate(db: &mut Db, place: &Place) -> Result<(), OpenError> {
    let failed = |e: Error| OpenError::Unusable { place: place.shown(), reason: detail(&e) };
    db.client.batch_execute("SET lock_timeout = 0; SET statement_timeout = 0").await.map_err(failed)?;
    db.client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await.map_err(failed)?;
    let done = locked(db, place).await;
    db.client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await.map_err(failed)?;
    done
}

async fn locked(db: &mut Db, place: &Place) -> Result<(), OpenError> {
    let failed = |e: Error| OpenError::Unusable { place: place.shown(), reason: detail(&e) };
    let schema = format!("CREATE SCHEMA IF NOT EXISTS \"{}\"", place.schema());
    let there = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
    // Asked first: a user who may not create schemas can be given one.
    if db.client.query_opt(there, &[&place.schema()]).await.map_err(failed)?.is_none() {
        db.client.batch_execute(&schema).await.map_err(failed)?;
    }
    let has_meta = "SELECT to_regclass(quote_ident($1) || '.meta') IS NOT NULL";
    let has_meta: bool = db.client.query_one(has_meta, &[&place.schema()]).await.map_err(failed)?.get(0);
    let version = if has_meta {
        let found = db.client.query_opt("SELECT value FROM meta WHERE key = 'schema'", &[]).await.map_err(failed)?;
        found.map_or(0, |row| row.get::<_, i64>(0))
    } else {
        0
    };
    let known = MIGRATIONS.len();
    let done = usize::try_from(version).unwrap_or(0);
    if done > known {
        return Err(OpenError::Newer { place: place.shown(), found: done, known });
    }
    for (n, migration) in (done + 1..).zip(&MIGRATIONS[done..]) {
        let count = format!("INSERT INTO meta VALUES('schema', {n}) ON CONFLICT (key) DO UPDATE SET value = {n}");
        let step = format!("BEGIN; {migration}; {count}; COMMIT;");
        if let Err(e) = db.client.batch_execute(&step).await {
            let _ = db.client.batch_execute("ROLLBACK").await;
            return Err(failed(e));
        }
    }
    Ok(())
}

/// Makes the partitions that hold these runs where they are not there yet, and the next one ahead of time; false where that has
/// to wait, because somebody reads the whole journal (a backup, say).
pub(super) async fn partitions(db: &mut Db, runs: RangeInclusive<i64>) -> Result<bool, Error> {
    let (first, last) = (runs.start() / PARTITION_RUNS, runs.end() / PARTITION_RUNS);
    for n in first..=last {
        partition(db, n).await?;
    }
    match partition(db, last + 1).await {
        Ok(()) => Ok(true),
        Err(e) if is_in_the_way(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

async fn partition(db: &mut Db, n: i64) -> Result<(), Error> {
    let name = format!("journal_{n}");
    let there = "SELECT to_regclass($1) IS NOT NULL";
    if db.client.query_one(there, &[&name]).await?.get(0) {
        return Ok(());
    }
    let (from, to) = (n * PARTITION_RUNS, (n + 1) * PARTITION_RUNS);
    let make = format!("CREATE TABLE IF NOT EXISTS {name} PARTITION OF journal FOR VALUES FROM ({from}) TO ({to})");
    change_journal(db, &make).await
}

/// Changes which partitions the journal has, one process after the other. Everybody who reads or writes it waits behind us while we
/// wait for it, so that is not for long.
pub(super) async fn change_journal(db: &mut Db, how: &str) -> Result<(), Error> {
    let alone = format!("SELECT pg_advisory_xact_lock({LOCK})");
    let change = format!("BEGIN; {alone}; SET LOCAL lock_timeout = '200ms'; {how}; COMMIT");
    let changed = db.client.batch_execute(&change).await;
    if changed.is_err() {
        db.client.batch_execute("ROLLBACK").await?;
    }
    changed
}

/// Whether somebody else's lock was in the way.
pub(super) fn is_in_the_way(e: &Error) -> bool {
    e.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}
