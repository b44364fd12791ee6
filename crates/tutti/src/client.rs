//! The command line's way to a server: JSON over HTTP, and event streams that survive a cut.

pub mod failure;
pub mod follow;

pub use self::failure::Failure;
pub use self::follow::{Event, Follow, Heard};

use crate::config::Access;
use crate::show::{self, progress::Progress};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_MATCH, LOCATION, RETRY_AFTER};
use reqwest::{Method, Response, Url};
use secrecy::ExposeSecret;
use serde_json::Value;
use std::io::IsTerminal;
use std::time::Duration;
use tokio::time::Instant;

/// An answer longer than this is not read.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longer than the longest `wait` of the API.
const ANSWER_WAIT_S_MAX: u64 = 330;

/// Speaks to one server.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    access: Access,
}

impl Client {
    /// A client of the server that `access` names.
    pub fn new(access: Access) -> Result<Self, Failure> {
        let parsed = Url::parse(&access.url).ok().filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
        let Some(url) = parsed else {
            return Err(Failure::Address { url: access.url });
        };
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("tutti/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5));
        if url.scheme() == "http" {
            // Without TLS the machine's certificates need not be there, nor be loaded.
            builder = builder.tls_certs_only([]);
        }
        if matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]")) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|e| Failure::unreachable(&access.url, &e))?;
        Ok(Self { http, access })
    }

    /// The server's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.access.url
    }

    /// Whether a server of ours answers there.
    pub async fn answers(&self) -> bool {
        let request = self.request(Method::GET, "/health/live").timeout(Duration::from_secs(5));
        request.send().await.is_ok_and(|response| response.status().is_success())
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None).await
    }

    /// Reads an answer that is no JSON.
    pub async fn text(&self, path: &str) -> Result<String, Failure> {
        let response = self.accepted(self.send(Method::GET, path, None).await?).await?;
        Ok(String::from_utf8_lossy(&self.body(response).await?).into_owned())
    }

    /// Posts a body.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Posts a body that counts once, however often it is sent under this key.
    pub async fn post_once(&self, path: &str, body: &Value, key: &str) -> Result<Value, Failure> {
        let request = self.request(Method::POST, path).header("idempotency-key", key);
        let request = request.timeout(Duration::from_secs(ANSWER_WAIT_S_MAX));
        let request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        let response = request.send().await.map_err(|e| Failure::unreachable(self.url(), &e))?;
        self.read(self.accepted(response).await?).await
    }

    /// Puts a body.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// Puts a body, with a version that what is there must have.
    pub async fn put_if(&self, path: &str, body: &Value, tag: Option<&str>) -> Result<Value, Failure> {
        let mut request = self.request(Method::PUT, path).timeout(Duration::from_secs(ANSWER_WAIT_S_MAX));
        if let Some(tag) = tag {
            request = request.header(IF_MATCH, tag);
        }
        let request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        let response = patiently(self.url(), request.send()).await.map_err(|e| Failure::unreachable(self.url(), &e))?;
        self.read(self.accepted(response).await?).await
    }

    /// Posts a form.
    pub async fn upload(&self, path: &str, parts: &[Part]) -> Result<Value, Failure> {
        let boundary = boundary(parts);
        let kind = format!("multipart/form-data; boundary={boundary}");
        let request = self.request(Method::POST, path).header(ACCEPT, "application/json").header(CONTENT_TYPE, kind);
        let request = request.timeout(Duration::from_secs(ANSWER_WAIT_S_MAX)).body(form(parts, &boundary));
        let response = patiently(self.url(), request.send()).await.map_err(|e| Failure::unreachable(self.url(), &e))?;
        self.read(self.accepted(response).await?).await
    }

    /// Posts a body for an answer that is no JSON.
    pub async fn post_text(&self, path: &str, body: &Value) -> Result<String, Failure> {
        let response = self.accepted(self.send(Method::POST, path, Some(body)).await?).await?;
        Ok(String::from_utf8_lossy(&self.body(response).await?).into_owned())
    }

    /// Deletes.
    pub async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::DELETE, path, None).await
    }

    /// The status and body of a GET, whatever the status.
    pub async fn look(&self, path: &str) -> Result<(u16, Value), Failure> {
        let response = self.send(Method::GET, path, None).await?;
        let status = response.status().as_u16();
        let bytes = self.body(response).await?;
        let value = serde_json::from_slice(&bytes).map_err(|_| Failure::strange(self.url(), status))?;
        Ok((status, value))
    }

    /// Starts a stream by a POST. The stream resumes by itself at the place the answer's `Location` names.
    pub async fn stream(&self, path: &str, body: &Value) -> Result<Follow, Failure> {
        let request = self.request(Method::POST, path).header(ACCEPT, "text/event-stream");
        let request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        let response = patiently(self.url(), request.send()).await.map_err(|e| Failure::unreachable(self.url(), &e))?;
        let response = self.accepted(response).await?;
        let resume = response.headers().get(LOCATION).and_then(|l| l.to_str().ok());
        let resume = resume.map(|location| self.path_of(location));
        Ok(Follow::opened(self.clone(), resume, response))
    }

    /// Follows the events of a run after number `after`.
    #[must_use]
    pub fn follow(&self, run_id: &str, after: Option<u64>) -> Follow {
        Follow::new(self.clone(), format!("/v1/runs/{}/events", segment(run_id)), after)
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let response = self.send(method, path, body).await?;
        self.read(self.accepted(response).await?).await
    }

    async fn read(&self, response: Response) -> Result<Value, Failure> {
        let status = response.status().as_u16();
        let bytes = self.body(response).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|_| Failure::strange(self.url(), status))
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response, Failure> {
        let mut request = self.request(method, path).header(ACCEPT, "application/json");
        request = request.timeout(Duration::from_secs(ANSWER_WAIT_S_MAX));
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        patiently(self.url(), request.send()).await.map_err(|e| Failure::unreachable(self.url(), &e))
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let mut request = self.http.request(method, format!("{}{path}", self.access.url));
        if let Some(key) = &self.access.key {
            request = request.header(AUTHORIZATION, format!("Bearer {}", key.expose_secret()));
        }
        request
    }

    async fn accepted(&self, response: Response) -> Result<Response, Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        let bytes = self.body(response).await?;
        Err(Failure::answered(self.url(), status.as_u16(), retry_after, &bytes))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| Failure::unreachable(self.url(), &e))? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Failure::strange(self.url(), response.status().as_u16()));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// A `Location` as a path below the server's address; another server's address is not followed.
    fn path_of(&self, location: &str) -> String {
        location.strip_prefix(self.url()).unwrap_or(location).to_owned()
    }
}

