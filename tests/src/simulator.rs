//! `tutti simulate` as a process: the ticket agents, the marketplace and the payment manager. It is never killed, so its books
//! and counts are the judge.

use crate::client::Client;
use crate::process::Process;
use crate::server::{Start, tutti};
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

/// A running simulator. It ends with its owner.
#[derive(Debug)]
pub struct Simulator {
    url: String,
    client: Client,
    _process: Process,
    _dir: TempDir,
}

impl Simulator {
    /// Starts one on a port of its own.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut all = vec!["simulate", "--port", "0"];
        all.extend(args);
        let mut process = Process::start(&mut tutti(dir.path(), &all));
        let find = |line: &str| line.strip_prefix("tutti simulate listens on ").map(ToOwned::to_owned);
        let url = process.line("the simulator's address", find).await.unwrap_or_else(|ended| panic!("{ended:?}"));
        Self { client: Client::at(&url), url, _process: process, _dir: dir }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What goes wrong from now on.
    pub async fn faults(&self, faults: &Value) {
        self.client.post("/faults", faults).await.expect(200);
    }

    /// Nothing goes wrong any more.
    pub async fn well(&self) {
        self.client.call(Method::DELETE, "/faults").await.expect(204);
    }

    /// What was asked so far.
    pub async fn stats(&self) -> Value {
        self.client.get("/stats").await.expect(200).json()
    }

    /// What was paid and bought so far.
    pub async fn books(&self) -> Value {
        self.client.get("/market/books").await.expect(200).json()
    }

    /// A server whose tickets go through these agents, with short waits.
    #[must_use]
    pub fn desk(&self, start: Start) -> Start {
        ["ROUTER", "KNOWLEDGE", "SENTIMENT", "DECISION"].into_iter().fold(hurried(start), |start, role| {
            start.env(&format!("{role}_AGENT_URL"), &format!("{}/{}", self.url, role.to_lowercase()))
        })
    }

    /// A server whose research buys here, with short waits.
    #[must_use]
    pub fn market(&self, start: Start) -> Start {
        hurried(start)
            .env("MARKETPLACE_URL", &format!("{}/market", self.url))
            .env("PAYMENT_MANAGER_URL", &format!("{}/payments", self.url))
            .env("VOICE_VERIFY_URL", &format!("{}/voice/verify", self.url))
    }
}

fn hurried(start: Start) -> Start {
    start.env("HTTP_TIMEOUT", "5").env("MAX_RETRIES", "3").env("RETRY_DELAY", "0.02")
}
