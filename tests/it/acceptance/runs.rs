//! `/v1/runs…`: start, read, list, cancel, signal, and what a stop of the server does.

use super::{as_run, on_models, text, three};
use serde_json::{Value, json};
use tutti_tests::client::Client;
use tutti_tests::journal::time_ms;
use tutti_tests::provider::Provider;
use tutti_tests::server::{Server, Start};

const NOBODY: &str = "01890000-0000-7000-8000-000000000000";

fn noop() -> Value {
    json!({"workflow": "noop", "input": {"steps": 5}})
}

async fn submitted(client: &Client, body: &Value) -> String {
    text(&client.post("/v1/runs", body).await.expect(202).json()["run_id"]).to_owned()
}

/// A server, its provider, and a run whose model never answers, once it has been asked.
async fn hanging() -> (Provider, Server, String) {
    let provider = Provider::start().await;
    let server = Start::new().model(&provider).start().await;
    let run_id = submitted(&server.client(), &as_run(&on_models("sequential", &["fail-hang"]))).await;
    provider.begun(1).await;
    (provider, server, run_id)
}

#[tokio::test]
async fn a_run_is_accepted_at_once_and_ends() {
    let server = Server::start().await;
    let answer = server.client().post("/v1/runs", &noop()).await.expect(202);
    let run_id = text(&answer.json()["run_id"]).to_owned();
    assert_eq!(answer.header("location"), format!("/v1/runs/{run_id}"));
    assert_eq!(&run_id[14..15], "7", "ids sort by birth: UUIDv7");
    server.client().events(&run_id, 0).await.unwrap().until("run.completed").await;
    server.client().run(&run_id).await.assert_whole();
}

#[tokio::test]
async fn wait_answers_with_the_end() {
    let server = Server::start().await;
    let run = server.client().post("/v1/runs?wait=30", &noop()).await.expect(200).json();
    assert_eq!(run["status"], "completed");
}

#[tokio::test]
async fn time_up_is_no_error() {
    let (_provider, server, _) = hanging().await;
    let body = as_run(&on_models("sequential", &["fail-hang"]));
    let run = server.client().post("/v1/runs?wait=0.1", &body).await.expect(202).json();
    assert!(["queued", "running"].contains(&text(&run["status"])), "{run}");
}

#[tokio::test]
async fn a_run_is_read_with_and_without_its_journal() {
    let server = Server::start().await;
    let run_id = text(&server.client().orchestrate(&three("sequential")).await["run_id"]).to_owned();
    let run = server.client().run(&run_id).await;
    run.assert_whole();
    let whole = &run.whole;
    assert_eq!((&whole["workflow"], &whole["status"]), (&json!("sequential"), &json!("completed")));
    assert_eq!(whole["owner"], json!({"tenant": "default", "user": "local"}));
    assert!(whole["usage"]["tokens"].as_u64() > Some(0) && !whole["output"].is_null() && !whole["input"].is_null());
    assert!(time_ms(&whole["created_at"]) <= time_ms(&whole["started_at"]));
    assert!(time_ms(&whole["started_at"]) <= time_ms(&whole["ended_at"]));
    let bare = server.client().get(format_args!("/v1/runs/{run_id}?journal=false")).await.expect(200).json();
    assert!(bare.get("journal").is_none(), "{bare}");
}

#[tokio::test]
async fn every_call_has_its_intent_before_its_outcome() {
    let server = Server::start().await;
    let run_id = text(&server.client().orchestrate(&three("concurrent")).await["run_id"]).to_owned();
    let run = server.client().run(&run_id).await;
    assert_eq!((run.of_kind("agent.started").count(), run.of_kind("agent.message").count()), (3, 3));
    for asked in run.of_kind("agent.started") {
        assert!(run.outcome(&asked.key).unwrap().seq > asked.seq, "{}", run.whole);
    }
}

