//! A tool as data: what was registered, or stands in the operator's file.

mod read;

pub use read::{Draft, Reading};

use super::Pin;
use super::code::Code;
use super::http::{Http, origin};
use super::mcp::Mcp;
use super::openapi::OpenApi;
use super::retrieve::Retrieve;
use super::secret::{Keys, Text};
use super::web_search::WebSearch;
use crate::agent::Nested;
use crate::egress::EgressPolicy;
use crate::form::nearest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use tutti_engine::activity::Effect;
use tutti_engine::ports::outbound::Outbound;
use tutti_engine::run::Time;

/// The longest that one call may take, in seconds.
pub const TIMEOUT_SECONDS_MAX: u32 = 3_600;
/// Between a set's name and that of one of its tools.
pub const SEPARATOR: &str = "__";

/// A registered tool, or a set of tools that come together. Stored: fields are only ever added, with defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// What models call it; of a set, how their names begin.
    pub name: String,
    /// What it does and when to use it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// JSON Schema of its arguments; of a set, each part has its own.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub parameters: Value,
    /// What carries a call out.
    pub(super) what: What,
    /// What a repeat may do, where somebody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// How long one call may take, in milliseconds, where somebody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Agents that may call it; all where it names none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// The tools of a set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// Why the parts are not those of today.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Who registered it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub registered_by: String,
    /// When.
    #[serde(default = "never")]
    pub registered_at: Time,
    /// When it was changed last.
    #[serde(default = "never")]
    pub updated_at: Time,
}

fn never() -> Time {
    Time(0)
}

/// What carries a call out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "config", rename_all = "snake_case")]
pub(super) enum What {
    /// A request to a service.
    Http(Box<Http>),
    /// A whole API.
    Openapi(Box<OpenApi>),
    /// A search engine.
    WebSearch(Box<WebSearch>),
    /// A server's tools.
    Mcp(Box<Mcp>),
    /// Another workflow, as a child run.
    Workflow(Box<Nested>),
    /// Python, in a process that can compute and nothing else.
    Code(Box<Code>),
    /// Passages of documents.
    Retrieve(Box<Retrieve>),
}

/// One tool of a set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// What models call it: the set's name, then its own.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
    /// What a repeat may do.
    pub effect: Effect,
    /// How it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) how: Option<How>,
    /// Why it cannot be called until somebody has looked at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<String>,
}

/// How a part is called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum How {
    /// A request to a service.
    Request(Box<Http>),
    /// A tool of a server.
    Remote {
        /// Its name there.
        tool: String,
        /// Its definition, when somebody looked at it.
        hash: String,
    },
}

/// A kind without its config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Code,
    Http,
    Mcp,
    Openapi,
    Retrieve,
    WebSearch,
    Workflow,
}

/// The words for kinds; each has a file here.
const KINDS: [(&str, Kind); 7] = [
    ("code", Kind::Code),
    ("http", Kind::Http),
    ("mcp", Kind::Mcp),
    ("openapi", Kind::Openapi),
    ("retrieve", Kind::Retrieve),
    ("web_search", Kind::WebSearch),
    ("workflow", Kind::Workflow),
];

impl Kind {
    fn as_str(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("http", |(word, _)| word)
    }

    /// Whether a definition stands for several tools.
    fn is_set(self) -> bool {
        matches!(self, Self::Mcp | Self::Openapi)
    }
}

impl What {
    fn kind(&self) -> Kind {
        match self {
            Self::Http(_) => Kind::Http,
            Self::Openapi(_) => Kind::Openapi,
            Self::WebSearch(_) => Kind::WebSearch,
            Self::Mcp(_) => Kind::Mcp,
            Self::Workflow(_) => Kind::Workflow,
            Self::Code(_) => Kind::Code,
            Self::Retrieve(_) => Kind::Retrieve,
        }
    }
}

impl Definition {
    /// The tools of a set as its source has them now, and a word about what was left out.
    ///
    /// # Errors
    /// All that is wrong with it, in words.
    pub async fn fetch(
        &self,
        outbound: &Arc<dyn Outbound>,
        policy: Option<&EgressPolicy>,
        keys: &Keys,
    ) -> Result<(Vec<Part>, Option<String>), Vec<String>> {
        match &self.what {
            What::Openapi(api) => {
                let document = api.fetch(outbound.as_ref()).await;
                let document = document.map_err(|why| vec![format!("the document cannot be had: {why}")])?;
                api.parts(&self.name, &document, policy)
            }
            What::Mcp(mcp) => mcp.parts(&self.name, outbound, keys).await.map_err(|why| vec![why]),
            _ => Ok((Vec::new(), None)),
        }
    }

