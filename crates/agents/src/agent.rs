//! What an agent is, and which agents a request may name.

use crate::form::{Errors, FieldError, Form, List, Loc, nearest};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Most characters of an agent's name.
pub const NAME_CHARS_MAX: usize = 64;
/// Most characters of an agent's instructions.
pub const INSTRUCTIONS_CHARS_MAX: usize = 100_000;
const DESCRIPTION_CHARS_MAX: usize = 2_000;
const NAMES_MAX: usize = 64;

/// What carries out an agent's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A language model with instructions.
    #[default]
    Llm,
    /// A service that is asked over HTTP.
    Http,
    /// A person, who is asked as approvals are.
    Human,
    /// Another workflow, run as a child: a nested pattern.
    Workflow,
}

/// How a language model goes about its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reasoning {
    /// It is asked and it answers.
    #[default]
    Plain,
    /// It thinks step by step before it answers.
    ChainOfThought,
    /// It says before each tool call why, and looks at the result before the next.
    React,
    /// It first writes a plan, then carries it out step by step, then answers.
    PlanAndExecute,
    /// It drafts, criticises its draft, and revises it.
    Reflection,
}

impl Reasoning {
    fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}

/// Who a language model speaks as.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persona {
    /// Its job, e.g. `senior card disputes clerk`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub role: String,
    /// What it knows.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expertise: String,
    /// How it speaks.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub personality: String,
}

/// The workflow behind a member of kind [`Kind::Workflow`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nested {
    /// The registered workflow, e.g. `concurrent`.
    pub workflow: String,
    /// Its checked input; what the member is asked takes the place of `input`.
    pub request: Value,
}

impl Kind {
    fn is_llm(&self) -> bool {
        *self == Self::Llm
    }
}

/// An agent as written inline in a request, or under `[agents.NAME]` in the configuration file. Stored in a run's input:
/// fields are only ever added, with defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentDefinition {
    /// Unique within a team.
    pub name: String,
    /// What carries out its work.
    #[serde(default, skip_serializing_if = "Kind::is_llm")]
    pub kind: Kind,
    /// Who it is and what it should do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instructions: String,
    /// What it is good for, for those who choose among agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The model; the provider's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Tools it may call, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// The JSON Schema its answers must fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// Agents it may hand its work to, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    /// Who it speaks as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persona: Option<Persona>,
    /// How it goes about its work.
    #[serde(default, skip_serializing_if = "Reasoning::is_plain")]
    pub reasoning: Reasoning,
    /// Most tokens of one answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Sampling temperature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Where an `http` agent is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// What a `workflow` agent runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nested: Option<Nested>,
}

impl AgentDefinition {
    /// An `llm` agent.
    pub fn llm(name: impl Into<String>, instructions: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: Kind::Llm,
            instructions: instructions.into(),
            description: None,
            model: None,
            tools: Vec::new(),
            output_schema: None,
            routes: Vec::new(),
            persona: None,
            reasoning: Reasoning::Plain,
            max_tokens: None,
            temperature: None,
            endpoint: None,
            nested: None,
        }
    }

    /// Reads one whose name stands in it. `None` when something is wrong.
    #[must_use]
    pub fn read(form: &Form<'_>) -> Option<Self> {
        let field = form.field("name").required();
        let name = field.text(NAME_CHARS_MAX);
        if let Some(wrong) = name.and_then(name_error) {
            field.fail(wrong);
        }
        let rest = Self::read_unnamed(form);
        rest.zip(name).map(|(rest, name)| Self { name: name.into(), ..rest })
    }

    /// Reads one whose name is the key it stands under.
    #[must_use]
    pub fn read_unnamed(form: &Form<'_>) -> Option<Self> {
        let kind = read_kind(form);
        let instructions = form.field("instructions");
        if kind != Some(Kind::Human) {
            instructions.require();
        }
        let instructions = if kind == Some(Kind::Human) && !instructions.is_present() {
            Some("")
        } else {
            instructions.text(INSTRUCTIONS_CHARS_MAX)
        };
        let description = form.field("description").text(DESCRIPTION_CHARS_MAX).map(String::from);
        let model = form.field("model").text(200).map(String::from);
        let routes = form.field("routes").list(NAMES_MAX).map(|l| names(&l)).unwrap_or_default();
        refuse_tools(form);
        let output_schema = read_schema(form);
        let reasoning = form.field("reasoning").choice(&[
            ("plain", Reasoning::Plain),
            ("chain_of_thought", Reasoning::ChainOfThought),
            ("react", Reasoning::React),
            ("plan_and_execute", Reasoning::PlanAndExecute),
            ("reflection", Reasoning::Reflection),
        ]);
        form.no_others();
        Some(Self {
            reasoning: reasoning.unwrap_or_default(),
            kind: kind?,
            description,
            model,
            output_schema,
            routes,
            ..Self::llm("", instructions?)
        })
    }

    /// The shape of [`read`](Self::read) as a JSON Schema.
    #[must_use]
    pub fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["name", "instructions"],
            "additionalProperties": false,
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": NAME_CHARS_MAX, "description": "Unique within the team."},
                "kind": {"type": "string", "enum": ["llm"], "default": "llm"},
                "instructions": {"type": "string", "minLength": 1, "description": "Who the agent is and what it should do."},
                "description": {"type": "string", "description": "What it is good for."},
                "model": {"type": "string", "description": "The model; the provider's default if absent."},
                "tools": {"type": "array", "items": {"type": "string"}, "description": "Tools it may call, by name."},
                "output_schema": {"type": "object", "description": "The JSON Schema its answers must fit."},
                "routes": {"type": "array", "items": {"type": "string"}, "description": "Agents it may hand its work to."}
            }
        })
    }
}

