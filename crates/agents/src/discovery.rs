//! Agents that are found: their cards say what they are and where, at addresses that the configuration names or that DNS lists.

use crate::agent::{AgentBook, AgentDefinition, NAME_CHARS_MAX, name_error};
use crate::card::{self, Card, WELL_KNOWN};
use crate::srv;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tutti_engine::ports::outbound::Outbound;

/// The agents that nobody registered, as they are now: built in, configured, found.
#[derive(Debug, Clone, Default)]
pub struct Books(Arc<RwLock<Arc<AgentBook>>>);

impl From<AgentBook> for Books {
    fn from(book: AgentBook) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(book))))
    }
}

impl Books {
    /// What a request may name at this moment.
    #[must_use]
    pub fn now(&self) -> Arc<AgentBook> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on requests may name these.
    pub fn set(&self, book: AgentBook) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(book);
    }
}

/// Where agents are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// A DNS name with SRV records, or an address with such a name for a host: each target has a card.
    pub srv: Option<String>,
    /// Addresses of cards.
    pub cards: Vec<String>,
}

impl Places {
    /// Everyone who can be found now, and who cannot: the address, and why.
    pub async fn look(
        &self,
        outbound: &dyn Outbound,
        book: &AgentBook,
        idle: Duration,
    ) -> (Vec<AgentDefinition>, Vec<String>) {
        let mut urls = self.cards.clone();
        let mut failed = Vec::new();
        if let Some(srv) = &self.srv {
            match srv::endpoints(&srv_of(srv)).await {
                Ok(found) => urls.extend(found),
                Err(why) => failed.push(why),
            }
        }
        let looks = urls.iter().map(|url| async move {
            let found = match card::fetch(outbound, url, idle).await {
                Ok(card) => described(card, book),
                Err(why) => Err(why),
            };
            found.map_err(|why| format!("{url}: {why}"))
        });
        let mut agents = Vec::new();
        for found in join_all(looks).await {
            match found {
                Ok(agent) => agents.push(agent),
                Err(why) => failed.push(why),
            }
        }
        (agents, failed)
    }
}

/// `_agents._tcp.example` stands for the cards at the usual place of its targets.
fn srv_of(text: &str) -> String {
    let plain = srv::plain(text);
    let url = if plain.contains("://") { plain.to_owned() } else { format!("http://{plain}") };
    let has_path = url.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    format!("srv+{url}{}", if has_path { "" } else { WELL_KNOWN })
}

/// The agent of a card. A card is a stranger's word: it may not lead to where a request may not lead.
fn described(card: Card, book: &AgentBook) -> Result<AgentDefinition, String> {
    let Card { name, description, url, kind } = card;
    let name = name.trim().to_owned();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name_error(&name).is_some() {
        return Err("the card has no name of 1 to 64 characters".into());
    }
    book.admits(&url).map_err(|why| format!("its agent is at {url}, which may not be called: {why}"))?;
    let description = Some(description).filter(|text| !text.is_empty());
    Ok(AgentDefinition { kind, endpoint: Some(url), description, ..AgentDefinition::llm(name, "") })
}

/// Who was found, and when last: who cannot be found for a moment is not forgotten at once.
#[derive(Debug, Default)]
pub struct Found(BTreeMap<String, (AgentDefinition, Instant)>);

impl Found {
    /// They were found just now, the first of each name counts; whoever was not for so long is forgotten.
    pub fn seen(&mut self, agents: Vec<AgentDefinition>, now: Instant, silence: Duration) {
        for agent in agents.into_iter().rev() {
            self.0.insert(agent.name.clone(), (agent, now));
        }
        self.0.retain(|_, (_, seen)| now.saturating_duration_since(*seen) < silence);
    }

    /// Who counts as found.
    pub fn agents(&self) -> impl Iterator<Item = AgentDefinition> {
        self.0.values().map(|(agent, _)| agent.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Kind;

    fn card(name: &str, url: &str) -> Card {
        Card { name: name.into(), description: String::new(), url: url.into(), kind: Kind::A2a }
    }

    #[test]
    fn a_card_leads_only_to_where_a_request_may_lead() {
        let book = AgentBook::default();
        let agent = described(card(" Billing agent ", "https://a.example"), &book).unwrap();
        assert_eq!((agent.name.as_str(), agent.kind, agent.description), ("Billing agent", Kind::A2a, None));
        assert!(described(card("x", "http://127.0.0.1:9/"), &book).unwrap_err().contains("EGRESS_ALLOW"));
        assert!(described(card("", "https://a.example"), &book).unwrap_err().contains("no name"));
    }

    #[test]
    fn who_is_not_found_again_is_forgotten_after_a_while() {
        let (silence, start) = (Duration::from_secs(90), Instant::now());
        let agent = |name: &str, url: &str| described(card(name, url), &AgentBook::default()).unwrap();
        let mut found = Found::default();
        found.seen(
            vec![agent("a", "https://1.example"), agent("a", "https://2.example"), agent("b", "https://b.example")],
            start,
            silence,
        );
        assert_eq!(found.agents().next().unwrap().endpoint.as_deref(), Some("https://1.example"), "the first counts");
        found.seen(vec![agent("b", "https://b.example")], start + silence / 2, silence);
        assert_eq!(found.agents().count(), 2);
        found.seen(Vec::new(), start + silence, silence);
        assert_eq!(found.agents().map(|agent| agent.name).collect::<Vec<_>>(), ["b"]);
        let book = AgentBook::default()
            .with_found(vec![agent("llm", "https://e.example"), agent("jira", "https://j.example")]);
        let endpoint = |name: &str| match book.get(name) {
            Some(crate::book::Listed::Ready(agent)) => agent.endpoint.clone(),
            _ => None,
        };
        assert_eq!(
            (endpoint("llm"), endpoint("jira").as_deref()),
            (None, Some("https://j.example")),
            "only free names"
        );
    }

    #[test]
    fn names_of_dns_stand_for_cards_at_their_usual_place() {
        let usual = "srv+http://_agents._tcp.a.example/.well-known/agent-card.json";
        assert_eq!(srv_of("_agents._tcp.a.example"), usual);
        assert_eq!(srv_of("srv+http://_agents._tcp.a.example"), usual);
        assert_eq!(srv_of("https://_agents._tcp.a.example/card.json"), "srv+https://_agents._tcp.a.example/card.json");
    }
}
