//! The shapes of documents and of what is found in them.

use super::{list, paged, time};
use serde_json::{Value, json};

pub(super) fn all() -> Value {
    let text = |about: &str| json!({"type": "string", "minLength": 1, "description": about});
    let id =
        json!({"type": "string", "minLength": 1, "maxLength": 200, "description": "One that is not there is made up."});
    let metadata =
        json!({"type": "object", "description": "What else is known of it; texts in it can be searched by."});
    let passage = json!({
        "type": "object", "required": ["document_id", "title", "passage", "score", "start", "end"],
        "properties": {
            "document_id": {"type": "string"}, "title": {"type": "string"}, "passage": {"type": "string"},
            "score": {"type": "number", "description": "How well it fits beside the best one, which has 1."},
            "start": {"type": "integer", "description": "Where it begins in the document's text, in characters."},
            "end": {"type": "integer"}
        }
    });
    let mut answer = list(passage);
    answer["properties"]["ranking"] = json!({"type": "string", "enum": ["words", "hybrid"]});
    answer["properties"]["note"] = json!({"type": "string", "description": "Why vectors did not count."});
    json!({
        "DocumentRequest": {
            "type": "object", "required": ["title", "content"],
            "properties": {"id": id, "title": text("Its title."), "content": text("Its text."), "metadata": metadata}
        },
        "DocumentUpload": {
            "type": "object", "required": ["file"],
            "properties": {
                "file": {"type": "string", "format": "binary", "description": ".txt, .md, .html or .pdf, at most 16 MiB."},
                "id": id, "title": text("Its title; the file's own, or its name, if absent."),
                "metadata": {"type": "string", "description": "JSON."}
            }
        },
        "Document": {
            "type": "object", "required": ["id", "title", "metadata", "chars", "updated_at"],
            "properties": {
                "id": {"type": "string"}, "title": {"type": "string"}, "metadata": {"type": "object"},
                "chars": {"type": "integer"}, "passages": {"type": "integer"}, "content": {"type": "string"},
                "updated_at": time()
            }
        },
        "DocumentPage": paged("Document"),
        "SearchRequest": {
            "type": "object", "required": ["query"],
            "properties": {
                "query": text("A question in anybody's words."),
                "limit": {"type": "integer", "minimum": 1, "maximum": 50, "default": 5},
                "documents": {"type": "array", "items": {"type": "string"}, "description": "Only in these, by id."},
                "metadata": {"type": "object", "additionalProperties": {"type": "string"},
                    "description": "Only in documents whose metadata says all of this."}
            }
        },
        "SearchAnswer": answer,
        "DataSourceRequest": source(),
        "DataSource": {
            "type": "object", "required": ["name", "kind", "config"],
            "properties": {
                "name": {"type": "string"}, "kind": {"type": "string", "enum": ["http", "sql"]},
                "description": {"type": "string"}, "config": {"type": "object", "description": "Secrets are `***`."},
                "updated_at": time()
            }
        },
        "DataSourcePage": paged("DataSource"),
        "DataSourceAnswer": {
            "type": "object", "required": ["status", "took_ms"],
            "properties": {
                "status": {"type": "string", "enum": ["ok", "error"]}, "items": {"type": "array", "items": {}},
                "is_cut": {"type": "boolean", "description": "There was more than may be read."},
                "error": {"type": "object"}, "took_ms": {"type": "integer"}
            }
        }
    })
}

fn source() -> Value {
    let text = |about: &str| json!({"type": "string", "minLength": 1, "description": about});
    let http = json!({
        "type": "object", "required": ["url"], "additionalProperties": false,
        "properties": {
            "url": text("Asked with GET; {{query}} stands for the question, {{name}} for any other argument."),
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "token": text("Sent as a bearer token."), "items": text("Where the items stand, as a JSON pointer.")
        }
    });
    let sql = json!({
        "type": "object", "required": ["sql"], "additionalProperties": false,
        "properties": {
            "dsn": text("postgresql://user:password@host:port/database"),
            "file": text("A file of SQLite that DATASOURCE_FILES allows."),
            "sql": text("One statement that reads, with $1, $2… for the arguments."),
            "params": {"type": "array", "items": {"type": "string"}, "default": ["query"],
                "description": "The arguments that stand for $1, $2…"},
            "rows": {"type": "integer", "minimum": 1, "maximum": 1_000, "default": 50},
            "timeout_seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": 30, "default": 5}
        }
    });
    json!({
        "type": "object", "required": ["kind", "config"], "additionalProperties": false,
        "properties": {
            "name": {"type": "string", "maxLength": 64}, "kind": {"type": "string", "enum": ["http", "sql"]},
            "description": {"type": "string"}, "config": {"oneOf": [http, sql]}
        }
    })
}
