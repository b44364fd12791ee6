//! The OpenAPI 3.1 description, made from the router's table: a route that is not described cannot exist.

mod schemas;

use crate::router::Route;
use serde_json::{Map, Value, json};
use tutti_app::{App, Role};

/// What a route's description says; stands beside its handler.
#[derive(Debug, Clone, Copy)]
pub struct Doc {
    tag: &'static str,
    summary: &'static str,
    detail: &'static str,
    params: &'static [Param],
    body: Option<(&'static str, bool)>,
    /// The schema of the same as a form, for bodies that may be files.
    upload: Option<&'static str>,
    answers: [Option<(u16, &'static str, &'static str)>; 3],
    is_stream: bool,
}

impl Doc {
    pub const fn new(tag: &'static str, summary: &'static str) -> Self {
        Self { tag, summary, detail: "", params: &[], body: None, upload: None, answers: [None; 3], is_stream: false }
    }

    pub const fn detail(mut self, detail: &'static str) -> Self {
        self.detail = detail;
        self
    }

    pub const fn params(mut self, params: &'static [Param]) -> Self {
        self.params = params;
        self
    }

    /// The schema of a body that must be there.
    pub const fn takes(mut self, schema: &'static str) -> Self {
        self.body = Some((schema, true));
        self
    }

    /// The schema of a form that may be sent in the place of JSON.
    pub const fn or_upload(mut self, schema: &'static str) -> Self {
        self.upload = Some(schema);
        self
    }

    /// The schema of a body that may be there.
    pub const fn may_take(mut self, schema: &'static str) -> Self {
        self.body = Some((schema, false));
        self
    }

    /// One answer: status, meaning, schema (empty for none).
    pub const fn answers(mut self, status: u16, meaning: &'static str, schema: &'static str) -> Self {
        let mut i = 0;
        while i < self.answers.len() {
            if self.answers[i].is_none() {
                self.answers[i] = Some((status, meaning, schema));
                return self;
            }
            i += 1;
        }
        self
    }

    /// Its 200 is a stream of events.
    pub const fn streams(mut self) -> Self {
        self.is_stream = true;
        self
    }
}

/// A parameter outside the body.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    name: &'static str,
    place: &'static str,
    meaning: &'static str,
    schema: fn() -> Value,
}

impl Param {
    const fn new(place: &'static str, name: &'static str, meaning: &'static str, schema: fn() -> Value) -> Self {
        Self { name, place, meaning, schema }
    }

