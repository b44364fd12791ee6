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
        "SearchAnswer": answer
    })
}
