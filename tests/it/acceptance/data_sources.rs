//! Data sources: kept without showing a secret, asked within bounds.

use axum::Router;
use axum::extract::RawQuery;
use axum::http::HeaderMap;
use axum::routing::get;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tutti_tests::client::Client;
use tutti_tests::process::Process;
use tutti_tests::server::{Server, Start, tutti};

/// A service that knows a company, and notes how it was asked.
async fn service() -> (String, Arc<Mutex<Vec<String>>>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&asked);
    let answer = move |RawQuery(query): RawQuery, headers: HeaderMap| async move {
        let token = headers.get("authorization").map_or("none", |token| token.to_str().unwrap()).to_owned();
        log.lock().unwrap().push(format!("{} {token}", query.unwrap_or_default()));
        json!({"results": [{"name": "Acme", "city": "Bonn"}], "total": 1}).to_string()
    };
    let huge = || async { "x".repeat(10 << 20) };
    let router = Router::new()
        .route("/search", get(answer))
        .route("/huge", get(huge))
        .route("/text", get(|| async { " Bonn\n" }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (format!("http://{address}"), asked)
}

async fn keep(client: &Client, source: &Value, status: u16) -> Value {
    client.post("/v1/data-sources", source).await.expect(status).json()
}

async fn ask(client: &Client, name: &str, arguments: Value) -> Value {
    client.post(format_args!("/v1/data-sources/{name}/query"), &arguments).await.expect(200).json()
}

#[tokio::test]
async fn a_service_is_asked_with_what_the_operator_wrote_down() {
    let (url, asked) = service().await;
    let server = Start::new()
        .env("EGRESS_ALLOW", "127.0.0.1")
        .env("DATASOURCE_BASE_URL", &format!("{url}/search"))
        .env("DATASOURCE_AUTH_TOKEN", "ds-secret-1")
        .start()
        .await;
    let client = server.client();
    let answer = ask(&client, "default", json!({"query": "Acme & Co?"})).await;
    assert!(answer["status"] == "ok" && answer["items"][0]["total"] == 1, "{answer}");
    assert_eq!(asked.lock().unwrap().as_slice(), ["query=Acme%20%26%20Co%3F Bearer ds-secret-1"]);
    client.call(Method::DELETE, "/v1/data-sources/default").await.expect(409);
    let config = json!({"url": format!("{url}/search?q={{{{query}}}}&n={{{{count}}}}"), "token": "ds-secret-2", "items": "/results"});
    let source = json!({"name": "companies", "kind": "http", "description": "Companies by name.", "config": config});
    let kept = keep(&client, &source, 201).await;
    assert_eq!(kept["config"]["token"], "***");
    let answer = ask(&client, "companies", json!({"query": "a", "count": 3})).await;
    assert_eq!(answer["items"], json!([{"name": "Acme", "city": "Bonn"}]));
    let answer = ask(&client, "companies", json!({"query": "a"})).await;
    assert!(
        answer["status"] == "error" && answer["error"]["message"].as_str().unwrap().contains("\"count\" is missing")
    );
    // A secret that was read is no secret that is sent: `***` keeps what is there.
    let mut again = kept.clone();
    again.as_object_mut().unwrap().remove("updated_at");
    client
        .call(Method::PUT, "/v1/data-sources/companies")
        .body(again.to_string())
        .header("content-type", "application/json")
        .await
        .expect(200);
    ask(&client, "companies", json!({"query": "a", "count": 1})).await;
    assert!(asked.lock().unwrap().last().unwrap().ends_with("Bearer ds-secret-2"));
    for (path, what) in [("huge", "sent more than"), ("nowhere", "answered 404")] {
        let source = json!({"name": path, "kind": "http", "config": {"url": format!("{url}/{path}")}});
        keep(&client, &source, 201).await;
        let answer = ask(&client, path, json!({})).await;
        assert!(answer["error"]["message"].as_str().unwrap().contains(what), "{answer}");
    }
    keep(&client, &json!({"name": "text", "kind": "http", "config": {"url": format!("{url}/text")}}), 201).await;
    assert_eq!(ask(&client, "text", json!({})).await["items"], json!(["Bonn"]));
    let listed = client.get("/v1/data-sources").await.expect(200).text();
    assert!(listed.contains("companies") && listed.contains("default") && !listed.contains("ds-secret"), "{listed}");
    let config = tutti(server.how().data_dir().parent().unwrap(), &["config"]);
    let shown = Process::run({ config }.env("DATASOURCE_AUTH_TOKEN", "ds-secret-1")).await;
    assert!(shown.code == Some(0) && !shown.stdout.contains("ds-secret"), "{shown:?}");
    client.call(Method::DELETE, "/v1/data-sources/companies").await.expect(204);
    client.get("/v1/data-sources/companies").await.expect(404);
    client.post("/v1/data-sources/companies/query", &json!({})).await.expect(404);
}

#[tokio::test]
async fn a_database_is_asked_one_question_that_only_reads() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("companies.db");
    let table = "CREATE TABLE companies(name TEXT, city TEXT); INSERT INTO companies VALUES('Acme', 'Bonn'), ('Umbrella', 'Köln');";
    rusqlite::Connection::open(&file).unwrap().execute_batch(table).unwrap();
    let server = Start::new().env("DATASOURCE_FILES", dir.path().to_str().unwrap()).start().await;
    let client = server.client();
    let source = |sql: &str, more: Value| {
        let mut config = json!({"file": file, "sql": sql});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"name": "companies", "kind": "sql", "config": config})
    };
    keep(&client, &source("SELECT name FROM companies WHERE city = $1", json!({})), 201).await;
    assert_eq!(ask(&client, "companies", json!({"query": "Bonn"})).await["items"], json!([{"name": "Acme"}]));
    assert_eq!(ask(&client, "companies", json!({"query": "x' OR '1'='1"})).await["items"], json!([]));
    keep(&client, &source("SELECT name FROM companies", json!({"params": [], "rows": 1})), 200).await;
    assert_eq!(ask(&client, "companies", json!({})).await["is_cut"], true);
    let slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    keep(&client, &source(slow, json!({"params": [], "timeout_seconds": 0.2})), 200).await;
    let answer = ask(&client, "companies", json!({})).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("did not answer within 200 ms"), "{answer}");
    let writes = "WITH x AS (SELECT 1) INSERT INTO companies SELECT 'x', 'y'";
    keep(&client, &source(writes, json!({"params": []})), 200).await;
    let answer = ask(&client, "companies", json!({})).await;
    assert!(answer["status"] == "error", "{answer}");
    let run = async |args: &[&str]| Process::run(tutti(dir.path(), args).env("TUTTI_URL", server.url())).await;
    let text = source("SELECT name, city FROM companies WHERE city = $1", json!({})).to_string();
    std::fs::write(dir.path().join("source.json"), text).unwrap();
    let added = run(&["data-sources", "add", "source.json"]).await;
    assert_eq!(added.code, Some(0), "{added:?}");
    let asked = run(&["data-sources", "query", "companies", "Köln"]).await;
    assert_eq!(asked.stdout, "name      city\nUmbrella  Köln\n", "{asked:?}");
    assert!(run(&["data-sources", "list"]).await.stdout.contains("companies.db"));
    assert_eq!(run(&["data-sources", "delete", "companies"]).await.code, Some(0));
}

