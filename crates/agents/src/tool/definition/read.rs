//! Reading a tool: everything that is wrong with it at once, and what a set stands for.

use super::{Definition, KINDS, Kind, Part, SEPARATOR, TIMEOUT_SECONDS_MAX, What, never};
use crate::agent::{NAME_CHARS_MAX, Nested};
use crate::egress::EgressPolicy;
use crate::form::{Field, FieldError, Form, Loc};
use crate::tool::code::Code;
use crate::tool::find as built_in;
use crate::tool::http::Http;
use crate::tool::mcp::Mcp;
use crate::tool::openapi::{self, OpenApi};
use crate::tool::retrieve::Retrieve;
use crate::tool::secret::{Keys, Reader};
use crate::tool::web_search::WebSearch;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tutti_engine::activity::Effect;
use tutti_engine::ports::outbound::Outbound;

const DESCRIPTION_CHARS_MAX: usize = 4_000;
const ALLOW_MAX: usize = 256;
/// Names that mean something already.
const RESERVED: [&str; 1] = [crate::ask::NAME];

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

/// A definition that was read and found sound, with the secrets to keep for it, by handle. Cannot be printed.
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

/// A kind's config as it was read, with what it stands for where that stood in it.
struct Config {
    what: What,
    parts: Vec<Part>,
    note: Option<String>,
}

impl Definition {
    /// Reads `{name, kind, description, parameters, config, effect?, timeout_seconds?, allow?}`.
    #[must_use]
    pub fn read(form: &Form<'_>, reading: Reading<'_>) -> Option<Draft> {
        let name = read_name(&form.field("name").required());
        let kind = form.field("kind").required().choice(&KINDS);
        let description = read_description(&form.field("description"), kind);
        let parameters = read_parameters(&form.field("parameters"), kind);
        let effects =
            [("pure", Effect::Pure), ("idempotent", Effect::Idempotent), ("at_most_once", Effect::AtMostOnce)];
        let effect = form.field("effect").choice(&effects);
        let timeout_ms = form.field("timeout_seconds").seconds(TIMEOUT_SECONDS_MAX);
        let allow = read_allow(&form.field("allow"));
        let field = form.field("config").required();
        form.no_others();
        let properties = parameters.as_ref().and_then(|schema| schema["properties"].as_object());
        let arguments: BTreeSet<String> = properties.into_iter().flat_map(Map::keys).cloned().collect();
        let mut reader = Reader { keys: reading.keys, handle: reading.handle.clone(), kept: BTreeMap::new() };
        let config = kind.and_then(|kind| {
            let name = name.as_deref().unwrap_or("set");
            read_config(kind, &field.form()?, (name, &arguments), &reading, &mut reader)
        });
        let Config { what, parts, note } = config?;
        let definition = Self {
            name: name?,
            description: description?,
            parameters: parameters?,
            what,
            effect,
            timeout_ms,
            allow,
            parts,
            note,
            registered_by: String::new(),
            registered_at: never(),
            updated_at: never(),
        };
        Some(Draft { definition, secrets: reader.kept, loc: field.loc() })
    }

    /// The shape of what [`read`](Self::read) reads as a JSON Schema.
    #[must_use]
    pub fn schema() -> Value {
        json!({
            "type": "object", "required": ["name", "kind", "config"], "additionalProperties": false,
            "properties": {
                "name": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "description": "What models call it."},
                "kind": {"type": "string", "enum": KINDS.map(|(word, _)| word)},
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
}

/// Reads the config of a kind; the tool has this name and these arguments.
fn read_config(
    kind: Kind,
    form: &Form<'_>,
    (name, arguments): (&str, &BTreeSet<String>),
    reading: &Reading<'_>,
    reader: &mut Reader<'_>,
) -> Option<Config> {
    let alone = |what: What| Config { what, parts: Vec::new(), note: None };
    match kind {
        Kind::Http => Http::read(form, arguments, reading.policy, reader).map(|http| alone(What::Http(Box::new(http)))),
        Kind::Mcp => Mcp::read(form, reading.policy, reader).map(|mcp| alone(What::Mcp(Box::new(mcp)))),
        Kind::WebSearch => {
            WebSearch::read(form, reading.policy, reader).map(|search| alone(What::WebSearch(Box::new(search))))
        }
        Kind::Code => Code::read(form).map(|code| alone(What::Code(Box::new(code)))),
        Kind::Retrieve => Some(alone(What::Retrieve(Box::new(Retrieve::read(form))))),
        Kind::Workflow => (reading.workflow)(form).map(|nested| alone(What::Workflow(Box::new(nested)))),
        Kind::Openapi => {
            let (api, inline) = OpenApi::read(form, reading.policy, reader)?;
            let made = inline.map(|document| api.parts(name, document, reading.policy));
            let (parts, note) = match made {
                Some(Ok(made)) => made,
                Some(Err(wrong)) => {
                    openapi::tell(&form.field("document"), wrong);
                    return None;
                }
                None => (Vec::new(), None),
            };
            Some(Config { what: What::Openapi(Box::new(api)), parts, note })
        }
    }
}

/// What it does; a set's tools say that for themselves.
fn read_description(field: &Field<'_, '_>, kind: Option<Kind>) -> Option<String> {
    if kind.is_some_and(Kind::is_set) && !field.is_present() {
        return Some(String::new());
    }
    if kind.is_some() {
        field.require();
    }
    field.text(DESCRIPTION_CHARS_MAX).map(String::from)
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

/// The JSON Schema of its arguments, where its kind does not bring one.
fn read_parameters(field: &Field<'_, '_>, kind: Option<Kind>) -> Option<Value> {
    let own = match kind {
        Some(kind) if kind.is_set() => Some(Value::Null),
        Some(Kind::WebSearch) => Some(WebSearch::parameters()),
        Some(Kind::Retrieve) => Some(Retrieve::parameters()),
        _ => None,
    };
    if own.is_some() {
        if field.is_present() {
            field.fail("this kind brings its own; leave parameters out");
        }
        return own;
    }
    // Code that a model writes has arguments of its own; a fixed script says which ones it takes.
    if kind == Some(Kind::Code) && !field.is_present() {
        return Some(Code::parameters());
    }
    field.require();
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
