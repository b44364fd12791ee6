//! Which agents a request may name.

use crate::agent::{AgentDefinition, NAME_CHARS_MAX};
use crate::brain::{Brain, Model, Part, What};
use crate::egress::EgressPolicy;
use crate::form::{Errors, FieldError, Form, Loc, nearest};
use crate::tool::ToolBook;
use serde_json::Value;
use std::collections::BTreeMap;

/// An agent that a request may name, as listed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Listed<'b> {
    /// It can be used.
    Ready(&'b AgentDefinition),
    /// It is built in and lacks a setting.
    Unconfigured(&'b Unconfigured),
}

/// A built-in agent that lacks a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unconfigured {
    /// Its name.
    pub name: &'static str,
    /// What it would be good for.
    pub description: &'static str,
    /// The settings it needs.
    pub variables: &'static str,
}

impl Unconfigured {
    /// What a person who asked for it should read.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { name, variables, .. } = self;
        format!("agent {name:?} is unconfigured: it needs {variables}")
    }
}

const UNCONFIGURED: [Unconfigured; 2] = [
    Unconfigured {
        name: "search",
        description: "Searches the web and sums up what it found.",
        variables: "SEARCH_PROVIDER (with SEARCH_URL or SEARCH_API_KEY)",
    },
    Unconfigured {
        name: "jira",
        description: "Reads and writes issues in Jira.",
        variables: "JIRA_BASE_URL (with JIRA_EMAIL and JIRA_API_TOKEN)",
    },
];

/// Passages that the `rag` agent answers from.
const RAG_PASSAGES: u32 = 6;

fn rag() -> AgentDefinition {
    let mut rag = AgentDefinition::llm(
        "rag",
        "You answer questions from documents. Say what they say, briefly and exactly, and cite each passage that you use by \
         its number. If they do not answer the question, say that you found nothing about it.",
    );
    rag.description = Some("Answers from the documents it was given, and cites them.".into());
    let documents = Part { what: What::Documents(RAG_PASSAGES), when: None };
    let model = Model { id: "model".into(), parts: vec![documents], ..Model::default() };
    rag.brain = Some(Box::new(Brain { models: vec![model], links: Vec::new() }));
    rag
}

/// Agents by name: the built-in ones and those of the configuration file, which may replace a built-in one.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentBook {
    ready: BTreeMap<String, AgentDefinition>,
    /// Agents that cannot be used now, and why.
    refused: BTreeMap<String, String>,
    /// Which endpoints agents of a request may have.
    policy: EgressPolicy,
    /// Tools that agents may list.
    tools: ToolBook,
}

impl Default for AgentBook {
    fn default() -> Self {
        let mut llm = AgentDefinition::llm(
            "llm",
            "You are a helpful assistant. Answer what was asked, briefly and exactly; say so when you do not know.",
        );
        llm.description = Some("A plain assistant on the default model.".into());
        let ready = [llm, rag()].into_iter().map(|agent| (agent.name.clone(), agent)).collect();
        Self { ready, refused: BTreeMap::new(), policy: EgressPolicy::default(), tools: ToolBook::default() }
    }
}

impl AgentBook {
    /// The built-in agents and those of the configuration file's `agents` table (`{NAME: {…}}`), which may list these tools.
    ///
    /// # Errors
    /// Everything that is wrong in the table, with paths that begin at `agents`.
    pub fn with_table(table: &Value, tools: &ToolBook) -> Result<Self, Vec<FieldError>> {
        let errors = Errors::default();
        let mut book = Self::default().with_tools(tools.clone());
        let Some(agents) = table.as_object() else {
            return Err(vec![FieldError::value(vec!["agents".into()], "agents must be a table of tables")]);
        };
        for (name, value) in agents {
            let loc: Vec<Loc> = vec!["agents".into(), name.clone().into()];
            let too_long = name.chars().count() > NAME_CHARS_MAX;
            let wrong = crate::agent::name_error(name)
                .or((name.is_empty() || too_long).then_some("name must have 1 to 64 characters"));
            if let Some(wrong) = wrong {
                errors.push(FieldError::value(loc.clone(), wrong));
            }
            if let Some(agent) =
                Form::new(value, loc, &errors).and_then(|form| AgentDefinition::read_unnamed(&form, None, tools))
            {
                book.ready.insert(name.clone(), AgentDefinition { name: name.clone(), ..agent });
            }
        }
        errors.or(Some(book))
    }

    /// The same book with built-in agents that settings made ready; those of the configuration go before them.
    #[must_use]
    pub fn with_built_in(mut self, agents: impl IntoIterator<Item = AgentDefinition>) -> Self {
        for agent in agents {
            self.ready.entry(agent.name.clone()).or_insert(agent);
        }
        self
    }

