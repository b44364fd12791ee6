//! Real input: MCP servers that nobody here wrote, listed and called, as programs and over HTTP; and one of ours that changes.

use super::{Stub, call, data, failure, how, register};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use tutti_tests::backends::free_port;
use tutti_tests::process::Process;
use tutti_tests::queries::skipped;
use tutti_tests::workspace;

/// Where the servers of others are installed; nothing, said aloud, where they cannot be had.
fn others() -> Option<&'static PathBuf> {
    static INSTALLED: OnceLock<Option<PathBuf>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        let into = workspace().join("target/mcp");
        let done = Command::new("sh").arg(workspace().join("tests/mcp.sh")).arg(&into).stdout(Stdio::null()).output();
        match done {
            Ok(done) if done.status.success() => Some(into),
            Ok(done) => {
                skipped(&format!("MCP servers of others: {}", String::from_utf8_lossy(&done.stderr).trim()));
                None
            }
            Err(e) => {
                skipped(&format!("MCP servers of others: {e}"));
                None
            }
        }
    });
    installed.as_ref()
}

fn everything(into: &std::path::Path) -> String {
    into.join("node/node_modules/@modelcontextprotocol/server-everything/dist/index.js").display().to_string()
}

#[tokio::test]
async fn programs_of_the_operators_file_are_listed_and_called() {
    let Some(into) = others() else { return };
    let time = into.join("python/bin/mcp-server-time").display().to_string();
    let file = json!({"tools": [
        {"name": "clock", "kind": "mcp", "config": {"command": [time, "--local-timezone", "UTC"]}},
        {"name": "every", "kind": "mcp", "config": {"command": ["node", everything(into), "stdio"], "tools": ["echo", "get-*"],
            "env": {"GREETING": "${GREETING}"}}}
    ]});
    let start = how()
        .env("TOOLS_CONFIG_PATH", "tools.json")
        .env("GREETING", "from-outside")
        .file("tools.json", &file.to_string());
    let server = start.start().await;
    let client = server.client();
    let listed = tutti_tests::in_time("the programs to be looked at", async {
        loop {
            let list = client.get("/v1/tools/list").await.expect(200).json();
            let is_there = |name: &str| {
                list["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|t| t["name"] == name && t["tools"].as_array().is_some_and(|t| !t.is_empty()))
            };
            if is_there("clock") && is_there("every") {
                return list;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(!listed.to_string().contains("toggle-simulated-logging"), "only what was chosen");
    let time = call(
        &client,
        "clock__convert_time",
        &json!({"source_timezone": "Europe/Berlin", "time": "12:00", "target_timezone": "Asia/Tokyo"}),
    )
    .await;
    assert!(time["output"].to_string().contains("Asia/Tokyo"), "{time}");
    let echo = call(&client, "every__echo", &json!({"message": "hello"})).await;
    assert_eq!(echo["output"], "Echo: hello", "{echo}");
    let env = call(&client, "every__get-env", &json!({})).await;
    let env: Value = serde_json::from_str(super::text(&env["output"])).unwrap();
    let mut names: Vec<_> = env.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["GREETING", "PATH"], "nothing of ours leaks in");
    let why = failure(&client, "clock__get_current_time", &json!({"timezone": "Nowhere/Land"})).await;
    assert!(why.contains("Nowhere/Land"), "{why}");
    let team = json!({"pattern": "sequential", "input": "Use every__echo to say hello.",
        "agents": [{"name": "a", "instructions": "You greet.", "tools": ["every"]}]});
    assert_eq!(client.orchestrate(&team).await["status"], "completed");
}

#[tokio::test]
async fn a_server_over_http_is_registered_listed_and_called() {
    let Some(into) = others() else { return };
    let port = free_port();
    let mut command = Command::new("node");
    command.args([everything(into).as_str(), "streamableHttp"]).env("PORT", port.to_string());
    let mut other = Process::start(&mut command);
    other.line("the server to listen", |line| line.contains("listening").then_some(())).await.unwrap();
    let server = how().start().await;
    let client = server.client();
    let tool = json!({"name": "every", "kind": "mcp", "config": {"url": format!("http://127.0.0.1:{port}/mcp")}});
    let set = register(&client, &tool).await;
    assert!(set["tools"].as_array().unwrap().iter().any(|tool| tool["name"] == "every__get-sum"), "{set}");
    let sum = call(&client, "every__get-sum", &json!({"a": 2, "b": 40})).await;
    assert!(super::text(&sum["output"]).contains("42"), "{sum}");
    let structured = call(&client, "every__get-structured-content", &json!({"location": "New York"})).await;
    assert!(structured["output"]["temperature"].is_number(), "{structured}");
    let image = call(&client, "every__get-tiny-image", &json!({})).await;
    assert!(super::text(&image["output"]).contains("[image image/png"), "{image}");
    // It goes away: the list stays, and says so.
    other.kill9();
    other.end().await;
    let why = failure(&client, "every__get-sum", &json!({"a": 1, "b": 1})).await;
    assert!(why.contains("every__get-sum"), "{why}");
    let list = client.get("/v1/tools/list").await.expect(200).json();
    let every = list["items"].as_array().unwrap().iter().find(|tool| tool["name"] == "every").unwrap().clone();
    assert!(every["note"].is_string() && every["tools"].as_array().unwrap().len() > 5, "{every}");
}

/// A server of either generation, whose one tool's description says how often somebody has looked.
async fn changing(is_modern: bool, looks: Arc<AtomicUsize>) -> Stub {
    Stub::start(move |seen| {
        let (id, method) = (seen.body["id"].clone(), seen.body["method"].as_str().unwrap_or_default());
        let result = match method {
            "server/discover" if is_modern => json!({"resultType": "complete", "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {}}, "serverInfo": {"name": "stub", "version": "1"}, "ttlMs": 0, "cacheScope": "private"}),
            "server/discover" => {
                let error = json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "Method not found"}});
                return super::reply(400, "application/json", error.to_string());
            }
            "initialize" => json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                "serverInfo": {"name": "stub", "version": "1"}}),
            "tools/list" => json!({"resultType": "complete", "ttlMs": 0, "cacheScope": "private", "tools": [{"name": "pay",
                "description": format!("Pays, version {}.", looks.load(Ordering::Relaxed)),
                "inputSchema": {"type": "object", "properties": {"to": {"type": "string"}}}}]}),
            "tools/call" => json!({"resultType": "complete", "content": [{"type": "text", "text": "paid"}]}),
            _ => return super::reply(202, "text/plain", ""),
        };
        data(&json!({"jsonrpc": "2.0", "id": id, "result": result}))
    })
    .await
}

#[tokio::test]
async fn both_generations_are_spoken_and_a_changed_definition_waits_for_somebody() {
    for is_modern in [true, false] {
        let version = Arc::new(AtomicUsize::new(1));
        let stub = changing(is_modern, version.clone()).await;
        let mut server = how().start().await;
        let client = server.client();
        let tool = json!({"name": "bank", "kind": "mcp", "config": {"url": format!("{}/mcp", stub.url), "headers": {"x-key": "k3y-of-bank"}}});
        register(&client, &tool).await;
        assert_eq!(call(&client, "bank__pay", &json!({"to": "x"})).await["output"], "paid");
        let spoken: Vec<_> = stub.seen().iter().map(|seen| super::text(&seen.body["method"]).to_owned()).collect();
        assert_eq!(spoken.contains(&"initialize".to_owned()), !is_modern, "{spoken:?}");
        assert!(stub.seen().iter().all(|seen| seen.headers["x-key"] == "k3y-of-bank"));
        version.store(2, Ordering::Relaxed);
        // Another process looks anew.
        server.terminate().await;
        server.restart().await;
        let why = failure(&client, "bank__pay", &json!({"to": "x"})).await;
        assert!(why.contains("has changed its definition") && why.contains("/approve"), "{why}");
        client.post("/v1/tools/bank__pay/call", &json!({"to": "x"})).await.expect(409);
        let list = client.get("/v1/tools/list").await.expect(200).text();
        assert!(list.contains("version 1") && list.contains("disabled") && !list.contains("k3y-of-bank"), "{list}");
        let approved = client.post("/v1/tools/bank/approve", &json!({})).await.expect(200).text();
        assert!(approved.contains("version 2") && !approved.contains("disabled"), "{approved}");
        assert_eq!(call(&client, "bank__pay", &json!({"to": "x"})).await["output"], "paid");
    }
}
