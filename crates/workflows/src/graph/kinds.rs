//! The kinds of nodes: one list from which reading, the JSON Schema and the documentation derive.

use super::definition::{Type, Work};
use super::expression;
use crate::patterns::options::{Kind, Opt, Reader, plain};
use crate::patterns::request::{Cast, approve_schema, budget_schema, read_approve, read_budget, read_patience};
use crate::patterns::{Reducer, TIMEOUT_SECONDS_MAX};
use serde_json::{Map, Value, json};
use tutti_agents::agent::{AgentDefinition, NAME_CHARS_MAX};
use tutti_agents::form::{Field, Form};
use tutti_agents::tool;

/// Most intents of one node.
const INTENTS_MAX: usize = 500;
/// Most fields of one `set`.
const VALUES_MAX: usize = 100;

/// Reads what a node of this id takes.
type ReadNode = fn(&Form<'_>, &Cast<'_>, &str) -> Option<Map<String, Value>>;

/// A kind of node.
pub(super) struct NodeKind {
    /// The word for it.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// What it takes beside what all nodes take.
    pub options: &'static [Opt],
    /// Reads what it takes where the list alone does not say; `None` when something was wrong and has been said.
    pub read: Option<ReadNode>,
    /// The kind of work it becomes, where that has another word.
    pub work: &'static str,
    /// What it comes to, where that is known.
    pub output: Type,
}

