//! Protected mode: a server that other machines can reach serves this machine as ever, and others with the admin key.

use super::text;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tutti_tests::process::{Ended, Process};
use tutti_tests::server::{Server, Start, tutti};

const SET: &str = "tt_admin_5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f";

fn open() -> Start {
    Start::new().env("AGENT_ORCHESTRATOR_HOST", "0.0.0.0")
}

fn key_file(server: &Server) -> PathBuf {
    server.how().data_dir().join("admin.key")
}

fn key(server: &Server) -> String {
    std::fs::read_to_string(key_file(server)).unwrap().trim_end().to_owned()
}

async fn command(args: &[&str], env: &[(&str, &str)]) -> Ended {
    let dir = TempDir::new().unwrap();
    Process::run(tutti(dir.path(), args).envs(env.iter().copied())).await
}

/// A proxy on this machine that tells for whom it speaks, as proxies should; its address.
async fn proxy(server: &Server) -> String {
    let to = server.url().trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((from, _)) = listener.accept().await {
            tokio::spawn(forward(from, to.clone()));
        }
    });
    url
}

/// One request a connection: what comes after the first would not be told of.
async fn forward(mut from: TcpStream, to: String) -> std::io::Result<()> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.push(from.read_u8().await?);
    }
    let mut to = TcpStream::connect(to).await?;
    to.write_all(&line).await?;
    to.write_all(b"X-Forwarded-For: 192.0.2.9\r\nConnection: close\r\n").await?;
    tokio::io::copy_bidirectional(&mut from, &mut to).await.map(drop)
}

#[tokio::test]
async fn this_machine_is_served_as_ever() {
    let server = open().start().await;
    let client = server.client();
    let _ = client.get("/v1/runs").await.expect(200);
    let _ = client.get("/v1/runs").header("authorization", "Bearer sk-of-some-other").await.expect(200);
    let _ = client.post("/v1/runs", &json!({"workflow": "noop", "input": {}})).await.expect(202);
    assert!(client.get("/health").await.expect(200).json()["parts"].is_object());
}

#[tokio::test]
async fn who_is_forwarded_needs_the_key() {
    let server = open().start().await;
    let (client, key) = (server.client(), key(&server));
    let run = json!({"workflow": "noop", "input": {}});
    for name in ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-real-ip", "via"] {
        let call = || client.post("/v1/runs", &run).header(name, "192.0.2.9");
        let refused = call().await.expect(401);
        assert_eq!(refused.class(), "AuthenticationError", "{name}");
        let said = text(&refused.json()["message"]).to_owned();
        assert!(said.contains("Authorization") && said.contains("X-API-Key") && said.contains("tutti key"), "{said}");
        assert!(refused.header("www-authenticate").starts_with("Bearer"), "{name}");
        let _ = call().header("x-api-key", key.replace("tt_admin_", "tt_admin_0")).await.expect(401);
        let _ = call().header("x-api-key", &key).await.expect(202);
        let _ = call().header("authorization", format!("Bearer {key}")).await.expect(202);
    }
}

#[tokio::test]
async fn strangers_see_three_fields_of_health() {
    let server = open().start().await;
    for path in ["/health", "/health/live", "/health/ready"] {
        let answer = server.client().get(path).header("via", "1.1 proxy").await.expect(200);
        if path == "/health" {
            let fields: Vec<String> = answer.json().as_object().unwrap().keys().cloned().collect();
            assert_eq!(fields, ["status", "version", "timestamp"]);
        }
    }
    let _ = server.client().get("/metrics").header("via", "1.1 proxy").await.expect(401);
}

#[tokio::test]
async fn the_key_is_made_once_for_its_owner_alone() {
    let mut server = open().start().await;
    let first = key(&server);
    assert_eq!(first.len(), "tt_admin_".len() + 64, "{first}");
    assert_eq!(std::fs::metadata(key_file(&server)).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(server.stderr().contains("tutti key show") && !server.stderr().contains(&first), "{}", server.stderr());
    let data = server.how().data_dir().to_str().unwrap().to_owned();
    let shown = command(&["key", "show", "--data", &data], &[]).await;
    assert_eq!((shown.code, shown.stdout, shown.stderr.as_str()), (Some(0), format!("{first}\n"), ""));
    server.kill9();
    server.restart().await;
    assert_eq!(key(&server), first);
}

#[tokio::test]
async fn on_loopback_no_key_is_made_or_asked() {
    let server = Server::start().await;
    assert!(!key_file(&server).exists());
    let _ = server.client().get("/v1/runs").header("x-forwarded-for", "192.0.2.9").await.expect(200);
}

#[tokio::test]
async fn a_key_that_is_set_is_the_key() {
    for start in [open(), Start::new()] {
        let server = start.env("TUTTI_ADMIN_KEY", SET).start().await;
        assert!(!key_file(&server).exists());
        let call = || server.client().get("/v1/runs").header("x-forwarded-for", "192.0.2.9");
        let _ = call().await.expect(401);
        let _ = call().header("x-api-key", SET).await.expect(200);
        let _ = server.client().get("/v1/runs").await.expect(200);
    }
}

#[tokio::test]
async fn who_insists_is_unprotected_and_warned() {
    let mut server = open().arg("--insecure-allow-unauthenticated").start().await;
    for _ in 0..2 {
        server.line("the warning", |line| line.contains("WARNING").then_some(())).await;
        let _ = server.client().get("/v1/runs").header("x-forwarded-for", "192.0.2.9").await.expect(200);
        assert!(!key_file(&server).exists());
        server.kill9();
        server.restart().await;
    }
}

#[tokio::test]
async fn names_are_checked_off_loopback_too() {
    let server = open().env("TUTTI_HOSTS", "tutti.example,other.example").start().await;
    let (client, key) = (server.client(), key(&server));
    let as_host = |host: &str| client.get("/v1/runs").header("host", host);
    for host in ["192.0.2.7", "[2001:db8::7]:8000", "tutti.example", "Other.Example:443", "localhost"] {
        let _ = as_host(host).await.expect(200);
    }
    let _ = as_host("evil.example").await.expect(403);
    let _ = as_host("evil.example").header("x-api-key", key).await.expect(200);
}

#[tokio::test]
async fn the_command_line_shows_its_key() {
    let server = open().start().await;
    let (key, url) = (key(&server), proxy(&server).await);
    let on = async |args: &[&str], key: &str| command(args, &[("TUTTI_URL", &url), ("TUTTI_KEY", key)]).await;

    let refused = on(&["runs", "list"], "").await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
    assert!(refused.stderr.contains("AuthenticationError") && refused.stderr.contains("TUTTI_KEY"), "{refused:?}");
    assert_eq!(on(&["runs", "list"], SET).await.code, Some(1));
    let health = on(&["health", "--json"], "").await;
    assert!(health.code == Some(0) && !health.stdout.contains("parts"), "{health:?}");

    let args = ["run", "sequential", "--agents", "llm", "--input", "Hello?", "--json"];
    assert_eq!(on(&args, "").await.code, Some(1));
    let run = on(&args, &key).await;
    let run: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {run:?}"));
    assert_eq!(run["status"], "completed");
    assert!(on(&["runs", "list"], &key).await.stdout.contains(text(&run["run_id"])));
    assert!(on(&["health"], &key).await.stdout.contains("store"));
    let file = key_file(&server);
    let env = [("TUTTI_URL", url.as_str()), ("TUTTI_KEY_FILE", file.to_str().unwrap())];
    assert_eq!(command(&["runs", "list"], &env).await.code, Some(0), "the key may lie in a file");
}
