//! Export and import: a configuration goes to files and comes back the same, and a fault anywhere changes nothing.

use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use tempfile::TempDir;
use tutti_tests::client::Client;
use tutti_tests::process::{Ended, Process};
use tutti_tests::server::{Server, Start, tutti};

async fn command(server: &Server, dir: &Path, args: &[&str]) -> Ended {
    Process::run(tutti(dir, args).env("TUTTI_URL", server.url())).await
}

#[track_caller]
fn done(ended: &Ended) -> &str {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    &ended.stdout
}

/// Every file below a folder, by its path there.
fn files(dir: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for folder in std::fs::read_dir(dir).unwrap().flatten() {
        for file in std::fs::read_dir(folder.path()).unwrap().flatten() {
            let path = format!("{}/{}", folder.file_name().display(), file.file_name().display());
            all.insert(path, std::fs::read_to_string(file.path()).unwrap());
        }
    }
    all
}

/// Agents that name each other, one with all that a registration has, and articles of every kind of text.
async fn fill(client: &Client) {
    let plain = json!({"agent_id": "writer", "agent_name": "Writer", "domain": "text"});
    let full = json!({
        "agent_id": "billing:1", "agent_name": "Billing", "domain": "billing", "description": "Knows: invoices, refunds.",
        "capabilities": ["refunds", "no"], "routes": ["writer"], "instances": 2, "max_sessions": 3, "deployment_id": "0012",
        "brain_config": {
            "persona": {"role": "Clerk", "expertise": "Invoices", "personality": "calm"},
            "reasoningPattern": "react",
            "components": [{"id": "m", "type": "model"}],
            "connections": []
        }
    });
    let back = json!({"agent_id": "writer", "agent_name": "Writer", "domain": "text", "routes": ["billing:1"]});
    for (agent, status) in [(plain, 201), (full, 201), (back, 200)] {
        client.post("/orchestrator/register", &agent).await.expect(status);
    }
    let articles = json!({"articles": [
        {"id": "refunds/how long", "title": "Refunds: how long?", "content": "# Refunds\n\nTen working days.\n\n- cards\n- cash\n"},
        {"id": "é", "title": "yes", "content": "1.0"},
        {"id": ".hidden", "title": "'quoted' \"twice\"", "content": "no end of line\n  indented\n\ttab"}
    ]});
    let put = client.call(Method::PUT, "/api/articles").header("content-type", "application/json");
    put.body(articles.to_string()).await.expect(200);
}

#[tokio::test]
async fn what_was_exported_comes_back_the_same() {
    let (first, second, dir) = (Server::start().await, Server::start().await, TempDir::new().unwrap());
    fill(&first.client()).await;
    let told = command(&first, dir.path(), &["export", "one"]).await;
    assert_eq!(done(&told), "      2 agents\n      3 articles\n");
    let one = files(&dir.path().join("one"));
    let paths: Vec<_> = one.keys().map(String::as_str).collect();
    assert_eq!(
        paths,
        [
            "agents/billing%3A1.yaml",
            "agents/writer.yaml",
            "articles/%2Ehidden.yaml",
            "articles/%C3%A9.yaml",
            "articles/refunds%2Fhow%20long.yaml"
        ]
    );
    assert_eq!(one["agents/writer.yaml"], "agent_id: writer\nagent_name: Writer\ndomain: text\nroutes:\n- billing:1\n");

    let tried = command(&second, dir.path(), &["import", "one", "--dry-run"]).await;
    assert!(done(&tried).contains("created   agents/writer.yaml") && tried.stderr.contains("nothing was written"));
    second.client().get("/orchestrator/agents/writer").await.expect(404);
    let imported = command(&second, dir.path(), &["import", "one"]).await;
    assert!(done(&imported).lines().count() == 5 && imported.stderr.contains("5 created, 0 changed, 0 unchanged"));
    done(&command(&second, dir.path(), &["export", "two"]).await);
    assert_eq!(files(&dir.path().join("two")), one, "byte by byte");

    let again = command(&second, dir.path(), &["import", "one", "--json"]).await;
    let again: Value = serde_json::from_str(done(&again)).unwrap();
    assert_eq!(again["counts"], json!({"unchanged": 5}));
    let untouched = command(&second, dir.path(), &["export", "two"]).await;
    assert!(untouched.stderr.contains("0 of 5 files written"), "{untouched:?}");
}

