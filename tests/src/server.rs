//! The real binary, serving.

use crate::backends::postgres::Postgres;
use crate::client::{Client, Place};
use crate::process::{Ended, Process};
use crate::provider::Provider;
use crate::{built, in_time};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::watch;

/// The binary under test: `TUTTI_BIN`, else the one that cargo built beside this test.
#[must_use]
pub fn binary() -> PathBuf {
    std::env::var_os("TUTTI_BIN").map_or_else(|| built("tutti"), PathBuf::from)
}

/// A command of the binary under test, in an empty directory and an empty environment, so that nothing of the machine leaks in.
pub fn tutti(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(args).current_dir(dir).env_clear().env("NO_COLOR", "1").env("RUST_BACKTRACE", "1");
    // A busy file system must not turn a test into a wait; where data goes is always said.
    for name in ["PATH", "HOME", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Start {
    dir: Arc<TempDir>,
    data: PathBuf,
    command: &'static str,
    args: Vec<String>,
    env: Vec<(String, String)>,
    /// Where it keeps its runs, if not in SQLite.
    postgres: Option<(Arc<Postgres>, String)>,
}

/// Whether every server of this test run keeps its runs in PostgreSQL.
#[must_use]
pub fn is_on_postgres() -> bool {
    std::env::var("TUTTI_TEST_STORE").is_ok_and(|store| store == "postgres")
}

impl Default for Start {
    fn default() -> Self {
        Self::new()
    }
}

impl Start {
    /// With the offline model and an empty data directory.
    ///
    /// # Panics
    /// When there is no room for a temporary directory.
    #[must_use]
    pub fn new() -> Self {
        let dir = Arc::new(tempfile::tempdir().expect("a temporary directory"));
        let data = dir.path().join("data");
        Self { dir, data, command: "serve", args: Vec::new(), env: Vec::new(), postgres: None }
    }

    /// On a PostgreSQL server, in a schema of that name.
    #[must_use]
    pub fn on(mut self, server: &Arc<Postgres>, schema: &str) -> Self {
        self.postgres = Some((Arc::clone(server), schema.to_owned()));
        self
    }

    /// With an argument.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.into());
        self
    }

    /// With a variable set.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// With a model provider, whose failures are tried again twice, at once.
    #[must_use]
    pub fn model(self, provider: &Provider) -> Self {
        self.env("LLM_BASE_URL", &provider.base_url())
            .env("LLM_DEFAULT_MODEL", "test")
            .env("LLM_API_KEY", "sk-test-4f1d")
            .env("MAX_RETRIES", "2")
            .env("RETRY_DELAY", "0.01")
    }

    /// With a file in the directory that it is started in.
    ///
    /// # Panics
    /// When the file cannot be written.
    #[must_use]
    pub fn file(self, name: &str, content: &str) -> Self {
        std::fs::write(self.dir.path().join(name), content).expect("a file in a directory of ours");
        self
    }

    /// With data somewhere else.
    #[must_use]
    pub fn data(mut self, data: &Path) -> Self {
        self.data = data.into();
        self
    }

    /// With another command that serves, such as `demo`.
    #[must_use]
    pub fn command(mut self, command: &'static str) -> Self {
        self.command = command;
        self
    }

    /// Where the data is.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// When it ends instead.
    pub async fn start(&self) -> Server {
        self.try_start().await.unwrap_or_else(|ended| panic!("the server did not start: {ended:?}"))
    }

    /// Starts it and waits until it is ready, or has ended.
    ///
    /// # Errors
    /// How it ended.
    pub async fn try_start(&self) -> Result<Server, Ended> {
        let (place, _) = watch::channel(Place::default());
        let mut start = self.clone();
        if start.postgres.is_none() && is_on_postgres() {
            let postgres = Postgres::shared().await.expect("TUTTI_TEST_STORE=postgres needs PostgreSQL");
            let schema = postgres.schema();
            start.postgres = Some((postgres, schema));
        }
        let mut server = Server { start, process: None, place };
        server.up().await?;
        Ok(server)
    }
}

/// A running server. It ends with its owner.
#[derive(Debug)]
pub struct Server {
    start: Start,
    process: Option<Process>,
    place: watch::Sender<Place>,
}

impl Server {
    /// A server with the offline model and an empty data directory.
    pub async fn start() -> Self {
        Start::new().start().await
    }

    /// A client of it, over all its restarts.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.place.subscribe())
    }

    /// Its address.
    ///
    /// # Panics
    /// When it is down.
    #[must_use]
    pub fn url(&self) -> String {
        self.place.borrow().url.clone().expect("the server is up")
    }

    /// How it was started.
    #[must_use]
    pub fn how(&self) -> &Start {
        &self.start
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it is down.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process.as_ref().expect("the server is up").pid().as_raw_nonzero().get()
    }

    /// What it wrote to stderr since its last start.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.process.as_ref().map(Process::stderr).unwrap_or_default()
    }

    /// Waits for a line of its output, and gives what `find` finds in it.
    ///
    /// # Panics
    /// When it ends, or is down, without such a line.
    pub async fn line<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let process = self.process.as_mut().expect("the server is up");
        process.line(what, find).await.unwrap_or_else(|ended| panic!("no {what}: {ended:?}"))
    }

    /// Ends it at once, as a power cut would.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill9();
        }
        self.place.send_modify(|place| place.url = None);
    }

    /// Stops it where it is (SIGSTOP), as a long pause of its machine would; its process id.
    ///
    /// # Panics
    /// When it is down.
    pub fn freeze(&mut self) -> i32 {
        let pid = self.pid();
        signal(pid, rustix::process::Signal::STOP);
        pid
    }

    /// Lets it go on.
    pub fn thaw(&mut self, pid: i32) {
        signal(pid, rustix::process::Signal::CONT);
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// When it is down.
    pub async fn terminate(&mut self) -> Ended {
        let mut process = self.process.take().expect("the server is up");
        process.terminate();
        let ended = process.end().await;
        self.place.send_modify(|place| place.url = None);
        ended
    }

    /// Starts it again on the same data, on another port.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        assert!(self.process.is_none(), "the server is up");
        self.up().await.unwrap_or_else(|ended| panic!("the server did not start again: {ended:?}"));
    }

    async fn up(&mut self) -> Result<(), Ended> {
        let how = &self.start;
        let data = how.data.to_str().expect("a path in UTF-8");
        // Port 0: a port of its own, so that tests run side by side and nothing else is met on it.
        let mut command = tutti(how.dir.path(), &[how.command, "--port", "0", "--data", data]);
        if let Some((postgres, schema)) = &how.postgres {
            command.env("POSTGRES_DSN", postgres.dsn()).env("POSTGRES_SCHEMA", schema).env("POSTGRES_READERS", "3");
        }
        command.args(&how.args).envs(how.env.iter().map(|(name, value)| (name, value)));
        let mut process = Process::start(&mut command);
        let url = process.line("the line that says where the server listens", listens_on).await?;
        let ready = Client::at(&url).get("/health/ready");
        in_time("the server to be ready", ready).await.expect(200);
        self.process = Some(process);
        self.place.send_modify(|place| *place = Place { generation: place.generation + 1, url: Some(url) });
        Ok(())
    }
}

fn signal(pid: i32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
    rustix::process::kill_process(pid, signal).expect("a process of ours");
}

/// `… listens on http://127.0.0.1:PORT …`, or the demo's `server http://127.0.0.1:PORT`
fn listens_on(line: &str) -> Option<String> {
    let (before, after) = line.split_once("http://127.0.0.1:")?;
    let port: String = after.chars().take_while(char::is_ascii_digit).collect();
    (before.contains("listen") || before.trim() == "server").then(|| format!("http://127.0.0.1:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_line() {
        let line = "tutti 0.1.0 listens on http://127.0.0.1:40123 · data in x · model: m at http://127.0.0.1:9/v1";
        assert_eq!(listens_on(line).as_deref(), Some("http://127.0.0.1:40123"));
        assert_eq!(listens_on("model: m at http://127.0.0.1:9/v1"), None);
    }
}
