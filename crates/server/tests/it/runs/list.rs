//! `GET /v1/runs`.

use crate::client::Client;
use serde_json::{Value, json};

fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|r| r["run_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn pages_are_whole_and_newest_first() {
    let client = Client::new().await;
    let mut started = Vec::new();
    for _ in 0..5 {
        started.push(client.start(&json!({"workflow": "hang"})).await);
    }
    started.reverse();
    let (mut seen, mut path) = (Vec::new(), String::from("/v1/runs?limit=2"));
    loop {
        let page = client.get(&path).await.json();
        assert!(page["items"].as_array().unwrap().len() <= 2);
        seen.extend(ids(&page));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/runs?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, started);
}

#[tokio::test]
async fn filters_narrow() {
    let client = Client::new().await;
    let hanging = client.start(&json!({"workflow": "hang"})).await;
    let done = client.post("/v1/runs?wait=20", &json!({"workflow": "echo"})).await.json();
    assert_eq!(ids(&client.get("/v1/runs?status=completed").await.json()), [done["run_id"].as_str().unwrap()]);
    assert_eq!(ids(&client.get("/v1/runs?workflow=hang").await.json()), [hanging]);
    assert_eq!(client.get("/v1/runs?workflow=other").await.json(), json!({"items": [], "next_cursor": null}));
}

#[tokio::test]
async fn wrong_queries_are_named() {
    let client = Client::new().await;
    assert_eq!(
        client.get("/v1/runs?limit=0&status=done&cursor=abc").await.detail(),
        [
            "query.status: \"done\" is not one of: queued, running, waiting, completed, failed, cancelled, timed_out, blocked",
            "query.limit: limit must be an integer from 1 to 200",
            "query.cursor: this cursor was not given by this list"
        ]
    );
    assert_eq!(client.get("/v1/runs?limit=ten").await.detail(), ["query.limit: value is not a valid integer"]);
}
