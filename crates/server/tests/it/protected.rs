//! Protected mode: every route is closed to strangers, save those that are everybody's.

use crate::client::Client;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tutti_server::{ServerOptions, serve};

const KEY: &str = "tt_admin_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const SHOWN: (&str, &str) = ("x-api-key", KEY);

async fn protected() -> Client {
    Client::with(ServerOptions { is_open: true, key: Some(KEY.into()), ..ServerOptions::default() }).await
}

async fn from_elsewhere() -> Client {
    Client { peer: ([192, 0, 2, 9], 4000).into(), ..protected().await }
}

#[tokio::test]
async fn every_route_is_closed_to_strangers() {
    let client = from_elsewhere().await;
    let openapi = client.send("GET", "/openapi.json", &[SHOWN], "").await.json();
    let mut open = BTreeSet::new();
    for (path, item) in openapi["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let (method, path) = (method.to_uppercase(), path.replace(['{', '}'], ""));
            if operation["security"] == serde_json::json!([]) {
                open.insert(path);
                continue;
            }
            let reply = client.send(&method, &path, &[("content-type", "application/json")], "{}").await;
            assert_eq!((reply.status, reply.class().as_str()), (401, "AuthenticationError"), "{method} {path}");
        }
    }
    assert_eq!(open, ["/health", "/health/live", "/health/ready"].map(String::from).into());
}

#[tokio::test]
async fn strangers_do_not_learn_what_there_is() {
    let client = from_elsewhere().await;
    for (method, path) in [("GET", "/nowhere"), ("DELETE", "/v1/runs"), ("HEAD", "/patterns"), ("OPTIONS", "/health")] {
        assert_eq!(client.send(method, path, &[], "").await.status, 401, "{method} {path}");
    }
    assert_eq!(client.send("GET", "/nowhere", &[SHOWN], "").await.status, 404);
    assert_eq!(client.send("HEAD", "/health", &[], "").await.status, 200);
}

#[tokio::test]
async fn a_refusal_names_the_ways_in_and_never_the_key() {
    let client = from_elsewhere().await;
    let none = client.get("/v1/runs").await;
    assert_eq!(none.header("www-authenticate"), "Bearer realm=\"tutti\"");
    let wrong = format!("Bearer {}", KEY.replace('f', "e"));
    let wrong = client.send("GET", "/v1/runs", &[("authorization", &wrong)], "").await;
    assert_eq!((none.status, wrong.status), (401, 401));
    assert!(none.text.contains("wants a key") && wrong.text.contains("is not this server's"), "{}", wrong.text);
    for reply in [none, wrong] {
        for way in ["Authorization: Bearer tt_admin_…", "X-API-Key", "tutti key show"] {
            assert!(reply.text.contains(way), "{}", reply.text);
        }
        assert!(!reply.text.contains("0011"), "{}", reply.text);
    }
}

#[tokio::test]
async fn health_is_everybodys_and_its_parts_are_not() {
    let fields = |reply: &crate::client::Reply| -> Vec<String> {
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json().as_object().unwrap().keys().cloned().collect()
    };
    let client = from_elsewhere().await;
    let wrong = [("x-api-key", "tt_admin_x")];
    for headers in [&[][..], &wrong] {
        let reply = client.send("GET", "/health", headers, "").await;
        assert_eq!(fields(&reply), ["status", "version", "timestamp"]);
    }
    assert!(fields(&client.send("GET", "/health", &[SHOWN], "").await).contains(&"parts".into()));
    assert!(fields(&protected().await.get("/health").await).contains(&"parts".into()), "this machine is no stranger");
}

#[tokio::test]
async fn this_machine_and_the_key_may_do_all() {
    let run = r#"{"workflow":"echo","input":1}"#;
    let json = ("content-type", "application/json");
    let bearer = format!("Bearer {KEY}");
    for shown in [SHOWN, ("authorization", &bearer)] {
        let reply = from_elsewhere().await.send("POST", "/v1/runs", &[json, shown], run).await;
        assert_eq!(reply.status, 202, "{}", reply.text);
    }
    let client = protected().await;
    assert_eq!(client.send("POST", "/v1/runs", &[json], run).await.status, 202);
    for header in ["forwarded", "x-forwarded-for", "x-real-ip", "via"] {
        let told = (header, "192.0.2.9");
        assert_eq!(client.send("POST", "/v1/runs", &[json, told], run).await.status, 401, "{header}");
        assert_eq!(client.send("POST", "/v1/runs", &[json, told, SHOWN], run).await.status, 202, "{header}");
    }
}

#[tokio::test]
async fn names_and_pages_are_checked_beside_the_key() {
    let client = from_elsewhere().await;
    let host = ("host", "tutti.example");
    assert_eq!(client.send("GET", "/health", &[host], "").await.status, 403);
    assert_eq!(client.send("GET", "/v1/runs", &[host, SHOWN], "").await.status, 200);
    assert_eq!(client.send("GET", "/v1/runs", &[("host", "192.0.2.7:8000"), SHOWN], "").await.status, 200);
    let page = ("origin", "https://evil.example");
    assert_eq!(client.send("POST", "/v1/runs", &[page, SHOWN], "{}").await.status, 403);
    let studio = ("origin", "https://studio.example");
    let asked = [studio, ("access-control-request-method", "POST")];
    let preflight = client.send("OPTIONS", "/v1/runs", &asked, "").await;
    assert!(preflight.status == 204 && preflight.header("access-control-allow-headers").contains("x-api-key"));
    let refused = client.send("GET", "/v1/runs", &[studio], "").await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, "https://studio.example"));
}

#[tokio::test]
async fn peers_are_known_by_their_sockets() {
    let client = protected().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (router, options) = (client.router.clone(), Arc::new(client.options.clone()));
    let serving = tokio::spawn({
        let options = options.clone();
        async move { serve(listener, router, &options).await }
    });
    for (header, status) in [("accept: */*", "200"), ("x-forwarded-for: 192.0.2.9", "401")] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /v1/runs HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{header}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{header}: {answer}");
    }
    options.stop.cancel();
    serving.await.unwrap().unwrap();
}
