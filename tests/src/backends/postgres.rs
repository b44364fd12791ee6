//! A PostgreSQL server of our own.

use crate::backends::shared::Shared;
use crate::backends::slot::Slot;
use crate::backends::{as_user, dir_of, free_port, start};
use crate::process::Process;
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    bin: PathBuf,
    dir: TempDir,
    port: u16,
    process: Slot,
    schemas: AtomicU32,
}

/// Where its programs are: the newest version on this machine.
fn bin() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> =
        std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|e| e.path().join("bin")).collect();
    versions.sort();
    versions.into_iter().rev().find(|bin| bin.join("postgres").is_file() && bin.join("initdb").is_file())
}

impl Postgres {
    /// A new, empty server; `None` where there is no PostgreSQL.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Option<Self> {
        let bin = bin()?;
        let dir = dir_of("postgres");
        let mut initdb = as_user("postgres", &bin.join("initdb"));
        initdb.args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync", "-D"]);
        let ended = start({
            initdb.arg(dir.path().join("data")).current_dir("/");
            initdb
        })
        .end()
        .await;
        assert_eq!(ended.code, Some(0), "initdb: {}", ended.stderr);
        let server = Self { bin, dir, port: free_port(), process: Slot::default(), schemas: AtomicU32::new(0) };
        server.up().await;
        Some(server)
    }

    /// One for all tests of this process that run at the same time; it ends with the last of them.
    pub async fn shared() -> Option<Arc<Self>> {
        static SHARED: Shared<Postgres> = Shared::new();
        SHARED.get(Self::start()).await
    }

    /// Its address.
    #[must_use]
    pub fn dsn(&self) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A schema's name that nobody else uses.
    #[must_use]
    pub fn schema(&self) -> String {
        format!("t{}_{}", std::process::id(), self.schemas.fetch_add(1, Ordering::Relaxed))
    }

    /// Starts it on its data, and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn up(&self) {
        let mut command = as_user("postgres", &self.bin.join("postgres"));
        let data = self.dir.path().join("data");
        command.arg("-D").arg(&data).args(["-p", &self.port.to_string(), "-k", ""]).current_dir("/");
        for setting in ["listen_addresses=127.0.0.1", "max_connections=300"] {
            command.args(["-c", setting]);
        }
        self.process.up("PostgreSQL", command, "ready to accept").await;
    }

    /// Ends it at once; its connections are cut wherever they are (an immediate shutdown: it recovers at its next start).
    pub async fn cut(&self) {
        self.process.signal(Signal::QUIT);
        if let Some(mut process) = self.process.take() {
            process.end().await;
        }
    }

    /// Runs SQL as its owner would in a shell.
    ///
    /// # Panics
    /// When the server does not take it.
    pub async fn psql(&self, sql: &str) -> String {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", &self.dsn(), "-c", sql]);
        let ended = Process::run(&mut psql).await;
        assert_eq!(ended.code, Some(0), "{sql}: {}", ended.stderr);
        ended.stdout.trim().to_owned()
    }

    /// Where its files are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Immediate: nobody needs the data any more. Waiting for it is the process' own drop.
        self.process.signal(Signal::QUIT);
        drop(self.process.take());
    }
}
