//! Services that misbehave: each call ends within its bounds and says why, and the server stays small.

use super::{Stub, call, data, failure, register, reply, start};
use axum::body::Body;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn tool(name: &str, url: &str) -> Value {
    json!({"name": name, "kind": "http", "description": "Asks it.", "parameters": {"type": "object"},
        "timeout_seconds": 20, "config": {"method": "GET", "url": format!("{url}/{name}")}})
}

/// A gigabyte of spaces, packed to a megabyte.
fn bomb() -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    let spaces = vec![b' '; 1 << 20];
    (0..1_024).for_each(|_| packer.write_all(&spaces).unwrap());
    packer.finish().unwrap()
}

/// The memory of a process, in KiB.
fn memory(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// A service with a fault under each path; counts what it has sent of its endless answer, in pieces of 64 KiB.
async fn misbehaving(sent: Arc<AtomicUsize>) -> Stub {
    let (count, bomb) = (sent, bomb());
    Stub::start(move |seen| {
        let count = count.clone();
        match seen.uri.path() {
            "/endless" => {
                let pieces = futures_util::stream::repeat_with(move || {
                    count.fetch_add(1, Ordering::Relaxed);
                    Ok::<_, std::io::Error>(vec![b'x'; 1 << 16])
                });
                reply(200, "application/json", Body::from_stream(pieces))
            }
            "/silent" => reply(
                200,
                "application/json",
                Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>()),
            ),
            "/bomb" => {
                let mut response = reply(200, "application/json", bomb.clone());
                response.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
                response
            }
            "/page" => reply(200, "text/html; charset=utf-8", "<!doctype html><title>Sign in</title>"),
            "/deep" => reply(200, "application/json", "[".repeat(100_000) + &"]".repeat(100_000)),
            "/moved" => {
                let mut response = reply(302, "text/plain", "");
                response.headers_mut().insert("location", "http://169.254.169.254/".parse().unwrap());
                response
            }
            "/broken" => reply(500, "application/json", "{\"why\": \"tired\"}"),
            _ => data(&json!(null)),
        }
    })
    .await
}

#[tokio::test]
async fn whatever_a_service_does_the_call_ends_and_says_why() {
    let sent = Arc::new(AtomicUsize::new(0));
    let stub = misbehaving(sent.clone()).await;
    let server = start().await;
    let client = server.client();
    let mut silent = tool("silent", &stub.url);
    silent["timeout_seconds"] = json!(0.5);
    register(&client, &silent).await;
    let before = memory(server.pid());
    for (name, part) in [
        ("endless", "sent more than 1048576 bytes"),
        ("bomb", "bytes"),
        ("page", "a web page instead of JSON"),
        ("deep", "deeper than 64 levels"),
        ("moved", "answered 302 (redirects are not followed)"),
        ("broken", "answered 500: {\"why\": \"tired\"}"),
        ("silent", "answer within 500 ms"),
    ] {
        if name != "silent" {
            register(&client, &tool(name, &stub.url)).await;
        }
        let why = failure(&client, name, &json!({})).await;
        assert!(why.contains(part), "{name}: {why}");
    }
    assert_eq!(call(&client, "calculate", &json!({"expression": "1+1"})).await["status"], "ok", "it still works");
    assert!(sent.load(Ordering::Relaxed) < 2_000, "what came too much was not read");
    if let (Some(before), Some(after)) = (before, memory(server.pid())) {
        assert!(after < before + 100 * 1024, "from {before} to {after} KiB");
    }
    // The connection of the call that was given up is closed, so nothing of it is left.
    tokio::time::timeout(Duration::from_secs(30), async {
        let mut last = sent.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = sent.load(Ordering::Relaxed);
            if now == last {
                return;
            }
            last = now;
        }
    })
    .await
    .expect("the endless answer goes on");
}

#[tokio::test]
async fn a_call_that_may_have_happened_is_not_sent_twice() {
    let stub = Stub::start(|_| reply(503, "text/plain", "busy")).await;
    let server = super::how().env("MAX_RETRIES", "2").env("RETRY_DELAY", "0.01").start().await;
    let client = server.client();
    for (effect, times) in [("at_most_once", 1), ("idempotent", 3)] {
        let mut tool = tool(effect, &stub.url);
        tool["effect"] = json!(effect);
        tool["config"]["method"] = json!("POST");
        register(&client, &tool).await;
        failure(&client, effect, &json!({})).await;
        let of_tool: Vec<_> = stub.seen().into_iter().filter(|seen| seen.uri.path().ends_with(effect)).collect();
        assert_eq!(of_tool.len(), times, "{effect}");
        let keys: Vec<_> = of_tool.iter().map(|seen| seen.headers.get("idempotency-key").cloned()).collect();
        assert!(keys[0].is_some() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    }
}