#[tokio::test]
async fn pages_of_an_export_hold_each_thing_once() {
    let server = Server::start().await;
    let client = server.client();
    fill(&client).await;
    let whole = client.get("/v1/export").await.expect(200).json();
    for limit in [1, 2, 3, 4] {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = client.get(format_args!("/v1/export?limit={limit}{cursor}")).await.expect(200).json();
            items.extend(page["items"].as_array().unwrap().clone());
            assert!(items.len() <= 5, "{items:?}");
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(json!(items), whole["items"], "{limit} a page");
    }
    client.get("/v1/export?cursor=nonsense").await.expect(422);
}

#[tokio::test]
async fn only_what_is_different_is_changed_and_nothing_is_taken_out() {
    let (server, dir) = (Server::start().await, TempDir::new().unwrap());
    fill(&server.client()).await;
    let out = dir.path().join("out");
    done(&command(&server, dir.path(), &["export", "out"]).await);
    std::fs::write(
        out.join("agents/writer.yaml"),
        r#"{"agent_id": "writer", "agent_name": "Author", "domain": "text"}"#,
    )
    .unwrap();
    std::fs::remove_file(out.join("articles/%C3%A9.yaml")).unwrap();
    let imported = command(&server, dir.path(), &["import", "out"]).await;
    assert_eq!(done(&imported), "changed   agents/writer.yaml\n");
    assert!(imported.stderr.contains("0 created, 1 changed, 3 unchanged"), "{imported:?}");
    let agent = server.client().get("/orchestrator/agents/writer").await.expect(200).json();
    assert_eq!(agent["agent_name"], "Author");

    // What is gone from the server is told, and removed only on request.
    server.client().post("/orchestrator/unregister", &json!({"agent_id": "billing:1"})).await.expect(200);
    let exported = command(&server, dir.path(), &["export", "out"]).await;
    assert!(exported.stderr.contains("agents/billing%3A1.yaml is not on the server"), "{exported:?}");
    assert!(out.join("agents/billing%3A1.yaml").exists() && out.join("articles/%C3%A9.yaml").exists());
    done(&command(&server, dir.path(), &["export", "out", "--delete"]).await);
    assert!(!out.join("agents/billing%3A1.yaml").exists());
}

#[tokio::test]
async fn every_fault_is_told_with_its_line_and_nothing_is_written() {
    let (server, dir) = (Server::start().await, TempDir::new().unwrap());
    let bad = [
        ("agents/good.yaml", "agent_id: good\nagent_name: Good\ndomain: text\n"),
        ("agents/a.yaml", "agent_id: a\n# A comment.\nagent_name: 7\nroutes:\n- good\n- god\n"),
        ("agents/b.yaml", "agent_id: b\nagent_name: [1, 2\n"),
        ("agents/c.yaml", "agent_id: good\nagent_name: C\ndomain: text\n"),
        ("agents/d.yaml", "agent_id: d\nagent_name: D\ndomain: '***'\n"),
        ("agents/e.yaml", "agent_id: e\nagent_name: E\ndomain: x\nendpoint: http://127.0.0.1:1/ask\n"),
        ("articles/a.yml", "id: a\ntitle: A\ncontnt: x\n"),
        ("artcles/a.yaml", "id: a\n"),
    ];
    for (path, content) in bad {
        let file = dir.path().join("in").join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    }
    let refused = command(&server, dir.path(), &["import", "in"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let faults = &refused.stderr;
    for part in [
        "agents/a.yaml:3:13: agent_name: str type expected",
        "agents/a.yaml:1:1: domain: field required",
        "agents/a.yaml:6:3: routes[1]: there is no agent named \"god\"; did you mean \"good\"?",
        "agents/b.yaml:2:13: unclosed bracket '['\n",
        "agents/c.yaml is about the same thing, \"good\"",
        "agents/d.yaml:3:9: domain: a secret stands here",
        "agents/e.yaml:4:11: endpoint: ",
        "EGRESS_ALLOW",
        "articles/a.yml:3:9: contnt: unknown key \"contnt\"; did you mean \"content\"?",
        "did you mean articles/?",
    ] {
        assert!(faults.contains(part), "{part} is missing in:\n{faults}");
    }
    let agents = server.client().get("/orchestrator/agents").await.expect(200).json();
    assert_eq!(agents["items"], json!([]), "nothing was written");

    let none = command(&server, dir.path(), &["import", "nowhere"]).await;
    assert_eq!(none.code, Some(2), "{none:?}");
}

#[tokio::test]
async fn a_folder_of_articles_is_changed_in_the_folder() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("a.md"), "# A\n\nText.").unwrap();
    let server = Start::new().env("KNOWLEDGE_DIR", dir.path().to_str().unwrap()).start().await;
    let body = json!({"files": [{"path": "articles/b.yaml", "content": "{id: b, title: B, content: C}"}]});
    let wrong = server.client().post("/v1/import", &body).await.expect(422).text();
    assert!(wrong.contains("KNOWLEDGE_DIR"), "{wrong}");
}

