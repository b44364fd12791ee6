//! What texts mean, as a model says it: an embedding provider and a vector database over real sockets.

use super::{put, search};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::routing::{any, post};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tutti_tests::backends::free_port;
use tutti_tests::client::Client;
use tutti_tests::process::Process;
use tutti_tests::queries::skipped;
use tutti_tests::server::Start;

/// What each asked for, and whether it should fail.
#[derive(Default)]
struct Log {
    asked: Vec<String>,
    is_down: bool,
    /// Points of a vector database by id.
    points: BTreeMap<String, Value>,
    collections: BTreeMap<String, Value>,
}

type Shared = Arc<Mutex<Log>>;

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

/// Means by a text how often it speaks of money, of animals, and of anything.
fn meaning(text: &str) -> [f32; 3] {
    let count =
        |words: &[&str]| words.iter().map(|word| text.to_lowercase().matches(word).count()).sum::<usize>() as f32;
    [count(&["fee", "cost", "price", "money", "expensive"]), count(&["cat", "dog", "pet"]), 0.1]
}

/// An OpenAI-compatible server that only knows `/embeddings`; answers in another order than it was asked.
async fn embeddings(log: Shared) -> String {
    let answer = |State(log): State<Shared>, headers: HeaderMap, body: Bytes| async move {
        let mut log = log.lock().unwrap();
        assert_eq!(headers["authorization"], "Bearer sk-embed-77");
        if log.is_down {
            return (StatusCode::UNAUTHORIZED, json!({"error": {"message": "wrong key sk-embed-77"}}).to_string());
        }
        let asked: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(asked["model"], "tiny");
        let texts: Vec<&str> = asked["input"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
        log.asked.extend(texts.iter().map(ToString::to_string));
        let data = texts.iter().enumerate().rev().map(|(n, text)| json!({"index": n, "embedding": meaning(text)}));
        (StatusCode::OK, json!({"data": data.collect::<Vec<_>>(), "model": "tiny"}).to_string())
    };
    serve(Router::new().route("/v1/embeddings", post(answer)).with_state(log)).await
}

fn documents() -> [Value; 2] {
    [
        json!({"id": "fees", "title": "Tariff", "content": "Every transfer has a price of two euros."}),
        json!({"id": "pets", "title": "House rules", "content": "Dogs wait outside. Cats may come in."}),
    ]
}

fn start(embeddings: &str) -> Start {
    Start::new()
        .env("EMBEDDING_BASE_URL", &format!("{embeddings}/v1"))
        .env("EMBEDDING_API_KEY", "sk-embed-77")
        .env("EMBEDDING_MODEL", "tiny")
        .env("RETRY_DELAY", "0.01")
}

#[tokio::test]
async fn passages_are_found_by_what_they_mean_and_each_text_is_asked_for_once() {
    let log = Shared::default();
    let server = start(&embeddings(Arc::clone(&log)).await).start().await;
    if server.stderr().contains("PostgreSQL has no pgvector here") {
        return skipped("this PostgreSQL has no pgvector");
    }
    let client = server.client();
    for document in documents() {
        put(&client, &document).await.expect(201);
    }
    let answer = search(&client, &json!({"query": "Is it expensive?", "limit": 1})).await;
    assert!(answer["ranking"] == "hybrid" && answer["items"][0]["document_id"] == "fees", "{answer}");
    for document in documents() {
        put(&client, &document).await.expect(200);
    }
    search(&client, &json!({"query": "Is it expensive?"})).await;
    assert_eq!(log.lock().unwrap().asked.len(), 3, "two passages and a question");
    // Without the provider words have to do; nothing new is kept without its meaning.
    log.lock().unwrap().is_down = true;
    let answer = search(&client, &json!({"query": "Where do dogs wait?"})).await;
    assert!(answer["ranking"] == "words" && answer["items"][0]["document_id"] == "pets", "{answer}");
    let note = answer["note"].as_str().unwrap();
    assert!(note.contains("401") && !note.contains("sk-embed-77"), "{note}");
    let refused = put(&client, &json!({"id": "x", "title": "X", "content": "New."})).await.expect(502);
    assert!(refused.class() == "LlmError" && !refused.text().contains("sk-embed-77"), "{}", refused.text());
    client.get("/v1/documents/x").await.expect(404);
}

/// The parts of Qdrant's REST API that are used, with the shapes of its answers.
async fn qdrant(log: Shared) -> String {
    let answer = |State(log): State<Shared>,
                  method: Method,
                  Path(path): Path<String>,
                  headers: HeaderMap,
                  body: Bytes| async move {
        assert_eq!(headers["api-key"], "qd-key-9");
        let mut log = log.lock().unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        log.asked.push(format!("{method} {path}"));
        let parts: Vec<&str> = path.split('/').collect();
        let ok = |result: Value| (StatusCode::OK, json!({"result": result, "status": "ok", "time": 0.001}).to_string());
        match (method.as_str(), parts.as_slice()) {
            ("GET", ["collections"]) => {
                let names: Vec<Value> = log.collections.keys().map(|name| json!({ "name": name })).collect();
                ok(json!({ "collections": names }))
            }
            ("GET", ["collections", name]) => match log.collections.get(*name) {
                Some(found) => ok(found.clone()),
                None => (StatusCode::NOT_FOUND, json!({"status": {"error": "Not found"}}).to_string()),
            },
            ("PUT", ["collections", name]) => {
                assert_eq!(body["vectors"], json!({"size": 3, "distance": "Cosine"}));
                log.collections.insert((*name).to_owned(), body);
                ok(json!(true))
            }
            ("PUT", ["collections", _, "index"]) => ok(json!({"operation_id": 1, "status": "completed"})),
            ("PUT", ["collections", _, "points"]) => {
                for point in body["points"].as_array().unwrap() {
                    log.points.insert(point["id"].as_str().unwrap().to_owned(), point.clone());
                }
                ok(json!({"operation_id": 2, "status": "completed"}))
            }
            ("POST", ["collections", _, "points", "delete"]) => {
                log.points.retain(|_, point| !fits(point, &body["filter"]));
                ok(json!({"operation_id": 3, "status": "completed"}))
            }
            ("POST", ["collections", _, "points", "query"]) => {
                let numbers = |value: &Value| -> Vec<f64> {
                    value.as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect()
                };
                let to = numbers(&body["query"]);
                let score = |point: &Value| numbers(&point["vector"]).iter().zip(&to).map(|(a, b)| a * b).sum::<f64>();
                let ours = log.points.values().filter(|point| fits(point, &body["filter"]));
                let mut found: Vec<(f64, &Value)> = ours.map(|point| (score(point), point)).collect();
                found.sort_by(|a, b| b.0.total_cmp(&a.0));
                found.truncate(body["limit"].as_u64().unwrap() as usize);
                let point = |(score, point): &(f64, &Value)| json!({"id": point["id"], "version": 1, "score": score, "payload": point["payload"]});
                ok(json!({"points": found.iter().map(point).collect::<Vec<_>>()}))
            }
            other => panic!("Qdrant is not asked for {other:?}"),
        }
    };
    serve(Router::new().route("/{*path}", any(answer)).with_state(log)).await
}

fn fits(point: &Value, filter: &Value) -> bool {
    filter["must"].as_array().unwrap().iter().all(|must| {
        let found = &point["payload"][must["key"].as_str().unwrap()];
        let one_of = must["match"]["any"].as_array().is_some_and(|any| any.contains(found));
        one_of || must["match"]["value"] == *found
    })
}

#[tokio::test]
async fn vectors_may_be_kept_in_qdrant_and_the_index_stays_the_truth() {
    let (embedding, log) = (Shared::default(), Shared::default());
    let url = qdrant(Arc::clone(&log)).await;
    let server = start(&embeddings(embedding).await).env("VECTOR_DB_URL", &url).env("VECTOR_DB_API_KEY", "qd-key-9");
    let server = server.start().await;
    let client = server.client();
    found_narrowed_and_forgotten(&client).await;
    assert_eq!(log.lock().unwrap().points.len(), 1, "replaced and deleted documents leave no points");
    // Points that stay all the same mean nothing.
    let stale = json!({"tenant": "default", "document": "fees", "revision": 1, "ordinal": 0});
    let stale = json!({"id": "stale", "vector": meaning("price"), "payload": stale});
    log.lock().unwrap().points.insert("stale".into(), stale);
    let answer = search(&client, &json!({"query": "Is it expensive?"})).await;
    assert!(answer["items"].as_array().unwrap().iter().all(|item| item["document_id"] == "pets"), "{answer}");
    let health = client.get("/health").await.expect(200).json();
    assert_eq!(health["configuration"]["vector_db"], "configured");
}

/// What holds for every vector database: documents are found by what they mean, a filter holds, and what is gone is gone.
async fn found_narrowed_and_forgotten(client: &Client) {
    for document in documents() {
        put(client, &document).await.expect(201);
    }
    let ask = json!({"query": "Is it expensive?", "limit": 1});
    let answer = search(client, &ask).await;
    assert!(answer["ranking"] == "hybrid" && answer["items"][0]["document_id"] == "fees", "{answer}");
    let only = search(client, &json!({"query": "Is it expensive?", "documents": ["pets"]})).await;
    let items = only["items"].as_array().unwrap();
    assert!(!items.is_empty() && items.iter().all(|item| item["document_id"] == "pets"), "{only}");
    put(client, &documents()[0]).await.expect(200);
    assert_eq!(search(client, &ask).await["items"][0]["document_id"], "fees");
    client.call(Method::DELETE, "/v1/documents/fees").await.expect(204);
    let answer = search(client, &ask).await;
    assert!(answer["items"].as_array().unwrap().iter().all(|item| item["document_id"] == "pets"), "{answer}");
}

#[tokio::test]
async fn a_real_qdrant_does_the_same() {
    let Some(program) = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|dir| dir.join("qdrant"))
        .find(|path| path.is_file())
    else {
        return skipped("Qdrant is not on this machine");
    };
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let mut command = std::process::Command::new(program);
    command.current_dir(dir.path()).env("QDRANT__SERVICE__HTTP_PORT", port.to_string());
    command.env("QDRANT__SERVICE__GRPC_PORT", free_port().to_string()).env("QDRANT__SERVICE__HOST", "127.0.0.1");
    let mut process = Process::start(&mut command);
    process.line("Qdrant to listen", |line| line.contains("listening on").then_some(())).await.unwrap();
    let url = format!("http://127.0.0.1:{port}");
    let server = start(&embeddings(Shared::default()).await).env("VECTOR_DB_URL", &url).start().await;
    found_narrowed_and_forgotten(&server.client()).await;
}
