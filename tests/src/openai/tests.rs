use super::*;
use crate::client::{Answer, Call, Client};
use crate::provider::Seen;
use tempfile::NamedTempFile;

struct Running {
    client: Client,
    log: Arc<Log>,
    file: NamedTempFile,
}

impl Running {
    async fn start() -> Self {
        let file = NamedTempFile::new().unwrap();
        let log = Log::append(file.path()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::at(&format!("http://{}", listener.local_addr().unwrap()));
        let app = router(Delay { min_ms: 0, max_ms: 0 }, log.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { client, log, file }
    }

    fn ask(&self, model: &str, stream: bool) -> Call {
        let body =
            json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "one two three four"}]});
        self.client.post("/v1/chat/completions", &body).once("run/step")
    }

    async fn answer(&self, model: &str) -> Answer {
        self.ask(model, false).await
    }

    async fn seen(&self, n: u64) -> Vec<Seen> {
        self.log.ended(n).await;
        let text = std::fs::read_to_string(self.file.path()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[tokio::test]
async fn answers_are_deterministic_and_logged() {
    let server = Running::start().await;
    let first = server.answer("test").await.expect(200).json();
    assert_eq!(first, server.answer("test").await.json());
    assert!(first["choices"][0]["message"]["content"].as_str().unwrap().ends_with("I heard one two three four"));
    let seen = server.seen(2).await;
    assert_eq!((seen[0].n, seen[0].answered, seen[0].status), (1, true, 200));
    assert_eq!((seen[0].idempotency_key.as_str(), seen[0].model.as_str()), ("run/step", "test"));
    assert_eq!(seen[0].body_hash, seen[1].body_hash);
    assert!(seen[0].started_at <= seen[0].ended_at);
}

#[tokio::test]
async fn a_stream_says_the_same_in_pieces() {
    let server = Running::start().await;
    let whole = server.answer("test").await.json();
    let text = server.ask("test", true).await.expect(200).text();
    let chunks: Vec<Value> =
        text.lines().filter_map(|l| serde_json::from_str(l.strip_prefix("data: ")?).ok()).collect();
    let said: String = chunks.iter().filter_map(|c| c["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(said, whole["choices"][0]["message"]["content"]);
    assert!(text.ends_with("data: [DONE]\n\n"));
    assert!(server.seen(2).await[1].answered);
}

#[tokio::test]
async fn faults_come_when_they_are_asked_for_and_end_when_they_should() {
    let server = Running::start().await;
    assert_eq!(server.answer("fail-429-x1").await.expect(429).header("retry-after"), "1");
    let _ = server.answer("fail-429-x1").await.expect(200);
    let _ = server.answer("fail-500").await.expect(500);
    let _ = server.answer("fail-500").await.expect(500);
    assert!(serde_json::from_slice::<Value>(&server.answer("fail-garbage").await.expect(200).body).is_err());
    assert!(serde_json::from_slice::<Value>(&server.answer("fail-json").await.expect(200).body).is_err());
    assert_eq!(server.answer("fail-empty").await.json()["choices"], json!([]));
    assert!(server.ask("fail-drop", false).attempt().await.is_err());
    assert!(server.ask("fail-drop", true).attempt().await.is_err());
    let _ = server.client.post("/v1/chat/completions", &json!({"model": "test"})).await.expect(400);
    let seen = server.seen(10).await;
    assert_eq!(seen.iter().filter(|s| !s.answered).count(), 2, "{seen:?}");
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    let server = Running::start().await;
    let call = tokio::spawn(server.ask("fail-hang", false).attempt());
    server.log.begun(1).await;
    call.abort();
    assert!(!server.seen(1).await[0].answered);
}

#[test]
fn delays_are_read_and_bounded() {
    assert_eq!(Delay::parse("10..30"), Some(Delay { min_ms: 10, max_ms: 30 }));
    assert_eq!(Delay::parse("soon"), None);
    let delay = Delay { min_ms: 10, max_ms: 30 };
    assert!((0..=255).all(|b| (10..=30).contains(&delay.of(&[b, 7]).as_millis())));
}
