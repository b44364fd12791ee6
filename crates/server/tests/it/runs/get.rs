//! `GET /v1/runs/{id}`.

use crate::client::Client;
use serde_json::{Value, json};

#[tokio::test]
async fn a_run_is_read_with_its_journal() {
    let client = Client::new().await;
    let input = json!({"input": "hi", "agents": ["llm"]});
    let started = client.post("/v1/runs?wait=20", &json!({"workflow": "sequential", "input": input})).await.json();
    let path = format!("/v1/runs/{}", started["run_id"].as_str().unwrap());
    let run = client.get(&path).await.json();
    for key in ["run_id", "workflow", "version", "status", "input", "output", "owner"] {
        assert_eq!(run[key], started[key], "{key}");
    }
    assert!(run["created_at"].as_str() <= run["ended_at"].as_str() && run["started_at"].is_string());
    assert_eq!(run["usage"]["tokens"], 5);
    let journal = run["journal"].as_array().unwrap();
    let numbers: Vec<_> = journal.iter().map(|e| e["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert_eq!((&journal[0]["kind"], &journal[0]["key"]), (&json!("run.queued"), &json!("")));
    let short = client.get(&format!("{path}?journal=false")).await.json();
    assert_eq!((short.get("journal"), &short["output"]), (None, &run["output"]));
    assert_eq!(
        client.get(&format!("{path}?journal=perhaps")).await.detail(),
        ["query.journal: value could not be parsed to a boolean"]
    );
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let client = Client::new().await;
    for id in ["0190b5a0-0000-7000-8000-000000000000", "nonsense", "1", "%ff"] {
        for (method, rest) in
            [("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/signal"), ("POST", "/approve")]
        {
            let body = match rest {
                "/signal" => json!({"name": "x"}),
                "/approve" => json!({"approval_id": "x", "decision": "approve"}),
                _ => Value::Null,
            };
            let path = format!("/v1/runs/{id}{rest}");
            let json = [("content-type", "application/json")];
            let reply = client.send(method, &path, &json, body.to_string()).await;
            assert_eq!((reply.status, reply.class().as_str()), (404, "NotFound"), "{method} {path}");
        }
    }
}