    /// The same tool as somebody registers it now, first or again.
    #[must_use]
    pub fn registered(&self, by: &str, first: Option<Time>, now: Time) -> Self {
        Self { registered_by: by.into(), registered_at: first.unwrap_or(now), updated_at: now, ..self.clone() }
    }

    /// The handles of its secrets in the vault.
    #[must_use]
    pub fn handles(&self) -> Vec<String> {
        match &self.what {
            What::Http(http) => http.handles().map(String::from).collect(),
            What::Openapi(api) => api.handles().map(String::from).collect(),
            What::Mcp(mcp) => mcp.handles().map(String::from).collect(),
            What::WebSearch(search) => search.key.iter().filter_map(Text::handle).map(String::from).collect(),
            What::Workflow(_) | What::Code(_) | What::Retrieve(_) => Vec::new(),
        }
    }

    /// The word for its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.what.kind().as_str()
    }

    /// Its config as it is shown: without secrets.
    #[must_use]
    pub fn config(&self) -> Value {
        match &self.what {
            What::Http(http) => http.view(),
            What::Openapi(api) => api.view(),
            What::Mcp(mcp) => mcp.view(),
            What::WebSearch(search) => search.view(),
            What::Workflow(nested) => json!({"workflow": nested.workflow}),
            What::Code(code) => code.view(),
            What::Retrieve(retrieve) => retrieve.view(),
        }
    }

    /// What a repeat may do, where it is one tool.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect.unwrap_or_else(|| match &self.what {
            What::Http(http) => http.effect(),
            What::WebSearch(_) | What::Code(_) | What::Retrieve(_) => Effect::Pure,
            _ => Effect::Idempotent,
        })
    }

    /// Whether what it stands for can be looked at again.
    #[must_use]
    pub fn can_change(&self) -> bool {
        match &self.what {
            What::Openapi(api) => api.document.is_some(),
            What::Mcp(_) => true,
            _ => false,
        }
    }

    /// Whether the schema of its arguments is what somebody wrote, not what its kind brings.
    #[must_use]
    pub fn has_own_parameters(&self) -> bool {
        match &self.what {
            What::Http(_) | What::Workflow(_) => true,
            What::Code(_) => self.parameters != Code::parameters(),
            What::Openapi(_) | What::Mcp(_) | What::WebSearch(_) | What::Retrieve(_) => false,
        }
    }

    /// Whether it stands for several tools.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.what.kind().is_set()
    }

    /// Its tools as runs hold them.
    #[must_use]
    pub fn pins(&self, tenant: Option<&str>) -> Vec<Pin> {
        let pin = |name: &str, description: &str, parameters: &Value, effect: Effect| Pin {
            name: name.into(),
            set: self.is_set().then(|| self.name.clone()),
            description: description.into(),
            parameters: parameters.clone(),
            effect,
            timeout_ms: self.timeout_ms,
            tenant: tenant.map(String::from),
            nested: if let What::Workflow(nested) = &self.what { Some((**nested).clone()) } else { None },
        };
        if !self.is_set() {
            return vec![pin(&self.name, &self.description, &self.parameters, self.effect())];
        }
        let usable = self.parts.iter().filter(|part| part.disabled.is_none());
        usable.map(|p| pin(&p.name, &p.description, &p.parameters, self.effect.unwrap_or(p.effect))).collect()
    }

    /// Whether an agent may call it.
    #[must_use]
    pub fn allows(&self, agent: &str) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|name| name == agent)
    }
}

/// The name of the record that holds a tool: its own, or its set's.
#[must_use]
pub fn record_name(tool: &str) -> &str {
    tool.split_once(SEPARATOR).map_or(tool, |(set, _)| set)
}

/// The addresses that a tool names as it is written, as far as they stand in it: what the operator's own may call.
pub fn addresses(tool: &Value) -> impl Iterator<Item = &str> {
    let config = &tool["config"];
    let named = ["url", "server", "document"].into_iter().filter_map(|key| config[key].as_str());
    named.filter_map(origin).filter(|origin| EgressPolicy::default().readable(origin).is_ok())
}

/// What to say about a tool that is not there.
#[must_use]
pub fn unknown<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let hint = nearest(name, known).map_or(String::new(), |n| format!("; did you mean {n:?}?"));
    format!("there is no tool named {name:?}{hint}; GET /v1/tools/list shows all")
}
