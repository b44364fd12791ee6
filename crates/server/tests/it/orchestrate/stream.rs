//! `POST /orchestrate/stream`.

use super::post::team;
use crate::client::{Client, events};
use futures_util::StreamExt;

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn events_come_from_the_first_to_the_last() {
    let client = Client::new().await;
    let reply = client.post("/orchestrate/stream", &team("hello")).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "text/event-stream"));
    assert_eq!(reply.header("x-accel-buffering"), "no");
    let events = reply.events();
    let ids: Vec<_> = events.iter().map(|e| e.id).collect();
    assert_eq!(ids, (1..=u32::try_from(ids.len()).unwrap()).collect::<Vec<_>>(), "no number is missing");
    assert_eq!((events[0].kind.as_str(), events.last().unwrap().kind.as_str()), ("run.queued", "run.completed"));
    let run = events[0].data["run_id"].as_str().unwrap();
    assert_eq!(reply.header("location"), format!("/v1/runs/{run}/events"));
    let delta = events.iter().find(|e| e.kind == "agent.delta").unwrap();
    assert_eq!(
        (&delta.data["text"], &delta.data["attempt"], &delta.data["offset"]),
        (&"hello".into(), &1.into(), &0.into())
    );
    let message = events.iter().find(|e| e.kind == "agent.message").unwrap();
    assert_eq!(message.data["text"], "hello");
}

#[tokio::test]
async fn a_repeated_request_attaches_to_the_same_run() {
    let client = Client::new().await;
    let key = [("idempotency-key", "s-1")];
    let first = client.post_with("/orchestrate/stream", &key, &team("hello")).await;
    let again = client.post_with("/orchestrate/stream", &key, &team("hello")).await;
    assert_eq!((again.events(), again.header("idempotency-replayed")), (first.events(), "true"));
}

#[tokio::test]
async fn errors_before_the_first_event_are_plain_json() {
    let client = Client::new().await;
    let reply = client.post("/orchestrate/stream?on_disconnect=explode", &team("")).await;
    assert_eq!(
        reply.detail(),
        ["query.on_disconnect: \"explode\" is not one of: continue, cancel", "body.input: input must not be empty"]
    );
}

#[tokio::test]
async fn a_reader_who_leaves_may_take_the_run_along() {
    let client = Client::new().await;
    for (query, ends) in [("?on_disconnect=cancel", true), ("", false)] {
        let path = format!("/orchestrate/stream{query}");
        let response = client.open("POST", &path, &[JSON], team("hang").to_string()).await;
        let mut pieces = response.into_body().into_data_stream();
        let first = pieces.next().await.unwrap().unwrap();
        let run = events(std::str::from_utf8(&first).unwrap())[0].data["run_id"].as_str().unwrap().to_owned();
        drop(pieces);
        if ends {
            client.until(&run, "run.cancelled").await;
        } else {
            assert_eq!(client.get(&format!("/v1/runs/{run}?journal=false")).await.json()["status"], "running");
        }
    }
}

#[tokio::test]
async fn a_stopping_server_ends_its_streams_and_not_the_runs() {
    let client = Client::new().await;
    let response =
        client.open("POST", "/orchestrate/stream?on_disconnect=cancel", &[JSON], team("hang").to_string()).await;
    let run = response.headers()["location"].to_str().unwrap().trim_end_matches("/events").to_owned();
    client.options.stop.cancel();
    let rest: Vec<_> = response.into_body().into_data_stream().collect().await;
    assert!(rest.iter().all(Result::is_ok));
    assert_eq!(client.get(&format!("{run}?journal=false")).await.json()["status"], "running");
}
