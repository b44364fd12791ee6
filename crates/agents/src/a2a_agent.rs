//! Agents that are asked over A2A: JSON-RPC, `message/send`, and `tasks/get` until the task has ended.
//! Source: <https://a2a-protocol.org/v0.3.0/specification/>. Version 1 wraps results and shouts its words; both are read.

use crate::http_agent::{Reply, reply};
use crate::srv;
use crate::upstream::Ask;
use http::{HeaderMap, Method};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use tutti_engine::activity::{Activity, ActivityCx, ActivityError, Effect};

/// The contract's class of an agent's failure.
const CLASS: &str = "AgentError";
/// The first wait between two looks at a task; doubled each time.
const LOOK_FIRST: Duration = Duration::from_millis(250);
const LOOK_MAX: Duration = Duration::from_secs(5);

/// Ask an agent over A2A.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskA2a {
    /// Where.
    pub endpoint: String,
    /// The agent's name.
    pub agent: String,
    /// What is asked.
    pub text: String,
    /// The same as data, where there is more to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// The run that asks.
    pub run_id: String,
}

impl Activity for AskA2a {
    type Output = Reply;
    const NAME: &'static str = "agent.a2a";
    const EFFECT: Effect = Effect::Idempotent;

    async fn run(self, cx: ActivityCx) -> Result<Reply, ActivityError> {
        let places = srv::endpoints(&self.endpoint).await;
        let places = places
            .map_err(|why| ActivityError::retry(CLASS, format!("agent {:?} cannot be found: {why}", self.agent)))?;
        let url = places.into_iter().next().unwrap_or_default();
        let mut parts = vec![json!({"kind": "text", "text": self.text})];
        parts.extend(self.data.as_ref().map(|data| json!({"kind": "data", "data": data})));
        // The same id on every attempt: who has seen it need not work twice.
        let id = cx.idempotency_key.clone().unwrap_or_else(|| self.run_id.clone());
        let mut message = json!({"kind": "message", "role": "user", "messageId": id, "parts": parts});
        if let Some(session) = &cx.session {
            message["contextId"] = json!(session);
        }
        let configuration = json!({"blocking": true, "acceptedOutputModes": ["text/plain", "application/json"]});
        let params = json!({"message": message, "configuration": configuration});
        let mut result = self.call(&cx, &url, "message/send", &params).await?;
        let mut wait = LOOK_FIRST;
        while let Some(task) = unfinished(&result)? {
            // The call's own time, or the run's, ends this.
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LOOK_MAX);
            result = self.call(&cx, &url, "tasks/get", &json!({ "id": task })).await?;
        }
        said(&result)
            .ok_or_else(|| ActivityError::fatal(CLASS, format!("agent {:?} ended without an answer", self.agent)))
    }
}

impl AskA2a {
    async fn call(&self, cx: &ActivityCx, url: &str, method: &str, params: &Value) -> Result<Value, ActivityError> {
        let service = format!("agent {:?}", self.agent);
        let body = json!({"jsonrpc": "2.0", "id": self.run_id, "method": method, "params": params});
        let ask = Ask {
            service: &service,
            class: CLASS,
            method: Method::POST,
            url: url.to_owned(),
            headers: HeaderMap::new(),
            body: serde_json::to_vec(&body).unwrap_or_default().into(),
        };
        let sent = ask.send(cx).await?;
        let answer: Value = ask.read(&sent)?;
        if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
            let why: String = error["message"].as_str().unwrap_or("no reason given").chars().take(500).collect();
            return Err(ActivityError::fatal(CLASS, format!("{service} refused: {why}")));
        }
        match answer.get("result") {
            Some(result) => Ok(result.get("task").or(result.get("message")).unwrap_or(result).clone()),
            None => Err(ask.off_contract("there is no result", &sent.body)),
        }
    }
}

/// The id of a task that goes on.
fn unfinished(result: &Value) -> Result<Option<String>, ActivityError> {
    let Some(state) = result.pointer("/status/state").and_then(Value::as_str) else { return Ok(None) };
    let state = state.to_ascii_lowercase().replace("task_state_", "").replace('_', "-");
    match state.as_str() {
        "submitted" | "working" | "unknown" => Ok(result["id"].as_str().map(String::from)),
        "completed" => Ok(None),
        other => {
            let why = result
                .pointer("/status/message")
                .and_then(said)
                .map_or_else(String::new, |r| format!(": {}", r.said.text));
            Err(ActivityError::fatal(CLASS, format!("the agent's task is {other}{why}")))
        }
    }
}

/// What a message, or a task's artifacts, say: data where there is some, else the texts.
fn said(result: &Value) -> Option<Reply> {
    let mut parts: Vec<&Value> = result["parts"].as_array().into_iter().flatten().collect();
    parts.extend(result["artifacts"].as_array().into_iter().flatten().filter_map(|a| a["parts"].as_array()).flatten());
    if parts.is_empty() {
        return result.pointer("/status/message").and_then(said);
    }
    let data = parts.iter().find_map(|part| part.get("data")).filter(|data| !data.is_null());
    if let Some(data) = data {
        return Some(reply(data.to_string(), Some(data.clone())));
    }
    let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
    (!texts.is_empty()).then(|| reply(texts.join("\n"), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_stand_in_messages_artifacts_or_states() {
        let text = |result: Value| said(&result).map(|reply| reply.said.text);
        assert_eq!(text(json!({"parts": [{"kind": "text", "text": "a"}, {"text": "b"}]})).as_deref(), Some("a\nb"));
        let task = json!({"id": "t", "status": {"state": "completed"}, "artifacts": [{"parts": [{"kind": "data", "data": {"n": 1}}]}]});
        assert_eq!(text(task).as_deref(), Some(r#"{"n":1}"#));
        let late = json!({"status": {"state": "TASK_STATE_COMPLETED", "message": {"parts": [{"text": "done"}]}}});
        assert_eq!((unfinished(&late).unwrap(), text(late).as_deref()), (None, Some("done")));
        assert_eq!(text(json!({"status": {"state": "completed"}})), None);
        assert_eq!(unfinished(&json!({"id": "t", "status": {"state": "working"}})).unwrap().as_deref(), Some("t"));
        let failed = json!({"status": {"state": "input-required", "message": {"parts": [{"text": "which?"}]}}});
        assert!(unfinished(&failed).unwrap_err().message.contains("input-required: which?"));
    }
}
