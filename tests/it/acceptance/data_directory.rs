//! A data directory that cannot be used stops the start with one line.

use super::text;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use tutti_tests::process::Ended;
use tutti_tests::queries::skipped;
use tutti_tests::server::{Server, Start};

/// A start that must fail with one line that names the directory; the line.
async fn refused(start: &Start) -> String {
    let ended: Ended = start.try_start().await.expect_err("the server must not start");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let lines: Vec<&str> = ended.stderr.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!((lines.len(), ended.stdout.as_str()), (1, ""), "{ended:?}");
    let name = start.data_dir().file_name().unwrap().to_str().unwrap();
    assert!(lines[0].contains(name), "the line does not name the directory: {}", lines[0]);
    lines[0].to_owned()
}

fn database(dir: &Path) -> PathBuf {
    dir.join("tutti.db")
}

#[tokio::test]
async fn one_that_is_absent_is_made() {
    let start = Start::new();
    let nested = start.data_dir().join("a/b");
    let _server = start.data(&nested).start().await;
    assert!(database(&nested).is_file());
}

#[tokio::test]
async fn one_in_use_is_refused_and_its_owner_goes_on() {
    let server = Server::start().await;
    let line = refused(server.how()).await;
    assert!(line.contains("in use"), "{line}");
    let _ = server.client().get("/health/ready").await.expect(200);
}

#[tokio::test]
async fn one_whose_owner_was_killed_is_free_again() {
    let mut server = Server::start().await;
    server.kill9();
    server.restart().await;
}

#[tokio::test]
async fn one_from_a_newer_version_is_refused_and_left_alone() {
    let mut server = Server::start().await;
    let run_id = text(
        &server
            .client()
            .post("/v1/runs?wait=30", &json!({"workflow": "noop", "input": {"steps": 1}}))
            .await
            .expect(200)
            .json()["run_id"],
    )
    .to_owned();
    assert_eq!(server.terminate().await.code, Some(0));
    let file = database(server.how().data_dir());
    let version = |to: Option<u32>| {
        let db = rusqlite::Connection::open(&file).unwrap();
        let was: u32 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        if let Some(to) = to {
            db.pragma_update(None, "user_version", to).unwrap();
        }
        was
    };
    let known = version(Some(9_999));
    let line = refused(server.how()).await;
    assert!(line.contains("newer") && line.contains("9999"), "{line}");
    assert_eq!(version(Some(known)), 9_999, "it was not touched");
    server.restart().await;
    assert_eq!(server.client().run(&run_id).await.status, "completed");
}

#[tokio::test]
async fn one_that_is_no_directory_is_refused() {
    let start = Start::new();
    std::fs::write(start.data_dir(), "a file").unwrap();
    refused(&start).await;
}

#[tokio::test]
async fn one_that_is_damaged_is_refused() {
    let mut server = Server::start().await;
    assert_eq!(server.terminate().await.code, Some(0));
    std::fs::write(database(server.how().data_dir()), "not a database, but long enough to look like one\n".repeat(400))
        .unwrap();
    let line = refused(server.how()).await;
    assert!(line.contains("damaged"), "{line}");
}

#[tokio::test]
async fn one_that_is_read_only_is_refused() {
    let start = Start::new();
    std::fs::create_dir(start.data_dir()).unwrap();
    let Some(mount) = Mount::tmpfs(start.data_dir(), "4m") else {
        return read_only_by_mode(&start).await;
    };
    mount.read_only();
    let line = refused(&start).await;
    assert!(line.contains("cannot be written"), "{line}");
}

/// Without the right to mount we are not root, and modes count.
async fn read_only_by_mode(start: &Start) {
    use std::os::unix::fs::PermissionsExt;
    let mode = |mode| std::fs::set_permissions(start.data_dir(), std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o500);
    if std::fs::write(start.data_dir().join("probe"), "").is_ok() {
        mode(0o700);
        return skipped("a read-only data directory: this user may write anywhere and may not mount");
    }
    let line = refused(start).await;
    mode(0o700);
    assert!(line.contains("cannot be written"), "{line}");
}

#[tokio::test]
async fn one_on_a_full_disk_is_refused() {
    let start = Start::new();
    std::fs::create_dir(start.data_dir()).unwrap();
    let Some(_mount) = Mount::tmpfs(start.data_dir(), "64k") else {
        return skipped("a full disk: this user may not mount a small file system");
    };
    let line = refused(&start).await;
    assert!(line.contains("full"), "{line}");
}

/// A small file system on a directory; it goes away with its owner.
struct Mount(PathBuf);

impl Mount {
    /// `None` where this user may not mount.
    fn tmpfs(dir: &Path, size: &str) -> Option<Self> {
        let options = format!("size={size}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir).output();
        mount.is_ok_and(|out| out.status.success()).then(|| Self(dir.into()))
    }

    fn read_only(&self) {
        let mount = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).output().unwrap();
        assert!(mount.status.success(), "{mount:?}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}
