//! One transaction of the writer: what it wrote is on disk, is certainly not, or nobody knows.

use rusqlite::{Connection, Error, ErrorCode, Result, ffi};
use tutti_engine::ports::store::{Receipt, StoreError};

/// Why a transaction was not committed.
#[derive(Debug)]
pub(super) enum Undone {
    /// It failed before COMMIT began to write: nothing of it is there.
    Certain(Error),
    /// COMMIT itself failed: its last page may have reached the disk.
    Unknown(Error),
}

/// Does work in a transaction of its own and waits until it is on disk.
pub(super) fn durable<T>(db: &Connection, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T, Undone> {
    let worked = db.execute_batch("BEGIN IMMEDIATE").and_then(|()| work(db));
    let undone = match worked {
        Ok(value) => match db.execute_batch("COMMIT") {
            Ok(()) => return Ok(value),
            // SQLite keeps the transaction open only where it has not begun to write.
            Err(e) if db.is_autocommit() => Undone::Unknown(e),
            Err(e) => Undone::Certain(e),
        },
        Err(e) => Undone::Certain(e),
    };
    if !db.is_autocommit()
        && let Err(e) = db.execute_batch("ROLLBACK")
    {
        tracing::error!("a failed transaction could not be rolled back: {e}");
    }
    Err(undone)
}

impl Undone {
    /// What whoever submitted the transaction is told.
    pub fn receipt(&self) -> Receipt {
        match self {
            Self::Certain(e) => Receipt::Failed(error(e)),
            Self::Unknown(e) => Receipt::Unknown(e.to_string()),
        }
    }

    /// What whoever asked for a probe or a chunk of pruning is told: trying again is right either way.
    pub fn error(&self) -> StoreError {
        let (Self::Certain(e) | Self::Unknown(e)) = self;
        error(e)
    }

    /// Why nothing may be written any more, if so. After a failed fsync the system may have dropped the pages and call the next
    /// fsync a success, so only a new start, which reads the file anew, knows what is on disk.
    pub fn verdict(&self) -> Option<StoreError> {
        let (Self::Certain(e) | Self::Unknown(e)) = self;
        let code = e.sqlite_error().map(|e| e.extended_code);
        matches!(code, Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)).then(|| {
            let what = "nothing more is written until Tutti is started again; check the disk";
            StoreError::Unavailable(format!("the disk failed to keep what was written ({e}): {what}"))
        })
    }
}

/// An SQLite error as the port's.
pub(super) fn error(e: &Error) -> StoreError {
    match e.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged(e.to_string()),
        Some(ErrorCode::DiskFull) => StoreError::Unavailable("the disk is full".into()),
        _ => StoreError::Unavailable(e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn tables() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        let parent_is_asked_for_at_commit = "PRAGMA foreign_keys=1; CREATE TABLE parent(id INTEGER PRIMARY KEY);
            CREATE TABLE child(parent INTEGER REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED);";
        db.execute_batch(parent_is_asked_for_at_commit).unwrap();
        db
    }

    fn children(db: &Connection) -> i64 {
        db.query_row("SELECT count(*) FROM child", [], |r| r.get(0)).unwrap()
    }

    fn failing(code: i32) -> Error {
        Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn a_failed_statement_undoes_the_ones_before_it() {
        let db = tables();
        let undone = durable(&db, |db| {
            db.execute("INSERT INTO child VALUES(NULL)", [])?;
            db.execute("INSERT INTO nowhere VALUES(1)", [])
        });
        let undone = undone.unwrap_err();
        assert!(matches!(undone.receipt(), Receipt::Failed(_)) && undone.verdict().is_none(), "{undone:?}");
        assert_eq!(children(&db), 0);
        durable(&db, |db| db.execute("INSERT INTO child VALUES(NULL)", [])).unwrap();
        assert_eq!(children(&db), 1);
    }

    #[test]
    fn a_commit_that_never_began_is_certainly_undone() {
        let db = tables();
        let undone = durable(&db, |db| db.execute("INSERT INTO child VALUES(7)", [])).unwrap_err();
        assert!(matches!(undone.receipt(), Receipt::Failed(_)), "{undone:?}");
        assert!(db.is_autocommit() && children(&db) == 0);
    }

    #[test]
    fn only_a_failed_fsync_ends_all_writing() {
        for code in [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC] {
            for undone in [Undone::Unknown(failing(code)), Undone::Certain(failing(code))] {
                let Some(StoreError::Unavailable(text)) = undone.verdict() else { panic!("{undone:?}") };
                assert!(text.contains("check the disk") && !text.contains('\n'), "{text}");
            }
        }
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_READ, ffi::SQLITE_BUSY] {
            assert!(Undone::Unknown(failing(code)).verdict().is_none(), "{code}: more room or a moment may help");
        }
    }

    #[test]
    fn errors_say_what_they_are() {
        assert_eq!(error(&failing(ffi::SQLITE_FULL)), StoreError::Unavailable("the disk is full".into()));
        assert!(matches!(error(&failing(ffi::SQLITE_CORRUPT_INDEX)), StoreError::Damaged(_)));
        assert!(matches!(error(&failing(ffi::SQLITE_BUSY)), StoreError::Unavailable(_)));
    }
}
