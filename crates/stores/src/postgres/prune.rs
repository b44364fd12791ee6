//! Retention: ended runs leave, oldest first, with all that hangs on them; a part of the journal that is empty is dropped whole.

use crate::postgres::db::Db;
use crate::postgres::migrate::{PARTITION_RUNS, change_journal, is_in_the_way};
use crate::postgres::sessions;
use tokio_postgres::Error;
use tutti_engine::ports::store::Prune;

/// Ended runs beyond the number to keep, then those that are too old. Runs that somebody is changing are left for later.
const CANDIDATES: &str = "SELECT run FROM runs WHERE status BETWEEN 3 AND 6 AND (ended_at < $1 OR run <= coalesce(
      (SELECT run FROM runs WHERE status BETWEEN 3 AND 6 ORDER BY run DESC OFFSET $2 LIMIT 1), 0))
    ORDER BY run LIMIT $3";
/// One process at a time, and none waits for it.
const ALONE: &str = "SELECT pg_try_advisory_xact_lock(hashtext(current_schema() || '.prune'))";

/// Removes or counts one chunk; answers how many runs.
pub(super) async fn prune(db: &mut Db, prune: Prune) -> Result<u64, Error> {
    let (before, keep) = (prune.ended_before.0, i64::try_from(prune.keep_max).unwrap_or(i64::MAX));
    let rows = db.query(CANDIDATES, &[&before, &keep, &i64::from(prune.limit)]).await?;
    let runs: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    if prune.dry_run || runs.is_empty() {
        return Ok(runs.len() as u64);
    }
    db.client.batch_execute("BEGIN").await?;
    let removed = remove(db, &runs).await;
    match removed {
        Ok(removed) => {
            db.client.batch_execute("COMMIT").await?;
            drop_empty(db, runs.first().copied().unwrap_or_default()).await?;
            Ok(removed)
        }
        Err(e) => {
            db.client.batch_execute("ROLLBACK").await?;
            Err(e)
        }
    }
}

async fn remove(db: &mut Db, runs: &[i64]) -> Result<u64, Error> {
    if !db.row(ALONE, &[]).await?.is_some_and(|row| row.get(0)) {
        return Ok(0);
    }
    // Numbers are never used again, so the highest is remembered.
    let remember = "INSERT INTO meta SELECT 'next_run', coalesce(max(run), 0) + 1 FROM runs
        ON CONFLICT (key) DO UPDATE SET value = greatest(meta.value, excluded.value)";
    db.execute(remember, &[]).await?;
    // One may have been opened again since it was chosen.
    let delete = "DELETE FROM runs WHERE run = ANY($1) AND status BETWEEN 3 AND 6 RETURNING run, session_no";
    let gone = db.query(delete, &[&runs]).await?;
    let sessions: Vec<i64> = gone.iter().filter_map(|row| row.get::<_, Option<i64>>(1)).collect();
    let gone: Vec<i64> = gone.iter().map(|row| row.get(0)).collect();
    db.execute("DELETE FROM journal WHERE run = ANY($1)", &[&gone]).await?;
    db.execute("DELETE FROM inbox WHERE run = ANY($1)", &[&gone]).await?;
    db.execute("DELETE FROM once WHERE run = ANY($1)", &[&gone]).await?;
    db.execute("DELETE FROM labels WHERE run = ANY($1)", &[&gone]).await?;
    let refs = db.query("DELETE FROM blob_refs WHERE run = ANY($1) RETURNING hash", &[&gone]).await?;
    let hashes: Vec<&[u8]> = refs.iter().map(|row| row.get(0)).collect();
    // A body that somebody refers to meanwhile is born again (`bulk::BLOBS`): it is not the one that was found.
    let orphans = "SELECT hash, born FROM blobs WHERE hash = ANY($1) AND NOT EXISTS (SELECT 1 FROM blob_refs AS r WHERE r.hash = blobs.hash)";
    let orphans = db.query(orphans, &[&hashes]).await?;
    let (hashes, born): (Vec<&[u8]>, Vec<i64>) =
        orphans.iter().map(|row| (row.get::<_, &[u8]>(0), row.get::<_, i64>(1))).unzip();
    let delete = "DELETE FROM blobs USING unnest($1::bytea[], $2::bigint[]) AS o(hash, born) WHERE blobs.hash = o.hash AND blobs.born = o.born";
    db.execute(delete, &[&hashes, &born]).await?;
    sessions::remove_empty(db, &sessions).await?;
    Ok(gone.len() as u64)
}

/// Drops the part of the journal that held a run, if it is full and nothing is left in it.
async fn drop_empty(db: &mut Db, run: i64) -> Result<(), Error> {
    let from = run / PARTITION_RUNS * PARTITION_RUNS;
    let (to, name) = (from + PARTITION_RUNS, format!("journal_{}", run / PARTITION_RUNS));
    let is_over = "SELECT (SELECT last_value FROM run_numbers) > $1::bigint + 1000000 AND to_regclass($2) IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM runs WHERE run >= $3 AND run < $1)";
    if db.row(is_over, &[&to, &name, &from]).await?.is_some_and(|row| row.get(0)) {
        match change_journal(db, &format!("DROP TABLE IF EXISTS {name}")).await {
            // The next chunk that retention removes tries again.
            Err(e) if is_in_the_way(&e) => {}
            dropped => dropped?,
        }
    }
    Ok(())
}
