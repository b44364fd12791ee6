//! What holds for every route.

use crate::client::Client;
use axum::body::Body;
use serde_json::json;

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn other_names_and_other_sites_are_refused() {
    let client = Client::new().await;
    for headers in [
        [("host", "evil.example"), JSON],
        [("host", "localhost:8000"), ("origin", "http://evil.example")],
        [("host", "localhost:8000"), ("sec-fetch-site", "cross-site")],
    ] {
        let reply = client.send("POST", "/v1/runs", &headers, "{}").await;
        assert_eq!((reply.status, reply.class().as_str()), (403, "PermissionDenied"), "{headers:?}");
    }
    assert_eq!(client.send("GET", "/", &[("host", "a"), ("host", "b")], "").await.status, 400);
}

#[tokio::test]
async fn a_configured_origin_may_call() {
    let client = Client::new().await;
    let studio = ("origin", "https://studio.example");
    let asked = [studio, ("access-control-request-method", "POST")];
    let preflight = client.send("OPTIONS", "/v1/runs", &asked, "").await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, "https://studio.example"));
    assert!(preflight.header("access-control-allow-headers").contains("idempotency-key"));
    let reply = client.send("GET", "/patterns", &[studio], "").await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, "https://studio.example"));
    assert_eq!(client.get("/patterns").await.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn every_answer_names_its_request_and_tames_browsers() {
    let client = Client::new().await;
    let mine = client.send("GET", "/health/live", &[("x-request-id", "mine-1")], "").await;
    assert_eq!(mine.header("x-request-id"), "mine-1");
    let reply = client.send("GET", "/nowhere", &[("x-request-id", "not an id")], "").await;
    assert!(reply.header("x-request-id").len() > 16);
    for (name, value) in
        [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"), ("cache-control", "no-store")]
    {
        assert_eq!(reply.header(name), value);
    }
}

#[tokio::test]
async fn unknown_places_and_methods() {
    let client = Client::new().await;
    let reply = client.get("/nowhere").await;
    assert_eq!((reply.status, reply.class().as_str()), (404, "NotFound"));
    let reply = client.send("DELETE", "/v1/runs", &[], "").await;
    assert_eq!((reply.status, reply.class().as_str()), (405, "MethodNotAllowed"));
    assert_eq!(reply.header("allow"), "GET,HEAD,POST");
    assert_eq!(client.send("HEAD", "/patterns", &[], "").await.status, 200);
}

#[tokio::test]
async fn bodies_must_be_json_of_a_bounded_size() {
    let client = Client::new().await;
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let reply = client.send("POST", "/orchestrate", &[("content-type", content_type)], "{}").await;
        assert_eq!((reply.status, reply.class().as_str()), (415, "UnsupportedMediaType"), "{content_type}");
    }
    assert_eq!(client.send("POST", "/orchestrate", &[], "{}").await.status, 415);
    let large = json!({"workflow": "echo", "input": "x".repeat(65 * 1024)}).to_string();
    let reply = client.send("POST", "/v1/runs", &[JSON], large.clone()).await;
    assert_eq!((reply.status, reply.class().as_str()), (413, "PayloadTooLarge"));
    let said = (large.len() + 1).to_string();
    let reply = client.send("POST", "/v1/runs", &[JSON, ("content-length", &said)], Body::empty()).await;
    assert_eq!(reply.status, 413, "refused before it is read");
}

#[tokio::test]
async fn bodies_must_be_sound_json() {
    let client = Client::new().await;
    let deep = format!("{{\"input\":{}1{}}}", "[".repeat(100), "]".repeat(100));
    for (body, found) in [
        ("{\"workflow\": ", vec!["body.12: the body is not JSON: EOF while parsing a value"]),
        ("", vec!["body: field required"]),
        ("null", vec!["body: field required"]),
        ("[1]", vec!["body: value is not a valid dict"]),
        (r#"{"workflow":"ec\u0000ho"}"#, vec!["body.workflow: U+0000 is not allowed in a text"]),
        (deep.as_str(), vec!["body: the body nests deeper than 64 levels"]),
    ] {
        assert_eq!(client.send("POST", "/v1/runs", &[JSON], body.to_owned()).await.detail(), found, "{body}");
    }
    let reply = client.send("POST", "/v1/runs", &[JSON], vec![b'"', 0xff, b'"']).await;
    assert_eq!((reply.status, reply.class().as_str()), (400, "BadRequest"));
}

#[tokio::test]
async fn heads_are_bounded() {
    let client = Client::new().await;
    let long = "x".repeat(17 * 1024);
    let reply = client.send("GET", "/", &[("x-long", &long)], "").await;
    assert_eq!((reply.status, reply.class().as_str()), (431, "HeadersTooLarge"));
    let reply = client.get(&format!("/v1/runs?cursor={}", "x".repeat(9_000))).await;
    assert_eq!((reply.status, reply.class().as_str()), (400, "BadRequest"));
}

#[tokio::test]
async fn problem_details_for_those_who_ask() {
    let client = Client::new().await;
    let accept = ("accept", "application/json, application/problem+json");
    let reply = client.send("GET", "/v1/runs/x", &[accept], "").await;
    assert_eq!((reply.status, reply.header("content-type")), (404, "application/problem+json"));
    assert_eq!(reply.json()["title"], "NotFound");
    let reply = client.send("POST", "/v1/runs", &[accept, JSON], "{}").await;
    assert_eq!((&reply.json()["status"], &reply.json()["errors"][0]["msg"]), (&json!(422), &json!("field required")));
}
