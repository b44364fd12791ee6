//! Reading a pattern's request: what all patterns take, and what is stored of it.

use super::options::{Kind, Opt, read_map, typed};
use super::{AGENTS_MAX, ITERATIONS_MAX, Setting, TIMEOUT_SECONDS_MAX, find};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::cell::RefCell;
use tutti_agents::agent::{AgentDefinition, Kind as AgentKind, Listed, NAME_CHARS_MAX, Nested};
use tutti_agents::form::{Field, Form};
use tutti_agents::person::{Approve, Patience, Silence};
use tutti_agents::tool::named_tools;
use tutti_engine::Limits;

/// Patterns within patterns, at most.
const NESTING_MAX: usize = 4;
/// Parts of one input, at most.
const PARTS_MAX: usize = 64;

/// A request that may become a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The run's input: a [`PatternInput`] as JSON text.
    pub input: Vec<u8>,
    /// The run's bound in milliseconds, when its options name one.
    pub timeout_ms: Option<u64>,
    /// The most it may spend, when its options say so.
    pub budget: Option<Limits>,
    /// Agents of the team that are built in and lack a setting: the request is sound, this server cannot serve it now.
    pub unconfigured: Vec<String>,
}

/// A pattern's input as stored in the run's first entry. Fields are only ever added, with defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "O: Serialize + DeserializeOwned + Default")]
pub struct PatternInput<O> {
    /// What the team is asked: a text, any JSON, or `{"parts": […]}`.
    pub input: Value,
    /// The team, resolved when the run was accepted, so that a later change of configuration does not touch it.
    pub agents: Vec<AgentDefinition>,
    /// Agents that stand by: stand-ins, the manager.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<AgentDefinition>,
    /// The pattern's own options.
    #[serde(default)]
    pub options: O,
    /// Most rounds.
    #[serde(default = "ten", skip_serializing_if = "is_ten")]
    pub max_iterations: u32,
    /// What all patterns share.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shared: Shared,
}

/// Options that all patterns share and that change what happens.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shared {
    /// Who judges, chooses, plans and closes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    /// What the output is when the work is cut short.
    pub final_answer: FinalAnswer,
    /// Which acts a person must agree to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approve: Option<Approve>,
}

/// What the output is when the work is cut short.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalAnswer {
    /// One more answer, made of all that was said.
    #[default]
    Synthesised,
    /// What was said last.
    Last,
}

impl<O> PatternInput<O> {
    /// The input as a text: itself, its parts, or its JSON.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match &self.input {
            Value::String(text) => Cow::Borrowed(text),
            other => match other.get("parts").and_then(Value::as_array) {
                Some(parts) => Cow::Owned(parts.iter().map(part_text).collect::<Vec<_>>().join("\n\n")),
                None => Cow::Owned(other.to_string()),
            },
        }
    }
}

/// A part as agents read it; a file stays a reference.
fn part_text(part: &Value) -> String {
    match part["type"].as_str() {
        Some("text") => part["text"].as_str().unwrap_or_default().to_owned(),
        Some("file") => {
            let field = |name: &str| part[name].as_str().unwrap_or_default();
            format!("[file {} {} {}]", field("name"), field("media_type"), field("uri")).replace("  ", " ")
        }
        _ => part["value"].to_string(),
    }
}

fn ten() -> u32 {
    10
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_ten(v: &u32) -> bool {
    *v == 10
}
fn is_default(shared: &Shared) -> bool {
    *shared == Shared::default()
}

/// The options that all patterns share.
pub(crate) const SHARED: &[Opt] = &[
    Opt::new(
        "max_iterations",
        Kind::Count(1, ITERATIONS_MAX as i64),
        "Most rounds; 10 unless the server says otherwise.",
    ),
    Opt::new(
        "timeout_seconds",
        Kind::Seconds(TIMEOUT_SECONDS_MAX),
        "The whole run's time; past it the run ends timed_out.",
    ),
    Opt::new(
        "manager",
        Kind::Agent,
        "The agent that judges, chooses, plans and writes the closing answer; a built-in one if absent.",
    ),
    Opt::new(
        "final_answer",
        Kind::Word(&["synthesised", "last"]),
        "The output when the work is cut short: an answer made of all that was said, or what was said last.",
    ),
    Opt::new("budget", Kind::Data(budget_schema, read_budget), "The most that the run and its children may spend."),
    Opt::new(
        "approve",
        Kind::Data(approve_schema, read_approve),
        "Agents and tools that act only once a person agreed.",
    ),
];

/// Who plays in a request: the team, and those that options name besides.
pub struct Cast<'c> {
    /// Names of the members, in order; empty when the team could not be read.
    pub members: Vec<String>,
    tools: Vec<String>,
    setting: Setting<'c>,
    others: RefCell<Vec<AgentDefinition>>,
    unconfigured: RefCell<Vec<String>>,
}