#[tokio::test]
async fn an_unknown_run_is_not_found() {
    let server = Server::start().await;
    for id in [NOBODY, "nonsense", "%00"] {
        assert_eq!(server.client().get(format_args!("/v1/runs/{id}")).await.expect(404).class(), "NotFound", "{id}");
    }
    for verb in ["cancel", "signal", "approve"] {
        let body = json!({"name": "go", "approval_id": "a", "decision": "approve"});
        let body = if verb == "cancel" { json!({}) } else { body };
        let answer = server.client().post(format_args!("/v1/runs/{NOBODY}/{verb}"), &body).await;
        assert!(answer.status == 404 || answer.status == 422, "{verb}: {}", answer.text());
    }
}

#[tokio::test]
async fn lists_are_paged_newest_first() {
    let server = Server::start().await;
    let client = server.client();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(text(&client.post("/v1/runs?wait=30", &noop()).await.expect(200).json()["run_id"]).to_owned());
    }
    ids.reverse();
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(format_args!("/v1/runs?limit=2{cursor}")).await.expect(200).json();
        found.extend(page["items"].as_array().unwrap().iter().map(|run| text(&run["run_id"]).to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, ids);
    let none = client.get("/v1/runs?status=failed").await.expect(200).json();
    assert_eq!(none["items"], json!([]));
    assert_eq!(
        client.get("/v1/runs?status=completed&workflow=noop").await.json()["items"].as_array().unwrap().len(),
        5
    );
}

