//! A small HTTP server that answers as a test says, and an activity context that calls it through the real egress.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::{get, post};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tutti_agents::egress::{Egress, EgressPolicy};
use tutti_agents::model::{Chat, ChatMessage, ChatReply, ChatRequest, Provider, ProviderRef, Providers, install};
use tutti_engine::activity::{Activity, ActivityCx, ActivityError, DeltaSink};
use tutti_engine::run::{Owner, Time};

/// Wed, 21 Oct 2015 07:28:00 GMT.
pub const NOW: Time = Time(1_445_412_480_000);

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub headers: HeaderMap,
    pub body: Value,
}

/// What the server answers.
pub type Answer = Response<Body>;

pub struct Server {
    pub base_url: String,
    pub seen: Arc<Mutex<Vec<Seen>>>,
}

/// Serves `answer` (told the number of the request, from 1) wherever this crate asks.
pub async fn serve(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Server {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let answer = Arc::new(answer);
    let handler = move |headers: HeaderMap, body: Bytes| {
        let (log, answer) = (log.clone(), answer.clone());
        async move {
            let body = serde_json::from_slice(&body).unwrap_or_default();
            let n = {
                let mut log = log.lock().unwrap();
                log.push(Seen { headers, body });
                log.len()
            };
            answer(n)
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/v1/chat/completions", post(handler.clone()))
        .route("/v1/messages", post(handler.clone()))
        .route("/v1/models", get(handler.clone()))
        .route("/v1/ask", post(handler));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Server { base_url, seen }
}

pub fn answer(status: u16, kind: &str, body: impl Into<Body>) -> Answer {
    let builder = Response::builder().status(StatusCode::from_u16(status).unwrap());
    builder.header("content-type", kind).body(body.into()).unwrap()
}

pub fn json(body: impl Into<Body>) -> Answer {
    answer(200, "application/json", body)
}

/// The text in pieces of `size` bytes, each flushed on its own.
pub fn pieces(text: &str, size: usize) -> Answer {
    let all: Vec<Result<Bytes, std::io::Error>> =
        text.as_bytes().chunks(size).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    answer(200, "text/event-stream", Body::from_stream(stream::iter(all)))
}

/// A server that streams the text, breaks off, and is gone.
pub async fn serve_cut(text: &str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    // The promised length never comes.
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99999\r\n\r\n";
    let answer = format!("{head}{text}");
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut socket = BufReader::new(socket);
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            socket.read_line(&mut line).await.unwrap();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        socket.read_exact(&mut vec![0; length]).await.unwrap();
        socket.write_all(answer.as_bytes()).await.unwrap();
    });
    base_url
}

/// The text, then nothing more and no end.
pub fn stall(text: &str) -> Answer {
    let first = stream::iter([Ok::<_, std::io::Error>(Bytes::copy_from_slice(text.as_bytes()))]);
    answer(200, "text/event-stream", Body::from_stream(first.chain(stream::pending())))
}

/// The text again and again.
pub fn endless(text: &'static str) -> Answer {
    let again = stream::repeat_with(move || Ok::<_, std::io::Error>(Bytes::from_static(text.as_bytes())));
    answer(200, "text/event-stream", Body::from_stream(again))
}

/// Remembers the pieces of an answer.
#[derive(Default)]
pub struct Pieces(Mutex<Vec<String>>);

impl Pieces {
    pub fn text(&self) -> String {
        self.0.lock().unwrap().concat()
    }

    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl DeltaSink for Pieces {
    fn push(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }

    fn pushed(&self) -> usize {
        self.text().len()
    }
}

/// One call's surroundings.
pub struct Ask {
    name: String,
    pub cx: ActivityCx,
    pub pieces: Arc<Pieces>,
}

/// A provider under a name of its own, reached through the real egress.
pub fn ask(name: &str, provider: Provider) -> Ask {
    let policy = EgressPolicy::parse("", &[&provider.base_url]).unwrap();
    install(Providers::only(name, provider)).unwrap();
    let cx = ActivityCx {
        outbound: Arc::new(Egress::new(policy)),
        idempotency_key: Some("run-1/ask".into()),
        attempt: 1,
        is_paid: false,
        now: NOW,
        deadline: None,
        deltas: None,
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        session: None,
        owner: Owner::local(),
    };
    Ask { name: name.to_owned(), cx, pieces: Arc::default() }
}

impl Ask {
    pub fn streamed(mut self) -> Self {
        self.cx.deltas = Some(self.pieces.clone());
        self
    }

    pub async fn request(&self, request: ChatRequest) -> Result<ChatReply, ActivityError> {
        Chat { provider: ProviderRef::named(&self.name), request }.run(self.cx.clone()).await
    }

    pub async fn say(&self, text: &str) -> Result<ChatReply, ActivityError> {
        self.request(question(text)).await
    }
}

pub fn question(text: &str) -> ChatRequest {
    ChatRequest { messages: vec![ChatMessage::user(text)], ..ChatRequest::default() }
}