fn name_error(name: &str) -> Option<&'static str> {
    if name.trim() != name {
        return Some("name must not begin or end with white space");
    }
    name.chars().any(char::is_control).then_some("name must not hold control characters")
}

fn read_kind(form: &Form<'_>) -> Option<Kind> {
    let field = form.field("kind");
    if !field.is_present() {
        return Some(Kind::Llm);
    }
    match field.string()? {
        "llm" => return Some(Kind::Llm),
        "human" => return Some(Kind::Human),
        known @ ("http" | "a2a" | "queue" | "workflow") => {
            field.fail(format!("agents of kind {known:?} are not supported in this version; supported: llm"));
        }
        other => field.fail(format!("{other:?} is not one of: llm")),
    }
    // Fields of a kind that is refused anyway are not worth a second error.
    let _ = form.field("endpoint");
    None
}

fn names(list: &List<'_>) -> Vec<String> {
    list.items().filter_map(|item| item.text(NAME_CHARS_MAX).map(String::from)).collect()
}

fn refuse_tools(form: &Form<'_>) {
    for item in form.field("tools").list(NAMES_MAX).iter().flat_map(List::items) {
        if let Some(name) = item.text(NAME_CHARS_MAX) {
            item.fail(format!("there is no tool named {name:?}; this version has no tools"));
        }
    }
}

fn read_schema(form: &Form<'_>) -> Option<Value> {
    let field = form.field("output_schema");
    let schema = field.value()?;
    if !schema.is_object() {
        let _ = field.form();
        return None;
    }
    if let Err(e) = jsonschema::validator_for(schema) {
        field.fail(format!("output_schema is not a valid JSON Schema: {e}"));
        return None;
    }
    Some(schema.clone())
}

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
        format!("agent {name:?} is unconfigured: it needs {variables}, which this version cannot use yet")
    }
}

const UNCONFIGURED: [Unconfigured; 3] = [
    Unconfigured {
        name: "rag",
        description: "Answers from the documents it was given, and cites them.",
        variables: "DATASOURCE_BASE_URL",
    },
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

/// Agents by name: the built-in ones and those of the configuration file, which may replace a built-in one.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentBook {
    ready: BTreeMap<String, AgentDefinition>,
}

impl Default for AgentBook {
    fn default() -> Self {
        let mut llm = AgentDefinition::llm(
            "llm",
            "You are a helpful assistant. Answer what was asked, briefly and exactly; say so when you do not know.",
        );
        llm.description = Some("A plain assistant on the default model.".into());
        Self { ready: BTreeMap::from([(llm.name.clone(), llm)]) }
    }
}

