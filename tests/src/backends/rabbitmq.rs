//! A RabbitMQ node of our own, with an `epmd` of our own: nothing is shared with a node that the machine may run.

use crate::backends::amqp::Amqp;
use crate::backends::shared::Shared;
use crate::backends::slot::Slot;
use crate::backends::{as_user, dir_of, free_port, start};
use crate::process::Process;
use rustix::process::Signal;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// The program itself, not the wrapper that asks for a login shell.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const EPMD: &str = "/usr/bin/epmd";

/// A running node.
#[derive(Debug)]
pub struct RabbitMq {
    dir: TempDir,
    node: String,
    port: u16,
    dist_port: u16,
    epmd_port: u16,
    process: Slot,
    prefixes: AtomicU32,
    /// Ends after the node.
    epmd: Process,
}

impl RabbitMq {
    /// A new, empty node; `None` where there is no RabbitMQ.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Option<Self> {
        static NODES: AtomicU32 = AtomicU32::new(0);
        if !Path::new(SERVER).exists() || !Path::new(EPMD).exists() {
            return None;
        }
        let dir = dir_of("rabbitmq");
        let epmd_port = free_port();
        let mut epmd = start({
            let mut epmd = as_user("rabbitmq", Path::new(EPMD));
            epmd.args(["-d", "-address", "127.0.0.1", "-port", &epmd_port.to_string()]).current_dir("/");
            epmd
        });
        let ready = epmd.line("epmd to be ready", |line| line.contains("epmd running").then_some(()));
        ready.await.unwrap_or_else(|ended| panic!("epmd did not start: {ended:?}"));
        let server = Self {
            dir,
            node: format!("tutti{}x{}@localhost", std::process::id(), NODES.fetch_add(1, Ordering::Relaxed)),
            port: free_port(),
            dist_port: free_port(),
            epmd_port,
            process: Slot::default(),
            prefixes: AtomicU32::new(0),
            epmd,
        };
        server.up().await;
        Some(server)
    }

    /// One for all tests of this process that run at the same time; it ends with the last of them.
    pub async fn shared() -> Option<Arc<Self>> {
        static SHARED: Shared<RabbitMq> = Shared::new();
        SHARED.get(Self::start()).await
    }

    /// Its port; user and password are `guest`.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A prefix of queues that nobody else uses.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("t{}", self.prefixes.fetch_add(1, Ordering::Relaxed))
    }

    /// Starts it on its data, and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn up(&self) {
        self.up_with("").await;
    }

    /// Starts it as if its disk were nearly full: it takes no messages, and gives those that it has.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn up_short_of_disk(&self) {
        self.up_with("disk_free_limit.absolute = 900000GB\n").await;
    }

    async fn up_with(&self, settings: &str) {
        let dir = self.dir.path();
        std::fs::write(dir.join("node.conf"), settings).expect("a file can be written");
        let mut command = as_user("rabbitmq", Path::new(SERVER));
        command.current_dir(dir).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", dir);
        // So the script becomes the node, and its process id is the node's.
        command.env("RABBITMQ_ALLOW_INPUT", "1").env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-noinput");
        command.env("RABBITMQ_NODENAME", &self.node).env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1");
        command.env("RABBITMQ_NODE_PORT", self.port.to_string());
        command.env("RABBITMQ_DIST_PORT", self.dist_port.to_string());
        command.env("ERL_EPMD_PORT", self.epmd_port.to_string()).env("ERL_EPMD_ADDRESS", "127.0.0.1");
        for (name, at) in [
            ("RABBITMQ_MNESIA_BASE", "data"),
            ("RABBITMQ_LOG_BASE", "log"),
            ("RABBITMQ_CONFIG_FILE", "node.conf"),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", "none.config"),
            ("RABBITMQ_CONF_ENV_FILE", "none.env"),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", "plugins"),
            ("RABBITMQ_GENERATED_CONFIG_DIR", "config"),
        ] {
            command.env(name, dir.join(at));
        }
        command.env("RABBITMQ_LOGS", "-");
        self.process.up("RabbitMQ", command, "Server startup complete").await;
    }

    /// Ends it at once, as a power cut would (`kill -9`).
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

    /// A hand at the broker.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn amqp(&self) -> Amqp {
        Amqp::open(self.port).await.expect("RabbitMQ answers")
    }

    /// Deletes a queue under whoever uses it.
    ///
    /// # Panics
    /// When the broker does not do it.
    pub async fn delete_queue(&self, queue: &str) {
        self.amqp().await.delete(queue).await.expect("a queue can be deleted");
    }

    /// The process id of its `epmd`.
    #[must_use]
    pub fn epmd(&self) -> rustix::process::Pid {
        self.epmd.pid()
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        // Nobody needs its data any more; an orderly end takes seconds.
        self.cut();
    }
}
