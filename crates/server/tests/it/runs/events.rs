//! `GET /v1/runs/{id}/events`.

use crate::client::Client;
use serde_json::json;

#[tokio::test]
async fn a_stream_resumes_at_any_event() {
    let client = Client::new().await;
    let input = json!({"input": "hi", "agents": ["llm"]});
    let run = client.post("/v1/runs?wait=20", &json!({"workflow": "sequential", "input": input})).await.json();
    let path = format!("/v1/runs/{}/events", run["run_id"].as_str().unwrap());
    let whole = client.get(&path).await.events();
    assert_eq!(whole.last().unwrap().kind, "run.completed");
    for seen in 1..=whole.len() {
        let after = seen.to_string();
        let by_header = client.send("GET", &path, &[("last-event-id", &after)], "").await;
        let by_query = client.get(&format!("{path}?after={after}")).await;
        if seen == whole.len() {
            assert_eq!((by_header.status, by_query.status), (204, 204), "nothing follows");
            assert_eq!(by_header.text, "");
        } else {
            assert_eq!((by_header.events(), by_query.events()), (whole[seen..].to_vec(), whole[seen..].to_vec()));
        }
    }
    assert_eq!(client.send("GET", &path, &[("last-event-id", "")], "").await.events(), whole);
    assert_eq!(client.get(&format!("{path}?after=4000")).await.status, 204);
}

#[tokio::test]
async fn wrong_places_to_resume_are_named() {
    let client = Client::new().await;
    let run = client.start(&json!({"workflow": "hang"})).await;
    let path = format!("/v1/runs/{run}/events");
    let reply = client.send("GET", &path, &[("last-event-id", "x")], "").await;
    assert_eq!(reply.detail(), ["header.last-event-id: value is not a valid integer"]);
    let reply = client.get(&format!("{path}?after=-1")).await;
    assert_eq!(reply.detail(), ["query.after: after must be an integer from 0 to 4294967295"]);
}

#[tokio::test]
async fn a_reader_who_knows_more_than_there_is_gets_a_reset() {
    let client = Client::new().await;
    let gone = client.get("/v1/runs/0190b5a0-0000-7000-8000-000000000000/events?after=7").await;
    assert_eq!((gone.events()[0].kind.as_str(), gone.events().len()), ("reset", 1));
    let run = client.start(&json!({"workflow": "hang"})).await;
    client.until(&run, "step.started").await;
    let response = client.open("GET", &format!("/v1/runs/{run}/events?after=999"), &[], "").await;
    client.post(&format!("/v1/runs/{run}/cancel"), &json!({})).await;
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let events = crate::client::events(std::str::from_utf8(&bytes).unwrap());
    assert_eq!((events[0].kind.as_str(), events[1].kind.as_str(), events[1].id), ("reset", "run.queued", 1));
    assert_eq!(events.last().unwrap().kind, "run.cancelled");
}
