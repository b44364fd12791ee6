//! `POST /v1/runs`, `GET /v1/workflows`.

use crate::client::Client;
use serde_json::json;

#[tokio::test]
async fn a_run_is_accepted_at_once() {
    let client = Client::new().await;
    let reply = client
        .post("/v1/runs", &json!({"workflow": "hang", "input": {"a": 1}, "priority": 9, "session_id": "s"}))
        .await;
    let run = reply.json();
    assert_eq!(reply.status, 202);
    assert_eq!(reply.header("location"), format!("/v1/runs/{}", run["run_id"].as_str().unwrap()));
    assert_eq!((&run["workflow"], &run["input"], &run["session_id"]), (&json!("hang"), &json!({"a": 1}), &json!("s")));
    assert_eq!(run["owner"], json!({"tenant": "default", "user": "local"}));
    assert_eq!(run["ended_at"], json!(null));
}

#[tokio::test]
async fn waiting_gives_the_end_in_the_same_answer() {
    let client = Client::new().await;
    let body = json!({"workflow": "echo", "input": {"x": [1, 2]}});
    let reply = client.post("/v1/runs?wait=20", &body).await;
    assert_eq!(
        (reply.status, &reply.json()["status"], &reply.json()["output"]),
        (200, &json!("completed"), &json!({"x": [1, 2]}))
    );
    let reply = client.post_with("/v1/runs", &[("prefer", "wait=20")], &body).await;
    assert_eq!((reply.status, &reply.json()["status"]), (200, &json!("completed")));
    let reply = client.post("/v1/runs?wait=0.01", &json!({"workflow": "hang"})).await;
    assert_eq!((reply.status, &reply.json()["status"]), (202, &json!("running")));
}

#[tokio::test]
async fn a_pattern_is_a_workflow_whose_input_is_checked() {
    let client = Client::new().await;
    let input = json!({"input": "hi", "agents": ["llm"], "options": {"timeout_seconds": 30}});
    let reply = client.post("/v1/runs?wait=20", &json!({"workflow": "concurrent", "input": input})).await;
    assert_eq!(reply.json()["output"]["output"], "hi");
    let input = json!({"input": "hi", "agents": ["lmm"], "optoins": {}});
    assert_eq!(
        client.post("/v1/runs", &json!({"workflow": "concurrent", "input": input})).await.detail(),
        [
            "body.input.agents.0: there is no agent named \"lmm\"; did you mean \"llm\"?",
            "body.input.optoins: unknown key \"optoins\"; did you mean \"options\"?"
        ]
    );
    let found = client.post("/v1/runs", &json!({"workflow": "concurrent"})).await.detail();
    assert_eq!(found, ["body.input: field required"]);
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once() {
    let client = Client::new().await;
    let body = json!({"workflow": "ehco", "priority": 10, "timeout_seconds": -1, "schedule_at": "soon",
        "session_id": "", "budget": 7, "timeout": 5});
    assert_eq!(
        client.post("/v1/runs?wait=x", &body).await.detail(),
        [
            "query.wait: value is not a valid float",
            "body.workflow: there is no workflow named \"ehco\"; did you mean \"echo\"?",
            "body.session_id: session_id must not be empty",
            "body.priority: priority must be an integer from 0 to 9",
            "body.timeout_seconds: timeout_seconds must be above 0 and at most 31536000 seconds",
            "body.schedule_at: schedule_at is not an RFC 3339 time, such as 2026-01-31T09:00:00Z",
            "body.budget: value is not a valid dict",
            "body.timeout: unknown key \"timeout\"; did you mean \"timeout_seconds\"?",
        ]
    );
}

#[tokio::test]
async fn a_scheduled_run_waits_for_its_time() {
    let client = Client::new().await;
    let run = client.start(&json!({"workflow": "echo", "schedule_at": "2999-01-01T00:00:00Z"})).await;
    assert_eq!(client.get(&format!("/v1/runs/{run}")).await.json()["status"], "queued");
}

#[tokio::test]
async fn workflows_are_listed() {
    let body = Client::new().await.get("/v1/workflows").await.json();
    let of = |name: &str| body["items"].as_array().unwrap().iter().find(|w| w["name"] == name).unwrap().clone();
    assert_eq!((&of("sequential")["kind"], &of("echo")["kind"]), (&json!("pattern"), &json!("workflow")));
}