/// Every kind, in the order in which people meet them.
pub(super) const KINDS: &[NodeKind] = &[
    NodeKind {
        name: "agent",
        about: "An agent's turn; its answer is the output.",
        options: &[
            Opt::new("agent", Kind::Agent, "The agent: a name, or one defined here."),
            template("input", "What it is asked; what the node before came to if absent."),
            Opt::new("schema", Kind::Data(any_object, object as Reader), "The JSON Schema that its answer must fit."),
        ],
        read: Some(|form, cast, _| needs(form, cast, "agent", &["agent"])),
        work: "agent",
        output: Type::Any,
    },
    NodeKind {
        name: "llm",
        about: "A language model with instructions, defined here.",
        options: &[template("prompt", "What it is asked; what the node before came to if absent.")],
        read: Some(llm),
        work: "agent",
        output: Type::Any,
    },
    NodeKind {
        name: "external",
        about: "The external agent (EXTERNAL_AGENT_BASE_URL).",
        options: &[template("input", "What it is asked; what the node before came to if absent.")],
        read: Some(external),
        work: "agent",
        output: Type::Any,
    },
    NodeKind {
        name: "pattern",
        about: "A team that works by a pattern, in a run of its own.",
        options: &[template("input", "What it is asked; what the node before came to if absent.")],
        read: Some(pattern),
        work: "agent",
        output: Type::Any,
    },
    NodeKind {
        name: "workflow",
        about: "Another graph or workflow, in a run of its own.",
        options: &[
            Opt::new("workflow", Kind::Data(text_schema, name as Reader), "The name of the graph or workflow."),
            template("input", "What it is given; what the node before came to if absent."),
        ],
        read: Some(|form, cast, _| needs(form, cast, "workflow", &["workflow"])),
        work: "workflow",
        output: Type::Any,
    },
    NodeKind {
        name: "tool",
        about: "A tool's call; its result is the output.",
        options: &[
            Opt::new("tool", Kind::Data(text_schema, name as Reader), "The tool's name."),
            template("arguments", "What it is called with."),
        ],
        read: Some(tool),
        work: "tool",
        output: Type::Any,
    },
    NodeKind {
        name: "intent",
        about: "Which of some intents a text has: {intent, reason}.",
        options: &[
            Opt::new("agent", Kind::Agent, "Who decides; a built-in agent if absent."),
            template("input", "The text; what the node before came to if absent."),
            Opt::new(
                "intents",
                Kind::Data(intents_schema, intents as Reader),
                "The intents: a list of words, or an object that says what each one means.",
            ),
            template("examples", "Texts with known intents, for the model to compare with."),
        ],
        read: Some(|form, cast, id| with_own(needs(form, cast, "intent", &["intents"])?, form, cast, id, INTENT)),
        work: "intent",
        output: Type::Object,
    },
    NodeKind {
        name: "plan",
        about: "The steps that a task takes: a list of texts.",
        options: &[
            Opt::new("agent", Kind::Agent, "Who plans; a built-in agent if absent."),
            template("input", "The task; what the node before came to if absent."),
            Opt::new("max_plan_steps", Kind::Count(1, 20), "Steps at most; 6 if absent."),
        ],
        read: Some(|form, cast, id| with_own(needs(form, cast, "plan", &[])?, form, cast, id, PLANNER)),
        work: "plan",
        output: Type::Array,
    },
    NodeKind {
        name: "ground",
        about: "Passages of documents that fit a question: {passages, context}; with an agent its answer, too: {answer, sources}.",
        options: &[
            template("query", "The question; what the node before came to if absent."),
            Opt::new("limit", Kind::Count(1, 50), "Passages at most; 5 if absent."),
            Opt::new("agent", Kind::Agent, "Who answers from the passages, citing them."),
        ],
        read: None,
        work: "ground",
        output: Type::Object,
    },
    NodeKind {
        name: "remember",
        about: "What a text teaches about a user, kept; or (`mode: recall`) what is known: a list of sentences.",
        options: &[
            Opt::new("mode", Kind::Word(&["learn", "recall"]), "Which of both."),
            template("user", "The user."),
            template("text", "The text; what the node before came to if absent."),
            Opt::new("limit", Kind::Count(1, 100), "Facts at most, where they are recalled; 10 if absent."),
        ],
        read: Some(|form, cast, _| needs(form, cast, "remember", &["user"])),
        work: "remember",
        output: Type::Array,
    },
    NodeKind {
        name: "switch",
        about: "Nothing but the way on: the first case that holds, else the default.",
        options: &[],
        read: None,
        work: "switch",
        output: Type::Any,
    },
    NodeKind {
        name: "set",
        about: "Writes fields of the state.",
        options: &[Opt::new(
            "values",
            Kind::Data(any_object, values as Reader),
            "What to which field: values or templates.",
        )],
        read: Some(|form, cast, _| needs(form, cast, "set", &["values"])),
        work: "set",
        output: Type::Object,
    },
    NodeKind {
        name: "human",
        about: "Asks a person: {decision, note, input}.",
        options: &[
            template("ask", "What the person is asked."),
            Opt::new(
                "schema",
                Kind::Data(any_object, object as Reader),
                "The JSON Schema that what the person gives must fit.",
            ),
            Opt::new(
                "patience",
                Kind::Data(patience_schema, |field, _| Some(json!(read_patience(&closed(field)?)))),
                "How long the person is waited for, and then.",
            ),
        ],
        read: Some(|form, cast, _| needs(form, cast, "human", &["ask"])),
        work: "human",
        output: Type::Object,
    },
    NodeKind {
        name: "wait",
        about: "Lets time pass, or waits for a signal, whose payload is the output.",
        options: &[
            Opt::new(
                "seconds",
                Kind::Data(seconds_schema, |field, _| field.seconds(TIMEOUT_SECONDS_MAX).map(|ms| json!(ms))),
                "How long; for a signal at most, and then the output is null.",
            ),
            Opt::new("signal", Kind::Data(text_schema, signal as Reader), "The signal's name."),
        ],
        read: Some(wait),
        work: "wait",
        output: Type::Any,
    },
    NodeKind {
        name: "map",
        about: "The nodes from `go` on, once for each item, at the same time; the list of what they came to is the output.",
        options: &[
            Opt::new(
                "over",
                Kind::Data(text_schema, condition as Reader),
                "The items: an expression that gives a list.",
            ),
            Opt::new("go", Kind::Data(text_schema, name as Reader), "The first node for each item."),
            Opt::new("max_parallel", Kind::Count(1, 64), "Items at work at once; 8 if absent."),
            Opt::new("max_items", Kind::Count(1, 10_000), "Items at most; 100 if absent. More are an error."),
            Opt::new("on_item_error", Kind::Word(&["fail", "drop", "keep"]), "What an item's failure does."),
        ],
        read: Some(|form, cast, _| needs(form, cast, "map", &["over", "go"])),
        work: "map",
        output: Type::Array,
    },
    NodeKind {
        name: "join",
        about: "Where branches meet; the list of what they came to is the output.",
        options: &[],
        read: None,
        work: "join",
        output: Type::Array,
    },
    NodeKind {
        name: "loop",
        about: "The nodes from `go` on, again and again, at most `max` times.",
        options: &[
            Opt::new("go", Kind::Data(text_schema, name as Reader), "The first node of each round."),
            Opt::new("while", Kind::Data(text_schema, condition as Reader), "Before each round: whether there is one."),
            Opt::new(
                "until",
                Kind::Data(text_schema, condition as Reader),
                "After each round: whether it was the last.",
            ),
            Opt::new("max", Kind::Count(1, 1_000), "Rounds at most."),
        ],
        read: Some(|form, cast, _| needs(form, cast, "loop", &["go", "max"])),
        work: "loop",
        output: Type::Any,
    },
];

