//! The shapes of what is sent and answered.

mod graphs;
mod grounding;
mod models;
mod orchestrator;
mod tools;
mod transfer;

use serde_json::{Value, json};
use tutti_app::App;

/// Every named schema.
pub fn all(app: &App) -> Value {
    let mut all = requests(app);
    let rooms = [graphs::all(), grounding::all(), models::all(), orchestrator::all(), tools::all(), transfer::all()];
    for more in [answers(), conversations(), tickets(), tasks(), failures()].into_iter().chain(rooms) {
        if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
            all.extend(more);
        }
    }
    all
}

fn requests(app: &App) -> Value {
    json!({
        "OrchestrateRequest": app.orchestrate_schema(),
        "RunRequest": {
            "type": "object", "required": ["workflow"], "additionalProperties": false,
            "properties": {
                "workflow": {"type": "string", "description": "One of GET /v1/workflows, or a graph's name; `graph` for one that stands in the input."},
                "input": {"description": "What the workflow takes; for a pattern {input, agents, options}; for `graph` {graph, input}."},
                "session_id": {"type": "string", "minLength": 1, "maxLength": 200},
                "on_busy": App::on_busy_schema(),
                "session": App::session_schema(),
                "priority": {"type": "integer", "minimum": 0, "maximum": 9, "default": 5, "description": "9 first."},
                "timeout_seconds": {"type": "number", "exclusiveMinimum": 0, "description": "The whole run's time."},
                "schedule_at": {"type": "string", "format": "date-time", "description": "Do not start before."}
            }
        },
        "CancelRequest": {
            "type": "object", "additionalProperties": false, "properties": {"reason": {"type": "string", "minLength": 1}}
        },
        "SignalRequest": {
            "type": "object", "required": ["name"], "additionalProperties": false,
            "properties": {
                "name": {"type": "string", "pattern": "^[a-z0-9_.-]{1,40}$"},
                "payload": {"description": "Any JSON."}
            }
        },
        "ApproveRequest": {
            "type": "object", "required": ["approval_id", "decision"], "additionalProperties": false,
            "properties": {
                "approval_id": {"type": "string", "description": "From the approval.requested event."},
                "decision": {"type": "string", "enum": ["approve", "reject"]},
                "note": {"type": "string"},
                "input": {"description": "Data for whoever asked; must fit the request's `schema`, where it has one."},
                "hash": {"type": "string", "description": "The hash of the request that was read; another one is 409."}
            }
        }
    })
}

fn answers() -> Value {
    let step = json!({
        "type": "object", "required": ["agent", "input", "output", "took_ms", "usage"],
        "properties": {
            "agent": {"type": "string"}, "input": {}, "output": {}, "took_ms": {"type": ["integer", "null"]},
            "usage": schema("Usage"), "error": schema("RunError")
        }
    });
    json!({
        "Status": {"type": "string",
            "enum": ["queued", "running", "waiting", "completed", "failed", "cancelled", "timed_out", "blocked"]},
        "Usage": {
            "type": "object", "required": ["tokens", "cost"],
            "properties": {
                "tokens": {"type": "integer"}, "input_tokens": {"type": "integer"}, "output_tokens": {"type": "integer"},
                "cost": {"type": ["integer", "null"],
                    "description": "Millionths of a US dollar; null where a call's price is not known."},
                "cached": {"type": "boolean", "description": "There, and true, where nobody was asked: an earlier answer was given again."}
            }
        },
        "RunError": {
            "type": "object", "required": ["class", "message"],
            "properties": {
                "class": {"type": "string"}, "message": {"type": "string"},
                "step": {"type": ["string", "null"]}, "agent": {"type": ["string", "null"]}
            }
        },
        "Run": run_schema(),
        "RunPage": paged("Run"),
        "Orchestration": {
            "type": "object",
            "required": ["run_id", "session_id", "pattern", "status", "output", "steps", "usage", "iterations", "stopped_by"],
            "properties": {
                "run_id": uuid(), "session_id": {"type": ["string", "null"]}, "pattern": {"type": "string"},
                "status": schema("Status"), "output": {"description": "The team's answer."},
                "steps": {"type": "array", "items": step}, "usage": schema("Usage"),
                "iterations": {"type": "integer"}, "stopped_by": {"type": "string"}, "error": schema("RunError")
            }
        },
        "Signalled": {
            "type": "object", "required": ["run_id", "name", "is_duplicate"],
            "properties": {"run_id": uuid(), "name": {"type": "string"}, "is_duplicate": {"type": "boolean"}}
        },
        "Patterns": list(json!({"type": "object", "required": ["name", "description", "options", "example"]})),
        "Workflows": list(json!({"type": "object", "required": ["name", "version", "kind"]})),
        "Health": {
            "type": "object", "required": ["status", "version", "timestamp"],
            "properties": {
                "status": {"type": "string", "enum": ["healthy", "degraded", "unhealthy"]},
                "version": {"type": "string"}, "timestamp": time(), "parts": {"type": "object"},
                "configuration": {"type": "object", "additionalProperties": {"type": "string"}}
            }
        }
    })
}

