//! What a graph is once it was read: stored in runs, so fields are only ever added, with defaults.

use crate::patterns::Reducer;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use tutti_agents::person::{Approve, Patience};
use tutti_agents::tool::Pin;
use tutti_engine::Limits;

/// The word for where a path ends.
pub const END: &str = "end";
/// Nodes that one run enters at most where a graph says nothing.
pub const STEPS: u32 = 100;

/// A graph with everything that it names in place, but for its agents, which stand beside it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Graph {
    /// Its name.
    pub name: String,
    /// Its content's hash, where it is kept.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// The node that it begins with.
    pub start: String,
    /// Its state's fields.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub state: BTreeMap<String, Field>,
    /// Its nodes.
    pub nodes: BTreeMap<String, Node>,
    /// What it comes to: a template; the last node's output if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Nodes that one run enters at most.
    pub max_steps: u32,
    /// Agents and tools that act only once a person agreed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approve: Option<Approve>,
}

/// A field of the state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// What it holds.
    #[serde(rename = "type", default)]
    pub kind: Type,
    /// How what is written joins what is there.
    #[serde(default = "last")]
    pub reducer: Reducer,
    /// What it holds at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

fn last() -> Reducer {
    Reducer::Last
}

/// What a field of the state holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// Anything.
    #[default]
    Any,
    /// A text.
    String,
    /// A number.
    Number,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A list.
    Array,
    /// An object.
    Object,
}

impl Type {
    /// Every type with its word.
    pub const WORDS: [(&str, Self); 7] = [
        ("any", Self::Any),
        ("string", Self::String),
        ("number", Self::Number),
        ("integer", Self::Integer),
        ("boolean", Self::Boolean),
        ("array", Self::Array),
        ("object", Self::Object),
    ];

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, kind)| *kind == self).map_or("any", |(word, _)| word)
    }

    /// The narrowest type of a value; `any` for `null`.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Any,
            Value::Bool(_) => Self::Boolean,
            Value::Number(n) if n.is_i64() || n.is_u64() => Self::Integer,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }

    /// Whether a field of this type takes what is of the other one; what nothing is known of is taken.
    #[must_use]
    pub fn takes(self, other: Self) -> bool {
        self == other || self == Self::Any || other == Self::Any || (self == Self::Number && other == Self::Integer)
    }

    /// Whether a value is of this type. Nothing (`null`) always is.
    #[must_use]
    pub fn fits(self, value: &Value) -> bool {
        self.takes(Self::of(value))
    }
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// What it does.
    #[serde(flatten)]
    pub work: Work,
    /// What happens around its work, and after it.
    #[serde(flatten)]
    pub flow: Flow,
}

/// What happens around a node's work, and after it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Flow {
    /// Where the path goes on: several are branches; none is the end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<String>,
    /// The first that holds says where the path goes on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cases: Vec<Case>,
    /// Where it goes on when none holds; `next` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The field of the state that takes its output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save: Option<String>,
    /// How often its work is done again after it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Again>,
    /// How long one try may take, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The most that it may spend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Limits>,
    /// The node that does its work when it failed for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// What its failure does.
    #[serde(skip_serializing_if = "OnError::is_fail")]
    pub on_error: OnError,
}

/// A way on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// The condition.
    pub when: String,
    /// Where to.
    pub next: String,
}

/// How often work is done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    /// Tries after the first.
    pub times: u32,
    /// Wait before the first of them, doubled each time, in milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
}

/// What a node's failure does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The run fails.
    #[default]
    Fail,
    /// The path goes on as if the node had come to nothing.
    Continue,
    /// The path goes on there; `error` says what happened.
    To(String),
}

impl OnError {
    fn is_fail(&self) -> bool {
        *self == Self::Fail
    }
}

/// What a node does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Work {
    /// An agent's turn: of an agent, a model, a pattern.
    Agent(Ask),
    /// A tool's call.
    Tool(Use),
    /// Another workflow or graph, as a child run.
    Workflow(Child),
    /// Nothing but the way on.
    Switch,
    /// Fields of the state are written.
    Set(Set),
    /// A person is asked.
    Human(Human),
    /// Time passes, or a signal comes.
    Wait(Wait),
    /// The nodes from `go` on, once for each item, at the same time.
    Map(Map),
    /// Where branches meet.
    Join,
    /// The nodes from `go` on, again and again.
    Loop(Loop),
    /// Which of some intents a text has.
    Intent(Intent),
    /// The steps that a task takes.
    Plan(Plan),
    /// Passages of documents, and an answer from them.
    Ground(Ground),
    /// What is known about a user, or what a text teaches about one.
    Remember(Remember),
}

/// An agent's turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// Who.
    pub agent: String,
    /// What it is asked: a template; what the node before came to if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// The JSON Schema that its answer must fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
}

