//! Tools and what came of calling them.

use super::{paged, time, uuid};
use serde_json::{Value, json};
use tutti_app::App;

/// The schemas of this surface.
pub fn all() -> Value {
    let text = json!({"type": "string"});
    let object = json!({"type": "object"});
    let effect = json!({"type": "string", "enum": ["pure", "idempotent", "at_most_once"]});
    let texts = json!({"type": "array", "items": text});
    let part = json!({"type": "object", "required": ["name", "description", "parameters", "effect"], "properties": {
        "name": text, "description": text, "parameters": object, "effect": effect,
        "disabled": {"type": "string", "description": "Why it cannot be called until somebody has looked at it."}}});
    json!({
        "ToolRequest": App::tool_schema(),
        "Tool": {
            "type": "object", "required": ["name", "kind", "description", "source"],
            "properties": {
                "name": text, "kind": text, "description": text, "parameters": object, "config": object, "effect": effect,
                "timeout_seconds": {"type": "number"}, "allow": texts,
                "source": {"type": "string", "enum": ["builtin", "file", "registered"]},
                "tools": {"type": "array", "items": part, "description": "The tools of a set."},
                "note": {"type": "string", "description": "Why the list of its tools is not that of today."},
                "registered_by": text, "updated_at": time()
            }
        },
        "ToolPage": paged("Tool"),
        "ToolCalled": {
            "type": "object", "required": ["status", "took_ms", "run_id"],
            "properties": {
                "status": {"type": "string", "enum": ["ok", "error"]},
                "output": {"description": "What the tool gave back."},
                "error": {"type": "object", "required": ["class", "message"], "properties": {"class": text, "message": text}},
                "took_ms": {"type": "integer", "minimum": 0},
                "run_id": uuid()
            }
        }
    })
}