/// A part of a form.
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// What the file is called, if it is one.
    pub file: Option<String>,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// A line that stands in no part.
fn boundary(parts: &[Part]) -> String {
    let mut boundary = String::from("tutti");
    while parts.iter().any(|part| part.bytes.windows(boundary.len()).any(|bytes| bytes == boundary.as_bytes())) {
        boundary.push_str("-x");
    }
    boundary
}

fn form(parts: &[Part], boundary: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for Part { name, file, bytes } in parts {
        body.extend(format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"").bytes());
        if let Some(file) = file {
            let plain: String = file.chars().filter(|c| !c.is_control() && *c != '"' && *c != '\\').collect();
            body.extend(format!("; filename=\"{plain}\"").bytes());
        }
        body.extend(b"\r\n\r\n");
        body.extend(bytes);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{boundary}--\r\n").bytes());
    body
}

/// Waits, with a sign of life on stderr when it takes longer than a second.
async fn patiently<T>(url: &str, work: impl Future<Output = T>) -> T {
    let mut progress = Progress::new(std::io::stderr().is_terminal());
    progress.doing(&format!("waiting for {url}"));
    let begin = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => {
                show::err(progress.clear());
                return done;
            }
            _ = tick.tick() => show::err(&progress.tick(begin.elapsed())),
        }
    }
}

/// Text as one segment of a path.
#[must_use]
pub fn segment(text: &str) -> String {
    let mut url = Url::parse("http://h").ok();
    if let Some(mut segments) = url.as_mut().and_then(|u| u.path_segments_mut().ok()) {
        segments.push(text);
    }
    url.map_or_else(String::new, |u| u.path().trim_start_matches('/').to_owned())
}

/// A query string of the pairs that have a value.
#[must_use]
pub fn query(pairs: &[(&str, Option<String>)]) -> String {
    let Ok(mut url) = Url::parse("http://h") else { return String::new() };
    for (name, value) in pairs {
        if let Some(value) = value {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    url.query().map_or_else(String::new, |q| format!("?{q}"))
}
