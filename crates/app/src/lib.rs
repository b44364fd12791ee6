//! What can be asked of Tutti, in the contract's nouns. HTTP, the command line, MCP and A2A all speak to this and to
//! nothing else.
//!
//! Nouns: caller, memory, run, orchestration, pattern, graph, chat, session, approval, event, agent, task, job, transfer,
//! failure.
//! Must not know: a header, a status line, a store.

pub mod agent_tasks;
pub mod approvals;
pub mod articles;
pub mod budgets;
pub mod caller;
pub mod chat;
mod cursor;
pub mod data_sources;
pub mod db;
pub mod documents;
pub mod events;
pub mod failure;
pub mod graphs;
pub mod health;
pub mod jobs;
pub mod json;
pub mod memory;
pub mod metrics;
pub mod models;
pub mod orchestrate;
pub mod patterns;
pub mod registry;
pub mod result;
pub mod runs;
pub mod sessions;
mod stamp;
mod start;
pub mod tasks;
pub mod tickets;
pub mod tools;
pub mod transfer;

pub use caller::{Caller, Role, Roles};
pub use failure::{Class, Failure};
pub use stamp::Stamp;
pub use start::{Prepared, Started, WINDOW_MESSAGES_MAX, WINDOW_TOKENS_MAX};
pub use tutti_agents::form::{FieldError, Loc};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tutti_agents::agent::AgentBook;
use tutti_agents::discovery::Books;
use tutti_agents::ticket_agents::Stage;
use tutti_engine::driver::Engine;
use tutti_engine::session::Window;
use tutti_workflows::patterns::Setting;

/// What the wiring decides.
#[derive(Debug, Clone)]
pub struct Options {
    /// Agents that requests may name.
    pub agents: Books,
    /// `max_iterations` of patterns where a request says nothing (`MAX_ITERATIONS`).
    pub iterations_max: u32,
    /// What runs read of their sessions where a request says nothing (`SESSION_WINDOW_MESSAGES`, `SESSION_WINDOW_TOKENS`).
    pub window: Window,
    /// How long an orchestration is waited for where a request says nothing (`REQUEST_TIMEOUT`).
    pub orchestrate_wait: Duration,
    /// The version shown in `/health`.
    pub version: &'static str,
    /// Ticket agents that are services, by stage; the others are built in.
    pub ticket_services: BTreeMap<Stage, String>,
    /// What sessions, users and tenants may spend.
    pub budgets: budgets::Budgets,
    /// Where research tasks find, buy and pay.
    pub research: tasks::Research,
    /// Registered agents.
    pub orchestrator: registry::Orchestrator,
    /// Writes the counters down, as Prometheus reads them.
    pub metrics: Render,
    /// Parts that the engine does not know of, with how they do: each `{status, …}`.
    pub parts: Parts,
    /// How each outside part is set: `llm` → `configured`, `default` or `absent`.
    pub configuration: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            agents: Books::default(),
            iterations_max: 10,
            window: Window::default(),
            orchestrate_wait: Duration::from_secs(120),
            version: env!("CARGO_PKG_VERSION"),
            ticket_services: BTreeMap::new(),
            budgets: budgets::Budgets::default(),
            research: tasks::Research::default(),
            orchestrator: registry::Orchestrator::default(),
            metrics: Render::default(),
            parts: Parts::default(),
            configuration: BTreeMap::new(),
        }
    }
}

/// See [`Options::metrics`].
#[derive(Clone)]
pub struct Render(pub Arc<dyn Fn() -> String + Send + Sync>);

impl Default for Render {
    /// Nothing is counted.
    fn default() -> Self {
        Self(Arc::new(String::new))
    }
}

/// See [`Options::parts`].
#[derive(Clone)]
pub struct Parts(pub Arc<dyn Fn() -> Vec<(&'static str, serde_json::Value)> + Send + Sync>);

impl Default for Parts {
    /// None.
    fn default() -> Self {
        Self(Arc::new(Vec::new))
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts")
    }
}

impl std::fmt::Debug for Render {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Render")
    }
}

/// The application. Cheap to clone.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    options: Options,
    versions: BTreeMap<String, u32>,
    probe: health::Probe,
}

impl App {
    /// An application on a running engine.
    #[must_use]
    pub fn new(engine: Engine, options: Options) -> Self {
        let versions = engine.workflows().into_iter().collect();
        Self { inner: Arc::new(Inner { engine, options, versions, probe: health::Probe::default() }) }
    }

    /// How long an orchestration is waited for where a request says nothing.
    #[must_use]
    pub fn orchestrate_wait(&self) -> Duration {
        self.inner.options.orchestrate_wait
    }

    /// The version of this build.
    #[must_use]
    pub fn version(&self) -> &'static str {
        self.inner.options.version
    }

    /// What was counted, as Prometheus reads it.
    pub async fn metrics(&self) -> String {
        match self.active_agents().await {
            Ok(active) => metrics::agents_active(active),
            Err(failure) => tracing::warn!("active agents cannot be counted: {failure}"),
        }
        (self.inner.options.metrics.0)()
    }

    fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    fn window(&self) -> Window {
        self.inner.options.window
    }

    /// The agents that nobody registered.
    fn book(&self) -> Arc<AgentBook> {
        self.inner.options.agents.now()
    }

    fn setting<'b>(&self, agents: &'b AgentBook) -> Setting<'b> {
        Setting { agents, iterations_max: self.inner.options.iterations_max, depth: 0, named: None, tools: None }
    }
}
