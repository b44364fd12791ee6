//! A tool as data: what was registered, or stands in the operator's file.

use super::http::{Http, origin};
use super::mcp::Mcp;
use super::openapi::{self, OpenApi};
use super::secret::{Keys, Reader, Text};
use super::web_search::WebSearch;
use super::{Pin, find as built_in};
use crate::agent::{NAME_CHARS_MAX, Nested};
use crate::egress::EgressPolicy;
use crate::form::{Field, FieldError, Form, Loc, nearest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tutti_engine::activity::Effect;
use tutti_engine::ports::outbound::Outbound;
use tutti_engine::run::Time;

const DESCRIPTION_CHARS_MAX: usize = 4_000;
const ALLOW_MAX: usize = 256;
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

/// The words for kinds; each has a file here.
pub const KINDS: [&str; 5] = ["http", "mcp", "openapi", "web_search", "workflow"];

/// Kinds that stand for several tools.
const SETS: [&str; 2] = ["mcp", "openapi"];

/// What a definition is read against.
pub struct Reading<'r> {
    /// Which addresses it may have; none means any: the operator's own.
    pub policy: Option<&'r EgressPolicy>,
    /// Secrets that it may name.
    pub keys: &'r Keys,
    /// How the handles of secrets begin that stand in it; none where they may stay: in the operator's own file.
    pub handle: Option<String>,
    /// Reads what a `workflow` tool runs: its form is the config.
    pub workflow: &'r dyn Fn(&Form<'_>) -> Option<Nested>,
}

/// A definition that was read and found sound, with the secrets to keep for it, by handle.
#[derive(Debug)]
pub struct Draft {
    /// It.
    pub definition: Definition,
    /// Handles and secrets.
    pub secrets: BTreeMap<String, String>,
    /// Where what is wrong with its source belongs.
    loc: Vec<Loc>,
}