#[tokio::test]
async fn what_may_not_be_asked_is_refused_when_it_is_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let server = Start::new().env("DATASOURCE_FILES", dir.path().to_str().unwrap()).start().await;
    let client = server.client();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link.db")).unwrap();
    let wrong = |kind: &str, config: Value| json!({"name": "x", "kind": kind, "config": config});
    let select = "SELECT 1";
    let cases = [
        (wrong("http", json!({"url": "http://127.0.0.1/x"})), "EGRESS_ALLOW"),
        (wrong("http", json!({"url": "http://{{query}}.example/"})), "behind the host only"),
        (wrong("http", json!({"url": "https://a.example", "token": "***"})), "there is none"),
        (wrong("http", json!({"url": "https://a.example", "itms": "/x"})), "did you mean \"items\""),
        (wrong("sql", json!({"file": "/etc/passwd", "sql": select})), "DATASOURCE_FILES"),
        (wrong("sql", json!({"file": dir.path().join("link.db"), "sql": select})), "DATASOURCE_FILES"),
        (wrong("sql", json!({"file": dir.path().join("../x.db"), "sql": select})), "DATASOURCE_FILES"),
        (wrong("sql", json!({"dsn": "postgresql://u:sesame@/x", "sql": select})), "no address"),
        (wrong("sql", json!({"dsn": "mysql://h/x", "sql": select})), "one host"),
        (wrong("sql", json!({"dsn": "postgresql://h/x?host=/tmp", "sql": select})), "not in its parameters"),
        (wrong("sql", json!({"dsn": "postgresql://h/x", "sql": "DROP TABLE x"})), "only one statement that reads"),
        (wrong("sql", json!({"sql": select})), "one of dsn and file"),
        (wrong("mongo", json!({})), "mongo"),
    ];
    for (source, why) in cases {
        let answer = client.post("/v1/data-sources", &source).await.expect(422);
        let details = answer.details();
        assert!(details.iter().any(|(_, said)| said.contains(why)), "{source}: {details:?}");
        assert!(!answer.text().contains("sesame"));
    }
    // A private address shows only when it is asked for.
    let dsn = "postgresql://u:sesame@127.0.0.1:1/x";
    let kept = keep(&client, &wrong("sql", json!({"dsn": dsn, "sql": select})), 201).await;
    assert!(!kept.to_string().contains("sesame"), "{kept}");
    let answer = ask(&client, "x", json!({"query": ""})).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("EGRESS_ALLOW"), "{answer}");
    assert!(!answer.to_string().contains("sesame"));
    let none = Server::start().await;
    assert_eq!(none.client().get("/v1/data-sources").await.expect(200).json()["items"], json!([]));
}