/// What all nodes take.
pub(super) const COMMON: &[Opt] = &[
    Opt::new(
        "next",
        Kind::Data(next_schema, next as Reader),
        "Where the path goes on: a node, `end`, or a list of nodes as branches.",
    ),
    Opt::new(
        "cases",
        Kind::Data(cases_schema, cases as Reader),
        "The first whose condition holds says where the path goes on.",
    ),
    Opt::new("default", Kind::Data(text_schema, name as Reader), "Where it goes on when no case holds."),
    Opt::new("save", Kind::Data(text_schema, name as Reader), "The field of the state that takes the output."),
    Opt::new("retry", Kind::Data(retry_schema, retry as Reader), "How often the work is done again after it failed."),
    Opt::new("timeout_seconds", Kind::Seconds(TIMEOUT_SECONDS_MAX), "How long one try may take."),
    Opt::new(
        "budget",
        Kind::Data(budget_schema, read_budget),
        "The most that the node may spend; it then works in a run of its own.",
    ),
    Opt::new("fallback", Kind::Data(text_schema, name as Reader), "The node that does the work when all tries failed."),
    Opt::new(
        "on_error",
        Kind::Data(on_error_schema, on_error as Reader),
        "What a failure does: fail, continue, or a node to go on at.",
    ),
];

/// What a graph takes as a whole, beside its nodes.
pub(super) const WHOLE: &[Opt] = &[
    template("output", "What the graph comes to; the last node's output if absent."),
    Opt::new("max_steps", Kind::Count(1, 10_000), "Nodes that one run enters at most; 100 if absent."),
    Opt::new("timeout_seconds", Kind::Seconds(TIMEOUT_SECONDS_MAX), "The whole run's time."),
    Opt::new("budget", Kind::Data(budget_schema, read_budget), "The most that a run may spend."),
    Opt::new(
        "approve",
        Kind::Data(approve_schema, read_approve),
        "Agents and tools that act only once a person agreed.",
    ),
];

const INTENT: &str =
    "You decide which intent a message has. Choose exactly one of the given intents: the one that fits best.";
const PLANNER: &str =
    "You break a task down into the few steps that it takes, in their order, each one sentence that says what is done.";

const fn template(name: &'static str, help: &'static str) -> Opt {
    Opt::new(name, Kind::Data(any_value, templates as Reader), help)
}

/// The kind of this word.
pub(super) fn find(word: &str) -> Option<&'static NodeKind> {
    KINDS.iter().find(|kind| kind.name == word)
}

