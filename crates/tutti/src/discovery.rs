//! Looks for agents again and again, and says who was found. What cannot be reached for a moment is no reason to stop anything: a
//! warning when it begins, and whoever was found before stays for as long as an instance may be silent.

use crate::config::agents::{Agents, CARD};
use crate::config::{Settings, discovery};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tutti_agents::agent::{AgentBook, AgentDefinition, Listed};
use tutti_agents::card;
use tutti_agents::discovery::{Books, Found, Places};
use tutti_agents::tool::ToolBook;
use tutti_engine::ports::outbound::Outbound;

/// How long the start waits for the first look.
const FIRST_MAX: Duration = Duration::from_secs(2);

/// See the module.
pub struct Discovery {
    places: Places,
    listed: Agents,
    file: PathBuf,
    /// The agents that need not be found.
    base: AgentBook,
    books: Books,
    outbound: Arc<dyn Outbound>,
    every: Duration,
    idle: Duration,
    silence: Duration,
}

impl Discovery {
    /// What the settings say, with the agents of the configuration; those that are found are put into `books` besides them.
    ///
    /// # Errors
    /// An agent of the list is malformed: better said at the start than in a log.
    pub fn new(
        settings: &Settings,
        base: AgentBook,
        books: Books,
        outbound: Arc<dyn Outbound>,
    ) -> anyhow::Result<Self> {
        for (name, agent) in settings.listed.iter().filter(|(_, agent)| !agent.contains_key(CARD)) {
            read(name, agent.clone(), base.tools()).map_err(anyhow::Error::msg)?;
        }
        Ok(Self {
            places: settings.discovery.places(),
            listed: settings.listed.clone(),
            file: settings.file.clone(),
            base,
            books,
            outbound,
            every: settings.discovery.interval,
            idle: settings.calls.http_timeout,
            silence: settings.orchestrator.silence,
        })
    }

    /// Begins to look. Who answers at once can be named by the first request.
    pub async fn start(self) -> JoinHandle<()> {
        if self.places == Places::default() && self.listed.is_empty() {
            return tokio::spawn(async {});
        }
        let (first, looked) = oneshot::channel();
        let looking = tokio::spawn(self.keep(first));
        let _ = tokio::time::timeout(FIRST_MAX, looked).await;
        looking
    }

    async fn keep(mut self, first: oneshot::Sender<()>) {
        let (mut first, mut found, mut known) = (Some(first), Found::default(), BTreeSet::new());
        loop {
            let failed = self.look(&mut found).await;
            for why in failed.difference(&known) {
                tracing::warn!("an agent cannot be found: {why}");
            }
            known = failed;
            self.books.set(self.base.clone().with_found(found.agents()));
            if let Some(first) = first.take() {
                let _ = first.send(());
            }
            tokio::time::sleep(self.every).await;
            match discovery::read_again(&self.file) {
                Ok(listed) => self.listed = listed,
                // A file that is being written: what it said before holds.
                Err(why) => tracing::warn!("the list of agents was not read again: {why}"),
            }
        }
    }

    /// Looks everywhere once; answers who could not be found, and why.
    async fn look(&self, found: &mut Found) -> BTreeSet<String> {
        let (mut agents, mut failed) = (Vec::new(), BTreeSet::new());
        for (name, agent) in &self.listed {
            match self.listed(name, agent).await {
                Ok(agent) => agents.push(agent),
                Err(why) => drop(failed.insert(why)),
            }
        }
        let (by_card, unfound) = self.places.look(self.outbound.as_ref(), &self.base, self.idle).await;
        agents.extend(by_card);
        failed.extend(unfound);
        found.seen(agents, Instant::now(), self.silence);
        failed
    }

    async fn listed(&self, name: &str, agent: &Map<String, Value>) -> Result<AgentDefinition, String> {
        let agent = with_card(agent, self.outbound.as_ref(), self.idle).await;
        let agent = agent.map_err(|why| format!("discovery.agents.{name}: {why}"))?;
        read(name, agent, self.base.tools())
    }
}

fn read(name: &str, agent: Map<String, Value>, tools: &ToolBook) -> Result<AgentDefinition, String> {
    let table = Value::Object(Map::from_iter([(name.to_owned(), Value::Object(agent))]));
    let book = AgentBook::with_table(&table, tools).map_err(|wrong| {
        let lines: Vec<_> = wrong.iter().map(|e| format!("discovery.agents.{}: {}", e.path(), e.msg)).collect();
        lines.join("\n")
    })?;
    match book.get(name) {
        Some(Listed::Ready(agent)) => Ok(agent.clone()),
        _ => Err(format!("discovery.agents.{name}: it cannot be used")),
    }
}

/// The agent of a table; where a card describes it, the card is read now.
///
/// # Errors
/// Why the card cannot be used, in words.
pub async fn with_card(
    agent: &Map<String, Value>,
    outbound: &dyn Outbound,
    idle: Duration,
) -> Result<Map<String, Value>, String> {
    let mut agent = agent.clone();
    // The name stands as the table's key.
    agent.shift_remove("name");
    if let Some(url) = agent.shift_remove(CARD).as_ref().and_then(Value::as_str) {
        let card = card::fetch(outbound, url, idle).await;
        let card = card.map_err(|why| format!("its card at {url} cannot be used: {why}"))?;
        agent.insert("kind".into(), serde_json::to_value(card.kind).map_err(|e| e.to_string())?);
        agent.insert("endpoint".into(), card.url.into());
        agent.entry("description").or_insert(card.description.into());
    }
    Ok(agent)
}
