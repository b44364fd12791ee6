//! `POST /v1/chat`: the chat graph, plain and streamed.

use super::text;
use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tutti_tests::client::Client;
use tutti_tests::server::{Server, Start};

/// Puts a graph in the place of the shipped one.
async fn put(client: &Client, graph: &Value) {
    let call = client.call(Method::PUT, "/v1/graphs/chat").header("content-type", "application/json");
    call.body(graph.to_string()).await.expect(200);
}

#[tokio::test]
async fn a_chat_answers_with_intent_path_and_usage_and_remembers() {
    let server = Server::start().await;
    let client = server.client();
    let first =
        client.post("/v1/chat", &json!({"prompt": "How long does a card take to arrive?", "user_id": "ann"})).await;
    let first = first.expect(200).json();
    assert_eq!(first["status"], "completed", "{first}");
    assert!(!text(&first["response"]).is_empty() && first["intent"].is_string(), "{first}");
    let path: Vec<_> = first["path"].as_array().unwrap().iter().map(text).collect();
    assert_eq!((path.first(), path.last()), (Some(&"intent_router"), Some(&"memory_store")), "{first}");
    assert!(first["usage"]["tokens"].as_u64().unwrap() > 0 && first["plan"].is_array() && first["sources"].is_array());
    let session = text(&first["session_id"]);
    let more = json!({"prompt": "And abroad?", "user_id": "ann", "session_id": session});
    let second = client.post("/v1/chat", &more).await.expect(200).json();
    assert_eq!(second["session_id"], first["session_id"]);
    let kept = client.get(format_args!("/sessions/{session}")).await.expect(200).json();
    let said: Vec<_> =
        kept["messages"].as_array().unwrap().iter().map(|m| (text(&m["role"]), text(&m["content"]))).collect();
    assert_eq!(said.len(), 4, "{kept}");
    assert_eq!((said[0], said[2]), (("user", "How long does a card take to arrive?"), ("user", "And abroad?")));
    assert_eq!(said[1].1, text(&first["response"]), "the conversation hears the response and nothing else");
}

#[tokio::test]
async fn a_streamed_chat_is_a_run_like_any_other() {
    let server = Server::start().await;
    let client = server.client();
    let asked = json!({"prompt": "Say something.", "user_id": "ann", "stream": true});
    let events = client.post("/v1/chat", &asked).stream().await.rest().await;
    let kinds: Vec<String> = events.into_iter().map(|event| event.kind).collect();
    assert_eq!(
        (kinds.first().map(String::as_str), kinds.last().map(String::as_str)),
        (Some("run.queued"), Some("run.completed"))
    );
    assert!(kinds.iter().any(|kind| kind == "agent.delta"), "{kinds:?}");
}

#[tokio::test]
async fn the_same_key_is_the_same_answer_and_wrong_fields_are_named() {
    let server = Server::start().await;
    let client = server.client();
    let asked = json!({"prompt": "Once.", "user_id": "ann"});
    let first = client.post("/v1/chat", &asked).once("k1").await.expect(200).json();
    let again = client.post("/v1/chat", &asked).once("k1").await.expect(200).json();
    assert_eq!(first, again);
    let wrong = client.post("/v1/chat", &json!({"prompt": " ", "metadata": []})).await.expect(422).json();
    let locs: Vec<_> = wrong["detail"].as_array().unwrap().iter().map(|e| e["loc"][1].clone()).collect();
    assert_eq!(locs, ["prompt", "user_id", "metadata"]);
}

#[tokio::test]
async fn the_graph_can_be_ones_own_and_the_external_agent_is_shown_its_token() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let invoke = post(|headers: HeaderMap, body: Bytes| async move {
        let asked: Value = serde_json::from_slice(&body).unwrap();
        let token = headers["authorization"].to_str().unwrap().to_owned();
        json!({"output": format!("{} with {token}", asked["input"].as_str().unwrap())}).to_string()
    });
    let router = Router::new().route("/x/invoke", invoke);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let graph =
        json!({"name": "chat", "start": "out", "nodes": {"out": {"type": "external", "input": "{{ input.prompt }}"}}});
    let ask = json!({"prompt": "hello", "user_id": "ann"});
    let start = Start::new().env("EXTERNAL_AGENT_BASE_URL", &format!("http://{address}/x"));
    let server = start.env("EXTERNAL_AGENT_AUTH_TOKEN", "t0ken").start().await;
    let client = server.client();
    put(&client, &graph).await;
    let answer = client.post("/v1/chat", &ask).await.expect(200).json();
    assert_eq!((text(&answer["response"]), &answer["path"]), ("hello with Bearer t0ken", &json!(["out"])));
    let journal = client.get(format_args!("/v1/runs/{}", text(&answer["run_id"]))).await.text();
    assert!(
        !journal.replace("with Bearer t0ken", "").contains("t0ken"),
        "the token stands nowhere but in what was answered"
    );
    // Without one the node fails, and says what to set.
    let server = Server::start().await;
    let client = server.client();
    put(&client, &graph).await;
    let answer = client.post("/v1/chat", &ask).await.expect(200).json();
    assert_eq!(answer["status"], "failed");
    assert!(text(&answer["error"]["message"]).contains("EXTERNAL_AGENT_BASE_URL"), "{answer}");
}
