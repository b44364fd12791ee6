//! The simulator over a real connection.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use serde_json::{Value, json};
use tutti_simulate::{Fault, Options, read_rules, router, serve};

struct World {
    url: String,
    client: reqwest::Client,
}

impl World {
    async fn start(options: Options) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, router(options), std::future::pending()));
        Self { url, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    fn post(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).body(body.to_string())
    }

    fn ask(&self, text: &str) -> reqwest::RequestBuilder {
        self.ask_as("m", false, text)
    }

    fn ask_as(&self, model: &str, stream: bool, text: &str) -> reqwest::RequestBuilder {
        let messages = json!([{"role": "system", "content": "You are a clerk."}, {"role": "user", "content": text}]);
        self.post("/v1/chat/completions", &json!({"model": model, "stream": stream, "messages": messages}))
    }

    async fn get(&self, path: &str) -> Value {
        read(self.client.get(format!("{}{path}", self.url))).await.1
    }
}

async fn text(request: reqwest::RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn read(request: reqwest::RequestBuilder) -> (u16, Value) {
    let (status, text) = text(request).await;
    (status, serde_json::from_str(&text).unwrap_or_default())
}

async fn said(request: reqwest::RequestBuilder) -> String {
    let (status, answer) = read(request).await;
    assert_eq!(status, 200, "{answer}");
    answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

fn events(stream: &str) -> Vec<Value> {
    stream.lines().filter_map(|l| serde_json::from_str(l.strip_prefix("data: ")?).ok()).collect()
}

#[tokio::test]
async fn it_answers_like_the_offline_model_or_as_its_script_says() {
    let script = json!({"rules": [{"when": {"last_contains": "refund"}, "then": {"reply": "Ten days."}}]});
    let world = World::start(Options { rules: read_rules(script).unwrap(), ..Options::default() }).await;
    let whole = said(world.ask("Where is my card?")).await;
    assert!(whole.starts_with("Clerk on “Where is my card?”"), "{whole}");
    assert_eq!(said(world.ask("My refund?")).await, "Ten days.");
    let (_, stream) = text(world.ask_as("m", true, "Where is my card?")).await;
    let pieces: String = events(&stream).iter().filter_map(|e| e["choices"][0]["delta"]["content"].as_str()).collect();
    assert!(pieces == whole && stream.ends_with("data: [DONE]\n\n"), "{stream}");
    assert_eq!(world.get("/v1/models").await["data"][0]["id"], "simulated");
    assert!(read_rules(json!([{"then": {"shout": 1}}])).unwrap_err().contains("list of rules"));
    for (body, says) in [(json!({"model": "m", "messages": []}), "at least one"), (json!({"model": "m"}), "messages")] {
        let (status, answer) = read(world.post("/v1/chat/completions", &body)).await;
        assert!(status == 400 && answer["error"]["message"].as_str().unwrap().contains(says), "{answer}");
    }
    assert_eq!(text(world.client.get(format!("{}/tickets", world.url))).await.0, 404);
}

#[tokio::test]
async fn it_speaks_anthropics_dialect_too() {
    let rules = json!([
        {"when": {"agent": "planner"}, "then": {"call_tools": [["add", {"a": 1}]]}},
        {"when": {"last_contains": "41"}, "then": {"reply": "And one more."}}
    ]);
    let world = World::start(Options { rules: read_rules(rules).unwrap(), ..Options::default() }).await;
    let ask = |system: &str, content: Value, stream: bool| {
        let body = json!({"model": "c", "max_tokens": 100, "system": system, "stream": stream,
            "messages": [{"role": "user", "content": content}]});
        world.post("/v1/messages", &body)
    };
    let blocks = json!([{"type": "text", "text": "Where is my card?"}]);
    let (status, answer) = read(ask("You are a clerk.", blocks.clone(), false)).await;
    let whole = answer["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(status == 200 && whole.starts_with("Clerk on “Where is my card?”"), "{answer}");
    assert_eq!(answer["stop_reason"], "end_turn");
    let (_, stream) = text(ask("You are a clerk.", blocks, true)).await;
    let events_ = events(&stream);
    let kinds: Vec<_> = events_.iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert!(
        kinds[..2] == ["message_start", "content_block_start"] && kinds.ends_with(&["message_delta", "message_stop"])
    );
    assert_eq!(events_.iter().filter_map(|e| e["delta"]["text"].as_str()).collect::<String>(), whole);

    let (_, answer) = read(ask("You are a planner.", json!("?"), false)).await;
    assert_eq!(answer["content"], json!([{"type": "tool_use", "id": "call_0", "name": "add", "input": {"a": 1}}]));
    assert_eq!(answer["stop_reason"], "tool_use");
    let (_, stream) = text(ask("You are a planner.", json!("?"), true)).await;
    assert!(stream.contains(r#""partial_json":"{\"a\":1}""#), "{stream}");
    let result = json!([{"type": "tool_result", "tool_use_id": "call_0", "content": [{"type": "text", "text": "41"}]}]);
    assert_eq!(read(ask("", result, false)).await.1["content"][0]["text"], "And one more.");
    let form = "Answer with one JSON value that fits this JSON Schema, and nothing else:\n\
        {\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"enum\":[\"card\",\"cash\"]}}}";
    assert_eq!(read(ask(form, json!("My card?"), false)).await.1["content"][0]["text"], "{\"a\":\"card\"}");
    let (status, error) = read(ask("", json!("?"), false).header("x-simulate", "status=529")).await;
    assert_eq!((status, &error["type"], &error["error"]["type"]), (529, &json!("error"), &json!("api_error")));
}

#[tokio::test]
async fn faults_come_on_demand_and_are_counted() {
    let world = World::start(Options::default()).await;
    let fault = json!({"status": 503, "retry_after": 1, "rate": 0.5});
    let (status, now) = read(world.post("/faults", &fault)).await;
    assert_eq!((status, &now), (200, &json!({"faults": [fault]})));
    assert_eq!(world.get("/faults").await, now);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(text(world.ask("x").header("idempotency-key", "k")).await.0);
    }
    assert_eq!(statuses, [200, 503, 200, 503]);
    assert_eq!(text(world.ask("x").header("x-simulate", "status=429, delay_ms=1")).await.0, 429);
    assert_eq!(text(world.ask("x").header("x-simulate", "boom")).await.0, 400);
    assert!(world.ask("x").header("x-simulate", "drop").send().await.is_err(), "not even a head");
    assert!(text(world.ask("x").header("x-simulate", "garbage")).await.1.starts_with("<html>"));
    assert!(read(world.ask("x").header("x-simulate", "broken_json")).await.1.is_null());
    assert_eq!(world.client.delete(format!("{}/faults", world.url)).send().await.unwrap().status().as_u16(), 204);
    assert_eq!(text(world.ask("x").header("idempotency-key", "once")).await.0, 200);
    let stats = json!({"requests": 10, "faults": 6, "by_role": {"model": 10}, "keys": 2, "repeats": 3, "repeated": {"k": 4},
        "by_fault": {"status": 3, "drop": 1, "garbage": 1, "broken_json": 1}});
    assert_eq!(world.get("/stats").await, stats);
    assert_eq!(text(world.post("/faults", &json!({"than": 1}))).await.0, 422);
}

#[tokio::test]
async fn a_stream_is_cut_behind_the_events_that_were_asked_for() {
    let world = World::start(Options {
        faults: vec![
            Fault { cut_stream_after: Some(3), for_model: Some("a".into()), ..Fault::default() },
            Fault { status: Some(500), for_model: Some("b".into()), every: Some(2), ..Fault::default() },
        ],
        ..Options::default()
    })
    .await;
    let mut response = world.ask_as("a", true, "one two three four").send().await.unwrap();
    let mut seen = String::new();
    let broken = loop {
        match response.chunk().await {
            Ok(Some(bytes)) => seen.push_str(std::str::from_utf8(&bytes).unwrap()),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken && events(&seen).len() == 3, "{seen}");
    assert_eq!(text(world.ask_as("a", false, "x")).await.0, 200, "no stream, nothing to cut");
    let mut statuses = Vec::new();
    for model in ["b", "c", "b", "c", "b", "b"] {
        statuses.push(text(world.ask_as(model, false, "x")).await.0);
    }
    assert_eq!(statuses, [200, 200, 500, 200, 200, 500], "each fault counts the requests that it is for");
}

#[tokio::test]
async fn a_request_that_hangs_does_not_hold_the_simulator_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(serve(listener, router(Options::default()), async { drop(stopped.await) }));
    let world =
        World { url: format!("http://{address}"), client: reqwest::Client::builder().no_proxy().build().unwrap() };
    let hanging = tokio::spawn(world.ask("x").header("x-simulate", "hang").send());
    while world.get("/stats").await["requests"] != 1 {
        tokio::task::yield_now().await;
    }
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert!(!hanging.is_finished());
}
