//! `POST /v1/runs/{id}/cancel`.

use crate::client::Client;
use serde_json::json;

#[tokio::test]
async fn a_cancelled_run_has_stopped_when_it_is_answered() {
    let client = Client::new().await;
    let run = client.start(&json!({"workflow": "hang"})).await;
    let reply = client.post(&format!("/v1/runs/{run}/cancel"), &json!({"reason": "enough"})).await;
    assert_eq!((reply.status, &reply.json()["status"]), (200, &json!("cancelled")));
    let journal = client.get(&format!("/v1/runs/{run}")).await.json()["journal"].clone();
    let asked = journal.as_array().unwrap().iter().find(|e| e["kind"] == "cancel.requested").unwrap().clone();
    assert_eq!(asked["body"]["reason"], "enough");
}

#[tokio::test]
async fn an_ended_run_stays_as_it_is() {
    let client = Client::new().await;
    let run = client.post("/v1/runs?wait=20", &json!({"workflow": "echo"})).await.json();
    let path = format!("/v1/runs/{}/cancel", run["run_id"].as_str().unwrap());
    let reply = client.send("POST", &path, &[], "").await;
    assert_eq!((reply.status, &reply.json()["status"]), (200, &json!("completed")));
    assert_eq!(
        client.post(&path, &json!({"reson": "x"})).await.detail(),
        ["body.reson: unknown key \"reson\"; did you mean \"reason\"?"]
    );
    assert_eq!(client.send("POST", &path, &[("content-type", "text/plain")], "x").await.status, 415);
}