impl Draft {
    /// Fetches what a set stands for, where that does not stand in its definition.
    ///
    /// # Errors
    /// What is wrong with it, at its place.
    pub async fn complete(
        &mut self,
        outbound: &Arc<dyn Outbound>,
        policy: Option<&EgressPolicy>,
        keys: &Keys,
    ) -> Result<(), Vec<FieldError>> {
        if !self.definition.is_set() || !self.definition.parts.is_empty() {
            return Ok(());
        }
        let done = Box::pin(self.definition.fetch(outbound, policy, keys)).await;
        let at = |why: String| {
            let field = if self.definition.kind() == "openapi" { "document" } else { "url" };
            FieldError::value(self.loc.iter().cloned().chain([field.into()]).collect(), why)
        };
        let (parts, note) = done.map_err(|wrong| wrong.into_iter().map(at).collect::<Vec<_>>())?;
        (self.definition.parts, self.definition.note) = (parts, note);
        Ok(())
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
            What::Http(_) | What::WebSearch(_) | What::Workflow(_) => Ok((Vec::new(), None)),
        }
    }

    /// Reads `{name, kind, description, parameters, config, effect?, timeout_seconds?, allow?}`.
    #[must_use]
    pub fn read(form: &Form<'_>, reading: Reading<'_>) -> Option<Draft> {
        let name = read_name(&form.field("name").required());
        let kind = form.field("kind").required();
        let words = KINDS.map(|word| (word, word));
        let kind = kind.choice(&words);
        let is_set = kind.is_some_and(|kind| SETS.contains(&kind));
        let description = form.field("description");
        if kind.is_some() && !is_set {
            description.require();
        }
        let description = if description.is_present() {
            description.text(DESCRIPTION_CHARS_MAX)
        } else {
            Some("").filter(|_| is_set)
        };
        let parameters = form.field("parameters");
        let parameters = match kind {
            Some(kind) if is_set && parameters.is_present() => {
                parameters.fail(format!("the tools of {kind:?} bring their own; leave parameters out"));
                None
            }
            _ if is_set => Some(Value::Null),
            Some("web_search") if parameters.is_present() => {
                parameters.fail("web_search brings its own; leave parameters out");
                None
            }
            Some("web_search") => Some(WebSearch::parameters()),
            _ => read_parameters(&parameters.required()),
        };
        let effects =
            [("pure", Effect::Pure), ("idempotent", Effect::Idempotent), ("at_most_once", Effect::AtMostOnce)];
        let effect = form.field("effect").choice(&effects);
        let timeout_ms = form.field("timeout_seconds").seconds(TIMEOUT_SECONDS_MAX);
        let allow = read_allow(&form.field("allow"));
        let config = form.field("config").required();
        form.no_others();
        let properties = parameters.as_ref().and_then(|schema| schema["properties"].as_object());
        let arguments: BTreeSet<String> = properties.into_iter().flat_map(Map::keys).cloned().collect();
        let mut reader = Reader { keys: reading.keys, handle: reading.handle, kept: BTreeMap::new() };
        let loc = config.loc();
        let config = kind.and_then(|kind| config.form().map(|form| (kind, form)));
        let (mut parts, mut note) = (Vec::new(), None);
        let what = config.and_then(|(kind, form)| match kind {
            "workflow" => (reading.workflow)(&form).map(|nested| What::Workflow(Box::new(nested))),
            "openapi" => {
                let (api, inline) = OpenApi::read(&form, reading.policy, &mut reader)?;
                match inline.map(|document| api.parts(name.as_deref().unwrap_or("set"), document, reading.policy)) {
                    Some(Ok(made)) => (parts, note) = made,
                    Some(Err(wrong)) => openapi::tell(&form.field("document"), wrong),
                    None => {}
                }
                Some(What::Openapi(Box::new(api)))
            }
            "web_search" => {
                WebSearch::read(&form, reading.policy, &mut reader).map(|search| What::WebSearch(Box::new(search)))
            }
            "mcp" => Mcp::read(&form, reading.policy, &mut reader).map(|mcp| What::Mcp(Box::new(mcp))),
            _ => Http::read(&form, &arguments, reading.policy, &mut reader).map(|http| What::Http(Box::new(http))),
        });
        let definition = Self {
            name: name?,
            description: description?.into(),
            parameters: parameters?,
            what: what?,
            effect,
            timeout_ms,
            allow,
            parts,
            note,
            registered_by: String::new(),
            registered_at: never(),
            updated_at: never(),
        };
        Some(Draft { definition, secrets: reader.kept, loc })
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
            What::Workflow(_) => Vec::new(),
        }
    }

    /// The shape of what [`read`](Self::read) reads as a JSON Schema.
    #[must_use]
    pub fn schema() -> Value {
        json!({
            "type": "object", "required": ["name", "kind", "config"], "additionalProperties": false,
            "properties": {
                "name": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "description": "What models call it."},
                "kind": {"type": "string", "enum": KINDS},
                "description": {"type": "string", "description": "What it does and when to use it; a set's tools have their own."},
                "parameters": {"type": "object", "description": "JSON Schema of its arguments; not for sets."},
                "config": {"type": "object", "description": "How a call is made; see docs/tools.md for each kind."},
                "effect": {"type": "string", "enum": ["pure", "idempotent", "at_most_once"],
                    "description": "What a repeat may do."},
                "timeout_seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": TIMEOUT_SECONDS_MAX},
                "allow": {"type": "array", "items": {"type": "string"}, "description": "Agents that may call it."}
            }
        })
    }

    /// The word for its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.what {
            What::Http(_) => "http",
            What::Openapi(_) => "openapi",
            What::Mcp(_) => "mcp",
            What::WebSearch(_) => "web_search",
            What::Workflow(_) => "workflow",
        }
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
        }
    }

    /// What a repeat may do, where it is one tool.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect.unwrap_or_else(|| match &self.what {
            What::Http(http) => http.effect(),
            What::WebSearch(_) => Effect::Pure,
            _ => Effect::Idempotent,
        })
    }

    /// Whether what it stands for can be looked at again.
    #[must_use]
    pub fn can_change(&self) -> bool {
        match &self.what {
            What::Openapi(api) => api.document.is_some(),
            What::Mcp(_) => true,
            What::Http(_) | What::WebSearch(_) | What::Workflow(_) => false,
        }
    }

    /// Whether it stands for several tools.
    #[must_use]
    pub fn is_set(&self) -> bool {
        SETS.contains(&self.kind())
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

/// A name that models take for a tool: letters, digits, `_` and `-`, at most 64; `__` stands only between a set and its part.
fn read_name(field: &Field<'_, '_>) -> Option<String> {
    let name = field.string()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !(1..=64).contains(&name.len()) || !name.bytes().all(plain) || name.contains(SEPARATOR) {
        field.fail("a tool's name has 1 to 64 characters of A-Z, a-z, 0-9, _ and -, and no two _ in a row");
        return None;
    }
    if built_in(name).is_some() || RESERVED.iter().any(|word| name == *word || name.starts_with("handoff_to_")) {
        field.fail(format!("{name:?} is built in; choose another name"));
        return None;
    }
    Some(name.to_owned())
}

/// Names that mean something already.
const RESERVED: [&str; 1] = [crate::ask::NAME];

fn read_parameters(field: &Field<'_, '_>) -> Option<Value> {
    let schema = field.value()?;
    field.form()?;
    if schema["type"].as_str().is_some_and(|kind| kind != "object") {
        field.fail("arguments are an object: parameters must be a schema of type \"object\"");
        return None;
    }
    match jsonschema::validator_for(schema) {
        Ok(_) => Some(schema.clone()),
        Err(e) => {
            field
                .fail(format!("parameters is not a JSON Schema that can be used (a $ref may only point into it): {e}"));
            None
        }
    }
}

fn read_allow(field: &Field<'_, '_>) -> Vec<String> {
    let Some(list) = field.list(ALLOW_MAX) else { return Vec::new() };
    if list.is_empty() {
        field.fail("allow names the agents that may call the tool; leave it out for all");
    }
    list.items().filter_map(|item| item.text(NAME_CHARS_MAX).map(String::from)).collect()
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
