//! Reading an agent's definition: everything that is wrong with it at once.

use super::{AgentDefinition, INSTRUCTIONS_CHARS_MAX, Kind, NAME_CHARS_MAX, Persona, Reasoning};
use crate::egress::EgressPolicy;
use crate::form::{Form, List};
use crate::tool::ToolBook;
use serde_json::{Value, json};

const DESCRIPTION_CHARS_MAX: usize = 2_000;
const NAMES_MAX: usize = 64;
const URL_CHARS_MAX: usize = 2_000;
/// A month.
const CACHE_SECONDS_MAX: i64 = 31 * 24 * 3_600;

impl AgentDefinition {
    /// Reads one whose name stands in it; `policy` says which endpoints it may have, none means any: the operator's own. `tools`
    /// are those that it may list besides the built-in ones.
    #[must_use]
    pub fn read(form: &Form<'_>, policy: Option<&EgressPolicy>, tools: &ToolBook) -> Option<Self> {
        let field = form.field("name").required();
        let name = field.text(NAME_CHARS_MAX);
        if let Some(wrong) = name.and_then(name_error) {
            field.fail(wrong);
        }
        let rest = Self::read_unnamed(form, policy, tools);
        rest.zip(name).map(|(rest, name)| Self { name: name.into(), ..rest })
    }

    /// Reads one whose name is the key it stands under.
    #[must_use]
    pub fn read_unnamed(form: &Form<'_>, policy: Option<&EgressPolicy>, tools: &ToolBook) -> Option<Self> {
        let kind = read_kind(form);
        let persona = read_persona(form);
        let instructions = form.field("instructions");
        if kind.is_none_or(|kind| kind == Kind::Llm) && persona.is_none() {
            instructions.require();
        }
        let instructions = if instructions.is_present() { instructions.text(INSTRUCTIONS_CHARS_MAX) } else { Some("") };
        let description = form.field("description").text(DESCRIPTION_CHARS_MAX).map(String::from);
        let model = form.field("model").text(200).map(String::from);
        let routes = form.field("routes").list(NAMES_MAX).map(|l| names(&l)).unwrap_or_default();
        let tools = read_tools(form, tools);
        let output_schema = read_schema(form);
        let reasoning = form.field("reasoning").choice(&REASONING).unwrap_or_default();
        let max_tokens = form.field("max_tokens").integer(1, 1_000_000).and_then(|n| u32::try_from(n).ok());
        let temperature = form.field("temperature").number(0.0, 2.0);
        let cache = form.field("cache_seconds").integer(0, CACHE_SECONDS_MAX).and_then(|n| u32::try_from(n).ok());
        let endpoint = read_endpoint(form, kind, policy);
        form.no_others();
        Some(Self {
            kind: kind?,
            description,
            model,
            tools,
            output_schema,
            routes,
            persona,
            reasoning,
            max_tokens,
            temperature,
            cache_seconds: cache,
            endpoint,
            ..Self::llm("", instructions?)
        })
    }

    /// The shape of [`read`](Self::read) as a JSON Schema.
    #[must_use]
    pub fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["name"],
            "additionalProperties": false,
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": NAME_CHARS_MAX, "description": "Unique within the team."},
                "kind": {"type": "string", "enum": ["llm", "http", "a2a", "human"], "default": "llm",
                    "description": "A language model, a service (asked by HTTP, or over A2A), or a person."},
                "instructions": {"type": "string", "minLength": 1, "description": "Who the agent is and what it should do; an llm agent needs them or a persona."},
                "description": {"type": "string", "description": "What it is good for."},
                "model": {"type": "string", "description": "The model; the provider's default if absent."},
                "tools": {"type": "array", "items": {"type": "string"}, "description": "Tools it may call, by name."},
                "output_schema": {"type": "object", "description": "The JSON Schema its answers must fit."},
                "routes": {"type": "array", "items": {"type": "string"}, "description": "Agents it may hand its work to."},
                "persona": {"type": "object", "additionalProperties": false, "properties": {
                    "role": {"type": "string"}, "expertise": {"type": "string"}, "personality": {"type": "string"}}},
                "reasoning": {"type": "string", "enum": REASONING.map(|(word, _)| word), "default": "plain",
                    "description": "How it goes about its work."},
                "max_tokens": {"type": "integer", "minimum": 1, "maximum": 1_000_000, "description": "Most tokens of one answer."},
                "temperature": {"type": "number", "minimum": 0, "maximum": 2},
                "cache_seconds": {"type": "integer", "minimum": 0, "maximum": CACHE_SECONDS_MAX,
                    "description": "For how long an answer is given again to the very same question; 0 for never."},
                "endpoint": {"type": "string", "format": "uri", "description": "Where a service is asked."}
            }
        })
    }
}