    pub const RUN: Self = Self::new("path", "id", "The run's id.", || json!({"type": "string", "format": "uuid"}));
    pub const OF_SESSION: Self =
        Self::new("query", "session_id", "This session's account, too.", || json!({"type": "string"}));
    pub const OF_USER: Self =
        Self::new("query", "user_id", "About whom; a must.", || json!({"type": "string", "minLength": 1}));
    pub const FACT: Self = Self::new("path", "id", "The fact's id.", || json!({"type": "string"}));
    pub const TASK: Self = Self::new("path", "id", "The task's id.", || json!({"type": "string", "format": "uuid"}));
    pub const AGENT: Self = Self::new("path", "id", "The agent's id.", || json!({"type": "string", "maxLength": 64}));
    pub const JOB: Self = Self::new("path", "id", "The job's id.", || json!({"type": "string", "format": "uuid"}));
    pub const DOMAIN: Self = Self::new("query", "domain", "Only agents of this domain.", || json!({"type": "string"}));
    pub const AGENT_STATUS: Self = Self::new(
        "query",
        "status",
        "Only agents in this state.",
        || json!({"type": "string", "enum": tutti_app::registry::STATES.map(|(word, _)| word)}),
    );
    pub const OF_AGENT: Self =
        Self::new("query", "agent_id", "Only tasks that this agent has or had.", || json!({"type": "string"}));
    pub const IN_SESSION: Self =
        Self::new("query", "session_id", "Only tasks of this conversation.", || json!({"type": "string"}));
    pub const TASK_STATUS: Self = Self::new(
        "query",
        "status",
        "Only tasks with this status.",
        || json!({"type": "string", "enum": tutti_app::agent_tasks::STATUSES}),
    );
    pub const SOURCE: Self = Self::new("path", "source", "The source's id.", || json!({"type": "string"}));
    pub const DOCUMENT: Self =
        Self::new("path", "id", "The document's id.", || json!({"type": "string", "maxLength": 200}));
    pub const DATA_SOURCE: Self =
        Self::new("path", "id", "The data source's name.", || json!({"type": "string", "maxLength": 64}));
    pub const ARTICLE: Self = Self::new("path", "id", "The article's id.", || json!({"type": "string"}));
    pub const TOOL: Self = Self::new("path", "name", "The tool's name.", || json!({"type": "string", "maxLength": 64}));
    pub const QUERY: Self = Self::new("query", "query", "A question in anybody's words.", || json!({"type": "string"}));
    pub const TICKET: Self =
        Self::new("path", "id", "The ticket's id.", || json!({"type": "string", "format": "uuid"}));
    pub const TICKET_STATUS: Self = Self::new(
        "query",
        "status",
        "Only tickets with this status.",
        || json!({"type": "string", "enum": tutti_app::tickets::STATUSES}),
    );
    pub const CUSTOMER: Self =
        Self::new("query", "customer_id", "Only this customer's tickets.", || json!({"type": "string"}));
    pub const SESSION: Self =
        Self::new("path", "id", "The session's name.", || json!({"type": "string", "maxLength": 200}));
    pub const FORMAT: Self = Self::new(
        "query",
        "format",
        "As what; before `Accept`.",
        || json!({"type": "string", "enum": ["json", "markdown"], "default": "json"}),
    );
    pub const WINDOW_MESSAGES: Self = Self::new(
        "query",
        "window_messages",
        "Most messages; SESSION_WINDOW_MESSAGES where not given.",
        || json!({"type": "integer", "minimum": 0, "maximum": tutti_app::WINDOW_MESSAGES_MAX}),
    );
    pub const WINDOW_TOKENS: Self = Self::new(
        "query",
        "window_tokens",
        "Most tokens, by estimate; SESSION_WINDOW_TOKENS where not given.",
        || json!({"type": "integer", "minimum": 0, "maximum": tutti_app::WINDOW_TOKENS_MAX}),
    );
    pub const GRAPH: Self = Self::new("path", "id", "The graph's name.", || json!({"type": "string", "maxLength": 64}));
    pub const VERSION: Self =
        Self::new("query", "version", "An earlier version; the one of now if absent.", || json!({"type": "string"}));
    pub const PICTURE: Self = Self::new(
        "query",
        "format",
        "As what.",
        || json!({"type": "string", "enum": ["json", "mermaid", "svg"], "default": "json"}),
    );
    pub const DRY_RUN: Self =
        Self::new("query", "dry_run", "Only check.", || json!({"type": "boolean", "default": false}));
    pub const IF_MATCH: Self =
        Self::new("header", "If-Match", "Only if it has this version; else 412.", || json!({"type": "string"}));
    pub const WAIT: Self = Self::new(
        "query",
        "wait",
        "Answer when the run ends, or after so many seconds.",
        || json!({"type": "number", "minimum": 0, "maximum": crate::query::WAIT_SECONDS_MAX}),
    );
    pub const PREFER: Self = Self::new(
        "header",
        "Prefer",
        "`wait=SECONDS` (RFC 7240), where `wait` is not given.",
        || json!({"type": "string"}),
    );
    pub const ONCE_KEY: Self = Self::new(
        "header",
        "Idempotency-Key",
        "The same key and body give the first answer back, with `Idempotency-Replayed: true`; another body is 409.",
        || json!({"type": "string", "minLength": 1, "maxLength": 255}),
    );
    pub const ON_DISCONNECT: Self = Self::new(
        "query",
        "on_disconnect",
        "What happens to the run when the reader of its stream leaves.",
        || json!({"type": "string", "enum": ["continue", "cancel"], "default": "continue"}),
    );
    pub const JOURNAL: Self =
        Self::new("query", "journal", "Whether to send the journal.", || json!({"type": "boolean", "default": true}));
    pub const AFTER: Self = Self::new(
        "query",
        "after",
        "The number of the last event that was seen.",
        || json!({"type": "integer", "minimum": 0, "default": 0}),
    );
    pub const LAST_EVENT_ID: Self = Self::new(
        "header",
        "Last-Event-ID",
        "As `after`; sent by browsers when they reconnect.",
        || json!({"type": "integer", "minimum": 0}),
    );
    pub const STATUS: Self =
        Self::new("query", "status", "Only runs with this status.", || json!({"$ref": "#/components/schemas/Status"}));
    pub const WORKFLOW: Self =
        Self::new("query", "workflow", "Only runs of this workflow, or graph.", || json!({"type": "string"}));
    pub const LIMIT: Self = Self::new(
        "query",
        "limit",
        "Most items.",
        || json!({"type": "integer", "minimum": 1, "maximum": 200, "default": 50}),
    );
    pub const CURSOR: Self =
        Self::new("query", "cursor", "`next_cursor` of the page before.", || json!({"type": "string"}));

