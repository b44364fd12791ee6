//! The shapes of exports and imports.

use super::{paged, schema};
use serde_json::{Value, json};

pub fn all() -> Value {
    let file = json!({
        "type": "object", "required": ["path", "content"], "additionalProperties": false,
        "properties": {
            "path": {"type": "string", "description": "FOLDER/NAME.yaml; the folder says what it is."},
            "content": {"type": "string", "description": "YAML, or JSON."}
        }
    });
    let item = json!({"type": "object", "required": ["path", "change"], "properties": {
        "path": {"type": "string"}, "change": {"type": "string", "enum": ["created", "changed", "unchanged"]}}});
    let mut exported = paged("File");
    exported["properties"]["folders"] = json!({
        "type": "array", "items": {"type": "string"}, "description": "Every folder that an export may have."
    });
    json!({
        "File": file,
        "Exported": exported,
        "ImportRequest": {
            "type": "object", "required": ["files"], "additionalProperties": false,
            "properties": {
                "files": {"type": "array", "items": schema("File")},
                "dry_run": {"type": "boolean", "default": false, "description": "Only say what would change."}
            }
        },
        "Imported": {"type": "object", "required": ["dry_run", "counts", "items"], "properties": {
            "dry_run": {"type": "boolean"},
            "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
            "items": {"type": "array", "items": item}}}
    })
}