impl<'c> Cast<'c> {
    /// Nobody yet: who is named stands by.
    pub fn empty(setting: &Setting<'c>) -> Self {
        let (others, unconfigured) = (RefCell::default(), RefCell::default());
        Self { members: Vec::new(), tools: Vec::new(), setting: *setting, others, unconfigured }
    }

    /// What the request is checked against.
    pub fn setting(&self) -> &Setting<'c> {
        &self.setting
    }

    /// One more agent stands by, under a name of its own.
    pub fn stand_by(&self, field: &Field<'_, '_>, agent: AgentDefinition) -> Option<String> {
        let name = agent.name.clone();
        let mut others = self.others.borrow_mut();
        match others.iter().find(|other| other.name == name) {
            Some(other) if *other == agent => {}
            Some(_) => {
                field.fail(format!("two different agents are named {name:?}"));
                return None;
            }
            None => others.push(agent),
        }
        Some(name)
    }

    /// A team of the request's own as one agent: `{pattern, agents, options}`.
    pub fn team(&self, form: &Form<'_>, name: &str) -> Option<String> {
        let team = read_nested(form, &self.setting, &mut self.unconfigured.borrow_mut())?;
        self.stand_by(&form.field("pattern"), AgentDefinition { name: name.into(), ..team })
    }

    /// Those who stand by, and what keeps this server from serving the request now.
    pub fn into_parts(self) -> (Vec<AgentDefinition>, Vec<String>) {
        (self.others.into_inner(), self.unconfigured.into_inner())
    }

    /// The name of a member of the team.
    pub fn member(&self, field: &Field<'_, '_>) -> Option<String> {
        let name = field.text(NAME_CHARS_MAX)?;
        if self.members.is_empty() || self.members.iter().any(|m| m == name) {
            return Some(name.to_owned());
        }
        field.fail(format!("there is no member named {name:?} in the team"));
        None
    }

    /// Any agent: a member, one of the book, or one defined here, which then stands by.
    pub fn agent(&self, field: &Field<'_, '_>) -> Option<String> {
        if let Some(name) = field.value()?.as_str()
            && (self.members.iter().any(|m| m == name) || self.others.borrow().iter().any(|o| o.name == name))
        {
            return Some(name.to_owned());
        }
        let lacking = self.unconfigured.borrow().len();
        let agent = read_member(field, &self.setting, &mut self.unconfigured.borrow_mut());
        if agent.is_none() && self.unconfigured.borrow().len() > lacking {
            // It is known, and this server cannot ask it now: that is said of the whole request.
            return field.text(NAME_CHARS_MAX).map(ToOwned::to_owned);
        }
        let agent = agent?;
        let name = agent.name.clone();
        if field.value().is_some_and(Value::is_object) && self.members.contains(&name) {
            field.fail(format!("agent {name:?} stands in the team already; name it, or choose another name"));
            return None;
        }
        self.stand_by(field, agent)
    }
}

/// Reads a whole pattern request.
pub(crate) fn check<O: Serialize + DeserializeOwned + Default>(
    form: &Form<'_>,
    setting: &Setting<'_>,
    own: &[Opt],
) -> Option<Checked> {
    let (input, agents, unconfigured) = read_asked(form, setting);
    let cast = Cast {
        members: agents.iter().map(|a| a.name.clone()).collect(),
        tools: agents.iter().flat_map(tools_of).collect(),
        setting: *setting,
        others: RefCell::default(),
        unconfigured: RefCell::new(unconfigured),
    };
    let (mut options, mut shared) = (O::default(), Map::new());
    if let Some(form) = &form.field("options").form() {
        options = typed(read_map(own, form, &cast), form);
        shared = read_map(SHARED, form, &cast);
        form.no_others();
    }
    let timeout_ms = shared.remove("timeout_ms").and_then(|ms| ms.as_u64());
    let max_iterations = shared.remove("max_iterations").and_then(|n| u32::try_from(n.as_u64()?).ok());
    let budget = shared.remove("budget").and_then(|limits| serde_json::from_value(limits).ok());
    let input = PatternInput {
        input: input?,
        agents,
        others: cast.others.into_inner(),
        options,
        max_iterations: max_iterations.unwrap_or(setting.iterations_max),
        shared: typed(shared, form),
    };
    let unconfigured = cast.unconfigured.into_inner();
    Some(Checked { input: serde_json::to_vec(&input).ok()?, timeout_ms, budget, unconfigured })
}

