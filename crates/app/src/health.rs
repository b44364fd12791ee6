//! Is it well? The store is asked at most once a second, however many ask us.

use crate::{App, Caller, Role, Stamp};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::sync::Mutex;
use tutti_engine::ports::queue::Condition;
use tutti_engine::run::{Status, Time};

const PROBE_EVERY_MS: i64 = 1_000;

/// How everything is.
#[derive(Debug, Clone, Serialize)]
pub struct Health {
    /// `healthy`, `degraded` or `unhealthy`.
    pub status: &'static str,
    /// The build.
    pub version: &'static str,
    /// When this was found out.
    pub timestamp: Stamp,
    /// Each part; not for strangers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<Value>,
    /// How outside parts are set; not for strangers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<BTreeMap<String, String>>,
}

impl Health {
    /// Whether requests can be served at all.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.status != "unhealthy"
    }
}

/// What the store last said.
#[derive(Debug, Default)]
pub(crate) struct Probe(Mutex<Option<Probed>>);

#[derive(Debug, Clone)]
struct Probed {
    at: Time,
    is_writable: bool,
    store: Value,
    oldest_waiting_ms: Option<i64>,
}

/// A link to something outside, as a part.
#[must_use]
pub fn part(condition: &Condition, name: Option<&str>) -> Value {
    let mut part = match condition {
        Condition::Up => json!({"status": "healthy"}),
        Condition::Down(why) => json!({"status": "down", "reason": why}),
    };
    if let Some(name) = name {
        part["name"] = name.into();
    }
    part
}

impl App {
    /// The state of everything; callers without a role get the first three fields.
    pub async fn health(&self, caller: &Caller) -> Health {
        let probed = self.probe().await;
        let (engine, beside) = (self.engine().health(), self.engine().beside());
        let jobs = self.orchestrator().jobs.as_ref().map(|jobs| (jobs.name(), jobs.condition()));
        let is_down = |link: &Option<(String, Condition)>| link.as_ref().is_some_and(|(_, is)| *is != Condition::Up);
        // Without words, offers and jobs between processes everything goes on, later.
        let is_slow = beside.bus != Condition::Up || is_down(&beside.queue) || is_down(&jobs) || !beside.is_owner;
        let status = match (probed.is_writable, engine.is_draining || is_slow) {
            (false, _) => "unhealthy",
            (true, true) => "degraded",
            (true, false) => "healthy",
        };
        let is_known = caller.roles.hold(Role::Viewer);
        let parts = is_known.then(|| {
            let mut parts = json!({
                "store": probed.store,
                "engine": {
                    "status": if engine.is_draining { "stopping" } else { "healthy" },
                    "live_runs": engine.live_runs,
                    "backlog_runs": engine.backlog_runs,
                    "oldest_waiting_seconds": probed.oldest_waiting_ms.map(|ms| ms as f64 / 1_000.0)
                },
                // Services that failed several times in a row and are left alone for a moment.
                "services": {"resting": tutti_agents::breaker::resting()}
            });
            if beside.is_shared {
                parts["engine"]["lease"] = if beside.is_owner { "held" } else { "lost" }.into();
                parts["bus"] = part(&beside.bus, None);
                parts["queue"] = match &beside.queue {
                    Some((name, condition)) => part(condition, Some(name)),
                    None => json!("the store"),
                };
            }
            if let Some((name, condition)) = &jobs {
                parts["jobs"] = part(condition, Some(name));
            }
            for (name, part) in (self.inner.options.parts.0)() {
                parts[name] = part;
            }
            parts
        });
        let configuration = is_known.then(|| self.inner.options.configuration.clone());
        Health { status, version: self.version(), timestamp: Stamp(self.engine().now()), parts, configuration }
    }

    /// Whether new work is taken: the store can be written and the server is not stopping.
    pub async fn is_ready(&self) -> bool {
        !self.engine().health().is_draining && self.probe().await.is_writable
    }

    async fn probe(&self) -> Probed {
        let mut last = self.inner.probe.0.lock().await;
        let now = self.engine().now();
        if let Some(probed) = last.as_ref().filter(|p| now.0 - p.at.0 < PROBE_EVERY_MS) {
            return probed.clone();
        }
        let store_now = self.engine().store();
        let probed = match store_now.probe().await {
            Ok(()) => {
                let stats = store_now.stats().await.unwrap_or_default();
                let runs: BTreeMap<_, _> = Status::ALL.iter().map(|s| s.as_str()).zip(stats.runs).collect();
                let store = json!({"status": "healthy", "name": stats.name, "schema": stats.schema, "bytes": stats.bytes, "runs": runs});
                let oldest = store_now.oldest_runnable(now).await.unwrap_or_default();
                let oldest_waiting_ms = oldest.map(|born| (now.0 - born.0).max(0));
                Probed { at: now, is_writable: true, store, oldest_waiting_ms }
            }
            Err(error) => {
                tracing::error!(%error, "the store does not pass its probe: {error}");
                Probed {
                    at: now,
                    is_writable: false,
                    store: json!({"status": "unhealthy", "reason": error.to_string()}),
                    oldest_waiting_ms: None,
                }
            }
        };
        *last = Some(probed.clone());
        probed
    }
}
