//! A request that works for each pattern, as `POST /orchestrate` takes it: shown by `GET /patterns`, tried by the tests.

use serde_json::{Value, json};

/// The example of `concurrent`.
pub(crate) fn concurrent() -> Value {
    json!({
        "pattern": "concurrent",
        "input": "Why was I charged twice?",
        "agents": [
            {"name": "billing", "instructions": "You know card payments."},
            {"name": "tone", "instructions": "You judge the customer's mood."}
        ],
        "options": {"aggregate": "all"}
    })
}

/// The example of `dynamic`.
pub(crate) fn dynamic() -> Value {
    json!({
        "pattern": "dynamic",
        "input": "Plan the move of our customer database to a new data centre over one weekend.",
        "agents": [
            {"name": "architect", "instructions": "You know databases and how they are replicated."},
            {"name": "operator", "instructions": "You know what breaks at night and how to go back."},
            {"name": "writer", "instructions": "You turn findings into a plan people can follow."}
        ],
        "options": {"max_replans": 1}
    })
}

/// The example of `group_chat`.
pub(crate) fn group_chat() -> Value {
    json!({
        "pattern": "group_chat",
        "input": "The payment service was down for 40 minutes after a deploy. What do we learn from it?",
        "agents": [
            {"name": "operator", "instructions": "You ran the service. You tell what happened, minute by minute."},
            {"name": "engineer", "instructions": "You look for causes, never for culprits."},
            {"name": "critic", "instructions": "You doubt easy explanations. Say AGREED once the causes are clear."}
        ],
        "options": {"speaker": "round_robin", "until": {"any": [{"mention": {"text": "AGREED", "from": "critic"}}, {"max_messages": 6}]}}
    })
}

/// The example of `handoff`.
pub(crate) fn handoff() -> Value {
    json!({
        "pattern": "handoff",
        "input": "My card was stolen and somebody paid with it.",
        "agents": [
            {"name": "triage", "instructions": "You find out what the customer needs.", "description": "First contact."},
            {"name": "cards", "instructions": "You block and replace cards.", "description": "Lost and stolen cards."},
            {"name": "fraud", "instructions": "You handle payments that the customer did not make.", "description": "Fraud."}
        ],
        "options": {"routes": {"triage": ["cards", "fraud"], "cards": [{"to": "fraud", "description": "Payments were made."}]}}
    })
}

/// The example of `sequential`.
pub(crate) fn sequential() -> Value {
    json!({
        "pattern": "sequential",
        "input": "My card was charged twice for one coffee.",
        "agents": [
            {"name": "facts", "instructions": "List the facts of the customer's message."},
            {"name": "policy", "instructions": "Say what a bank should do about these facts."},
            {"name": "writer", "instructions": "Write a short, friendly answer to the customer."}
        ],
        "options": {"pass": "all", "steps": {"policy": {"retries": 1, "stop_if": {"contains": "nothing to do"}}}}
    })
}
