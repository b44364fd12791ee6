//! Opening the file: alone, writable, and not newer than this program.

use crate::sqlite::{log, place};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Applied in order; `PRAGMA user_version` counts them.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/1.sql"),
    include_str!("migrations/2.sql"),
    include_str!("migrations/3.sql"),
    include_str!("migrations/4.sql"),
];

/// Why the data directory cannot be used: one line for whoever starts the program.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("data directory {dir:?} is in use by another process; stop it, or choose another one with --data")]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// It cannot be written.
    #[error("data directory {dir:?} cannot be written; change its owner or mode, or choose another one with --data")]
    ReadOnly {
        /// The directory.
        dir: PathBuf,
    },
    /// No room.
    #[error("the disk of data directory {dir:?} is full; free some space, or choose another one with --data")]
    Full {
        /// The directory.
        dir: PathBuf,
    },
    /// Written by a later version.
    #[error(
        "data directory {dir:?} was written by a newer version (schema {found}, this program knows {known}); use that version"
    )]
    Newer {
        /// The directory.
        dir: PathBuf,
        /// Its schema.
        found: u32,
        /// Ours.
        known: usize,
    },
    /// Not a database, or a broken one.
    #[error("data directory {dir:?} is damaged ({reason}); restore it from a copy, or choose another one with --data")]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// Anything else.
    #[error("data directory {dir:?} cannot be used: {reason}")]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// How long to wait for whoever else has the file: a backup, a shell.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// An open store.
pub(super) struct Opened {
    pub writer: Connection,
    pub file: PathBuf,
    /// The write-ahead log.
    pub log: PathBuf,
    /// Held as long as the writer lives.
    pub lock: File,
}

pub(super) fn open(dir: &Path) -> Result<Opened, OpenError> {
    std::fs::create_dir_all(dir).map_err(|e| io(dir, &e))?;
    let lock = lock(dir)?;
    let file = dir.join("tutti.db");
    let failed = |e: rusqlite::Error| sql(dir, &e);
    let mut writer = Connection::open(&file).map_err(failed)?;
    writer.busy_timeout(BUSY).map_err(failed)?;
    // FULL: a commit is on disk before anybody hears of it. The log is folded back every 16 MiB, off nobody's critical path
    // but the one commit that meets it.
    let settings = format!(
        "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000; PRAGMA journal_size_limit={};
        PRAGMA temp_store=MEMORY; PRAGMA cache_size=-16000;",
        log::BYTES_MAX
    );
    let mode: String = writer.query_row("PRAGMA journal_mode=WAL", [], |r| r.get(0)).map_err(failed)?;
    if mode != "wal" {
        let reason = "its file system cannot share memory between readers and a writer; use a local disk".into();
        return Err(OpenError::Io { dir: dir.into(), reason });
    }
    writer.execute_batch(&settings).map_err(failed)?;
    migrate(dir, &mut writer)?;
    // An empty write: a full or read-only disk is better met now than by the first caller.
    writer.execute_batch("BEGIN IMMEDIATE; INSERT INTO meta VALUES('opened', 1) ON CONFLICT DO UPDATE SET value = value + 1; COMMIT;").map_err(failed)?;
    if let Some(doubt) = place::doubt(dir) {
        tracing::warn!("data directory {dir:?} {doubt}");
    }
    let log = dir.join("tutti.db-wal");
    Ok(Opened { writer, file, log, lock })
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("tutti.lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(|e| io(dir, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { dir: dir.into() }),
        Err(TryLockError::Error(e)) => Err(io(dir, &e)),
    }
}

fn migrate(dir: &Path, db: &mut Connection) -> Result<(), OpenError> {
    let failed = |e: rusqlite::Error| sql(dir, &e);
    let found: u32 = db.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(failed)?;
    if found as usize > MIGRATIONS.len() {
        return Err(OpenError::Newer { dir: dir.into(), found, known: MIGRATIONS.len() });
    }
    for (done, migration) in MIGRATIONS.iter().enumerate().skip(found as usize) {
        let change = db.transaction().map_err(failed)?;
        change.execute_batch(migration).map_err(failed)?;
        change.pragma_update(None, "user_version", i64::try_from(done).unwrap_or(0) + 1).map_err(failed)?;
        change.commit().map_err(failed)?;
    }
    Ok(())
}

/// A connection that only reads.
pub(super) fn reader(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let reader = Connection::open_with_flags(file, flags)?;
    reader.busy_timeout(BUSY)?;
    reader.execute_batch("PRAGMA query_only=1; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-2000;")?;
    reader.set_prepared_statement_cache_capacity(32);
    Ok(reader)
}

fn io(dir: &Path, e: &std::io::Error) -> OpenError {
    use std::io::ErrorKind;
    let dir = dir.to_path_buf();
    match e.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => OpenError::ReadOnly { dir },
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => OpenError::Full { dir },
        _ => OpenError::Io { dir, reason: e.to_string() },
    }
}

fn sql(dir: &Path, e: &rusqlite::Error) -> OpenError {
    let dir = dir.to_path_buf();
    match e.sqlite_error_code() {
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => OpenError::ReadOnly { dir },
        Some(ErrorCode::DiskFull) => OpenError::Full { dir },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Locked { dir },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => OpenError::Damaged { dir, reason: e.to_string() },
        _ => OpenError::Io { dir, reason: e.to_string() },
    }
}
