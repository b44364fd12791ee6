//! Streams: every event once, in order, wherever the reader is cut.

use super::{on_models, text, three};
use serde_json::{Value, json};
use tutti_tests::chance::Chance;
use tutti_tests::client::Client;
use tutti_tests::provider::Provider;
use tutti_tests::server::{Server, Start};
use tutti_tests::sse::{Event, texts};

/// Streams a request to its end.
async fn streamed(client: &Client, request: &Value) -> (String, Vec<Event>) {
    let events = client.post("/orchestrate/stream", request).stream().await.rest().await;
    (text(&events[0].data["run_id"]).to_owned(), events)
}

#[tokio::test]
async fn a_stream_begins_with_the_run_and_ends_with_its_end() {
    let server = Server::start().await;
    let reader = server.client().post("/orchestrate/stream", &three("sequential")).stream().await;
    assert!(reader.header("content-type").starts_with("text/event-stream"));
    assert_eq!((reader.header("x-accel-buffering"), reader.header("content-encoding")), ("no", ""));
    let location = reader.header("location").to_owned();
    let events = reader.rest().await;
    assert_eq!(events[0].kind, "run.queued");
    assert_eq!(location, format!("/v1/runs/{}/events", text(&events[0].data["run_id"])));
    assert!(events.iter().enumerate().all(|(n, e)| e.id == n as u64 + 1), "{events:?}");
    assert_eq!(events.last().unwrap().kind, "run.completed");
}

#[tokio::test]
async fn a_stream_is_the_journal() {
    let server = Server::start().await;
    let (run_id, events) = streamed(&server.client(), &three("concurrent")).await;
    let run = server.client().run(&run_id).await;
    run.assert_whole();
    let sent: Vec<_> = events.iter().map(|e| (e.id, e.kind.as_str())).collect();
    let kept: Vec<_> = run.journal.iter().map(|e| (e.seq, e.kind.as_str())).collect();
    assert_eq!(sent, kept);
}

#[tokio::test]
async fn deltas_add_up_to_the_answers() {
    let server = Server::start().await;
    for pattern in ["sequential", "concurrent"] {
        let (run_id, events) = streamed(&server.client(), &three(pattern)).await;
        let texts = texts(&events);
        assert_eq!(texts.len(), 3, "{pattern}: each of three agents is heard as it speaks: {events:?}");
        let run = server.client().run(&run_id).await;
        for (key, text) in texts {
            assert_eq!(run.said(&key), Some(text.as_str()), "{pattern}: {key}: {}", run.whole);
        }
    }
}

#[tokio::test]
async fn a_result_is_the_same_streamed_or_not() {
    let server = Server::start().await;
    let plain = server.client().orchestrate(&three("sequential")).await;
    let (run_id, events) = streamed(&server.client(), &three("sequential")).await;
    let last = texts(&events).into_values().filter(|text| *text == plain["output"]).count();
    assert_eq!(last, 1, "{plain} against run {run_id}");
}

#[tokio::test]
async fn a_reader_resumes_after_every_event() {
    let server = Server::start().await;
    let client = server.client();
    let (run_id, events) = streamed(&client, &three("sequential")).await;
    for n in 0..events.len() {
        let tail = client.events(&run_id, n as u64).await.unwrap().rest().await;
        assert_eq!(tail, events[n..], "after {n}");
    }
    assert!(client.events(&run_id, events.len() as u64).await.is_none(), "past the end there is nothing: 204");
}

#[tokio::test]
async fn after_in_the_query_is_the_same_as_the_header() {
    let server = Server::start().await;
    let (run_id, events) = streamed(&server.client(), &three("sequential")).await;
    let tail = server.client().get(format_args!("/v1/runs/{run_id}/events?after=3")).stream().await.rest().await;
    assert_eq!(tail, events[3..]);
}