/// Conversations, and what waits for people.
fn conversations() -> Value {
    json!({
        "SessionPage": paged("SessionItem"),
        "SessionItem": session_item(),
        "Session": {"allOf": [schema("SessionItem"), {
            "type": "object", "required": ["messages", "next_cursor"],
            "properties": {
                "messages": {"type": "array", "items": schema("Message")}, "next_cursor": {"type": ["string", "null"]}
            }
        }]},
        "Message": {
            "type": "object", "required": ["role", "content", "at", "run_id"],
            "properties": {
                "role": {"type": "string", "enum": ["user", "assistant", "summary"]}, "agent": {"type": "string"},
                "content": {"type": "string"}, "at": time(), "run_id": uuid(),
                "stands_for": schema("Cited")
            }
        },
        "Cited": {
            "type": "object", "required": ["from", "to", "runs"], "description": "Turns of a session, and the runs that hold them.",
            "properties": {"from": {"type": "integer"}, "to": {"type": "integer"}, "runs": {"type": "array", "items": uuid()}}
        },
        "SessionContext": {
            "type": "object", "required": ["session_id", "window", "turns", "tokens", "messages"],
            "properties": {
                "session_id": {"type": "string"}, "window": {"type": "object"}, "turns": {"type": "object"},
                "tokens": {"type": "integer"}, "messages": {"type": "array", "items": schema("Message")},
                "dropped": schema("Cited")
            }
        },
        "ApprovalPage": paged("Approval"),
        "Approval": {
            "type": "object",
            "required": ["approval_id", "run_id", "workflow", "requested_at", "deadline", "request", "hash"],
            "properties": {
                "approval_id": {"type": "string"}, "run_id": uuid(), "workflow": {"type": "string"},
                "session_id": {"type": "string"}, "requested_at": time(),
                "deadline": {"type": ["string", "null"], "format": "date-time"}, "request": {},
                "hash": {"type": "string"}
            }
        }
    })
}

/// A page of a list.
fn tickets() -> Value {
    let text = |about: &str| json!({"type": "string", "minLength": 1, "description": about});
    let priority = json!({"type": "string", "enum": ["low", "normal", "high", "urgent"]});
    let moment = json!({"type": "object", "required": ["status", "at"], "properties": {
        "status": {"type": "string"}, "at": time(), "agent": {"type": "string"}, "took_ms": {"type": "integer"},
        "attempts": {"type": "integer"}, "fallback": {"type": "boolean"}}});
    json!({
        "TicketRequest": {
            "type": "object", "required": ["customer_id", "subject", "body"],
            "properties": {"customer_id": text("Whose it is."), "subject": text("What it is about."),
                "body": text("What happened."), "priority": priority, "channel": {"type": "string"},
                "metadata": {"type": "object"}}
        },
        "ResolveRequest": {
            "type": "object", "required": ["response"],
            "properties": {"response": text("What the customer is told."), "note": {"type": "string"}}
        },
        "Ticket": {
            "type": "object",
            "required": ["ticket_id", "run_id", "runs", "status", "history", "errors", "created_at", "updated_at"],
            "properties": {
                "ticket_id": uuid(), "run_id": uuid(), "runs": list(uuid()), "customer_id": {"type": "string"},
                "subject": {"type": "string"}, "body": {"type": "string"}, "channel": {"type": "string"},
                "metadata": {"type": "object"},
                "status": {"type": "string", "enum": tutti_app::tickets::STATUSES}, "category": {"type": ["string", "null"]},
                "priority": priority, "routing": {}, "sentiment": {}, "articles": {}, "decision": {},
                "history": list(moment), "errors": list(json!({"type": "object"})),
                "created_at": time(), "updated_at": time()
            }
        },
        "TicketPage": paged("Ticket")
    })
}

