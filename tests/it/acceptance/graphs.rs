//! Graphs: kept by version, run as they were when the run began, drawn, and run from the command line.

use super::text;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tutti_tests::client::Client;
use tutti_tests::process::{Ended, Process};
use tutti_tests::server::{Server, tutti};

fn graph(word: &str) -> Value {
    json!({"name": "greet", "description": "Greets.", "start": "a", "state": {"said": {"type": "string"}},
        "nodes": {
            "a": {"type": "set", "values": {"said": format!("{word} {{{{ input.name }}}}")}, "next": "b"},
            "b": {"type": "human", "ask": "Send it?", "cases": [{"when": "output.decision == 'approve'", "next": "c"}], "default": "end"},
            "c": {"type": "set", "values": {"said": "{{ state.said | upper }}"}}},
        "output": "{{ state.said }}"})
}

async fn put(client: &Client, body: &Value, expected: u16) -> Value {
    put_if(client, body, None, expected).await
}

async fn put_if(client: &Client, body: &Value, tag: Option<&str>, expected: u16) -> Value {
    let call = client.call(Method::PUT, "/v1/graphs/greet").header("content-type", "application/json");
    let call = match tag {
        Some(tag) => call.header("if-match", tag),
        None => call,
    };
    call.body(body.to_string()).await.expect(expected).json()
}

#[tokio::test]
async fn graphs_are_kept_by_version_and_runs_keep_theirs() {
    let server = Server::start().await;
    let client = server.client();
    let first = put(&client, &graph("hello"), 201).await["version"].clone();
    let run = client.post("/v1/runs", &json!({"workflow": "greet", "input": {"name": "ann"}})).await.expect(202).json();
    // The run asks a person; meanwhile the graph becomes another one.
    let run_id = text(&run["run_id"]);
    let asked = client.events(run_id, 0).await.unwrap().until("approval.requested").await;
    let approval = asked.last().unwrap().data["approval_id"].clone();
    let second = put(&client, &graph("bye"), 200).await["version"].clone();
    assert_ne!(first, second);
    put_if(&client, &graph("hm"), Some(&format!("\"{}\"", text(&first))), 412).await;
    put_if(&client, &graph("hm"), Some(&format!("\"{}\"", text(&second))), 200).await;
    let decision = json!({"approval_id": approval, "decision": "approve"});
    client.post(format_args!("/v1/runs/{run_id}/approve"), &decision).await.expect(200);
    client.events(run_id, 0).await.unwrap().until("run.completed").await;
    let ended = client.get(format_args!("/v1/runs/{run_id}")).await.expect(200).json();
    assert_eq!((&ended["status"], &ended["output"]["output"]), (&json!("completed"), &json!("HELLO ANN")));
    assert_eq!(ended["output"]["path"], json!(["a", "b", "c"]));
    let of_graph = client.get("/v1/runs?workflow=greet").await.expect(200).json();
    assert_eq!(of_graph["items"][0]["run_id"], ended["run_id"], "{of_graph}");
    assert_eq!(client.get("/v1/runs?workflow=nobody").await.expect(200).json()["items"], json!([]));
    // Every version can be read; the newest is what there is.
    let old = client.get(format_args!("/v1/graphs/greet?version={}", text(&first))).await.expect(200).json();
    assert_eq!(old, graph("hello"));
    assert_eq!(client.get("/v1/graphs/greet").await.expect(200).json(), graph("hm"));
    let listed = client.get("/v1/graphs").await.expect(200).json();
    let names: Vec<_> =
        listed["items"].as_array().unwrap().iter().map(|g| (text(&g["name"]), text(&g["source"]))).collect();
    assert_eq!(names, [("chat", "shipped"), ("greet", "own")]);
    client.call(Method::DELETE, "/v1/graphs/greet").await.expect(204);
    client.get("/v1/graphs/greet").await.expect(404);
    client.call(Method::DELETE, "/v1/graphs/chat").await.expect(409);
    let gone = client.post("/v1/runs", &json!({"workflow": "greet"})).await.expect(422).json();
    assert_eq!(gone["detail"][0]["loc"], json!(["body", "workflow"]));
}

