//! Directories that cannot be used, and disks without room.

use super::{birth, open_fails, submit};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use tutti_engine::ports::store::{Receipt, Store, StoreError};
use tutti_engine::run::RunNo;
use tutti_stores::sqlite::{OpenError, SqliteStore};

#[tokio::test]
async fn a_directory_in_use_is_refused_until_it_is_closed() {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    assert!(matches!(open_fails(dir.path()), OpenError::Locked { .. }));
    assert_eq!(submit(&store, vec![birth(1, b"")]).recv().unwrap(), [Receipt::Committed], "the owner was disturbed");
    // Closing is enough: the value may live on.
    store.close();
    let next = SqliteStore::open(dir.path()).unwrap();
    assert_eq!(next.next_run().await.unwrap(), RunNo(2));
    drop(next);
    SqliteStore::open(dir.path()).unwrap();
}

#[test]
fn a_directory_is_made() {
    let dir = TempDir::new().unwrap();
    SqliteStore::open(&dir.path().join("a/b c/ü")).unwrap();
    assert!(dir.path().join("a/b c/ü/tutti.db").exists());
}

#[test]
fn a_file_in_the_directorys_place_is_refused() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("data");
    std::fs::write(&file, "x").unwrap();
    open_fails(&file);
    assert_eq!(std::fs::read(&file).unwrap(), b"x");
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let dir = TempDir::new().unwrap();
    SqliteStore::open(dir.path()).unwrap();
    let db = Connection::open(dir.path().join("tutti.db")).unwrap();
    let known: u32 = db.query_row("PRAGMA user_version", [], |r| r.get(0)).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(open_fails(dir.path()), OpenError::Newer { found: 99, .. }));
    let version: u32 = db.query_row("PRAGMA user_version", [], |r| r.get(0)).unwrap();
    assert_eq!(version, 99);
    // The failed attempt holds nothing.
    db.pragma_update(None, "user_version", known).unwrap();
    drop(db);
    SqliteStore::open(dir.path()).unwrap();
}

#[test]
fn what_is_no_database_is_refused_and_left_alone() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("tutti.db");
    let text = "shopping list: tea, biscuits\n".repeat(500);
    std::fs::write(&file, &text).unwrap();
    assert!(matches!(open_fails(dir.path()), OpenError::Damaged { .. }));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let dir = TempDir::new().unwrap();
    let mut mode = std::fs::metadata(dir.path()).unwrap().permissions();
    mode.set_readonly(true);
    std::fs::set_permissions(dir.path(), mode).unwrap();
    if std::fs::write(dir.path().join("probe"), "x").is_ok() {
        eprintln!("SKIPPED: this user may write to read-only directories");
        return;
    }
    assert!(matches!(open_fails(dir.path()), OpenError::ReadOnly { .. }));
}

/// A small file system, gone at the end.
struct SmallDisk(PathBuf, #[expect(dead_code, reason = "holds the mount point")] TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let point = dir.path().join("disk");
        std::fs::create_dir(&point).unwrap();
        let size = format!("size={size}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&point).output();
        if !mount.is_ok_and(|done| done.status.success()) {
            eprintln!("SKIPPED: no file system can be mounted here");
            return None;
        }
        Some(Self(point, dir))
    }

    fn fill(&self) -> PathBuf {
        let ballast = self.0.join("ballast");
        let mut file = std::fs::File::create(&ballast).unwrap();
        // Page by page until there is no room.
        while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{:?} is still mounted", self.0);
        }
    }
}

fn write(store: &SqliteStore, run: i64, bytes: usize) -> Receipt {
    submit(store, vec![birth(run, &vec![7; bytes])]).recv().unwrap().remove(0)
}

