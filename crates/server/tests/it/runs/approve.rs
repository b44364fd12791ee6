//! `POST /v1/runs/{id}/approve`.

use crate::client::Client;
use serde_json::json;

#[tokio::test]
async fn the_first_decision_counts() {
    let client = Client::new().await;
    let run = client.start(&json!({"workflow": "patient"})).await;
    client.post(&format!("/v1/runs/{run}/signal"), &json!({"name": "word"})).await;
    let asked = client.until(&run, "approval.requested").await;
    let path = format!("/v1/runs/{run}/approve");
    let unknown = client.post(&path, &json!({"approval_id": "other", "decision": "approve"})).await;
    assert_eq!((unknown.status, unknown.class().as_str()), (404, "NotFound"));
    let decision = |word: &str| json!({"approval_id": asked["approval_id"], "decision": word, "note": "fine"});
    assert_eq!(client.post(&path, &decision("approve")).await.status, 200);
    let later = client.post(&path, &decision("reject")).await;
    assert_eq!((later.status, later.class().as_str()), (409, "Conflict"));
    client.until(&run, "run.completed").await;
    let output = client.get(&format!("/v1/runs/{run}")).await.json()["output"].clone();
    assert_eq!((&output["decision"], &output["by"]), (&json!("approve"), &json!("local")));
    assert_eq!(client.post(&path, &decision("reject")).await.status, 409);
}

#[tokio::test]
async fn wrong_decisions_are_named() {
    let client = Client::new().await;
    let run = client.start(&json!({"workflow": "patient"})).await;
    assert_eq!(
        client.post(&format!("/v1/runs/{run}/approve"), &json!({"decision": "maybe"})).await.detail(),
        ["body.approval_id: field required", "body.decision: \"maybe\" is not one of: approve, reject"]
    );
}