#[tokio::test]
async fn a_reader_that_is_cut_at_any_byte_misses_nothing() {
    let server = Server::start().await;
    let client = server.client();
    let (run_id, events) = streamed(&client, &three("concurrent")).await;
    let length = client.get(format_args!("/v1/runs/{run_id}/events")).await.body.len();
    let mut chance = Chance::from_environment("cuts", 11);
    for at in chance.spread(60, length) {
        let mut seen = client.events(&run_id, 0).await.unwrap().cut(at).await;
        let after = seen.last().map_or(0, |e| e.id);
        if let Some(reader) = client.events(&run_id, after).await {
            seen.extend(reader.rest().await);
        }
        assert_eq!(seen, events, "cut at byte {at}");
    }
}

#[tokio::test]
async fn a_stream_is_followed_while_it_grows() {
    let provider = Provider::start().await;
    let server = Start::new().model(&provider).start().await;
    let mut first =
        server.client().post("/orchestrate/stream", &on_models("sequential", &["delay-200", "test"])).stream().await;
    let run_id = text(&first.until("run.queued").await[0].data["run_id"]).to_owned();
    // A second reader comes while the first model has not answered.
    provider.begun(1).await;
    let second = server.client().events(&run_id, 0).await.unwrap().rest().await;
    let rest = first.rest().await;
    assert_eq!(second[1..], rest);
}

#[tokio::test]
async fn what_a_given_up_attempt_said_is_retracted() {
    let provider = Provider::start().await;
    let server = Start::new().model(&provider).start().await;
    let (run_id, events) = streamed(&server.client(), &on_models("sequential", &["fail-drop-x1"])).await;
    assert_eq!(events.iter().filter(|e| e.kind == "agent.retracted").count(), 1, "{events:?}");
    assert_eq!(events.last().unwrap().kind, "run.completed");
    let heard = texts(&events).into_values().next().unwrap();
    let run = server.client().run(&run_id).await;
    assert!(run.whole["output"].to_string().contains(&heard), "{heard:?} is not the answer in {}", run.whole);
}

#[tokio::test]
async fn errors_before_the_first_event_are_plain() {
    let server = Server::start().await;
    let answer = server.client().post("/orchestrate/stream", &json!({"pattern": "sequential"})).await;
    assert_eq!(answer.wrong(), ["body.input", "body.agents"]);
    assert!(answer.header("content-type").starts_with("application/json"));
}

#[tokio::test]
async fn a_reader_that_leaves_may_cancel_or_not() {
    let provider = Provider::start().await;
    let server = Start::new().model(&provider).start().await;
    for (word, end) in [("cancel", "run.cancelled"), ("continue", "run.completed")] {
        let model = if word == "cancel" { "fail-hang" } else { "delay-200" };
        let path = format!("/orchestrate/stream?on_disconnect={word}");
        let mut reader = server.client().post(path, &on_models("sequential", &[model])).stream().await;
        let run_id = text(&reader.until("agent.started").await[0].data["run_id"]).to_owned();
        drop(reader);
        server.client().events(&run_id, 0).await.unwrap().until(end).await;
    }
    provider.ended(2).await;
    assert_eq!(provider.log().iter().map(|s| s.answered).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn a_wrong_place_to_resume_is_named() {
    let server = Server::start().await;
    let (run_id, _) = streamed(&server.client(), &three("sequential")).await;
    let path = format!("/v1/runs/{run_id}/events");
    assert_eq!(server.client().get(&path).header("last-event-id", "soon").await.wrong(), ["header.last-event-id"]);
    assert_eq!(server.client().get(format_args!("{path}?after=-1")).await.wrong(), ["query.after"]);
    let unknown = server.client().get("/v1/runs/01890000-0000-7000-8000-000000000000/events").await.expect(404);
    assert_eq!(unknown.class(), "NotFound");
}

#[tokio::test]
async fn a_repeated_stream_attaches_to_the_same_run() {
    let server = Server::start().await;
    let call = server.client().post("/orchestrate/stream", &three("sequential")).once("stream-1");
    let first = call.clone().stream().await.rest().await;
    let second = call.stream().await;
    assert_eq!(second.header("idempotency-replayed"), "true");
    assert_eq!(second.rest().await, first);
}