#[tokio::test]
async fn a_full_disk_fails_writes_until_there_is_room() {
    let Some(disk) = SmallDisk::mount("8m") else { return };
    let store = SqliteStore::open(&disk.0).unwrap();
    assert_eq!(write(&store, 1, 1_000), Receipt::Committed);
    let ballast = disk.fill();
    let full = write(&store, 2, 500_000);
    assert!(matches!(full, Receipt::Failed(_) | Receipt::Unknown(_)), "{full:?}");
    assert_eq!(store.run(RunNo(2)).await.unwrap(), None, "{full:?}, and it was written");
    assert!(store.run(RunNo(1)).await.unwrap().is_some(), "reading needs no room");
    std::fs::remove_file(ballast).unwrap();
    store.probe().await.unwrap();
    assert_eq!(write(&store, 2, 500_000), Receipt::Committed);
    assert_eq!(store.journal(RunNo(2), 0, 9).await.unwrap()[0].body.len(), 500_000);
    drop(store);
    reopened(&disk.0).await;
}

async fn reopened(dir: &Path) {
    let store = SqliteStore::open(dir).unwrap();
    assert_eq!(store.next_run().await.unwrap(), RunNo(3));
    assert_eq!(write(&store, 3, 10), Receipt::Committed);
}

#[test]
fn a_full_disk_is_named_when_opening() {
    let Some(disk) = SmallDisk::mount("1m") else { return };
    disk.fill();
    let error = open_fails(&disk.0);
    assert!(matches!(error, OpenError::Full { .. }), "{error}");
}

const FAILING_DIR: &str = "TUTTI_TEST_FSYNC_FAILS_IN";

/// The writer's ninth fsync of the log (opening takes one for each migration, and one) fails, and only that one: a store that tried again would believe that all is well.
#[tokio::test]
async fn a_failed_fsync_ends_all_writing() {
    let dir = TempDir::new().unwrap();
    let strace = |args: &[&str]| Command::new("strace").args(["-f", "-o", "/dev/null"]).args(args).output();
    if !strace(&["true"]).is_ok_and(|done| done.status.success()) {
        eprintln!("SKIPPED: strace is missing or may not be used");
        return;
    }
    let log = dir.path().join("tutti.db-wal").display().to_string();
    let fault = "inject=fsync,fdatasync:error=EIO:when=9";
    let this = std::env::current_exe().unwrap().display().to_string();
    let child = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-P", &log, "-e", "trace=fsync,fdatasync", "-e", fault, &this])
        .args(["--exact", "sqlite::disk::in_a_process_where_fsync_fails", "--nocapture"])
        .env(FAILING_DIR, dir.path())
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    let lost = said.lines().find_map(|line| line.strip_prefix("met the failed fsync with run "));
    let (true, Some(lost)) = (child.status.success(), lost) else { panic!("{child:?}") };
    let lost: i64 = lost.parse().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    assert!(store.run(RunNo(lost - 1)).await.unwrap().is_some(), "what was receipted is gone");
    let next = store.next_run().await.unwrap().0;
    assert!(next == lost || next == lost + 1, "{next}: what was refused for certain is there");
    assert_eq!(write(&store, next, 10), Receipt::Committed);
}

/// Run by the test above, and nothing by itself.
#[tokio::test]
async fn in_a_process_where_fsync_fails() {
    let Some(dir) = std::env::var_os(FAILING_DIR) else { return };
    let dir = PathBuf::from(dir);
    let store = SqliteStore::open(&dir).unwrap();
    let lost = (1..=20).find(|run| write(&store, *run, 10) != Receipt::Committed).expect("no write has failed");
    println!("met the failed fsync with run {lost}");
    for run in lost + 1..lost + 5 {
        let receipt = write(&store, run, 10);
        let Receipt::Failed(StoreError::Unavailable(why)) = &receipt else { panic!("{receipt:?}") };
        assert!(why.contains("check the disk"), "{why}");
    }
    assert!(store.probe().await.is_err());
    assert!(store.run(RunNo(lost - 1)).await.unwrap().is_some(), "reading goes on");
}
