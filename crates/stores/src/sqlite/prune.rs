//! Retention: ended runs leave, oldest first, with all that hangs on them, in chunks between commits.

use rusqlite::{Connection, Result, params};
use tutti_engine::ports::store::Prune;
use tutti_engine::run::RunNo;

/// The runs of the next chunk.
pub(super) fn candidates(db: &Connection, prune: Prune) -> Result<Vec<RunNo>> {
    let ended: i64 = db.query_row("SELECT count(*) FROM runs WHERE status BETWEEN 3 AND 6", [], |r| r.get(0))?;
    let surplus = ended.saturating_sub(i64::try_from(prune.keep_max).unwrap_or(i64::MAX)).max(0);
    let sql = "SELECT run FROM (SELECT run, ended_at, row_number() OVER (ORDER BY run) AS n FROM runs WHERE status BETWEEN 3 AND 6)
        WHERE n <= ?1 OR ended_at < ?2 ORDER BY run LIMIT ?3";
    db.prepare_cached(sql)?
        .query_map(params![surplus, prune.ended_before.0, prune.limit], |r| Ok(RunNo(r.get(0)?)))?
        .collect()
}

/// Removes runs. Numbers are never used again, so the highest is remembered.
pub(super) fn remove(db: &mut Connection, runs: &[RunNo]) -> Result<u64> {
    let change = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    change.execute(
        "INSERT INTO meta SELECT 'next_run', coalesce(max(run), 0) + 1 FROM runs WHERE true
         ON CONFLICT DO UPDATE SET value = max(value, excluded.value)",
        [],
    )?;
    let mut removed = 0;
    for run in runs {
        // It may have been opened again since it was chosen.
        removed += change
            .prepare_cached("DELETE FROM runs WHERE run = ?1 AND status BETWEEN 3 AND 6")?
            .execute([run.0])? as u64;
        let gone = "SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM runs WHERE run = ?1)";
        for table in ["journal", "inbox", "once"] {
            change.prepare_cached(&format!("DELETE FROM {table} WHERE run IN ({gone})"))?.execute([run.0])?;
        }
        change
            .prepare_cached(&format!(
                "DELETE FROM blobs WHERE hash IN (SELECT hash FROM blob_refs WHERE run IN ({gone}))
                 AND NOT EXISTS (SELECT 1 FROM blob_refs WHERE hash = blobs.hash AND run <> ?1)"
            ))?
            .execute([run.0])?;
        change.prepare_cached(&format!("DELETE FROM blob_refs WHERE run IN ({gone})"))?.execute([run.0])?;
    }
    change.commit()?;
    Ok(removed)
}