#[tokio::test]
async fn wrong_graphs_are_refused_whole_and_nothing_is_kept() {
    let server = Server::start().await;
    let client = server.client();
    let mut wrong = graph("x");
    wrong["strat"] = json!("a");
    wrong["nodes"]["a"]["next"] = json!("nowhere");
    wrong["nodes"]["b"]["cases"][0]["when"] = json!("output.decision ==");
    let told = put(&client, &wrong, 422).await;
    let locs: Vec<_> = told["detail"].as_array().unwrap().iter().map(|e| e["loc"].to_string()).collect();
    for loc in [r#"["body","strat"]"#, r#"["body","nodes","a","next"]"#, r#"["body","nodes","b","cases",0,"when"]"#] {
        assert!(locs.iter().any(|l| l == loc), "{loc} in {told}");
    }
    client.get("/v1/graphs/greet").await.expect(404);
    // Checked and drawn without being kept.
    let checked = client.call(Method::PUT, "/v1/graphs/greet?dry_run=true").header("content-type", "application/json");
    let checked = checked.body(graph("x").to_string()).await.expect(200).json();
    assert!(text(&checked["notes"][0]).contains("at most 3 nodes"), "{checked}");
    let drawn = client.post("/v1/graphs/draw?format=mermaid", &graph("x")).await.expect(200);
    assert!(drawn.text().starts_with("flowchart TD"));
    client.get("/v1/graphs/greet").await.expect(404);
    let inline = json!({"workflow": "graph", "input": {"graph": wrong, "input": 1}});
    let told = client.post("/v1/runs", &inline).await.expect(422).json();
    assert_eq!(told["detail"][0]["loc"].as_array().unwrap()[..3], ["body", "input", "graph"]);
    let schema = client.get("/v1/graphs/schema").await.expect(200).json();
    assert_eq!(schema["required"], json!(["name", "start", "nodes"]));
}

async fn on(server: &Server, dir: &TempDir, args: &[&str]) -> Ended {
    let url = server.url();
    Process::run(&mut tutti(dir.path(), &[args, &["--url", &url]].concat())).await
}

#[tokio::test]
async fn the_command_line_tells_line_and_column() {
    let server = Server::start().await;
    let dir = TempDir::new().unwrap();
    let file = "name: sum\nstart: a\nnodes:\n  a:\n    type: tool\n    tool: calculate\n    arguments: {expression: \"{{ input }} + 1\"}\n";
    std::fs::write(dir.path().join("sum.yaml"), file).unwrap();
    std::fs::write(dir.path().join("bad.yaml"), file.replace("calculate", "calculat").replace("start: a", "start: b"))
        .unwrap();
    let sound = on(&server, &dir, &["graphs", "validate", "sum.yaml"]).await;
    assert_eq!(sound.code, Some(0), "{sound:?}");
    let bad = on(&server, &dir, &["graphs", "validate", "bad.yaml"]).await;
    assert_eq!(bad.code, Some(1), "{bad:?}");
    assert!(bad.stderr.contains("bad.yaml:2:8: start: there is no node named \"b\""), "{}", bad.stderr);
    assert!(bad.stderr.contains("bad.yaml:6:11: nodes.a.tool: there is no tool named \"calculat\""), "{}", bad.stderr);
    let run = on(&server, &dir, &["graphs", "run", "sum.yaml", "--input", "41", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&run.stdout).unwrap()["output"]["output"]["result"], json!(42), "{run:?}");
    assert_eq!(on(&server, &dir, &["graphs", "put", "sum.yaml"]).await.code, Some(0));
    let kept = on(&server, &dir, &["run", "sum", "--input", "1"]).await;
    assert_eq!(kept.code, Some(0), "{kept:?}");
    let svg = on(&server, &dir, &["graphs", "show", "sum", "--format", "svg"]).await;
    assert!(svg.stdout.starts_with("<svg "), "{svg:?}");
    let drawn = on(&server, &dir, &["graphs", "show", "sum.yaml", "--format", "mermaid"]).await;
    assert!(drawn.stdout.contains("n_a"), "{drawn:?}");
    assert_eq!(on(&server, &dir, &["graphs", "delete", "sum"]).await.code, Some(0));
}
