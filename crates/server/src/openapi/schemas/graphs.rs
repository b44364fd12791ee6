//! Graphs and chat.

use serde_json::{Value, json};
use tutti_app::App;

pub fn all() -> Value {
    let text = |about: &str| json!({"type": "string", "description": about});
    let nullable = |about: &str| json!({"type": ["string", "null"], "description": about});
    json!({
        "Graph": App::graph_schema(),
        "GraphPut": {"type": "object", "required": ["name", "version", "notes"], "properties": {
            "name": text("Its name."), "version": text("Its content's hash."),
            "notes": {"type": "array", "items": {"type": "string"}, "description": "What is worth knowing, such as what a run may take at most."}}},
        "GraphItem": {"type": "object", "required": ["name", "version", "source"], "properties": {
            "name": text("Its name."), "description": nullable("What it is for."), "version": text("Its content's hash."),
            "source": {"type": "string", "enum": ["shipped", "own"]},
            "updated_at": nullable("When it was put."), "updated_by": nullable("By whom.")}},
        "GraphPage": {"type": "object", "required": ["items", "next_cursor"], "properties": {
            "items": {"type": "array", "items": {"$ref": "#/components/schemas/GraphItem"}}, "next_cursor": {"type": "null"}}},
        "ChatRequest": {"type": "object", "required": ["prompt", "user_id"], "properties": {
            "prompt": {"type": "string", "minLength": 1, "description": "What the user says."},
            "user_id": {"type": "string", "minLength": 1, "maxLength": 200, "description": "Whose conversation: a label inside the caller's tenant."},
            "session_id": {"type": "string", "minLength": 1, "maxLength": 200, "description": "The conversation; a new one if absent."},
            "on_busy": App::on_busy_schema(), "session": App::session_schema(),
            "metadata": {"type": "object", "description": "Anything, for the graph."},
            "stream": {"type": "boolean", "default": false, "description": "Whether to stream the run's events."}}},
        "ChatAnswer": {"type": "object", "required": ["run_id", "session_id", "response", "intent", "plan", "path", "sources", "usage", "status"],
            "properties": {
                "run_id": text("The run."), "session_id": nullable("The conversation."),
                "response": {"description": "What is said to the user."}, "intent": nullable("What the message wanted."),
                "plan": {"type": "array"}, "path": {"type": "array", "items": {"type": "string"}, "description": "The nodes entered."},
                "sources": {"type": "array", "items": {"type": "object"}, "description": "What the answer is grounded in."},
                "usage": {"$ref": "#/components/schemas/Usage"}, "status": {"$ref": "#/components/schemas/Status"},
                "error": {"type": "object"}}}
    })
}