impl AgentBook {
    /// The built-in agents and those of the configuration file's `agents` table (`{NAME: {…}}`).
    ///
    /// # Errors
    /// Everything that is wrong in the table, with paths that begin at `agents`.
    pub fn with_table(table: &Value) -> Result<Self, Vec<FieldError>> {
        let errors = Errors::default();
        let mut book = Self::default();
        let Some(agents) = table.as_object() else {
            return Err(vec![FieldError::value(vec!["agents".into()], "agents must be a table of tables")]);
        };
        for (name, value) in agents {
            let loc: Vec<Loc> = vec!["agents".into(), name.clone().into()];
            let too_long = name.chars().count() > NAME_CHARS_MAX;
            let wrong =
                name_error(name).or((name.is_empty() || too_long).then_some("name must have 1 to 64 characters"));
            if let Some(wrong) = wrong {
                errors.push(FieldError::value(loc.clone(), wrong));
            }
            if let Some(agent) = Form::new(value, loc, &errors).as_ref().and_then(AgentDefinition::read_unnamed) {
                book.ready.insert(name.clone(), AgentDefinition { name: name.clone(), ..agent });
            }
        }
        errors.or(Some(book))
    }

    /// The agent of that name; `None` when there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Listed<'_>> {
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

    fn read(value: &Value) -> Result<AgentDefinition, Vec<String>> {
        let errors = Errors::default();
        let agent = Form::body(value, &errors).as_ref().and_then(AgentDefinition::read);
        errors.or(agent).map_err(|all| all.iter().map(|e| format!("{}: {}", e.path(), e.msg)).collect())
    }

    #[test]
    fn the_contracts_example_is_read_and_survives_storage() {
        let value = json!({"name": "critic", "kind": "llm", "instructions": "You judge.", "model": "m",
            "output_schema": {"type": "object", "properties": {"score": {"type": "integer"}}}, "routes": ["writer"], "tools": []});
        let agent = read(&value).unwrap();
        assert_eq!(serde_json::from_value::<AgentDefinition>(json!(agent)).unwrap(), agent);
        assert_eq!((agent.kind, agent.routes), (Kind::Llm, vec!["writer".to_owned()]));
        let old: AgentDefinition = serde_json::from_value(json!({"name": "a"})).unwrap();
        assert_eq!(old, AgentDefinition::llm("a", ""), "additive changes only");
    }

    #[test]
    fn everything_wrong_with_an_agent_is_said_at_once() {
        let found = read(
            &json!({"name": " a", "kind": "robot", "instructons": "x", "tools": ["hammer"], "output_schema": {"type": 5}}),
        );
        let found = found.unwrap_err();
        assert_eq!(found[0], "name: name must not begin or end with white space");
        assert_eq!(found[1], "kind: \"robot\" is not one of: llm");
        assert_eq!(found[2], "instructions: field required");
        assert_eq!(found[3], "tools[0]: there is no tool named \"hammer\"; this version has no tools");
        assert!(found[4].starts_with("output_schema: output_schema is not a valid JSON Schema"), "{found:?}");
        assert_eq!(found[5], "instructons: unknown key \"instructons\"; did you mean \"instructions\"?");
        assert_eq!(found.len(), 6, "{found:?}");
    }

    #[test]
    fn later_kinds_are_refused_clearly() {
        let found = read(&json!({"name": "a", "kind": "http", "instructions": "x", "endpoint": "http://127.0.0.1"}))
            .unwrap_err();
        assert_eq!(found, ["kind: agents of kind \"http\" are not supported in this version; supported: llm"]);
    }

    #[test]
    fn the_book_holds_built_in_and_configured_agents() {
        let book = AgentBook::with_table(&json!({"billing": {"instructions": "You know card payments."}})).unwrap();
        assert_eq!(
            book.list().iter().map(Listed::name).collect::<Vec<_>>(),
            ["billing", "jira", "llm", "rag", "search"]
        );
        assert!(matches!(book.get("billing"), Some(Listed::Ready(a)) if a.name == "billing"));
        assert!(
            matches!(book.get("search"), Some(Listed::Unconfigured(u)) if u.sentence().contains("SEARCH_PROVIDER"))
        );
        assert_eq!(book.get("biling"), None);
        assert_eq!(book.unknown("biling"), "there is no agent named \"biling\"; did you mean \"billing\"?");
        let wrong = AgentBook::with_table(&json!({"a": {"instrutions": "x"}})).unwrap_err();
        assert_eq!(wrong[1].loc, ["agents".into(), "a".to_owned().into(), "instrutions".to_owned().into()]);
    }

    #[test]
    fn the_schema_lists_what_the_form_reads() {
        let (value, errors) = (json!({}), Errors::default());
        let form = Form::body(&value, &errors).unwrap();
        let _ = AgentDefinition::read(&form);
        let mut listed: Vec<_> = AgentDefinition::schema()["properties"].as_object().unwrap().keys().cloned().collect();
        listed.sort();
        assert_eq!(listed, form.asked());
    }
}