    fn describe(&self) -> Value {
        json!({"name": self.name, "in": self.place, "required": self.place == "path", "description": self.meaning,
            "schema": (self.schema)()})
    }
}

/// The whole description.
pub fn document(app: &App, table: &[Route]) -> Value {
    let mut paths = Map::new();
    for route in table {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tutti",
            "version": app.version(),
            "description": "Runs teams of AI agents so that an operator can trust them. Everything is a run of a workflow.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}
        },
        "paths": paths,
        // From this machine none is needed.
        "security": [{}, {"bearer": []}, {"key": []}],
        "components": {
            "schemas": schemas::all(app),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "The admin key; `tutti key show` prints it."},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."}
            }
        }
    })
}

fn operation(route: &Route) -> Value {
    let doc = &route.doc;
    let mut answers = Map::new();
    if doc.is_stream {
        let schema = json!({"schema": {"type": "string"}});
        let meaning = "Server-Sent Events: `id` is the event's number, `event` its type, `data` a JSON object";
        answers.insert("200".into(), json!({"description": meaning, "content": {"text/event-stream": schema}}));
    }
    for (status, meaning, schema) in doc.answers.iter().flatten() {
        answers.insert(status.to_string(), answer(meaning, schema));
    }
    if doc.body.is_some() || doc.params.iter().any(|p| p.place != "path") {
        answers.insert("422".into(), answer("Wrong fields, all of them", "ValidationError"));
    }
    if route.path.contains("{id}") {
        answers.insert("404".into(), answer("There is nothing of that id, or it is somebody else's", "Error"));
    }
    answers.insert("default".into(), answer("Any other failure", "Error"));
    let params: Vec<_> = doc.params.iter().map(Param::describe).collect();
    let mut operation = json!({"tags": [doc.tag], "summary": doc.summary, "operationId": operation_id(route),
        "x-role": route.role.as_str(), "parameters": params, "responses": answers});
    if !doc.detail.is_empty() {
        operation["description"] = doc.detail.into();
    }
    if let Some((schema, required)) = doc.body {
        let mut content = json!({"application/json": {"schema": reference(schema)}});
        if let Some(upload) = doc.upload {
            content["multipart/form-data"] = json!({"schema": reference(upload)});
        }
        operation["requestBody"] = json!({"required": required, "content": content});
    }
    if route.role == Role::Public {
        operation["security"] = json!([]);
    }
    operation
}

fn answer(meaning: &str, schema: &str) -> Value {
    if schema.is_empty() {
        return json!({"description": meaning});
    }
    json!({"description": meaning, "content": {"application/json": {"schema": reference(schema)}}})
}

fn reference(schema: &str) -> Value {
    match schema {
        "Object" => json!({"type": "object"}),
        name => json!({"$ref": format!("#/components/schemas/{name}")}),
    }
}

/// `POST /v1/runs/{id}/cancel` → `post_v1_runs_id_cancel`.
fn operation_id(route: &Route) -> String {
    let path: Vec<_> = route.path.split('/').map(|s| s.trim_matches(['{', '}'])).filter(|s| !s.is_empty()).collect();
    let path = if path.is_empty() { "root".into() } else { path.join("_").replace('.', "_") };
    format!("{}_{path}", route.method.as_str().to_lowercase())
}
