//! The write-ahead log. SQLite folds it back into the file as it grows, unless some reader never ends: a backup that hangs, a
//! shell somebody left open. Then it grows without bound, and somebody should hear of it before the disk is full.

use rusqlite::{Connection, Result};
use std::path::PathBuf;
use std::time::Duration;

/// The size SQLite cuts the log back to, and beyond which folding is tried with patience.
pub(super) const BYTES_MAX: u64 = 64 << 20;
/// Commits between two looks at the log's size.
const COMMITS: u32 = 64;
/// How long commits may be held up while readers finish.
const PATIENCE: Duration = Duration::from_millis(100);

pub(super) struct Log {
    file: PathBuf,
    commits: u32,
    bytes_max: u64,
    /// Beyond this, the next attempt: doubled by each that fails, so that a stuck reader costs little.
    bytes_next: u64,
}

impl Log {
    pub fn new(file: PathBuf, bytes_max: u64) -> Self {
        Self { file, commits: 0, bytes_max, bytes_next: bytes_max }
    }

    /// To be called after each commit.
    pub fn look(&mut self, db: &Connection, busy_timeout: Duration) {
        self.commits = self.commits.wrapping_add(1);
        if !self.commits.is_multiple_of(COMMITS) {
            return;
        }
        let bytes = self.bytes();
        if bytes <= self.bytes_max {
            self.bytes_next = self.bytes_max;
        }
        if bytes <= self.bytes_next {
            return;
        }
        let folded = db.busy_timeout(PATIENCE).and_then(|()| fold(db));
        if let Err(e) = db.busy_timeout(busy_timeout) {
            tracing::error!("the store's patience could not be set back: {e}");
        }
        match folded {
            Ok(true) => self.bytes_next = self.bytes_max,
            Ok(false) => {
                self.bytes_next = bytes.saturating_mul(2);
                let (file, mib) = (&self.file, bytes >> 20);
                tracing::warn!(
                    "{file:?} has grown to {mib} MiB because another program reads the database without end; end it"
                );
            }
            Err(e) => {
                self.bytes_next = bytes.saturating_mul(2);
                tracing::warn!("{:?} could not be folded back: {e}", self.file);
            }
        }
    }

    fn bytes(&self) -> u64 {
        std::fs::metadata(&self.file).map_or(0, |m| m.len())
    }
}

/// Whether nothing is left in the log.
pub(super) fn fold(db: &Connection) -> Result<bool> {
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get::<_, i64>(0)).map(|busy| busy == 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use tempfile::TempDir;

    /// 64 commits of a page and more.
    fn write(db: &Connection, log: &mut Log) {
        for _ in 0..COMMITS {
            db.execute("INSERT INTO t VALUES(zeroblob(8000))", []).unwrap();
            log.look(db, Duration::from_secs(5));
        }
    }

    #[test]
    fn the_log_grows_while_a_reader_stays_and_is_folded_when_it_left() {
        let dir = TempDir::new().unwrap();
        let db = Connection::open(dir.path().join("t.db")).unwrap();
        db.execute_batch("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=16; PRAGMA journal_size_limit=100000; CREATE TABLE t(x);").unwrap();
        let mut log = Log::new(dir.path().join("t.db-wal"), 100_000);
        let reader = Connection::open(dir.path().join("t.db")).unwrap();
        reader.execute_batch("BEGIN; SELECT * FROM t;").unwrap();
        write(&db, &mut log);
        let stuck = log.bytes();
        assert!(stuck > 100_000 && log.bytes_next == 2 * stuck, "{stuck}, {}", log.bytes_next);
        reader.execute_batch("COMMIT").unwrap();
        write(&db, &mut log);
        write(&db, &mut log);
        assert!(log.bytes() < stuck && log.bytes_next == 100_000, "{}, {}", log.bytes(), log.bytes_next);
        let rows: i64 = reader.query_row("SELECT count(*) FROM t", [], |r| r.get(0)).unwrap();
        assert_eq!(rows % i64::from(COMMITS), 0);
    }
}
