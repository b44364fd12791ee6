//! The agents of tickets, where they are services.

use super::form::{Maybe, Path, Text, WebUrl};
use super::setting::concern;
use reqwest::Url;
use std::collections::BTreeMap;
use tutti_agents::ticket_agents::Stage;

concern! {
    /// The agents of tickets.
    Tickets, "Tickets" {
        KNOWLEDGE_DIR: knowledge_dir: Option<std::path::PathBuf> = Maybe(Path), None,
            "Folder of Markdown files that is the ticket knowledge base; the table filled by `tutti tickets import-kb` if absent.";
        ROUTER_AGENT_URL: router_url: Option<Url> = Maybe(WebUrl), None,
            "Service that routes tickets; the built-in agent if absent.";
        ROUTER_AGENT_PATH: router_path: String = Text, Some("/process"),
            "Its path.";
        KNOWLEDGE_AGENT_URL: knowledge_url: Option<Url> = Maybe(WebUrl), None,
            "Service that finds articles for tickets; the built-in knowledge base if absent.";
        KNOWLEDGE_AGENT_PATH: knowledge_path: String = Text, Some("/process"),
            "Its path.";
        SENTIMENT_AGENT_URL: sentiment_url: Option<Url> = Maybe(WebUrl), None,
            "Service that judges a ticket's mood; the built-in agent if absent.";
        SENTIMENT_AGENT_PATH: sentiment_path: String = Text, Some("/process"),
            "Its path.";
        DECISION_AGENT_URL: decision_url: Option<Url> = Maybe(WebUrl), None,
            "Service that decides on tickets; the built-in agent if absent.";
        DECISION_AGENT_PATH: decision_path: String = Text, Some("/process"),
            "Its path.";
    }
}

impl Tickets {
    /// The full address of each agent that is a service.
    #[must_use]
    pub fn services(&self) -> BTreeMap<Stage, String> {
        let all = [
            (Stage::Router, &self.router_url, &self.router_path),
            (Stage::Knowledge, &self.knowledge_url, &self.knowledge_path),
            (Stage::Sentiment, &self.sentiment_url, &self.sentiment_path),
            (Stage::Decision, &self.decision_url, &self.decision_path),
        ];
        let address =
            |url: &Url, path: &str| format!("{}/{}", url.as_str().trim_end_matches('/'), path.trim_start_matches('/'));
        all.into_iter().filter_map(|(stage, url, path)| Some((stage, address(url.as_ref()?, path)))).collect()
    }
}