pub(crate) fn name_error(name: &str) -> Option<&'static str> {
    if name.trim() != name {
        return Some("name must not begin or end with white space");
    }
    name.chars().any(char::is_control).then_some("name must not hold control characters")
}

/// The words for ways of thinking.
pub(crate) const REASONING: [(&str, Reasoning); 5] = [
    ("plain", Reasoning::Plain),
    ("chain_of_thought", Reasoning::ChainOfThought),
    ("react", Reasoning::React),
    ("plan_and_execute", Reasoning::PlanAndExecute),
    ("reflection", Reasoning::Reflection),
];

fn read_kind(form: &Form<'_>) -> Option<Kind> {
    let field = form.field("kind");
    if !field.is_present() {
        return Some(Kind::Llm);
    }
    match field.string()? {
        "llm" => return Some(Kind::Llm),
        "http" => return Some(Kind::Http),
        "a2a" => return Some(Kind::A2a),
        "human" => return Some(Kind::Human),
        "workflow" => field.fail("a team as a member is written as {\"pattern\", \"agents\", \"options\"}"),
        "queue" => field.fail(
            "an agent that workers fetch its work for has to be registered (POST /orchestrator/register); here: llm, http, a2a, human",
        ),
        other => field.fail(format!("{other:?} is not one of: llm, http, a2a, human")),
    }
    // Fields of a kind that is refused anyway are not worth a second error.
    let _ = form.field("endpoint");
    None
}

fn names(list: &List<'_>) -> Vec<String> {
    list.items().filter_map(|item| item.text(NAME_CHARS_MAX).map(String::from)).collect()
}

fn read_tools(form: &Form<'_>, book: &ToolBook) -> Vec<String> {
    let mut tools = Vec::new();
    for item in form.field("tools").list(NAMES_MAX).iter().flat_map(List::items) {
        let Some(name) = item.text(NAME_CHARS_MAX) else { continue };
        match book.check(name) {
            Ok(()) => tools.push(name.to_owned()),
            Err(why) => item.fail(why),
        }
    }
    tools
}

fn read_persona(form: &Form<'_>) -> Option<Persona> {
    let field = form.field("persona");
    if !field.is_present() {
        return None;
    }
    let form = field.form()?;
    let text = |name| form.field(name).text(DESCRIPTION_CHARS_MAX).unwrap_or_default().to_owned();
    let persona = Persona { role: text("role"), expertise: text("expertise"), personality: text("personality") };
    form.no_others();
    Some(persona)
}

/// Where a service listens.
fn read_endpoint(form: &Form<'_>, kind: Option<Kind>, policy: Option<&EgressPolicy>) -> Option<String> {
    let field = form.field("endpoint");
    if kind.is_some_and(Kind::has_endpoint) {
        field.require();
    }
    let text = field.text(URL_CHARS_MAX)?;
    let wrong = match kind {
        Some(kind) if kind.has_endpoint() => {
            policy.map_or_else(|| EgressPolicy::default().readable(text), |p| p.registrable(text)).err()
        }
        Some(_) => Some("only an agent of kind \"http\" or \"a2a\" has an endpoint".into()),
        None => None,
    };
    if let Some(wrong) = wrong {
        field.fail(wrong);
    }
    Some(text.to_owned())
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

#[cfg(test)]
mod tests;