#[tokio::test]
async fn wrong_questions_of_a_list_are_named() {
    let server = Server::start().await;
    for (query, place) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=ten", "limit"),
        ("cursor=%21", "cursor"),
        ("status=dead", "status"),
    ] {
        assert_eq!(
            server.client().get(format_args!("/v1/runs?{query}")).await.wrong(),
            [format!("query.{place}")],
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_cancel_reaches_the_socket_and_is_answered_when_the_run_has_stopped() {
    let (provider, server, run_id) = hanging().await;
    let run = server
        .client()
        .post(format_args!("/v1/runs/{run_id}/cancel"), &json!({"reason": "a test"}))
        .await
        .expect(200)
        .json();
    assert_eq!(run["status"], "cancelled");
    provider.ended(1).await;
    assert!(!provider.log()[0].answered, "the provider saw its connection close");
    let run = server.client().run(&run_id).await;
    run.assert_whole();
    assert_eq!(run.of_kind("cancel.requested").count(), 1);
    // Once more changes nothing.
    let again = server.client().post(format_args!("/v1/runs/{run_id}/cancel"), &json!({})).await.expect(200).json();
    assert_eq!(again["status"], "cancelled");
    assert_eq!(server.client().run(&run_id).await.journal, run.journal);
}

#[tokio::test]
async fn a_cancel_stops_every_member_of_a_team() {
    let provider = Provider::start().await;
    let server = Start::new().model(&provider).start().await;
    let run_id =
        submitted(&server.client(), &as_run(&on_models("concurrent", &["fail-hang", "fail-hang", "fail-hang"]))).await;
    provider.begun(3).await;
    let answer =
        server.client().call("POST".parse().unwrap(), format_args!("/v1/runs/{run_id}/cancel")).await.expect(200);
    assert_eq!(answer.json()["status"], "cancelled");
    provider.ended(3).await;
    assert!(provider.log().iter().all(|seen| !seen.answered));
}

#[tokio::test]
async fn an_ended_run_is_not_cancelled() {
    let server = Server::start().await;
    let run_id = text(&server.client().post("/v1/runs?wait=30", &noop()).await.json()["run_id"]).to_owned();
    let run = server.client().post(format_args!("/v1/runs/{run_id}/cancel"), &json!({})).await.expect(200).json();
    assert_eq!(run["status"], "completed");
}

#[tokio::test]
async fn a_signal_is_durable_and_counts_once() {
    let (_provider, server, run_id) = hanging().await;
    let path = format!("/v1/runs/{run_id}/signal");
    let body = json!({"name": "note", "payload": {"said": "hello"}});
    for _ in 0..2 {
        let _ = server.client().post(&path, &body).once("signal-1").await.expect(202);
    }
    let events = server.client().events(&run_id, 0).await.unwrap().until("signal.received").await;
    assert_eq!(events.last().unwrap().data["name"], "note");
    let _ = server.client().post(format_args!("/v1/runs/{run_id}/cancel"), &json!({})).await.expect(200);
    assert_eq!(server.client().run(&run_id).await.of_kind("signal.received").count(), 1);
    let answer = server.client().post(&path, &body).await.expect(409);
    assert_eq!((answer.class(), &answer.json()["run_id"]), ("Conflict".into(), &json!(run_id)));
}

#[tokio::test]
async fn a_signal_without_a_name_is_refused() {
    let (_provider, server, run_id) = hanging().await;
    let path = format!("/v1/runs/{run_id}/signal");
    assert_eq!(server.client().post(&path, &json!({"payload": 1})).await.wrong(), ["body.name"]);
    assert_eq!(server.client().post(&path, &json!({"name": "Not a name!"})).await.wrong(), ["body.name"]);
}

#[tokio::test]
async fn a_run_past_its_time_ends_timed_out() {
    let provider = Provider::start().await;
    let server = Start::new().model(&provider).start().await;
    let mut body = as_run(&on_models("sequential", &["fail-hang"]));
    body["timeout_seconds"] = json!(0.2);
    let run = server.client().post("/v1/runs?wait=30", &body).await.expect(200).json();
    assert_eq!(run["status"], "timed_out", "{run}");
    provider.ended(1).await;
}

#[tokio::test]
async fn a_run_for_later_waits_and_can_be_cancelled() {
    let server = Server::start().await;
    let mut body = noop();
    body["schedule_at"] = json!("2999-01-01T00:00:00Z");
    let run_id = submitted(&server.client(), &body).await;
    let run = server.client().get(format_args!("/v1/runs/{run_id}")).await.expect(200).json();
    assert!(["queued", "waiting"].contains(&text(&run["status"])), "{run}");
    let run = server.client().post(format_args!("/v1/runs/{run_id}/cancel"), &json!({})).await.expect(200).json();
    assert_eq!(run["status"], "cancelled");
}

#[tokio::test]
async fn a_server_told_to_end_ends_well_and_its_runs_go_on_afterwards() {
    let provider = Provider::start().await;
    let mut server = Start::new().model(&provider).start().await;
    let run_id = submitted(&server.client(), &as_run(&on_models("sequential", &["test", "delay-400", "test"]))).await;
    provider.begun(2).await;
    let ended = server.terminate().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    server.restart().await;
    server.client().events(&run_id, 0).await.unwrap().until("run.completed").await;
    let run = server.client().run(&run_id).await;
    run.assert_whole();
    let by_key = provider.by_key();
    assert_eq!(by_key.len(), 3, "one key for each of three calls: {by_key:?}");
    assert!(by_key.values().filter(|seen| seen.len() > 1).count() <= 1, "only the call in flight may be repeated");
}

#[tokio::test]
async fn an_open_stream_does_not_keep_a_server_from_ending() {
    let (_provider, mut server, run_id) = hanging().await;
    let mut reader = server.client().events(&run_id, 0).await.unwrap();
    reader.until("agent.started").await;
    assert_eq!(server.terminate().await.code, Some(0));
}

#[tokio::test]
async fn what_was_accepted_is_there_after_a_kill() {
    let mut server = Server::start().await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(submitted(&server.client(), &noop()).await);
    }
    server.kill9();
    server.restart().await;
    for id in ids {
        server.client().events(&id, 0).await.unwrap().until("run.completed").await;
        server.client().run(&id).await.assert_whole();
    }
}