/// What the list of a kind says, and that these are there.
fn needs(form: &Form<'_>, cast: &Cast<'_>, kind: &str, required: &[&'static str]) -> Option<Map<String, Value>> {
    let missing = required.iter().filter(|name| !form.field(name).required().is_present()).count();
    let read = crate::patterns::options::read_map(find(kind)?.options, form, cast);
    let is_whole = required.iter().all(|name| read.contains_key(*name) || read.contains_key("ms"));
    (missing == 0 && is_whole).then_some(read)
}

/// An `llm` node is an agent that stands here, under the node's id.
fn llm(form: &Form<'_>, cast: &Cast<'_>, id: &str) -> Option<Map<String, Value>> {
    let mut read = crate::patterns::options::read_map(find("llm")?.options, form, cast);
    let (book, tools) = (cast.setting().agents, cast.setting().tools);
    let agent = AgentDefinition::read_unnamed(form, Some(book.policy()), book.tools())?;
    let mut agent = AgentDefinition { name: id.into(), ..agent };
    if let Some(tools) = tools {
        tools.borrow_mut().extend(agent.tool_names());
    }
    if let Err(why) = book.tools().pin(&mut agent) {
        form.field("tools").fail(why);
        return None;
    }
    let name = cast.stand_by(&form.field("type"), agent)?;
    if let Some(prompt) = read.remove("prompt") {
        read.insert("input".into(), prompt);
    }
    read.insert("agent".into(), json!(name));
    Some(read)
}

fn external(form: &Form<'_>, cast: &Cast<'_>, _: &str) -> Option<Map<String, Value>> {
    let mut read = crate::patterns::options::read_map(find("external")?.options, form, cast);
    // Where there is none, the node fails when it is reached, not the graph when it is read: another way may be open.
    if let Some(agent) = cast.setting().agents.get("external")
        && let tutti_agents::agent::Listed::Ready(agent) = agent
    {
        cast.stand_by(&form.field("type"), agent.clone());
    }
    read.insert("agent".into(), json!("external"));
    Some(read)
}

/// A tool's call, with the tool as it is now.
fn tool(form: &Form<'_>, cast: &Cast<'_>, id: &str) -> Option<Map<String, Value>> {
    let mut read = needs(form, cast, "tool", &["tool"])?;
    let name = read.get("tool").and_then(Value::as_str)?.to_owned();
    if let Some(tools) = cast.setting().tools {
        tools.borrow_mut().insert(name.clone());
    }
    let field = form.field("tool");
    let tools = cast.setting().agents.tools();
    // A node calls as an agent of its name would.
    let mut caller = AgentDefinition { tools: vec![name.clone()], ..AgentDefinition::llm(id, "") };
    if let Err(why) = tools.check(&name).and_then(|()| tools.pin(&mut caller)) {
        field.fail(why);
        return None;
    }
    if tool::find(&name).is_none() {
        let Some(pin) = caller.pins.into_iter().find(|pin| pin.name == name) else {
            field.fail(format!("{name:?} is a set of tools; name one of them"));
            return None;
        };
        read.insert("pin".into(), json!(pin));
    }
    Some(read)
}

fn pattern(form: &Form<'_>, cast: &Cast<'_>, id: &str) -> Option<Map<String, Value>> {
    let mut read = crate::patterns::options::read_map(find("pattern")?.options, form, cast);
    form.field("pattern").require();
    for name in ["agents", "options", "name"] {
        let _ = form.field(name);
    }
    read.insert("agent".into(), json!(cast.team(form, id)?));
    Some(read)
}

/// The agent of a node that has one of its own where none is named.
fn with_own(
    mut read: Map<String, Value>,
    form: &Form<'_>,
    cast: &Cast<'_>,
    id: &str,
    instructions: &str,
) -> Option<Map<String, Value>> {
    if !read.contains_key("agent") {
        let name = cast.stand_by(&form.field("type"), AgentDefinition::llm(id, instructions))?;
        read.insert("agent".into(), json!(name));
    }
    Some(read)
}

fn wait(form: &Form<'_>, cast: &Cast<'_>, _: &str) -> Option<Map<String, Value>> {
    let mut read = crate::patterns::options::read_map(find("wait")?.options, form, cast);
    if !form.field("seconds").is_present() && !form.field("signal").is_present() {
        form.field("seconds").fail("a wait names seconds, a signal, or both");
        return None;
    }
    if let Some(ms) = read.remove("seconds") {
        read.insert("ms".into(), ms);
    }
    Some(read)
}

fn any_value() -> Value {
    json!({"description": "Texts in it may be templates."})
}
fn any_object() -> Value {
    json!({"type": "object"})
}
fn text_schema() -> Value {
    json!({"type": "string", "minLength": 1})
}
fn seconds_schema() -> Value {
    json!({"type": "number", "exclusiveMinimum": 0, "maximum": TIMEOUT_SECONDS_MAX})
}
fn next_schema() -> Value {
    json!({"anyOf": [text_schema(), {"type": "array", "minItems": 1, "maxItems": 64, "items": text_schema()}]})
}
fn cases_schema() -> Value {
    json!({"type": "array", "items": {"type": "object", "required": ["when", "next"], "additionalProperties": false,
        "properties": {"when": text_schema(), "next": text_schema()}}})
}
fn retry_schema() -> Value {
    json!({"type": "object", "required": ["times"], "additionalProperties": false, "properties": {
        "times": {"type": "integer", "minimum": 1, "maximum": 20}, "delay_seconds": {"type": "number", "exclusiveMinimum": 0}}})
}
fn on_error_schema() -> Value {
    json!({"type": "string", "description": "`fail` (the default), `continue`, or a node's id.", "default": "fail"})
}
fn intents_schema() -> Value {
    json!({"anyOf": [{"type": "array", "items": text_schema()}, {"type": "object", "additionalProperties": {"type": "string"}}]})
}
fn patience_schema() -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": {"timeout_seconds": seconds_schema(),
        "escalate_to": text_schema(), "default": {"type": "string", "enum": ["reject", "approve"], "default": "reject"}}})
}

