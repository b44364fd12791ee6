//! One operation of a document as a tool: its arguments as one schema, and the request that they fill.

use super::document::{Document, Operation};
use crate::tool::http::{Auth, Body, Http, Pair};
use crate::tool::secret::Text;
use crate::tool::template::Shape;
use serde_json::{Map, Value, json};
use tutti_engine::activity::Effect;

const DESCRIPTION_CHARS_MAX: usize = 1_000;
/// Most bytes of a tool's schema: every model call carries it.
const SCHEMA_BYTES_MAX: usize = 32 * 1024;
/// Headers that other parts of a document speak for.
const OWN_HEADERS: [&str; 3] = ["accept", "content-type", "authorization"];

/// What became of an operation.
pub(super) struct Compiled {
    pub description: String,
    pub parameters: Value,
    pub effect: Effect,
    /// The path, with gaps.
    pub path: String,
    /// The request, without its address.
    pub http: Http,
}

/// Arguments as they are gathered.
#[derive(Default)]
struct Arguments {
    properties: Map<String, Value>,
    required: Vec<String>,
}

impl Arguments {
    /// Takes one in; answers what models call it.
    fn add(&mut self, name: &str, place: &str, schema: Value, is_required: bool) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' };
        let mut word: String = name.chars().map(plain).take(64).collect();
        if self.properties.contains_key(&word) {
            word = format!("{place}_{word}");
        }
        if is_required {
            self.required.push(word.clone());
        }
        self.properties.insert(word.clone(), schema);
        word
    }
}

/// Makes a tool of an operation; none where it takes something that tools cannot send.
///
/// # Errors
/// What is wrong with it.
pub(super) fn compile(
    document: &Document<'_>,
    operation: &Operation<'_>,
    auth: &[(String, Auth)],
) -> Result<Option<Compiled>, String> {
    let mut arguments = Arguments::default();
    let (mut path, mut query, mut headers) = (operation.path.to_owned(), Vec::new(), Vec::new());
    for parameter in parameters(document, operation)? {
        let name = parameter["name"].as_str().ok_or("a parameter has no name")?;
        let place = parameter["in"].as_str().unwrap_or_default();
        let is_own = place == "header" && OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str());
        if place == "cookie" || is_own {
            continue;
        }
        let schema = described(document, parameter)?;
        let argument = arguments.add(name, place, schema, place == "path" || parameter["required"] == true);
        let gap = format!("{{{{{argument}}}}}");
        match place {
            "path" => path = path.replace(&format!("{{{name}}}"), &gap),
            "query" => {
                let explode =
                    parameter["explode"].as_bool().unwrap_or(parameter["style"].as_str().is_none_or(|s| s == "form"));
                query.push(Pair { name: name.into(), value: Some(gap), explode });
            }
            "header" => headers.push((name.to_owned(), Text::Open(gap))),
            other => return Err(format!("parameter {name:?} stands in {other:?}, which is not known")),
        }
    }
    let Some(body) = body(document, operation, &mut arguments)? else { return Ok(None) };
    let names = document.security(operation, |name| auth.iter().any(|(known, _)| known == name));
    let auth = auth.iter().filter(|(name, _)| names.contains(name)).map(|(_, auth)| auth.clone()).collect();
    let parameters = json!({"type": "object", "properties": arguments.properties, "required": arguments.required,
        "additionalProperties": false});
    if parameters.to_string().len() > SCHEMA_BYTES_MAX {
        return Err(format!("the schema of its arguments has more than {SCHEMA_BYTES_MAX} bytes"));
    }
    jsonschema::validator_for(&parameters).map_err(|e| format!("its arguments have no usable schema: {e}"))?;
    let effect = match operation.method {
        "get" | "head" => Effect::Pure,
        "put" | "delete" => Effect::Idempotent,
        // Nothing says that it knows our keys.
        _ => Effect::AtMostOnce,
    };
    let http = Http { method: operation.method.to_uppercase(), url: String::new(), query, headers, body, auth };
    Ok(Some(Compiled { description: description(operation), parameters, effect, path, http }))
}

/// The parameters of an operation and of its path; where both name one, the operation's counts.
fn parameters<'d>(document: &Document<'d>, operation: &Operation<'d>) -> Result<Vec<&'d Value>, String> {
    let listed = |value: &'d Value| value["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut all: Vec<&Value> = Vec::new();
    for parameter in listed(operation.value).iter().chain(listed(operation.item)) {
        let parameter = document.follow(parameter)?;
        if !all.iter().any(|other| other["name"] == parameter["name"] && other["in"] == parameter["in"]) {
            all.push(parameter);
        }
    }
    Ok(all)
}

/// A parameter's schema with what the document says about it.
fn described(document: &Document<'_>, parameter: &Value) -> Result<Value, String> {
    let content =
        || parameter["content"].as_object().and_then(|kinds| kinds.values().next()).map(|kind| &kind["schema"]);
    let schema = parameter.get("schema").or_else(content).cloned().unwrap_or_else(|| json!({}));
    let mut schema = document.schema(&schema)?;
    if let (Some(about), Value::Object(fields)) = (parameter["description"].as_str(), &mut schema) {
        fields.insert("description".into(), json!(cut(about)));
    }
    Ok(schema)
}

/// What is sent; none where it is something else than JSON or a form.
fn body(document: &Document<'_>, operation: &Operation<'_>, arguments: &mut Arguments) -> Result<Option<Body>, String> {
    let Some(body) = operation.value.get("requestBody") else { return Ok(Some(Body::None)) };
    let body = document.follow(body)?;
    let Some(kinds) = body["content"].as_object().filter(|kinds| !kinds.is_empty()) else {
        return Ok(Some(Body::None));
    };
    let is_json = |kind: &str| kind.starts_with("application/json") || kind.ends_with("+json") || kind == "*/*";
    let found = kinds.iter().find(|(kind, _)| is_json(kind)).map(|(_, kind)| (kind, true));
    let form = || kinds.get("application/x-www-form-urlencoded").map(|kind| (kind, false));
    let Some((kind, is_json)) = found.or_else(form) else {
        return Ok(if body["required"] == true { None } else { Some(Body::None) });
    };
    let mut schema = document.schema(kind.get("schema").unwrap_or(&json!({})))?;
    if let (Some(about), Value::Object(fields)) = (body["description"].as_str(), &mut schema) {
        fields.entry("description").or_insert_with(|| json!(cut(about)));
    }
    let argument = arguments.add("body", "request", schema, body["required"] == true);
    let shape = Shape(json!(format!("{{{{{argument}}}}}")));
    Ok(Some(if is_json { Body::Json(shape) } else { Body::Form(shape) }))
}

/// What a model is told: the summary, then the description.
fn description(operation: &Operation<'_>) -> String {
    let text = |name: &str| operation.value[name].as_str().map(str::trim).filter(|text| !text.is_empty());
    let lines: Vec<_> = [text("summary"), text("description")].into_iter().flatten().collect();
    if lines.is_empty() {
        return format!("{} {}", operation.method.to_uppercase(), operation.path);
    }
    cut(&lines.join("\n"))
}

fn cut(text: &str) -> String {
    if text.chars().count() <= DESCRIPTION_CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(DESCRIPTION_CHARS_MAX).chain(['…']).collect()
}
