//! Reading a graph that somebody wrote: everything that is wrong with it at once, each at its place.

use super::check;
use super::definition::{Flow, Graph, Node, STEPS, Work};
use super::kinds::{self, COMMON, KINDS, WHOLE};
use crate::patterns::Setting;
use crate::patterns::options::{read_map, schema as options_schema, typed};
use crate::patterns::request::Cast;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tutti_agents::agent::{AgentDefinition, NAME_CHARS_MAX};
use tutti_agents::form::{Field, Form, nearest};
use tutti_engine::Limits;

/// Most nodes of a graph.
const NODES_MAX: usize = 500;
/// Most fields of a state.
const FIELDS_MAX: usize = 200;
/// Names that no graph may bear.
const RESERVED: [&str; 2] = ["draw", "schema"];

/// A graph that may become a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The graph.
    pub graph: Graph,
    /// Its agents, as they are now.
    pub agents: Vec<AgentDefinition>,
    /// The run's bound in milliseconds.
    pub timeout_ms: Option<u64>,
    /// The most that a run may spend.
    pub budget: Option<Limits>,
    /// What it names and this server lacks a setting for.
    pub unconfigured: Vec<String>,
    /// Graphs and workflows that it runs as children.
    pub children: Vec<String>,
    /// What is not wrong and yet worth saying.
    pub notes: Vec<String>,
}

/// Reads `{name, description?, start, state?, nodes, output?, max_steps?, timeout_seconds?, budget?, approve?}`.
#[must_use]
pub fn read(form: &Form<'_>, setting: &Setting<'_>) -> Option<Read> {
    let cast = Cast::empty(setting);
    let name = read_name(&form.field("name").required());
    let _ = form.field("description").text(2_000);
    let start = form.field("start").required().text(NAME_CHARS_MAX).map(ToOwned::to_owned);
    let state = read_state(&form.field("state"));
    let mut whole = read_map(WHOLE, form, &cast);
    let nodes_field = form.field("nodes").required();
    let nodes = read_nodes(&nodes_field, &cast);
    form.no_others();
    let timeout_ms = whole.remove("timeout_ms").and_then(|ms| ms.as_u64());
    let budget = whole.remove("budget").and_then(|limits| serde_json::from_value(limits).ok());
    whole.entry("max_steps").or_insert(json!(STEPS));
    let rest: Graph = typed(whole, form);
    let graph = Graph { name: name.unwrap_or_default(), start: start?, state, nodes, ..rest };
    let notes = check::check(&graph, budget, form);
    let (agents, unconfigured) = cast.into_parts();
    let child = |node: &Node| match &node.work {
        Work::Workflow(child) => Some(child.workflow.clone()),
        _ => None,
    };
    let children = graph.nodes.values().filter_map(child).collect();
    Some(Read { graph, agents, timeout_ms, budget, unconfigured, children, notes })
}

fn read_name(field: &Field<'_, '_>) -> Option<String> {
    let name = field.text(NAME_CHARS_MAX)?;
    if RESERVED.contains(&name) {
        field.fail(format!("{name:?} is a reserved name"));
        return None;
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')) {
        field.fail("a graph's name has letters, digits, _ - and . only");
        return None;
    }
    Some(name.into())
}

fn read_state(field: &Field<'_, '_>) -> BTreeMap<String, super::definition::Field> {
    let Some(form) = field.form() else { return BTreeMap::new() };
    if form.keys().count() > FIELDS_MAX {
        field.fail(format!("a state has at most {FIELDS_MAX} fields"));
    }
    let read = |key: &str| {
        let entry = form.entry(key);
        if !is_word(key) {
            entry.fail("a field's name has letters, digits and _ only, and begins with no digit");
        }
        kinds::read_field(&entry).map(|field| (key.to_owned(), field))
    };
    form.keys().filter_map(read).collect()
}