#[tokio::test]
async fn tools_graphs_sources_and_documents_travel_together() {
    let (first, second, dir) = (Server::start().await, Server::start().await, TempDir::new().unwrap());
    let client = first.client();
    let weather = json!({"name": "weather", "kind": "http", "description": "The weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        "config": {"method": "GET", "url": "https://weather.example/{{city}}"}});
    client.post("/v1/tools/register", &weather).await.expect(201);
    let look = json!({"name": "look_up", "kind": "retrieve", "description": "Looks it up.", "config": {"limit": 3}});
    client.post("/v1/tools/register", &look).await.expect(201);
    let agent = json!({"agent_id": "guide", "agent_name": "Guide", "domain": "travel",
        "brain_config": {"components": [{"id": "m", "type": "model"}, {"id": "weather", "type": "tool"}]}});
    client.post("/orchestrator/register", &agent).await.expect(201);
    let put = |name: &str, nodes: Value| {
        let call = client.call(Method::PUT, format_args!("/v1/graphs/{name}"));
        let graph = json!({"name": name, "start": "a", "nodes": nodes});
        call.header("content-type", "application/json").body(graph.to_string())
    };
    // The one that is written first names the one that comes after it.
    put("later", json!({"a": {"type": "tool", "tool": "weather", "arguments": {"city": "{{ input }}"}}}))
        .await
        .expect(201);
    let outer =
        json!({"a": {"type": "workflow", "workflow": "later", "next": "b"}, "b": {"type": "agent", "agent": "guide"}});
    put("above", outer).await.expect(201);
    let source = json!({"name": "prices", "kind": "http", "config": {"url": "https://prices.example/list"}});
    client.post("/v1/data-sources", &source).await.expect(201);
    let document = json!({"id": "cards", "title": "Cards", "content": "# Cards\n\nA card takes five days.\n", "metadata": {"lang": "en"}});
    client.post("/v1/documents", &document).await.expect(201);

    done(&command(&first, dir.path(), &["export", "one"]).await);
    let one = files(&dir.path().join("one"));
    let paths: Vec<_> = one.keys().map(String::as_str).collect();
    let expected = [
        "agents/guide.yaml",
        "data-sources/prices.yaml",
        "documents/cards.yaml",
        "graphs/above.yaml",
        "graphs/later.yaml",
        "tools/look_up.yaml",
        "tools/weather.yaml",
    ];
    assert_eq!(paths, expected);
    let imported = command(&second, dir.path(), &["import", "one"]).await;
    assert!(imported.stderr.contains("7 created, 0 changed, 0 unchanged"), "{imported:?}");
    done(&command(&second, dir.path(), &["export", "two"]).await);
    assert_eq!(files(&dir.path().join("two")), one, "byte by byte");
    let found =
        second.client().post("/v1/search", &json!({"query": "how long does a card take"})).await.expect(200).json();
    assert_eq!(found["items"][0]["document_id"], "cards");
}
