//! `Idempotency-Key`: the same request twice is one run.

use super::{text, three};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tutti_tests::client::{Answer, Client};
use tutti_tests::server::Server;

fn noop(steps: u32) -> Value {
    json!({"workflow": "noop", "input": {"steps": steps}})
}

fn id(answer: &Answer) -> String {
    text(&answer.json()["run_id"]).to_owned()
}

async fn count(client: &Client) -> usize {
    client.get("/v1/runs?limit=200").await.expect(200).json()["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn the_same_key_and_body_gives_the_first_run_back() {
    let server = Server::start().await;
    let call = server.client().post("/v1/runs", &noop(2)).once("k");
    let first = call.clone().await.expect(202);
    assert_eq!(first.header("idempotency-replayed"), "");
    let second = call.await.expect(202);
    assert_eq!((second.header("idempotency-replayed"), id(&second)), ("true", id(&first)));
    assert_eq!(count(&server.client()).await, 1);
}

#[tokio::test]
async fn bodies_are_compared_by_meaning() {
    let server = Server::start().await;
    let call = |body: &'static str| server.client().post("/v1/runs", &Value::Null).body(body).once("k");
    let first = call(r#"{"workflow":"noop","input":{"steps":2}}"#).await.expect(202);
    let second = call("{ \"input\" : {\"steps\":2},\n \"workflow\":\"n\\u006fop\" }").await.expect(202);
    assert_eq!(id(&second), id(&first));
}

#[tokio::test]
async fn the_same_key_with_another_body_is_a_conflict() {
    let server = Server::start().await;
    let first = server.client().post("/v1/runs", &noop(2)).once("k").await.expect(202);
    let other = server.client().post("/v1/runs", &noop(3)).once("k").await.expect(409);
    assert_eq!((other.class(), id(&other)), ("Conflict".into(), id(&first)));
    assert_eq!(count(&server.client()).await, 1);
}

#[tokio::test]
async fn another_key_is_another_run() {
    let server = Server::start().await;
    let first = server.client().post("/v1/runs", &noop(2)).once("k").await.expect(202);
    let second = server.client().post("/v1/runs", &noop(2)).once("l").await.expect(202);
    assert_ne!(id(&first), id(&second));
}

#[tokio::test]
async fn requests_at_the_same_time_are_one_run() {
    let server = Server::start().await;
    let call = server.client().post("/v1/runs", &noop(2)).once("k");
    let all: Vec<_> = (0..32).map(|_| tokio::spawn(call.clone().attempt())).collect();
    let mut ids = BTreeSet::new();
    let mut fresh = 0;
    for one in all {
        let answer = one.await.unwrap().unwrap().expect(202);
        fresh += usize::from(answer.header("idempotency-replayed").is_empty());
        ids.insert(id(&answer));
    }
    assert_eq!((ids.len(), fresh, count(&server.client()).await), (1, 1, 1));
}

#[tokio::test]
async fn a_key_outlives_a_kill() {
    let mut server = Server::start().await;
    let call = server.client().post("/v1/runs?wait=30", &noop(2)).once("k");
    let first = call.clone().await.expect(200);
    server.kill9();
    server.restart().await;
    let second = call.await.expect(200);
    assert_eq!((second.header("idempotency-replayed"), id(&second)), ("true", id(&first)));
}

#[tokio::test]
async fn an_orchestration_gives_its_first_result_back() {
    let server = Server::start().await;
    let call = server.client().post("/orchestrate", &three("sequential")).once("k");
    let (first, second) = (call.clone().await.expect(200), call.await.expect(200));
    assert_eq!(first.json(), second.json());
    assert_eq!(second.header("idempotency-replayed"), "true");
}

#[tokio::test]
async fn a_request_that_is_refused_uses_up_no_key() {
    let server = Server::start().await;
    let wrong = server.client().post("/v1/runs", &json!({"workflow": "nope"})).once("k").await;
    assert_eq!(wrong.wrong(), ["body.workflow"]);
    let _ = server.client().post("/v1/runs", &noop(2)).once("k").await.expect(202);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let server = Server::start().await;
    for key in ["", &"k".repeat(256)] {
        let answer = server.client().post("/v1/runs", &noop(2)).once(key).await;
        assert_eq!(answer.wrong(), ["header.idempotency-key"], "{} characters", key.len());
    }
}
