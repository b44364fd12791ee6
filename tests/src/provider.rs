//! The model provider as a process of its own: it outlives every kill of the server under test and remembers every request.

use crate::client::Client;
use crate::process::Process;
use crate::{built, in_time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// One request as the provider saw it; a line of its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// In order of arrival, from 1.
    pub n: u64,
    /// The `Idempotency-Key`; empty where there was none.
    pub idempotency_key: String,
    /// Which model was asked.
    pub model: String,
    /// SHA-256 of the body, in hex.
    pub body_hash: String,
    /// When it arrived, in milliseconds since the Unix epoch.
    pub started_at: i64,
    /// When it was answered or given up, in milliseconds since the Unix epoch.
    pub ended_at: i64,
    /// Whether the whole answer was handed over; `false` when the client went away before.
    pub answered: bool,
    /// The status that was sent; 0 when none was.
    pub status: u16,
    /// The `traceparent`; empty where there was none.
    pub traceparent: String,
}

/// A running provider. It ends with its owner.
#[derive(Debug)]
pub struct Provider {
    _process: Process,
    url: String,
    client: Client,
    log: PathBuf,
    _dir: TempDir,
}

impl Provider {
    /// A provider that answers at once.
    pub async fn start() -> Self {
        Self::with_delay("0").await
    }

    /// A provider that takes so many milliseconds for an answer: `20`, or `10..30` (which, says the request).
    ///
    /// # Panics
    /// When it does not start.
    pub async fn with_delay(delay_ms: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = dir.path().join("requests.jsonl");
        let mut command = Command::new(built("openai-server"));
        command.env("OPENAI_SERVER_LOG", &log).env("OPENAI_SERVER_DELAY_MS", delay_ms);
        let mut process = Process::start(&mut command);
        let find = |line: &str| line.strip_prefix("listening on ").map(str::to_owned);
        let url = process.line("the model provider's address", find).await;
        let url = url.unwrap_or_else(|ended| panic!("the model provider did not start: {ended:?}"));
        Self { _process: process, client: Client::at(&url), url, log, _dir: dir }
    }

    /// What `LLM_BASE_URL` is set to.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.url)
    }

    /// Waits until `n` requests have arrived.
    pub async fn begun(&self, n: usize) {
        let call = self.client.get(format_args!("/log/begun/{n}"));
        in_time(&format!("{n} requests at the model provider"), call).await.expect(204);
    }

    /// Waits until `n` requests have been answered or given up.
    pub async fn ended(&self, n: usize) {
        let call = self.client.get(format_args!("/log/ended/{n}"));
        in_time(&format!("{n} requests to end at the model provider"), call).await.expect(204);
    }

    /// Every request that has ended, in order of arrival.
    ///
    /// # Panics
    /// When the log cannot be read.
    #[must_use]
    pub fn log(&self) -> Vec<Seen> {
        let text = std::fs::read_to_string(&self.log).expect("the model provider's log can be read");
        let mut all: Vec<Seen> =
            text.lines().map(|line| serde_json::from_str(line).expect("a line of the log")).collect();
        all.sort_by_key(|seen| seen.n);
        all
    }

    /// The log by `Idempotency-Key`, each in order of arrival.
    #[must_use]
    pub fn by_key(&self) -> BTreeMap<String, Vec<Seen>> {
        let mut by_key: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
        for seen in self.log() {
            by_key.entry(seen.idempotency_key.clone()).or_default().push(seen);
        }
        by_key
    }
}
