//! Models, and what is remembered.

use super::{list, schema, time, uuid};
use serde_json::{Value, json};

/// The schemas of both surfaces.
pub fn all() -> Value {
    let texts = json!({"type": "array", "items": {"type": "string"}});
    let count = json!({"type": "integer", "minimum": 0});
    let many = json!({"type": "object", "required": ["count"], "properties": {
        "count": count, "is_more": {"type": "boolean", "description": "There are more, which were not counted."}}});
    let label = json!({"type": "string", "minLength": 1, "maxLength": 200});
    json!({
        "ModelPage": list(schema("ModelOffer")),
        "ModelOffer": {
            "type": "object", "required": ["provider", "kind", "is_default", "models"],
            "properties": {
                "provider": {"type": "string", "description": "What stands before the colon in `NAME:model`."},
                "kind": {"type": "string", "enum": ["openai", "anthropic", "offline", "scripted", "route"]},
                "is_default": {"type": "boolean"}, "default_model": {"type": "string"}, "models": texts, "hops": texts,
                "error": {"type": "string", "description": "Why there is no list."}
            }
        },
        "ModelTestRequest": {
            "type": "object", "properties": {"model": {"type": "string", "maxLength": 200,
                "description": "As agents write it: a model, or NAME:model; the default if absent."}}
        },
        "ModelTest": {
            "type": "object", "required": ["ok", "latency_ms"],
            "properties": {"ok": {"type": "boolean"}, "latency_ms": count, "model": {"type": "string"},
                "error": {"type": "string"}}
        },
        "TokenCountRequest": {
            "type": "object", "additionalProperties": false, "description": "One of text and messages.",
            "properties": {
                "model": {"type": "string", "maxLength": 200}, "text": {"type": "string"},
                "messages": {"type": "array", "items": {"type": "object", "required": ["role", "content"],
                    "additionalProperties": false, "properties": {"content": {"type": "string"},
                        "role": {"type": "string", "enum": ["system", "user", "assistant"]}}}}
            }
        },
        "TokenCount": {
            "type": "object", "required": ["tokens", "exact"],
            "properties": {"tokens": count, "exact": {"type": "boolean"}, "model": {"type": "string"}}
        },
        "MemoryStats": {
            "type": "object", "required": ["conversations", "cache", "state", "facts"],
            "properties": {
                "conversations": many, "state": many,
                "cache": {"type": "object", "properties": {"place": {"type": "string", "enum": ["redis", "memory"]},
                    "hits": count, "misses": count}},
                "facts": {"type": "object", "properties": {"count": count, "users": count}}
            }
        },
        "MemoryClearRequest": {
            "type": "object", "additionalProperties": false, "description": "One of user_id, session_id and all.",
            "properties": {
                "user_id": label, "session_id": label, "all": {"type": "boolean"},
                "what": {"type": "array", "minItems": 1, "items": {"type": "string", "enum": tutti_app::memory::WHAT},
                    "description": "All if absent; facts belong to users."}
            }
        },
        "MemoryCleared": {
            "type": "object", "required": ["cleared"], "properties": {"cleared": {"type": "object", "properties": {
                "conversations": count, "cache": count, "state": count, "facts": count}}}
        },
        "FactPage": list(schema("Fact")),
        "Fact": {
            "type": "object", "required": ["id", "user_id", "text", "confidence", "learned_at", "updated_at", "sources"],
            "properties": {
                "id": {"type": "string"}, "user_id": {"type": "string"}, "text": {"type": "string"},
                "confidence": {"type": "number", "minimum": 0, "maximum": 1}, "learned_at": time(), "updated_at": time(),
                "sources": {"type": "array", "items": {"type": "object", "required": ["run_id", "at"], "properties": {
                    "run_id": uuid(), "session_id": {"type": "string"}, "at": time()}}}
            }
        }
    })
}