/// A tool's call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Use {
    /// Which.
    pub tool: String,
    /// With what: templates.
    #[serde(default)]
    pub arguments: Value,
    /// The tool as it was when the run began, where it is not built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Box<Pin>>,
}

/// Another workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Child {
    /// Which.
    pub workflow: String,
    /// A graph's definition, where it is one: it runs as it was when this run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<Box<super::Input>>,
    /// What it is given: a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
}

/// Fields of the state are written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Set {
    /// What to which: templates.
    pub values: serde_json::Map<String, Value>,
}

/// A person is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Human {
    /// What: a template.
    pub ask: Value,
    /// The JSON Schema that what the person gives must fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// How the person is waited for.
    #[serde(default)]
    pub patience: Patience,
}

/// Time passes, or a signal comes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wait {
    /// How long, in milliseconds; for a signal at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    /// For which signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
}

/// Nodes for each item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Map {
    /// The items: an expression.
    pub over: String,
    /// The first node for each.
    pub go: String,
    /// Items at work at once.
    #[serde(default = "eight")]
    pub max_parallel: u32,
    /// Items at most.
    #[serde(default = "hundred")]
    pub max_items: u32,
    /// What an item's failure does.
    #[serde(default)]
    pub on_item_error: OnItemError,
}

fn eight() -> u32 {
    8
}
fn hundred() -> u32 {
    100
}

/// What an item's failure does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnItemError {
    /// The others are stopped and the node fails.
    #[default]
    Fail,
    /// It is left out.
    Drop,
    /// Its place holds `{"error": …}`.
    Keep,
}

/// Nodes again and again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Loop {
    /// The first node of each round.
    pub go: String,
    /// Before each round: whether there is one.
    #[serde(rename = "while", default, skip_serializing_if = "Option::is_none")]
    pub while_: Option<String>,
    /// After each round: whether it was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Rounds at most.
    pub max: u32,
}

/// Which of some intents a text has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// Who decides.
    pub agent: String,
    /// The intents, each with what it means, which may be empty.
    pub intents: Vec<(String, String)>,
    /// The text: a template; what the node before came to if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// Texts with known intents that show what is meant: a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examples: Option<Value>,
}

/// The steps that a task takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Who plans.
    pub agent: String,
    /// The task: a template; what the node before came to if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// Steps at most.
    #[serde(default = "six")]
    pub max_plan_steps: u32,
}

fn six() -> u32 {
    6
}

/// Passages of documents, and an answer from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ground {
    /// The question: a template; what the node before came to if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<Value>,
    /// Passages at most.
    #[serde(default = "five")]
    pub limit: u32,
    /// Who answers from them, if anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

fn five() -> u32 {
    5
}

/// What is known about a user, or what a text teaches about one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remember {
    /// Which of both.
    #[serde(default)]
    pub mode: Mode,
    /// The user: a template.
    pub user: Value,
    /// The text: a template; what the node before came to if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Value>,
    /// Facts at most, where they are recalled.
    #[serde(default = "ten")]
    pub limit: u32,
}

fn ten() -> u32 {
    10
}

/// What is done with facts about a user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A model says what the text teaches, and it is kept.
    #[default]
    Learn,
    /// What is known and has to do with the text.
    Recall,
}

impl Graph {
    /// Every way from a node, with how it is taken.
    pub(crate) fn ways(&self, id: &str) -> Vec<(Way, &str)> {
        let Some(node) = self.nodes.get(id) else { return Vec::new() };
        let flow = &node.flow;
        let mut ways: Vec<(Way, &str)> = Vec::new();
        ways.extend(flow.cases.iter().map(|case| (Way::Case, case.next.as_str())));
        ways.extend(flow.default.iter().map(|to| (Way::Default, to.as_str())));
        if flow.default.is_none() {
            ways.extend(flow.next.iter().map(|to| (Way::Next, to.as_str())));
        }
        ways.extend(flow.fallback.iter().map(|to| (Way::Fallback, to.as_str())));
        match &node.work {
            Work::Map(Map { go, .. }) | Work::Loop(Loop { go, .. }) => ways.push((Way::Body, go)),
            _ => {}
        }
        if let OnError::To(to) = &flow.on_error {
            ways.push((Way::Error, to));
        }
        ways
    }
}

/// How one node leads to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// When a condition holds.
    Case,
    /// When none does.
    Default,
    /// Without condition.
    Next,
    /// When its work failed: the other does it in its place.
    Fallback,
    /// Once an item or a round.
    Body,
    /// When its work failed: the path goes on there.
    Error,
}

impl Way {
    /// Whether the path itself goes on there.
    pub fn is_path(self) -> bool {
        !matches!(self, Self::Fallback | Self::Body)
    }
}
