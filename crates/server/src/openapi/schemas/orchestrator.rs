//! Registered agents, their tasks, and their workers' jobs.

use super::{paged, schema, time, uuid};
use serde_json::{Value, json};
use tutti_app::App;
use tutti_app::agent_tasks::STATUSES;
use tutti_app::registry::STATES;

/// The schemas of this surface.
pub fn all() -> Value {
    let mut all = requests();
    for more in [agents(), tasks()] {
        if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
            all.extend(more);
        }
    }
    all
}

fn id() -> Value {
    json!({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$"})
}

fn object() -> Value {
    json!({"type": "object"})
}

fn maybe(kind: &str) -> Value {
    json!({"type": [kind, "null"]})
}

fn requests() -> Value {
    let text = json!({"type": "string", "minLength": 1, "maxLength": 200});
    let texts = json!({"type": "array", "items": text, "maxItems": 64});
    let instance = json!({"type": "object", "required": ["instance_id"], "additionalProperties": false,
        "properties": {"instance_id": id(), "endpoint": {"type": "string", "format": "uri"}}});
    let count = json!({"type": "integer", "minimum": 0});
    let usage = json!({"type": "object", "additionalProperties": false,
        "properties": {"input_tokens": count, "output_tokens": count, "cost": count}});
    json!({
        "RegisterRequest": {
            "type": "object", "required": ["agent_id", "agent_name", "domain"],
            "properties": {
                "agent_id": id(), "agent_name": text, "domain": text, "description": {"type": "string"},
                "brain_config": App::brain_schema(), "deployment_id": text,
                "protocol": {"type": "string", "enum": ["http", "a2a", "queue"],
                    "description": "How an agent that runs elsewhere is asked; `http` where only an endpoint is given."},
                "endpoint": {"type": "string", "format": "uri", "description": "Private addresses need EGRESS_ALLOW."},
                "capabilities": texts, "routes": texts,
                "instances": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 100},
                    {"type": "array", "maxItems": 100, "items": {"anyOf": [id(), instance]}}]},
                "max_sessions": {"type": "integer", "minimum": 1,
                    "description": "Most open sessions, within MAX_CONCURRENT_AGENT_SESSIONS."}
            }
        },
        "AgentRequest": {
            "type": "object", "required": ["agent_id"], "properties": {"agent_id": id(), "instance_id": id()}
        },
        "UnregisterRequest": {
            "type": "object", "required": ["agent_id"],
            "properties": {"agent_id": id(), "force": {"type": "boolean", "default": false}}
        },
        "HeartbeatRequest": {
            "type": "object", "required": ["agent_id", "instance_id"],
            "properties": {"agent_id": id(), "instance_id": id(), "endpoint": {"type": "string", "format": "uri"}}
        },
        "ExecuteRequest": {
            "type": "object", "required": ["task_type", "task_data"],
            "anyOf": [{"required": ["agent_id"]}, {"required": ["domain"]}, {"required": ["capability"]}],
            "properties": {
                "agent_id": id(), "domain": text, "capability": text, "task_type": text, "task_data": object(),
                "priority": {"type": "integer", "minimum": 0, "maximum": 9, "default": 5, "description": "9 first."},
                "timeout_seconds": {"type": "number", "exclusiveMinimum": 0, "default": 300,
                    "description": "From its creation; past it the task ends timed_out."},
                "session_id": {"type": "string", "minLength": 1, "maxLength": 200}
            }
        },
        "ClaimRequest": {
            "type": "object", "required": ["agent_id"],
            "properties": {"agent_id": id(), "instance_id": {"allOf": [id()], "description": "The worker; it is given a name if absent."}}
        },
        "JobResultRequest": {
            "type": "object",
            "properties": {
                "claim": {"type": "integer", "minimum": 1, "description": "As the job says; the latest if absent."},
                "output": {"description": "Any JSON; required without error and handoff."},
                "error": {"anyOf": [{"type": "string"}, {"type": "object", "required": ["message"], "additionalProperties": false,
                    "properties": {"message": {"type": "string"}, "retry": {"type": "boolean", "default": false}}}]},
                "usage": usage,
                "handoff": {"type": "object", "required": ["to"], "additionalProperties": false,
                    "properties": {"to": id(), "reason": {"type": "string"}}}
            }
        }
    })
}

