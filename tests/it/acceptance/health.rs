//! `/health…`, `/`, `/openapi.json`, and what every answer carries.

use serde_json::Value;
use tutti_tests::journal::time_ms;
use tutti_tests::server::Server;

#[tokio::test]
async fn health_says_how_it_is() {
    let server = Server::start().await;
    let health = server.client().get("/health").await.expect(200).json();
    assert_eq!(health["status"], "healthy");
    assert!(health["version"].is_string() && health["parts"].is_object() && health["configuration"].is_object());
    assert!(time_ms(&health["timestamp"]) > 0);
}

#[tokio::test]
async fn live_and_ready_answer() {
    let server = Server::start().await;
    for path in ["/health/live", "/health/ready"] {
        let _ = server.client().get(path).await.expect(200);
    }
}

#[tokio::test]
async fn it_listens_on_loopback_only() {
    let server = Server::start().await;
    let port = u16::try_from(server.url().rsplit(':').next().unwrap().parse::<u32>().unwrap()).unwrap();
    // Local addresses of sockets that listen, in hex, as the kernel tells them.
    let tcp = std::fs::read_to_string(format!("/proc/{}/net/tcp", server.pid())).unwrap();
    let listening: Vec<&str> = tcp.lines().filter(|l| l.contains(&format!(":{port:04X} 00000000:0000 0A"))).collect();
    assert!(!listening.is_empty() && listening.iter().all(|l| l.contains("0100007F:")), "{listening:?}");
}

#[tokio::test]
async fn the_api_describes_itself() {
    let server = Server::start().await;
    let api = server.client().get("/").await.expect(200).json();
    assert!(api.is_object());
    let openapi = server.client().get("/openapi.json").await.expect(200).json();
    assert!(openapi["openapi"].as_str().unwrap().starts_with("3."));
    let paths = openapi["paths"].as_object().unwrap();
    for path in
        ["/orchestrate", "/orchestrate/stream", "/v1/runs", "/v1/runs/{id}/events", "/v1/runs/{id}/cancel", "/health"]
    {
        assert!(paths.contains_key(path), "{path} is not described");
    }
}

#[tokio::test]
async fn every_route_that_is_described_is_there() {
    let server = Server::start().await;
    let openapi = server.client().get("/openapi.json").await.json();
    for (path, item) in openapi["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|key| key.as_str() != "parameters") {
            let method = method.to_uppercase().parse().unwrap();
            let path = path.replace("{id}", "01890000-0000-7000-8000-000000000000");
            let answer = server.client().call(method, &path).await;
            assert!(answer.status != 405 && answer.status < 500, "{path}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn every_pattern_comes_with_an_example_that_runs() {
    let server = Server::start().await;
    let patterns = server.client().get("/patterns").await.expect(200).json();
    let items = patterns["items"].as_array().unwrap_or_else(|| panic!("no items in {patterns}"));
    let names: Vec<_> = items.iter().filter_map(|p| p["name"].as_str()).collect();
    assert!(names.contains(&"sequential") && names.contains(&"concurrent"), "{names:?}");
    for pattern in items {
        let result = server.client().orchestrate(&pattern["example"]).await;
        assert_eq!(result["status"], "completed", "{result}");
    }
}

#[tokio::test]
async fn a_request_id_is_given_or_echoed() {
    let server = Server::start().await;
    assert!(!server.client().get("/health").await.header("x-request-id").is_empty());
    let answer = server.client().get("/nowhere").header("x-request-id", "mine-7").await.expect(404);
    assert_eq!(answer.header("x-request-id"), "mine-7");
    assert_eq!(answer.class(), "NotFound");
}

#[tokio::test]
async fn answers_are_not_for_caches_frames_or_sniffers() {
    let server = Server::start().await;
    let answer = server.client().get("/v1/runs").await.expect(200);
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.header("content-security-policy").contains("default-src"));
    assert!(answer.header("cache-control").contains("no-store"));
    let body: Value = answer.json();
    assert_eq!(body["items"], Value::Array(vec![]));
}