fn name(field: &Field<'_, '_>, _: &Cast<'_>) -> Option<Value> {
    field.text(NAME_CHARS_MAX).map(|name| json!(name))
}

fn signal(field: &Field<'_, '_>, _: &Cast<'_>) -> Option<Value> {
    let name = field.text(40)?;
    if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.' | '-')) {
        field.fail("a signal's name has a-z, 0-9, _ . and - only");
        return None;
    }
    Some(json!(name))
}

fn object(field: &Field<'_, '_>, _: &Cast<'_>) -> Option<Value> {
    let _ = field.form()?;
    field.value().cloned()
}

fn templates(field: &Field<'_, '_>, _: &Cast<'_>) -> Option<Value> {
    let value = field.value()?;
    if let Err(why) = expression::mentions_of(value) {
        field.fail(format!("this template cannot be read: {why}"));
        return None;
    }
    Some(value.clone())
}

fn condition(field: &Field<'_, '_>, _: &Cast<'_>) -> Option<Value> {
    let text = field.text(4_000)?;
    if expression::is_template(text) {
        field.fail("an expression is written without {{ }}");
        return None;
    }
    if let Err(why) = expression::mentions(text) {
        field.fail(format!("this expression cannot be read: {why}"));
        return None;
    }
    Some(json!(text))
}

fn values(field: &Field<'_, '_>, cast: &Cast<'_>) -> Option<Value> {
    let form = field.form()?;
    if form.keys().count() == 0 || form.keys().count() > VALUES_MAX {
        field.fail(format!("a set has 1 to {VALUES_MAX} values"));
        return None;
    }
    let read: Vec<_> = form.keys().map(|key| templates(&form.entry(key), cast)).collect();
    read.into_iter().all(|value| value.is_some()).then(|| field.value().cloned())?
}

