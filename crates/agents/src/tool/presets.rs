//! Tools that a few settings make: the web search of `SEARCH_*`, and those of Jira. They are written as anybody's are.

use crate::agent::AgentDefinition;
use serde_json::{Value, json};

/// The name of the web search that settings make.
pub const WEB_SEARCH: &str = "web_search";
/// The secret that holds the search engine's key.
pub const SEARCH_KEY: &str = "SEARCH_API_KEY";
/// The secret that holds Jira's account and token, as `account:token`.
pub const JIRA_LOGIN: &str = "JIRA_LOGIN";

/// The web search of a provider.
#[must_use]
pub fn web_search(provider: &str, url: Option<&str>, has_key: bool) -> Value {
    let mut config = json!({ "provider": provider });
    if let Some(url) = url {
        config["url"] = json!(url);
    }
    if has_key {
        config["key"] = json!({ "secret": SEARCH_KEY });
    }
    json!({"name": WEB_SEARCH, "kind": "web_search", "description": "Searches the web.", "config": config})
}

/// The agent that searches the web.
#[must_use]
pub fn search_agent() -> AgentDefinition {
    let instructions = "You find out what was asked by searching the web, and sum up what you found. Say for each fact on which \
        page you found it, with its address. Say so when the web does not tell.";
    AgentDefinition {
        description: Some("Searches the web and sums up what it found.".into()),
        tools: vec![WEB_SEARCH.into()],
        ..AgentDefinition::llm("search", instructions)
    }
}

/// What the Jira at this address can do: its REST API, version 3.
#[must_use]
pub fn jira(base: &str) -> Vec<Value> {
    let api = format!("{}/rest/api/3", base.trim_end_matches('/'));
    jira_reads(&api).into_iter().chain(jira_writes(&api)).collect()
}

/// What a tool of Jira takes: properties, and which of them are required.
type Takes<'a> = (Value, &'a [&'a str]);

fn jira_tool(
    name: &str,
    about: &str,
    (properties, required): Takes<'_>,
    method: &str,
    url: String,
    body: Option<Value>,
) -> Value {
    let mut config = json!({"method": method, "url": url, "auth": {"basic": {"secret": JIRA_LOGIN}}});
    if let Some(body) = body {
        config["body"] = body;
    }
    let effect = if method == "GET" { "pure" } else { "at_most_once" };
    json!({"name": format!("jira_{name}"), "kind": "http", "description": about, "effect": effect, "config": config,
        "parameters": {"type": "object", "properties": properties, "required": required, "additionalProperties": false}})
}

fn words(about: &str) -> Value {
    json!({"type": "string", "minLength": 1, "description": about})
}

fn key() -> Value {
    json!({"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]*-[0-9]+$", "description": "The issue's key, like PAY-7."})
}

fn jira_reads(api: &str) -> Vec<Value> {
    let read = |name: &str, about: &str, takes: Takes<'_>, path: &str| {
        jira_tool(name, about, takes, "GET", format!("{api}{path}"), None)
    };
    let limit = json!({"type": "integer", "minimum": 1, "maximum": 50});
    vec![
        read(
            "search",
            "Finds issues with a JQL query, e.g. project = PAY AND status = Open ORDER BY created DESC.",
            (json!({"jql": words("The query."), "limit": limit}), &["jql"]),
            "/search/jql?jql={{jql}}&maxResults={{limit}}&fields=summary,status,assignee,priority,updated",
        ),
        read(
            "get",
            "Reads an issue with its description and comments.",
            (json!({ "key": key() }), &["key"]),
            "/issue/{{key}}?fields=summary,status,assignee,reporter,priority,description,comment,created,updated",
        ),
        read(
            "transitions",
            "Lists the states that an issue can be moved to, each with the id that jira_transition takes.",
            (json!({ "key": key() }), &["key"]),
            "/issue/{{key}}/transitions",
        ),
    ]
}

fn jira_writes(api: &str) -> Vec<Value> {
    let write = |name: &str, about: &str, takes: Takes<'_>, path: &str, body: Value| {
        jira_tool(name, about, takes, "POST", format!("{api}{path}"), Some(body))
    };
    // What Jira calls the Atlassian document format.
    let text = |argument: &str| {
        json!({"type": "doc", "version": 1, "content": [
            {"type": "paragraph", "content": [{"type": "text", "text": format!("{{{{{argument}}}}}")}]}]})
    };
    let issue = json!({"project": words("The project's key, like PAY."), "type": words("E.g. Task, Bug or Story."),
        "summary": words("One line."), "description": words("What it is about, in plain text.")});
    vec![
        write(
            "create",
            "Creates an issue.",
            (issue, &["project", "type", "summary", "description"]),
            "/issue",
            json!({"fields": {"project": {"key": "{{project}}"}, "issuetype": {"name": "{{type}}"},
                "summary": "{{summary}}", "description": text("description")}}),
        ),
        write(
            "comment",
            "Comments on an issue.",
            (json!({"key": key(), "text": words("The comment, in plain text.")}), &["key", "text"]),
            "/issue/{{key}}/comment",
            json!({ "body": text("text") }),
        ),
        write(
            "transition",
            "Moves an issue to another state.",
            (
                json!({"key": key(), "transition_id": words("An id that jira_transitions gave.")}),
                &["key", "transition_id"],
            ),
            "/issue/{{key}}/transitions",
            json!({"transition": {"id": "{{transition_id}}"}}),
        ),
    ]
}

/// The agent that works on Jira.
#[must_use]
pub fn jira_agent() -> AgentDefinition {
    let names = ["search", "get", "create", "comment", "transitions", "transition"];
    let instructions = "You read and write issues in Jira with your tools. Look before you write: find out whether an issue is \
        there already, and which states it can be moved to. Name every issue by its key. Never make up a key.";
    AgentDefinition {
        description: Some("Reads and writes issues in Jira.".into()),
        tools: names.iter().map(|name| format!("jira_{name}")).collect(),
        ..AgentDefinition::llm("jira", instructions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::{Errors, Form};
    use crate::tool::{Definition, Keys, Reading};

    #[test]
    fn presets_are_read_as_anybodys_tools_and_their_agents_find_them() {
        let keys = Keys::of([(SEARCH_KEY, "k"), (JIRA_LOGIN, "a:b")]);
        let mut all = jira("https://jira.example/");
        all.extend([web_search("brave", None, true), web_search("searxng", Some("https://s.example"), false)]);
        let mut names = Vec::new();
        for value in &all {
            let errors = Errors::default();
            let reading = Reading { policy: None, keys: &keys, handle: None, workflow: &|_| None };
            let draft = Form::body(value, &errors).and_then(|form| Definition::read(&form, reading));
            let draft = errors.or(draft).unwrap_or_else(|wrong| panic!("{value}: {wrong:?}"));
            names.push(draft.definition.name.clone());
            assert!(!draft.definition.config().to_string().contains("a:b"));
        }
        for agent in [search_agent(), jira_agent()] {
            assert!(agent.tools.iter().all(|tool| names.contains(tool)), "{:?}", agent.tools);
        }
    }
}