fn tasks() -> Value {
    let text = |about: &str| json!({"type": "string", "minLength": 1, "description": about});
    let amount = json!({"type": "integer", "minimum": 0});
    let receipt = json!({"type": "object", "required": ["source", "name", "amount", "outcome"], "properties": {
        "source": {"type": "string"}, "name": {"type": "string"}, "amount": amount,
        "outcome": {"type": "string", "enum": ["paid", "refused", "unknown"]}, "at": {}, "reason": {}, "settled_by": {}}});
    json!({
        "TaskRequest": {
            "type": "object", "required": ["theme", "budget", "voice_id"],
            "properties": {"theme": text("What to find out."),
                "budget": {"type": "integer", "minimum": 1, "description": "The most that may be paid, in BUDGET_UNIT."},
                "voice_id": text("Whose voice pays; kept encrypted until the task ends.")}
        },
        "TaskAccepted": {"type": "object", "required": ["task_id"], "properties": {"task_id": uuid()}},
        "SettleRequest": {
            "type": "object", "required": ["outcome"], "additionalProperties": false,
            "properties": {"outcome": {"type": "string", "enum": ["paid", "refused"]}, "note": {"type": "string"}}
        },
        "Task": {
            "type": "object",
            "required": ["task_id", "status", "theme", "budget", "unit", "spent", "held", "receipts", "sources", "usage"],
            "properties": {
                "task_id": uuid(), "status": {"$ref": "#/components/schemas/Status"}, "theme": {"type": "string"},
                "budget": amount, "unit": {"type": "string"}, "spent": amount, "held": amount,
                "receipts": list(receipt), "sources": {"type": "object"}, "usage": {"type": "object"}, "error": {},
                "report": {"type": ["string", "null"]}, "voice_hmac": {"type": ["string", "null"]},
                "created_at": time(), "ended_at": {}
            }
        },
        "TaskPage": paged("Task"),
        "ArticlesRequest": {
            "type": "object", "required": ["articles"], "properties": {"articles": list(json!({
                "type": "object", "required": ["title", "content"], "additionalProperties": false,
                "properties": {"id": {"type": "string"}, "title": text("Its title."), "content": text("Its text.")}}))}
        },
        "Article": {"type": "object", "required": ["id", "title", "content"], "properties": {
            "id": {"type": "string"}, "title": {"type": "string"}, "content": {"type": "string"}, "score": {"type": "number"}}},
        "Budget": {"type": "object", "required": ["account", "limits", "held", "spent", "left"], "properties": {
            "account": {"type": "string"}, "limits": {"type": "object"}, "held": {"type": "object"},
            "spent": {"type": "object"}, "left": {"type": "object"}}},
        "BudgetPage": paged("Budget"),
        "ArticlePage": paged("Article"),
        "PruneRequest": {"type": "object", "additionalProperties": false, "properties": {
            "dry_run": {"type": "boolean", "default": false, "description": "Only count."}}},
        "Pruned": {"type": "object", "required": ["runs", "dry_run"], "properties": {
            "runs": {"type": "integer"}, "dry_run": {"type": "boolean"}}},
        "DbStatus": {"type": "object", "required": ["store", "schema", "bytes", "runs", "retention"], "properties": {
            "store": {"type": "string"}, "schema": {"type": "integer"}, "bytes": {"type": "integer"},
            "runs": {"type": "object"}, "oldest_run_at": {}, "oldest_waiting_seconds": {}, "retention": {"type": "object"}}}
    })
}

fn paged(item: &str) -> Value {
    json!({"type": "object", "required": ["items", "next_cursor"], "properties": {
        "items": {"type": "array", "items": schema(item)}, "next_cursor": {"type": ["string", "null"]}}})
}

fn session_item() -> Value {
    json!({
        "type": "object", "required": ["session_id", "user_id", "state", "created_at", "updated_at"],
        "properties": {
            "session_id": {"type": "string"}, "user_id": {"type": "string"},
            "state": {"type": "string", "enum": ["idle", "busy", "waiting"]},
            "run_id": {"type": "string", "format": "uuid", "description": "The run that holds the session's lane."},
            "created_at": time(), "updated_at": time()
        }
    })
}

fn run_schema() -> Value {
    let entry = json!({
        "type": "object", "required": ["seq", "at", "key", "kind", "body"],
        "properties": {
            "seq": {"type": "integer", "minimum": 1}, "at": time(), "key": {"type": "string"},
            "kind": {"type": "string", "description": "The event type."}, "body": {}
        }
    });
    json!({
        "type": "object", "required": ["run_id", "workflow", "version", "status", "owner", "created_at"],
        "properties": {
            "run_id": uuid(), "workflow": {"type": "string"}, "version": {"type": "integer"},
            "status": schema("Status"), "waiting_for": {"type": "array", "items": {"type": "string"}},
            "input": {}, "output": {}, "error": schema("RunError"), "session_id": {"type": "string"},
            "parent_run_id": uuid(),
            "owner": {"type": "object", "properties": {"tenant": {"type": "string"}, "user": {"type": "string"}}},
            "priority": {"type": "integer"}, "usage": schema("Usage"), "created_at": time(),
            "started_at": {"type": ["string", "null"], "format": "date-time"},
            "ended_at": {"type": ["string", "null"], "format": "date-time"},
            "journal": {"type": "array", "items": entry}
        }
    })
}

fn failures() -> Value {
    let field = json!({
        "type": "object", "required": ["loc", "msg", "type"],
        "properties": {
            "loc": {"type": "array", "items": {"type": ["string", "integer"]}}, "msg": {"type": "string"}, "type": {"type": "string"}
        }
    });
    json!({
        "ValidationError": {
            "type": "object", "required": ["detail"], "properties": {"detail": {"type": "array", "items": field}}
        },
        "Error": {
            "type": "object", "required": ["error", "message", "timestamp", "request_id"],
            "properties": {
                "error": {"type": "string"}, "message": {"type": "string"}, "timestamp": time(),
                "request_id": {"type": "string"}, "run_id": uuid()
            }
        }
    })
}

fn list(item: Value) -> Value {
    json!({"type": "object", "required": ["items", "next_cursor"], "properties": {
        "items": {"type": "array", "items": item}, "next_cursor": {"type": ["string", "null"]}}})
}

fn schema(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn uuid() -> Value {
    json!({"type": "string", "format": "uuid"})
}

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}
