//! What `tutti run` asks the server for, read from the command line and a file.

use crate::commands::Usage;
use crate::config::nearest;
use serde_json::{Map, Value, json};
use std::io::Read;
use std::path::Path;

/// Input and files may be so long; the server has a bound of its own.
const INPUT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A request, ready to be sent.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// A pattern and its team: the body of `POST /orchestrate/stream`.
    Team(Value),
    /// Any other workflow: the body of `POST /v1/runs`.
    Workflow(Value),
}

impl Request {
    /// Reads a target that is a name or a file; `input` and `agents` beat what the file says.
    pub fn read(target: &str, input: Option<&str>, agents: &[String]) -> anyhow::Result<Self> {
        let extension = Path::new(target).extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        let is_file = matches!(extension.as_deref(), Some("json" | "toml" | "yaml" | "yml")) || target.contains('/');
        let input = input.map(read_text).transpose()?;
        if is_file {
            let (_, file) = read_file(target, extension.as_deref())?;
            Self::from_file(target, file, input, agents)
        } else {
            Ok(Self::from_name(target, input, agents))
        }
    }

    /// A name with a team, or with text to work on, is a pattern; else a workflow that takes its input as it is.
    fn from_name(name: &str, input: Option<Value>, agents: &[String]) -> Self {
        if agents.is_empty() {
            return Self::Workflow(with_input(json!({ "workflow": name }), input));
        }
        Self::Team(with_input(json!({ "pattern": name, "agents": agents }), input))
    }

    fn from_file(
        file: &str,
        mut body: Map<String, Value>,
        input: Option<Value>,
        agents: &[String],
    ) -> anyhow::Result<Self> {
        if body.contains_key("nodes") {
            return Ok(Self::Workflow(
                json!({"workflow": "graph", "input": with_input(json!({ "graph": body }), input)}),
            ));
        }
        let (team, keys): (bool, &[&str]) = match (body.contains_key("pattern"), body.contains_key("workflow")) {
            (true, false) => (true, &["pattern", "input", "agents", "options", "session_id", "on_busy", "session"]),
            (false, true) => (
                false,
                &["workflow", "input", "session_id", "on_busy", "session", "priority", "timeout_seconds", "budget"],
            ),
            (true, true) => return Err(Usage(format!("{file}: it names a pattern and a workflow; keep one")).into()),
            (false, false) => {
                return Err(
                    Usage(format!("{file}: it names neither a pattern nor a workflow, and holds no graph")).into()
                );
            }
        };
        if let Some(key) = body.keys().find(|key| !keys.contains(&key.as_str())) {
            let hint = nearest(key, keys.iter().copied());
            return Err(Usage(format!("{file}: {key:?} is not known; {hint}")).into());
        }
        if let Some(input) = input {
            body.insert("input".into(), input);
        }
        if !agents.is_empty() {
            if !team {
                return Err(Usage(format!("{file}: --agents needs a pattern, and this file names a workflow")).into());
            }
            body.insert("agents".into(), json!(agents));
        }
        Ok(if team { Self::Team(body.into()) } else { Self::Workflow(body.into()) })
    }
}

fn with_input(mut body: Value, input: Option<Value>) -> Value {
    if let Some(input) = input {
        body["input"] = input;
    }
    body
}

/// Text from the command line: `-` is stdin; objects, arrays and quoted strings are JSON, all else is text.
pub fn read_text(text: &str) -> anyhow::Result<Value> {
    let text = if text == "-" { read_bounded(std::io::stdin(), "stdin")? } else { text.to_owned() };
    let trimmed = text.trim();
    match serde_json::from_str::<Value>(trimmed) {
        Ok(value @ (Value::Object(_) | Value::Array(_) | Value::String(_))) => Ok(value),
        Err(e) if trimmed.starts_with('{') && trimmed.ends_with('}') => {
            Err(Usage(format!("this looks like JSON but is not: {e}")).into())
        }
        _ => Ok(Value::String(text.trim_end_matches(['\r', '\n']).to_owned())),
    }
}

/// The object in a file, and the file's text.
pub fn read_object(path: &str) -> anyhow::Result<(String, Map<String, Value>)> {
    let extension = Path::new(path).extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    read_file(path, extension.as_deref())
}

fn read_file(path: &str, extension: Option<&str>) -> anyhow::Result<(String, Map<String, Value>)> {
    let wrong = |why: String| anyhow::Error::from(Usage(format!("{path}: {why}")));
    let file = std::fs::File::open(path).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    let text = read_bounded(file, path)?;
    let value = if extension == Some("toml") {
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| wrong(e.to_string().replace('\n', " ")))?;
        serde_json::to_value(table).map_err(|e| wrong(e.to_string()))?
    } else if matches!(extension, Some("yaml" | "yml")) {
        tutti_agents::yaml::yaml_to_json(&text).map_err(wrong)?
    } else {
        serde_json::from_str(&text).map_err(|e| wrong(format!("this is not JSON: {e}")))?
    };
    match value {
        Value::Object(body) => Ok((text, body)),
        _ => Err(wrong("it should hold an object".into())),
    }
}

/// A text that is not without end; `name` is where it comes from.
pub fn read_bounded(from: impl Read, name: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = from.take(INPUT_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|e| Usage(format!("{name}: cannot be read: {e}")))?;
    if text.len() as u64 > INPUT_BYTES_MAX {
        return Err(Usage(format!("{name}: longer than {INPUT_BYTES_MAX} bytes")).into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_json_only_where_it_clearly_is() {
        for (text, expected) in [
            ("why was I charged twice?", json!("why was I charged twice?")),
            ("42", json!("42")),
            ("true", json!("true")),
            ("[urgent] help", json!("[urgent] help")),
            ("\"quoted\"", json!("quoted")),
            (" {\"a\": 1} ", json!({"a": 1})),
            ("[1, 2]", json!([1, 2])),
        ] {
            assert_eq!(read_text(text).unwrap(), expected, "{text}");
        }
        assert!(read_text("{\"a\": 1,}").unwrap_err().is::<Usage>());
    }

    #[test]
    fn names_with_a_team_are_patterns() {
        let team = Request::read("sequential", Some("hi"), &["a".into(), "b".into()]).unwrap();
        assert_eq!(team, Request::Team(json!({"pattern": "sequential", "agents": ["a", "b"], "input": "hi"})));
        let workflow = Request::read("noop", Some("{\"n\":5}"), &[]).unwrap();
        assert_eq!(workflow, Request::Workflow(json!({"workflow": "noop", "input": {"n": 5}})));
    }

    #[test]
    fn files_are_strict_and_the_command_line_beats_them() {
        let body = |value: Value| value.as_object().cloned().unwrap();
        let file = body(json!({"pattern": "concurrent", "input": "a", "agents": ["x"]}));
        let read = Request::from_file("f", file, Some(json!("b")), &["y".into()]).unwrap();
        assert_eq!(read, Request::Team(json!({"pattern": "concurrent", "input": "b", "agents": ["y"]})));
        for (wrong, says) in [
            (json!({"pattern": "a", "workflow": "b"}), "keep one"),
            (json!({"input": "a"}), "neither"),
            (json!({"pattern": "a", "option": {}}), "did you mean options?"),
        ] {
            let error = Request::from_file("f", body(wrong), None, &[]).unwrap_err();
            assert!(error.is::<Usage>() && error.to_string().contains(says), "{error}");
        }
    }
}