fn next(field: &Field<'_, '_>, cast: &Cast<'_>) -> Option<Value> {
    if field.value()?.is_string() {
        return name(field, cast).map(|one| json!([one]));
    }
    let list = field.list(64)?;
    let names: Option<Vec<Value>> = list.items().map(|item| name(&item, cast)).collect();
    names.map(Value::Array)
}

fn cases(field: &Field<'_, '_>, cast: &Cast<'_>) -> Option<Value> {
    let mut read = Vec::new();
    for item in field.list(100)?.items() {
        let Some(form) = item.form() else { continue };
        let when = condition(&form.field("when").required(), cast);
        let to = name(&form.field("next").required(), cast);
        form.no_others();
        if let (Some(when), Some(next)) = (when, to) {
            read.push(json!({"when": when, "next": next}));
        }
    }
    Some(Value::Array(read))
}

fn retry(field: &Field<'_, '_>, _: &Cast<'_>) -> Option<Value> {
    let form = field.form()?;
    let times = form.field("times").required().integer(1, 20);
    let delay = form.field("delay_seconds").seconds(TIMEOUT_SECONDS_MAX);
    form.no_others();
    Some(json!({"times": times?, "delay_ms": delay.unwrap_or(0)}))
}

fn on_error(field: &Field<'_, '_>, _: &Cast<'_>) -> Option<Value> {
    Some(match field.text(NAME_CHARS_MAX)? {
        "fail" => json!("fail"),
        "continue" => json!("continue"),
        node => json!({"to": node}),
    })
}

fn intents(field: &Field<'_, '_>, _: &Cast<'_>) -> Option<Value> {
    let mut read: Vec<(String, String)> = Vec::new();
    if field.value()?.is_array() {
        for item in field.list(INTENTS_MAX)?.items() {
            read.push((item.text(NAME_CHARS_MAX)?.into(), String::new()));
        }
    } else {
        let form = field.form()?;
        for key in form.keys() {
            read.push((key.into(), form.entry(key).string().unwrap_or_default().into()));
        }
    }
    if read.is_empty() || read.len() > INTENTS_MAX {
        field.fail(format!("intents must name 1 to {INTENTS_MAX}"));
        return None;
    }
    Some(json!(read))
}

/// An object all of whose keys somebody asks for.
fn closed<'a>(field: &Field<'a, '_>) -> Option<Form<'a>> {
    let form = field.form()?;
    for name in ["timeout_seconds", "escalate_to", "default"] {
        let _ = form.field(name);
    }
    form.no_others();
    Some(form)
}

/// Work as read, typed.
pub(super) fn typed(kind: &NodeKind, mut read: Map<String, Value>, field: &Field<'_, '_>) -> Option<Work> {
    read.insert("type".into(), json!(kind.work));
    match serde_json::from_value(Value::Object(read)) {
        Ok(work) => Some(work),
        Err(e) => {
            field.fail(e.to_string());
            None
        }
    }
}

/// Reads a field of the state.
pub(super) fn read_field(field: &Field<'_, '_>) -> Option<super::definition::Field> {
    let form = field.form()?;
    let kind = form.field("type").choice(&Type::WORDS).unwrap_or_default();
    let reducer = form.field("reducer").choice(&Reducer::WORDS).unwrap_or(Reducer::Last);
    let first = form.field("default");
    if first.value().is_some_and(|value| !kind.fits(value)) {
        first.fail(format!("the default does not fit the type {}", kind.word()));
    }
    let needs = match reducer {
        Reducer::Append | Reducer::Union => Type::Array,
        Reducer::Sum | Reducer::Min | Reducer::Max => Type::Number,
        Reducer::Concat => Type::String,
        Reducer::First | Reducer::Last => Type::Any,
    };
    if !needs.takes(kind) {
        form.field("reducer").fail(format!(
            "this reducer makes {} of what is written, the field holds {}",
            needs.word(),
            kind.word()
        ));
    }
    let default = plain::<Value>(&first);
    form.no_others();
    Some(super::definition::Field { kind, reducer, default })
}