fn agents() -> Value {
    let instance = json!({"type": "object", "required": ["instance_id", "status", "sessions"], "properties": {
        "instance_id": id(),
        "status": {"type": "string", "description": "The agent's, or `stopped` by itself, or `silent`."},
        "endpoint": {"type": "string"}, "last_heartbeat": maybe("string"), "sessions": {"type": "integer"}}});
    let task = json!({"type": "object", "required": ["task_id", "status", "created_at"], "properties": {
        "task_id": uuid(), "status": schema("Status"), "created_at": time(), "ended_at": maybe("string")}});
    json!({
        "Agent": {
            "type": "object",
            "required": ["agent_id", "agent_name", "domain", "status", "capabilities", "max_sessions", "registered_at", "updated_at"],
            "properties": {
                "agent_id": id(), "agent_name": {"type": "string"}, "domain": {"type": "string"},
                "status": {"type": "string", "enum": STATES.map(|(word, _)| word)}, "error": {"type": "string"},
                "capabilities": {"type": "array", "items": {"type": "string"}}, "description": {"type": "string"},
                "brain_config": {}, "deployment_id": maybe("string"), "protocol": maybe("string"),
                "endpoint": maybe("string"), "routes": {"type": "array", "items": {"type": "string"}},
                "max_sessions": {"type": "integer"}, "registered_by": {"type": "string"},
                "registered_at": time(), "updated_at": time(),
                "instances": {"type": "array", "items": instance},
                "sessions": {"type": "object", "properties": {"open": {"type": "integer"}, "idle": {"type": "integer"},
                    "waiting": {"type": "integer"}, "max": {"type": "integer"}}},
                "last_heartbeat": maybe("string"),
                "metrics": {"type": "object", "properties": {"tasks": {"type": "integer"}, "completed": {"type": "integer"},
                    "failed": {"type": "integer"}, "success_rate": maybe("number"), "latency_ms": object()}}
            }
        },
        "AgentPage": paged("Agent"),
        "AgentSession": {
            "type": "object", "required": ["session_id", "user_id", "status", "opened_at", "last_active_at", "tasks"],
            "properties": {
                "session_id": maybe("string"), "user_id": {"type": "string"},
                "status": {"type": "string", "enum": ["busy", "idle", "closed"]}, "instance_id": id(),
                "opened_at": time(), "last_active_at": time(), "tasks": {"type": "array", "items": task}
            }
        },
        "AgentSessionPage": paged("AgentSession")
    })
}

fn tasks() -> Value {
    let line = json!({"type": "object", "required": ["content"], "properties": {
        "from": {"type": "string"}, "content": {"type": "string"}}});
    json!({
        "AgentTask": {
            "type": "object",
            "required": ["task_id", "run_id", "status", "priority", "attempts", "usage", "created_at", "timings"],
            "properties": {
                "task_id": uuid(), "run_id": uuid(), "status": {"type": "string", "enum": STATUSES},
                "agent_id": maybe("string"), "instance_id": maybe("string"), "domain": {"type": "string"},
                "capability": {"type": "string"}, "task_type": maybe("string"), "task_data": {},
                "priority": {"type": "integer"}, "timeout_seconds": maybe("number"), "session_id": maybe("string"),
                "result": {}, "error": {}, "attempts": {"type": "integer"}, "usage": schema("Usage"),
                "created_at": time(), "started_at": maybe("string"), "ended_at": maybe("string"),
                "timings": {"type": "object", "properties": {"queued_ms": maybe("integer"), "took_ms": maybe("integer")}}
            }
        },
        "AgentTaskPage": paged("AgentTask"),
        "Job": {
            "type": "object",
            "required": ["job_id", "claim", "agent_id", "instance_id", "run_id", "input", "messages", "context", "lease_seconds"],
            "properties": {
                "job_id": uuid(), "claim": {"type": "integer"}, "agent_id": id(), "instance_id": id(), "run_id": uuid(),
                "session_id": maybe("string"), "input": {}, "messages": {"type": "array", "items": line}, "context": object(),
                "priority": {"type": "integer"}, "deadline": maybe("string"), "lease_seconds": {"type": "number"}
            }
        }
    })
}