    /// The same book with the policy that endpoints in requests are held against.
    #[must_use]
    pub fn with_policy(self, policy: EgressPolicy) -> Self {
        Self { policy, ..self }
    }

    /// The same book with tools that agents may list.
    #[must_use]
    pub fn with_tools(self, tools: ToolBook) -> Self {
        Self { tools, ..self }
    }

    /// Tools that agents may list.
    #[must_use]
    pub fn tools(&self) -> &ToolBook {
        &self.tools
    }

    /// Whether an agent of a request may have this address.
    ///
    /// # Errors
    /// In words; for a private or loopback address they name `EGRESS_ALLOW`.
    pub fn admits(&self, endpoint: &str) -> Result<(), String> {
        self.policy.registrable(endpoint)
    }

    /// The same book with more agents, which take the place of others of their names; some of them cannot be used now, and it
    /// says why.
    #[must_use]
    pub fn with_known(mut self, agents: Vec<(String, Result<AgentDefinition, String>)>) -> Self {
        for (name, agent) in agents {
            match agent {
                Ok(agent) => drop(self.ready.insert(name, agent)),
                Err(why) => {
                    self.ready.remove(&name);
                    self.refused.insert(name, why);
                }
            }
        }
        self
    }

    /// The same book with agents that were found: they take names that nobody bears yet.
    #[must_use]
    pub fn with_found(mut self, agents: impl IntoIterator<Item = AgentDefinition>) -> Self {
        for agent in agents {
            if !self.refused.contains_key(&agent.name) {
                self.ready.entry(agent.name.clone()).or_insert(agent);
            }
        }
        self
    }

    /// The policy that endpoints in requests are held against.
    #[must_use]
    pub fn policy(&self) -> &EgressPolicy {
        &self.policy
    }

    /// Reads an agent that a request defines.
    #[must_use]
    pub fn read(&self, form: &Form<'_>) -> Option<AgentDefinition> {
        AgentDefinition::read(form, Some(&self.policy), &self.tools)
    }

    /// The agent of that name; `None` when there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Listed<'_>> {
        if self.refused.contains_key(name) {
            return None;
        }
        let missing = || UNCONFIGURED.iter().find(|u| u.name == name).map(Listed::Unconfigured);
        self.ready.get(name).map(Listed::Ready).or_else(missing)
    }

    /// Every agent, by name.
    pub fn list(&self) -> Vec<Listed<'_>> {
        let missing = UNCONFIGURED.iter().filter(|u| !self.ready.contains_key(u.name));
        let mut all: Vec<_> = self.ready.values().map(Listed::Ready).chain(missing.map(Listed::Unconfigured)).collect();
        all.sort_by_key(Listed::name);
        all
    }

    /// What to say about a name that nobody bears.
    #[must_use]
    pub fn unknown(&self, name: &str) -> String {
        if let Some(why) = self.refused.get(name) {
            return why.clone();
        }
        let all = self.list();
        let hint =
            nearest(name, all.iter().map(Listed::name)).map_or(String::new(), |n| format!("; did you mean {n:?}?"));
        format!("there is no agent named {name:?}{hint}")
    }
}

impl<'b> Listed<'b> {
    /// The agent's name.
    #[must_use]
    pub fn name(&self) -> &'b str {
        match self {
            Self::Ready(agent) => &agent.name,
            Self::Unconfigured(agent) => agent.name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_book_holds_built_in_and_configured_agents() {
        let with_table = |table: &Value| AgentBook::with_table(table, &ToolBook::default());
        let book = with_table(&json!({"billing": {"instructions": "You know card payments."}})).unwrap();
        assert_eq!(
            book.list().iter().map(Listed::name).collect::<Vec<_>>(),
            ["billing", "jira", "llm", "rag", "search"]
        );
        assert!(matches!(book.get("billing"), Some(Listed::Ready(a)) if a.name == "billing"));
        assert!(
            matches!(book.get("search"), Some(Listed::Unconfigured(u)) if u.sentence().contains("SEARCH_PROVIDER"))
        );
        assert!(matches!(book.get("rag"), Some(Listed::Ready(a)) if a.brain.is_some()));
        assert_eq!(book.get("biling"), None);
        assert_eq!(book.unknown("biling"), "there is no agent named \"biling\"; did you mean \"billing\"?");
        let wrong = with_table(&json!({"a": {"instrutions": "x"}})).unwrap_err();
        assert_eq!(wrong[1].loc, ["agents".into(), "a".to_owned().into(), "instrutions".to_owned().into()]);
    }
}
