//! A client that reads like a sentence, speaking to a router on an engine in memory.

use crate::workflows::registry;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use http::{HeaderMap, Request};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use tower::ServiceExt;
use tutti_app::App;
use tutti_engine::driver::{Engine, Options, Ports, Recall};
use tutti_engine::memory::outbound::NoOutbound;
use tutti_server::{ServerOptions, router};

pub struct Client {
    pub router: Router,
    pub options: ServerOptions,
    pub engine: Engine,
    /// Where requests seem to come from.
    pub peer: SocketAddr,
}

pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Client {
    pub async fn new() -> Self {
        Self::with(ServerOptions::default()).await
    }

    /// Of a server with these options, but for what all tests share.
    pub async fn with(options: ServerOptions) -> Self {
        let base = options;
        let ports = Ports::in_memory(Arc::new(NoOutbound));
        let recall = Recall(Arc::new(tutti_workflows::recall::recall));
        let options = Options { recall, ..Options::default() };
        let engine = Engine::start(ports, registry(), options).await.unwrap();
        let app = App::new(engine.clone(), tutti_app::Options::default());
        let options =
            ServerOptions { body_bytes_max: 64 * 1024, origins: vec!["https://studio.example".into()], ..base };
        Self { router: router(app, options.clone()), options, engine, peer: ([127, 0, 0, 1], 4000).into() }
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
        let response = self.open(method, path, headers, body).await;
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// As [`send`](Self::send), without reading the body.
    pub async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> axum::response::Response {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "localhost:8000");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.extension(ConnectInfo(self.peer)).body(body.into()).unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], Body::empty()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_with(path, &[], body).await
    }

    pub async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        let json = [("content-type", "application/json")];
        self.send("POST", path, &[&json, headers].concat(), body.to_string()).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, &[], Body::empty()).await
    }

    /// Starts a run and answers its id.
    pub async fn start(&self, body: &Value) -> String {
        let reply = self.post("/v1/runs", body).await;
        assert_eq!(reply.status, 202, "{}", reply.text);
        reply.json()["run_id"].as_str().unwrap().to_owned()
    }

    /// Follows a run until an event of this kind has come; answers its data.
    pub async fn until(&self, run: &str, kind: &str) -> Value {
        use futures_util::StreamExt;
        let response = self.open("GET", &format!("/v1/runs/{run}/events"), &[], Body::empty()).await;
        let mut pieces = response.into_body().into_data_stream();
        let mut text = String::new();
        while let Some(piece) = pieces.next().await {
            text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
            if let Some(event) = events(&text).into_iter().find(|e| e.kind == kind) {
                return event.data;
            }
        }
        panic!("run {run} ended without {kind}: {text}");
    }
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// Every error of a 422 as `body.path: sentence`.
    pub fn detail(&self) -> Vec<String> {
        assert_eq!(self.status, 422, "{}", self.text);
        let all = self.json()["detail"].as_array().unwrap().clone();
        let step = |l: &Value| l.as_str().map_or_else(|| l.to_string(), String::from);
        let path = |e: &Value| e["loc"].as_array().unwrap().iter().map(step).collect::<Vec<_>>().join(".");
        all.iter().map(|e| format!("{}: {}", path(e), e["msg"].as_str().unwrap())).collect()
    }

    /// The class of any other failure, whose body must be complete.
    pub fn class(&self) -> String {
        let body = self.json();
        assert_eq!(body["request_id"], self.header("x-request-id"));
        assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
        assert!(!body["message"].as_str().unwrap().is_empty());
        body["error"].as_str().unwrap().to_owned()
    }

    pub fn events(&self) -> Vec<Event> {
        events(&self.text)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub id: u32,
    pub kind: String,
    pub data: Value,
}

/// Complete events in a stream's text; comments are left out.
pub fn events(text: &str) -> Vec<Event> {
    let complete = text.rfind("\n\n").map_or("", |end| &text[..end]);
    let field = |block: &str, name: &str| block.lines().find_map(|l| l.strip_prefix(name).map(String::from));
    let read = |block: &str| {
        Some(Event {
            id: field(block, "id: ")?.parse().unwrap(),
            kind: field(block, "event: ")?,
            data: serde_json::from_str(&field(block, "data: ")?).unwrap(),
        })
    };
    complete.split("\n\n").filter_map(read).collect()
}
