//! `POST /orchestrate`, `GET /patterns`.

use crate::client::Client;
use serde_json::{Value, json};

pub fn team(input: &str) -> Value {
    json!({"pattern": "sequential", "input": input, "agents": [{"name": "a", "instructions": "x"}, {"name": "b", "instructions": "y"}]})
}

#[tokio::test]
async fn a_team_answers_in_one_request() {
    let client = Client::new().await;
    let reply = client.post("/orchestrate", &team("hello")).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let body = reply.json();
    assert_eq!(reply.header("location"), format!("/v1/runs/{}", body["run_id"].as_str().unwrap()));
    assert_eq!(
        (&body["status"], &body["output"], &body["pattern"]),
        (&json!("completed"), &json!("hello"), &json!("sequential"))
    );
    assert_eq!((&body["stopped_by"], &body["iterations"]), (&json!("completed"), &json!(1)));
    let agents: Vec<_> = body["steps"].as_array().unwrap().iter().map(|s| s["agent"].clone()).collect();
    assert_eq!(agents, ["a", "b"]);
    assert_eq!((&body["steps"][0]["input"], &body["steps"][0]["output"]), (&json!("hello"), &json!("hello")));
    assert_eq!((&body["usage"]["tokens"], &body["usage"]["cost"]), (&json!(10), &json!(1000)));
}

#[tokio::test]
async fn a_team_that_fails_is_an_answer_too() {
    let client = Client::new().await;
    let reply = client.post("/orchestrate", &team("fail")).await;
    let body = reply.json();
    assert_eq!((reply.status, &body["status"], &body["stopped_by"]), (200, &json!("failed"), &json!("error")));
    assert_eq!((&body["error"]["class"], &body["error"]["agent"]), (&json!("LlmError"), &json!("a")));
    assert_eq!(body["steps"][0]["error"]["message"], "the model is gone");
}

#[tokio::test]
async fn a_team_that_takes_longer_is_found_under_location() {
    let client = Client::new().await;
    let reply = client.post("/orchestrate?wait=0", &team("hang")).await;
    assert_eq!(reply.status, 202, "{}", reply.text);
    let run = client.get(reply.header("location")).await.json();
    assert!(run["status"] == "running" && run["workflow"] == "sequential", "{run}");
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once() {
    let client = Client::new().await;
    let body = json!({"pattern": "sequental", "input": "", "agents": ["serch", {"name": "a"}],
        "session_id": 7, "options": {"pas": "all", "max_iterations": -1}});
    let found = client.post("/orchestrate?wait=1000", &body).await.detail();
    assert_eq!(
        found,
        [
            "query.wait: wait must be from 0 to 300 seconds",
            "body.pattern: there is no pattern named \"sequental\"; did you mean \"sequential\"?",
            "body.session_id: str type expected",
            "body.input: input must not be empty",
            "body.agents.0: there is no agent named \"serch\"; did you mean \"search\"?",
            "body.agents.1.instructions: field required",
        ]
    );
    let body = json!({"pattern": "sequential", "input": "x", "agents": ["llm"], "options": {"pas": "all", "max_iterations": -1}});
    let found = client.post("/orchestrate", &body).await.detail();
    assert_eq!(
        found,
        [
            "body.options.max_iterations: max_iterations must be an integer from 1 to 1000",
            "body.options.pas: unknown key \"pas\"; did you mean \"pass\"?"
        ]
    );
    let found = client.post("/orchestrate", &json!({})).await.detail();
    assert_eq!(found, ["body.pattern: field required", "body.input: field required", "body.agents: field required"]);
    let found =
        client.post("/orchestrate", &json!({"pattern": "concurrent", "input": "x", "agents": []})).await.detail();
    assert_eq!(found, ["body.agents: agents must name at least one agent"]);
}

#[tokio::test]
async fn an_unconfigured_agent_names_its_variable() {
    let client = Client::new().await;
    let reply =
        client.post("/orchestrate", &json!({"pattern": "sequential", "input": "x", "agents": ["search"]})).await;
    assert_eq!((reply.status, reply.class().as_str()), (503, "Unavailable"));
    assert!(reply.json()["message"].as_str().unwrap().contains("SEARCH_PROVIDER"));
    assert!(!reply.header("retry-after").is_empty());
}

#[tokio::test]
async fn a_repeated_request_gives_the_first_answer() {
    let client = Client::new().await;
    let key = [("idempotency-key", "k-1")];
    let first = client.post_with("/orchestrate", &key, &team("hello")).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (200, ""));
    let again = client.post_with("/orchestrate", &key, &team("hello")).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, "true"));
    assert_eq!(again.json(), first.json());
    let other = client.post_with("/orchestrate", &key, &team("bye")).await;
    assert_eq!((other.status, other.class().as_str()), (409, "Conflict"));
    assert_eq!(other.json()["run_id"], first.json()["run_id"]);
    let elsewhere = client.post_with("/v1/runs", &key, &json!({"workflow": "echo"})).await;
    assert_eq!(elsewhere.status, 202, "keys are per route");
    let empty = client.post_with("/orchestrate", &[("idempotency-key", "")], &team("hello")).await;
    assert_eq!(empty.detail(), ["header.idempotency-key: Idempotency-Key must have 1 to 255 visible ASCII characters"]);
}

#[tokio::test]
async fn patterns_come_with_schema_and_example_that_works() {
    let client = Client::new().await;
    let patterns = client.get("/patterns").await.json();
    let names: Vec<_> = patterns["items"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["concurrent", "sequential"]);
    for pattern in patterns["items"].as_array().unwrap() {
        assert_eq!(pattern["options"]["type"], "object");
        assert_eq!(client.post("/orchestrate", &pattern["example"]).await.status, 200);
    }
    let search = patterns["agents"].as_array().unwrap().iter().find(|a| a["name"] == "search").unwrap().clone();
    assert_eq!(search["status"], "unconfigured");
}
