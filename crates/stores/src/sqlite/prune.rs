//! Retention: ended runs leave, oldest first, with all that hangs on them, in chunks between commits.

use crate::sqlite::{read, sessions};
use rusqlite::{Connection, OptionalExtension, Params, Result, params};
use tutti_engine::ports::store::Prune;
use tutti_engine::run::{RunNo, Status};

/// The runs of the next chunk: those beyond the number to keep, then those that are too old.
pub(super) fn candidates(db: &Connection, prune: Prune) -> Result<Vec<RunNo>> {
    let counts = read::counts(db)?;
    let ended: u64 = Status::ALL.iter().filter(|s| s.is_terminal()).map(|s| counts[usize::from(s.code())]).sum();
    let limit = u64::from(prune.limit);
    let surplus = ended.saturating_sub(prune.keep_max).min(limit);
    let oldest = "SELECT run FROM runs WHERE status BETWEEN 3 AND 6 ORDER BY run LIMIT ?1";
    let mut runs = numbers(db, oldest, params![surplus.cast_signed()])?;
    let room = limit.saturating_sub(runs.len() as u64);
    if room > 0 {
        let last = runs.last().map_or(i64::MIN, |run| run.0);
        let old =
            "SELECT run FROM runs WHERE status BETWEEN 3 AND 6 AND ended_at < ?1 AND run > ?2 ORDER BY run LIMIT ?3";
        runs.extend(numbers(db, old, params![prune.ended_before.0, last, room.cast_signed()])?);
    }
    Ok(runs)
}

fn numbers(db: &Connection, sql: &str, values: impl Params) -> Result<Vec<RunNo>> {
    db.prepare_cached(sql)?.query_map(values, |r| Ok(RunNo(r.get(0)?)))?.collect()
}

/// Removes runs. Numbers are never used again, so the highest is remembered.
pub(super) fn remove(db: &Connection, runs: &[RunNo]) -> Result<u64> {
    db.execute(
        "INSERT INTO meta SELECT 'next_run', coalesce(max(run), 0) + 1 FROM runs WHERE true
         ON CONFLICT DO UPDATE SET value = max(value, excluded.value)",
        [],
    )?;
    let mut removed = 0;
    for run in runs {
        let session = "SELECT session_no FROM runs WHERE run = ?1 AND session_no IS NOT NULL";
        let session: Option<i64> = db.prepare_cached(session)?.query_row([run.0], |r| r.get(0)).optional()?;
        // It may have been opened again since it was chosen.
        removed +=
            db.prepare_cached("DELETE FROM runs WHERE run = ?1 AND status BETWEEN 3 AND 6")?.execute([run.0])? as u64;
        let gone = "SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM runs WHERE run = ?1)";
        for table in ["journal", "inbox", "once", "labels"] {
            db.prepare_cached(&format!("DELETE FROM {table} WHERE run IN ({gone})"))?.execute([run.0])?;
        }
        db.prepare_cached(&format!(
            "DELETE FROM blobs WHERE hash IN (SELECT hash FROM blob_refs WHERE run IN ({gone}))
                 AND NOT EXISTS (SELECT 1 FROM blob_refs WHERE hash = blobs.hash AND run <> ?1)"
        ))?
        .execute([run.0])?;
        db.prepare_cached(&format!("DELETE FROM blob_refs WHERE run IN ({gone})"))?.execute([run.0])?;
        if let Some(session) = session {
            sessions::remove_empty(db, session)?;
        }
    }
    Ok(removed)
}