/// The names by which an agent's tools may be called: those that it lists, and those of its sets.
fn tools_of(agent: &AgentDefinition) -> impl Iterator<Item = String> {
    agent.tool_names().into_iter().chain(agent.pins.iter().map(|pin| pin.name.clone()))
}

/// Reads what all patterns take, for a request that names no pattern there is: what is wrong with it is told all the same.
pub fn check_asked(form: &Form<'_>, setting: &Setting<'_>) {
    let _ = read_asked(form, setting);
}

fn read_asked(form: &Form<'_>, setting: &Setting<'_>) -> (Option<Value>, Vec<AgentDefinition>, Vec<String>) {
    let input = form.field("input");
    // A team within a team is asked what the outer one asks it.
    let input =
        if setting.depth > 0 && !input.is_present() { Some(Value::Null) } else { read_input(&input.required()) };
    let mut unconfigured = Vec::new();
    let agents = read_team(&form.field("agents").required(), setting, &mut unconfigured);
    (input, agents, unconfigured)
}

fn read_input(field: &Field<'_, '_>) -> Option<Value> {
    let value = field.value()?;
    if value.as_str().is_some_and(|text| text.trim().is_empty()) {
        field.fail("input must not be empty");
        return None;
    }
    if value.get("parts").is_some_and(Value::is_array) {
        read_parts(&field.form()?.field("parts"));
    }
    Some(value.clone())
}

fn read_parts(field: &Field<'_, '_>) {
    let Some(parts) = field.list(PARTS_MAX) else { return };
    if parts.is_empty() {
        field.fail("parts must hold at least one part");
    }
    for part in parts.items() {
        let Some(form) = part.form() else { continue };
        match form.field("type").required().choice(&[("text", 0), ("json", 1), ("file", 2)]) {
            Some(0) => drop(form.field("text").required().string()),
            Some(1) => drop(form.field("value").required().value().cloned()),
            Some(2) => {
                let _ = form.field("uri").required().text(2_000);
                let _ = (form.field("name").text(200), form.field("media_type").text(200));
            }
            _ => continue,
        }
        form.no_others();
    }
}

fn read_team(field: &Field<'_, '_>, setting: &Setting<'_>, unconfigured: &mut Vec<String>) -> Vec<AgentDefinition> {
    let Some(list) = field.list(AGENTS_MAX) else { return Vec::new() };
    if list.is_empty() {
        field.fail("agents must name at least one agent");
    }
    let mut team: Vec<AgentDefinition> = Vec::new();
    for item in list.items() {
        let Some(agent) = read_member(&item, setting, unconfigured) else { continue };
        if team.iter().any(|other| other.name == agent.name) {
            item.fail(format!("agent {:?} stands in the team twice; give each member a name of its own", agent.name));
        } else {
            team.push(agent);
        }
    }
    team
}

fn read_member(item: &Field<'_, '_>, setting: &Setting<'_>, unconfigured: &mut Vec<String>) -> Option<AgentDefinition> {
    let book = setting.agents;
    let value = item.value()?;
    if value.is_string() {
        let name = item.text(NAME_CHARS_MAX)?;
        if let Some(named) = setting.named {
            named.borrow_mut().insert(name.to_owned());
        }
        match book.get(name) {
            Some(Listed::Ready(agent)) => return pinned(item, agent.clone(), setting),
            Some(Listed::Unconfigured(agent)) => unconfigured.push(agent.sentence()),
            None => item.fail(book.unknown(name)),
        }
        return None;
    }
    if !value.is_object() {
        item.fail("a member of a team is the name of an agent or an agent's definition");
        return None;
    }
    let form = item.form()?;
    if value.get("pattern").is_some() {
        return read_nested(&form, setting, unconfigured);
    }
    if let Some(tools) = setting.tools {
        tools.borrow_mut().extend(named_tools(value));
    }
    pinned(item, book.read(&form)?, setting)
}

/// The agent with its tools as they are now.
fn pinned(item: &Field<'_, '_>, mut agent: AgentDefinition, setting: &Setting<'_>) -> Option<AgentDefinition> {
    if let Some(tools) = setting.tools {
        tools.borrow_mut().extend(agent.tool_names());
    }
    if let Err(why) = setting.agents.tools().pin(&mut agent) {
        item.fail(format!("agent {:?}: {why}", agent.name));
        return None;
    }
    Some(agent)
}

