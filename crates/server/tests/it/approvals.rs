//! `GET /v1/approvals`, and what an answer must look like.

use crate::client::Client;
use serde_json::{Value, json};

async fn waiting(client: &Client) -> Vec<Value> {
    client.get("/v1/approvals").await.json()["items"].as_array().unwrap().clone()
}

/// A run that asks a person, with a form.
async fn form(client: &Client) -> String {
    let run = client.start(&json!({"workflow": "form", "session_id": "s", "on_busy": "parallel"})).await;
    client.until(&run, "run.waiting").await;
    run
}

#[tokio::test]
async fn what_waits_is_listed_newest_first() {
    let client = Client::new().await;
    assert_eq!(client.get("/v1/approvals").await.json(), json!({"items": [], "next_cursor": null}));
    let mut runs = Vec::new();
    for _ in 0..5 {
        runs.push(form(&client).await);
    }
    client.start(&json!({"workflow": "hang"})).await;
    runs.reverse();
    let (mut seen, mut path) = (Vec::new(), String::from("/v1/approvals?limit=2"));
    loop {
        let page = client.get(&path).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|a| a["run_id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/approvals?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, runs);
    let first = &waiting(&client).await[0];
    assert_eq!(
        (&first["approval_id"], &first["workflow"], &first["session_id"]),
        (&json!("first"), &json!("form"), &json!("s"))
    );
    assert_eq!((&first["deadline"], &first["request"]["act"]), (&json!(null), &json!("pay")));
    assert!(first["requested_at"].as_str().unwrap().ends_with('Z') && first["hash"].as_str().unwrap().len() == 16);
}

#[tokio::test]
async fn an_answer_is_held_against_the_request() {
    let client = Client::new().await;
    let run = form(&client).await;
    let hash = waiting(&client).await[0]["hash"].clone();
    let path = format!("/v1/runs/{run}/approve");
    let answer = |more: Value| {
        let mut body = json!({"approval_id": "first", "decision": "approve"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    assert_eq!(client.post(&path, &answer(json!({}))).await.detail(), ["body.input: field required"]);
    let wrong = client.post(&path, &answer(json!({"input": {"cents": "5"}}))).await.detail();
    assert_eq!(wrong, ["body.input.cents: \"5\" is not of type \"integer\""]);
    let other = client.post(&path, &answer(json!({"input": {"cents": 5}, "hash": "0123456789abcdef"}))).await;
    assert_eq!((other.status, other.class().as_str()), (409, "Conflict"));
    assert_eq!(client.post(&path, &answer(json!({"input": {"cents": 5}, "hash": hash}))).await.status, 200);
    // The next question of the same run is asked in the same row.
    client.until(&run, "approval.decided").await;
    let open = waiting(&client).await;
    assert_eq!((open.len(), &open[0]["approval_id"]), (1, &json!("second")));
    assert!(open[0]["deadline"].as_str().unwrap().ends_with('Z'));
    let body = json!({"approval_id": "second", "decision": "reject"});
    assert_eq!(client.post(&path, &body).await.status, 200);
    client.until(&run, "run.completed").await;
    assert!(waiting(&client).await.is_empty());
    assert_eq!(client.get(&format!("/v1/runs/{run}")).await.json()["output"], json!({"cents": 5}));
}

#[tokio::test]
async fn of_two_answers_at_once_one_counts() {
    let client = Client::new().await;
    for _ in 0..20 {
        let run = form(&client).await;
        let path = format!("/v1/runs/{run}/approve");
        let body = |cents: u32| json!({"approval_id": "first", "decision": "approve", "input": {"cents": cents}});
        let (one, two) = (body(1), body(2));
        let (one, two) = tokio::join!(client.post(&path, &one), client.post(&path, &two));
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
        let cents = if one.status == 200 { 1 } else { 2 };
        client.post(&path, &json!({"approval_id": "second", "decision": "reject"})).await;
        client.until(&run, "approval.decided").await;
        let journal = client.get(&format!("/v1/runs/{run}")).await.json();
        let decided = journal["journal"].as_array().unwrap().iter().find(|e| e["kind"] == "approval.decided").unwrap();
        assert_eq!(decided["body"]["input"], json!({"cents": cents}));
    }
}

#[tokio::test]
async fn who_stops_waits_for_nobody() {
    let client = Client::new().await;
    let run = form(&client).await;
    client.post(&format!("/v1/runs/{run}/cancel"), &json!({})).await;
    assert!(waiting(&client).await.is_empty());
}
