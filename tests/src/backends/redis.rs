//! A Redis server of our own, which keeps nothing.

use crate::backends::shared::Shared;
use crate::backends::slot::Slot;
use crate::backends::{as_user, free_port};
use crate::in_time;
use rustix::process::Signal;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SERVER: &str = "/usr/bin/redis-server";

/// A running server.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    process: Slot,
    prefixes: AtomicU32,
}

impl Redis {
    /// A new, empty server; `None` where there is no Redis.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Option<Self> {
        if !Path::new(SERVER).exists() {
            return None;
        }
        let server = Self { port: free_port(), process: Slot::default(), prefixes: AtomicU32::new(0) };
        server.up().await;
        Some(server)
    }

    /// One for all tests of this process that run at the same time; it ends with the last of them.
    pub async fn shared() -> Option<Arc<Self>> {
        static SHARED: Shared<Redis> = Shared::new();
        SHARED.get(Self::start()).await
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A prefix of keys that nobody else uses.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("t{}", self.prefixes.fetch_add(1, Ordering::Relaxed))
    }

    /// Starts it, empty, and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn up(&self) {
        let mut command = as_user("redis", Path::new(SERVER));
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no"]);
        command.args(["--save", "", "--appendonly", "no"]).current_dir("/");
        self.process.up("Redis", command, "Ready to accept connections").await;
    }

    /// Ends it at once (`kill -9`).
    pub fn cut(&self) {
        self.process.cut();
    }

    /// Stops it in its tracks: its connections stay open and nothing answers, until [`go_on`](Self::go_on).
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Says a command as a person would in its console, and answers what came back first, as it stands on the wire.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn say(&self, command: &str) -> String {
        let said = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
            stream.write_all(format!("{command}\r\n").as_bytes()).await?;
            let mut answer = vec![0; 65_536];
            let size = stream.read(&mut answer).await?;
            answer.truncate(size);
            std::io::Result::Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
        };
        in_time("Redis' answer", said).await.expect("Redis answers")
    }
}
