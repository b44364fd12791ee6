//! `/health`, `/health/live`, `/health/ready`.

use crate::client::Client;
use std::time::Duration;

#[tokio::test]
async fn a_running_server_is_well() {
    let client = Client::new().await;
    let body = client.get("/health").await.json();
    assert_eq!(body["status"], "healthy");
    assert_eq!(body["parts"]["store"]["status"], "healthy");
    assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(client.get("/health/live").await.status, 200);
    assert_eq!(client.get("/health/ready").await.status, 200);
}

#[tokio::test]
async fn a_stopping_server_is_not_ready() {
    let client = Client::new().await;
    client.engine.shutdown(Duration::ZERO).await;
    assert_eq!(client.get("/health").await.json()["status"], "degraded");
    let reply = client.get("/health/ready").await;
    assert_eq!((reply.status, reply.class().as_str()), (503, "Unavailable"));
    assert!(!reply.header("retry-after").is_empty());
    assert_eq!(client.get("/health/live").await.status, 200);
    let reply = client.post("/v1/runs", &serde_json::json!({"workflow": "echo"})).await;
    assert_eq!((reply.status, reply.class().as_str()), (503, "Unavailable"));
}
