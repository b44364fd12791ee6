//! `POST /v1/runs/{id}/signal`.

use crate::client::Client;
use serde_json::json;

#[tokio::test]
async fn a_signal_reaches_the_run_once() {
    let client = Client::new().await;
    let run = client.start(&json!({"workflow": "patient"})).await;
    let path = format!("/v1/runs/{run}/signal");
    let key = [("idempotency-key", "once")];
    let body = json!({"name": "word", "payload": {"say": "hello"}});
    let first = client.post_with(&path, &key, &body).await;
    assert_eq!((first.status, first.json()), (202, json!({"run_id": run, "name": "word", "is_duplicate": false})));
    assert_eq!(client.post_with(&path, &key, &body).await.json()["is_duplicate"], true);
    let received = client.until(&run, "signal.received").await;
    assert_eq!(received["payload"]["say"], "hello");
}

#[tokio::test]
async fn wrong_signals_and_ended_runs() {
    let client = Client::new().await;
    let run = client.post("/v1/runs?wait=20", &json!({"workflow": "echo"})).await.json();
    let path = format!("/v1/runs/{}/signal", run["run_id"].as_str().unwrap());
    let reply = client.post(&path, &json!({"name": "word"})).await;
    assert_eq!((reply.status, reply.class().as_str()), (409, "Conflict"));
    assert_eq!(reply.json()["run_id"], run["run_id"]);
    assert_eq!(
        client.post(&path, &json!({"name": "Bad Name", "pay": 1})).await.detail(),
        [
            "body.name: name must have 1 to 40 characters of a-z, 0-9, _ . -",
            "body.pay: unknown key \"pay\"; did you mean \"payload\"?"
        ]
    );
}