/// Whether expressions can say it.
fn is_word(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn read_nodes(field: &Field<'_, '_>, cast: &Cast<'_>) -> BTreeMap<String, Node> {
    let Some(form) = field.form() else { return BTreeMap::new() };
    let count = form.keys().count();
    if count == 0 || count > NODES_MAX {
        field.fail(format!("a graph has 1 to {NODES_MAX} nodes"));
    }
    let mut nodes = BTreeMap::new();
    for id in form.keys() {
        let entry = form.entry(id);
        if !is_word(id) || id == super::definition::END {
            entry.fail("a node's id has letters, digits and _ only, begins with no digit, and is not `end`");
        }
        if let Some(node) = entry.form().and_then(|form| read_node(&form, &entry, cast, id)) {
            nodes.insert(id.to_owned(), node);
        }
    }
    nodes
}

fn read_node(form: &Form<'_>, entry: &Field<'_, '_>, cast: &Cast<'_>, id: &str) -> Option<Node> {
    let word_field = form.field("type").required();
    let word = word_field.text(NAME_CHARS_MAX)?;
    let Some(kind) = kinds::find(word) else {
        let hint = nearest(word, KINDS.iter().map(|kind| kind.name))
            .map_or(String::new(), |n| format!("; did you mean {n:?}?"));
        word_field.fail(format!("there is no kind of node named {word:?}{hint}"));
        return None;
    };
    let _ = form.field("description").text(2_000);
    let common = read_map(COMMON, form, cast);
    let own = match kind.read {
        Some(read) => read(form, cast, id),
        None => Some(read_map(kind.options, form, cast)),
    };
    form.no_others();
    let flow: Flow = typed(common, form);
    Some(Node { work: kinds::typed(kind, own?, entry)?, flow })
}

/// The shape of a graph as a JSON Schema.
#[must_use]
pub fn schema() -> Value {
    let node = |kind: &kinds::NodeKind| {
        let mut schema = options_schema(&[kind.options, COMMON]);
        let properties = &mut schema["properties"];
        if kind.name == "llm"
            && let (Value::Object(properties), Some(agent)) =
                (properties, AgentDefinition::schema()["properties"].as_object())
        {
            properties.extend(
                agent
                    .iter()
                    .filter(|(name, _)| *name != "name" && *name != "kind")
                    .map(|(k, v)| (k.clone(), v.clone())),
            );
        } else if kind.name == "pattern" {
            schema["properties"]["pattern"] = json!({"type": "string"});
            schema["properties"]["agents"] = json!({"type": "array"});
            schema["properties"]["options"] = json!({"type": "object"});
        }
        schema["properties"]["type"] = json!({"const": kind.name});
        schema["properties"]["description"] = json!({"type": "string"});
        schema["required"] = json!(["type"]);
        schema["title"] = json!(kind.name);
        schema["description"] = json!(kind.about);
        schema
    };
    let words = |words: Vec<&str>| json!({"type": "string", "enum": words});
    let field = json!({"type": "object", "additionalProperties": false, "properties": {
        "type": words(super::definition::Type::WORDS.map(|(word, _)| word).to_vec()),
        "reducer": words(crate::patterns::Reducer::WORDS.map(|(word, _)| word).to_vec()),
        "default": {}}});
    let mut schema = options_schema(&[WHOLE]);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("A Tutti graph");
    schema["required"] = json!(["name", "start", "nodes"]);
    let text = json!({"type": "string", "minLength": 1});
    for (name, value) in [
        ("name", json!({"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$"})),
        ("description", text.clone()),
        ("start", text),
        ("state", json!({"type": "object", "additionalProperties": field})),
        (
            "nodes",
            json!({"type": "object", "minProperties": 1, "maxProperties": NODES_MAX,
            "additionalProperties": {"oneOf": KINDS.iter().map(node).collect::<Vec<_>>()}}),
        ),
    ] {
        schema["properties"][name] = value;
    }
    schema
}