/// A team as a member: `{"pattern", "agents", "options"?, "name"?}`.
fn read_nested(form: &Form<'_>, setting: &Setting<'_>, unconfigured: &mut Vec<String>) -> Option<AgentDefinition> {
    let depth = setting.depth + 1;
    let field = form.field("pattern");
    let word = field.text(NAME_CHARS_MAX)?;
    let Some(pattern) = find(word) else {
        field.fail(format!("there is no pattern named {word:?}"));
        return None;
    };
    if depth > NESTING_MAX {
        field.fail(format!("patterns may nest at most {NESTING_MAX} deep"));
        return None;
    }
    let name = form.field("name").text(NAME_CHARS_MAX).unwrap_or(pattern.name).to_owned();
    let description = form.field("description").text(2_000).map(ToOwned::to_owned);
    let setting = Setting { depth, ..*setting };
    let checked = (pattern.check)(form, &setting);
    form.no_others();
    let checked = checked?;
    unconfigured.extend(checked.unconfigured);
    let request = serde_json::from_slice(&checked.input).ok()?;
    let nested = Nested { workflow: pattern.name.into(), request, budget: checked.budget };
    Some(AgentDefinition {
        kind: AgentKind::Workflow,
        description,
        nested: Some(nested),
        ..AgentDefinition::llm(name, "")
    })
}

pub(crate) fn budget_schema() -> Value {
    let amount = |what: &str| json!({"type": "integer", "minimum": 1, "description": what});
    json!({"type": "object", "additionalProperties": false, "minProperties": 1, "properties": {
        "tokens": amount("Tokens read and written."), "cost": amount("Millionths of a US dollar.")}})
}

pub(crate) fn read_budget(field: &Field<'_, '_>, _: &Cast<'_>) -> Option<Value> {
    read_limits(field).map(|limits| json!(limits))
}

/// Reads `budget`: `{tokens?, cost?}`, whole numbers above 0, at least one of them.
#[must_use]
pub fn read_limits(field: &Field<'_, '_>) -> Option<Limits> {
    let form = field.form()?;
    let amount = |name| form.field(name).integer(1, i64::MAX).and_then(|n| u64::try_from(n).ok());
    let limits = Limits { tokens: amount("tokens"), cost: amount("cost"), purchases: None };
    form.no_others();
    if !form.field("tokens").is_present() && !form.field("cost").is_present() {
        field.fail("budget must bound tokens, cost, or both");
    }
    Some(limits)
}

pub(crate) fn approve_schema() -> Value {
    json!({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "object", "required": ["names"],
        "additionalProperties": false, "properties": {
            "names": {"type": "array", "items": {"type": "string"}},
            "timeout_seconds": {"type": "number", "exclusiveMinimum": 0},
            "escalate_to": {"type": "string"},
            "default": {"type": "string", "enum": ["reject", "approve"], "default": "reject"}}}],
        "description": "A list of names, or {names, timeout_seconds, escalate_to, default}."})
}

pub(crate) fn read_approve(field: &Field<'_, '_>, cast: &Cast<'_>) -> Option<Value> {
    if field.value()?.is_array() {
        let names = read_names(field, cast)?;
        return Some(json!(Approve { names, ..Approve::default() }));
    }
    let form = field.form()?;
    let names = read_names(&form.field("names").required(), cast);
    let patience = read_patience(&form);
    form.no_others();
    Some(json!(Approve { names: names?, patience }))
}

/// Reads how a person is waited for.
pub(crate) fn read_patience(form: &Form<'_>) -> Patience {
    Patience {
        timeout_ms: form.field("timeout_seconds").seconds(TIMEOUT_SECONDS_MAX),
        escalate_to: form.field("escalate_to").text(200).map(ToOwned::to_owned),
        default: form
            .field("default")
            .choice(&[("reject", Silence::Reject), ("approve", Silence::Approve)])
            .unwrap_or_default(),
    }
}

fn read_names(field: &Field<'_, '_>, cast: &Cast<'_>) -> Option<Vec<String>> {
    let list = field.list(AGENTS_MAX)?;
    let mut names = Vec::new();
    for item in list.items() {
        let Some(name) = item.text(NAME_CHARS_MAX) else { continue };
        let known = cast.members.is_empty() || cast.members.iter().chain(&cast.tools).any(|n| n == name);
        if known {
            names.push(name.to_owned());
        } else {
            item.fail(format!("{name:?} is neither an agent of the team nor a tool of one"));
        }
    }
    Some(names)
}
