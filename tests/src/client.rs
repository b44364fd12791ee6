//! A client of the API, as a user would write one: it asks, it retries when the connection is lost, it follows streams.

use crate::journal::Run;
use crate::sse::Reader;
use crate::{WAIT_MAX, in_time};
use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::fmt::{Debug, Display};
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use tokio::sync::watch;

/// Where a server is now: how often it was started, and its address while it is up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// How often it was started.
    pub generation: u64,
    /// `http://127.0.0.1:PORT`; `None` while it is down.
    pub url: Option<String>,
}

/// Talks to one server, over all its restarts.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    place: watch::Receiver<Place>,
}

/// The connection was refused or broke: whether the request was taken is not known.
#[derive(Debug)]
pub struct Lost {
    /// The server's generation that was asked.
    pub generation: u64,
    /// What the connection said.
    pub why: String,
}

impl Client {
    /// A client of the server that `place` tells of.
    ///
    /// # Panics
    /// When no HTTP client can be built.
    #[must_use]
    pub fn new(place: watch::Receiver<Place>) -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        Self { http: http.timeout(WAIT_MAX).build().expect("an HTTP client"), place }
    }

    /// A client of a server that stays where it is.
    #[must_use]
    pub fn at(url: &str) -> Self {
        let (_, place) = watch::channel(Place { generation: 1, url: Some(url.into()) });
        Self::new(place)
    }

    /// Begins a request.
    pub fn call(&self, method: Method, path: impl Display) -> Call {
        Call { client: self.clone(), method, path: path.to_string(), headers: HeaderMap::new(), body: None }
    }

    /// Begins a GET.
    pub fn get(&self, path: impl Display) -> Call {
        self.call(Method::GET, path)
    }

    /// Begins a POST of JSON.
    pub fn post(&self, path: impl Display, body: &Value) -> Call {
        self.call(Method::POST, path).header("content-type", "application/json").body(body.to_string())
    }

    /// `POST /orchestrate`, which must answer with a result.
    pub async fn orchestrate(&self, body: &Value) -> Value {
        self.post("/orchestrate", body).await.expect(200).json()
    }

    /// A run with its journal.
    pub async fn run(&self, run_id: &str) -> Run {
        Run::of(&self.get(format_args!("/v1/runs/{run_id}")).await.expect(200).json())
    }

    /// A run's events after `after`; `None` where there are none and will be none (204).
    pub async fn events(&self, run_id: &str, after: u64) -> Option<Reader> {
        self.try_events(run_id, after).await.unwrap_or_else(|lost| panic!("the connection broke: {}", lost.why))
    }

    /// As [`events`](Self::events), over a connection that may break.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn try_events(&self, run_id: &str, after: u64) -> Result<Option<Reader>, Lost> {
        let mut call = self.get(format_args!("/v1/runs/{run_id}/events"));
        if after > 0 {
            call = call.header("last-event-id", after);
        }
        let (response, generation) = call.respond().await?;
        match response.status() {
            StatusCode::OK => Ok(Some(Reader::new(response, generation))),
            StatusCode::NO_CONTENT => Ok(None),
            status => panic!("following {run_id} after {after} answered {status}: {:?}", response.text().await),
        }
    }

    /// A run's events after `after`, if this server answers at all: `Some(None)` where there will be none (204).
    ///
    /// # Panics
    /// When it answers anything but events, 204 or 503.
    pub async fn read_events(&self, run_id: &str, after: u64) -> Option<Option<Reader>> {
        let mut call = self.get(format_args!("/v1/runs/{run_id}/events"));
        if after > 0 {
            call = call.header("last-event-id", after);
        }
        let (response, generation) = call.respond().await.ok()?;
        match response.status() {
            StatusCode::OK => Some(Some(Reader::new(response, generation))),
            StatusCode::NO_CONTENT => Some(None),
            StatusCode::SERVICE_UNAVAILABLE => None,
            status => panic!("following {run_id} after {after} answered {status}: {:?}", response.text().await),
        }
    }

    /// Waits until the server is up again after it was lost.
    pub async fn returned(&self, lost: &Lost) {
        let mut place = self.place.clone();
        let up = place.wait_for(|place| place.generation > lost.generation && place.url.is_some());
        let why = format!("the server to come back after a lost connection ({})", lost.why);
        in_time(&why, up).await.unwrap_or_else(|_| panic!("the server was given up while a client waited for it"));
    }

    /// Where the server is, waiting until it is up.
    async fn place(&self) -> (String, u64) {
        let mut place = self.place.clone();
        let up = in_time("the server to be up", place.wait_for(|place| place.url.is_some())).await;
        let place = up.unwrap_or_else(|_| panic!("the server is down for good"));
        (place.url.clone().unwrap_or_default(), place.generation)
    }
}

/// A request being made; awaiting it sends it.
#[derive(Debug, Clone)]
#[must_use]
pub struct Call {
    client: Client,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Option<Bytes>,
}

impl Call {
    /// With a header, in place of one of that name.
    ///
    /// # Panics
    /// When it is no header.
    pub fn header(mut self, name: &str, value: impl Display) -> Self {
        let name: HeaderName = name.parse().expect("a header's name");
        self.headers.insert(name, HeaderValue::from_str(&value.to_string()).expect("a header's value"));
        self
    }

    /// Without a header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// With these bytes as its body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// With a once-key.
    pub fn once(self, key: impl Display) -> Self {
        self.header("idempotency-key", key)
    }

    /// Sends it over a connection that may break.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn attempt(self) -> Result<Answer, Lost> {
        let what = format!("{} {}", self.method, self.path);
        let (response, generation) = self.respond().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.map_err(|e| lost(generation, &e))?;
        Ok(Answer { what, status, headers, body })
    }

    /// Sends it, again and again while the connection breaks: only for requests that may be repeated.
    pub async fn persist(self) -> Answer {
        loop {
            match self.clone().attempt().await {
                Ok(answer) => return answer,
                Err(lost) => self.client.returned(&lost).await,
            }
        }
    }

    /// Sends it and follows the events it answers with.
    pub async fn stream(self) -> Reader {
        let what = format!("{} {}", self.method, self.path);
        self.try_stream().await.unwrap_or_else(|lost| panic!("{what}: {}", lost.why))
    }

    /// As [`stream`](Self::stream), over a connection that may break.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn try_stream(self) -> Result<Reader, Lost> {
        let what = format!("{} {}", self.method, self.path);
        let (response, generation) = self.respond().await?;
        assert_eq!(response.status(), StatusCode::OK, "{what}: {:?}", response.text().await);
        Ok(Reader::new(response, generation))
    }

    async fn respond(self) -> Result<(reqwest::Response, u64), Lost> {
        let (url, generation) = self.client.place().await;
        let request = self.client.http.request(self.method, format!("{url}{}", self.path)).headers(self.headers);
        let request = match self.body {
            Some(body) => request.body(body),
            None => request,
        };
        let response = request.send().await.map_err(|e| lost(generation, &e))?;
        Ok((response, generation))
    }
}

fn lost(generation: u64, error: &reqwest::Error) -> Lost {
    assert!(!error.is_timeout(), "no answer within {} s: {error:?}", WAIT_MAX.as_secs());
    Lost { generation, why: format!("{error:?}") }
}

impl IntoFuture for Call {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let what = format!("{} {}", self.method, self.path);
        Box::pin(async move { self.attempt().await.unwrap_or_else(|lost| panic!("{what}: {}", lost.why)) })
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    what: String,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// This answer, which must have that status.
    ///
    /// # Panics
    /// When it has another one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.what, self.text());
        self
    }

    /// Its body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Its body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{}: {e} in {:?}", self.what, self.text()))
    }

    /// A header's text; empty where it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap_or("(not text)"))
    }

    /// The places of a 422's errors, e.g. `body.agents.0`, in order.
    ///
    /// # Panics
    /// When this is not a validation error in the contract's shape.
    #[must_use]
    #[track_caller]
    pub fn wrong(&self) -> Vec<String> {
        self.details().into_iter().map(|(place, _)| place).collect()
    }

    /// The places and sentences of a 422's errors, in order.
    ///
    /// # Panics
    /// When this is not a validation error in the contract's shape.
    #[must_use]
    #[track_caller]
    pub fn details(&self) -> Vec<(String, String)> {
        assert_eq!(self.status, 422, "{}: {}", self.what, self.text());
        let body = self.json();
        let detail = body["detail"].as_array().unwrap_or_else(|| panic!("{}: no detail in {body}", self.what)).clone();
        detail.iter().map(|error| (place(&error["loc"]), said(error))).collect()
    }

    /// The class of an error in the contract's shape, whose other fields must be there too.
    ///
    /// # Panics
    /// When the body has another shape.
    #[must_use]
    #[track_caller]
    pub fn class(&self) -> String {
        let body = self.json();
        for field in ["error", "message", "timestamp", "request_id"] {
            assert!(body[field].is_string(), "{}: no {field} in {body}", self.what);
        }
        assert_eq!(body["request_id"], self.header("x-request-id"), "{}", self.what);
        body["error"].as_str().unwrap_or_default().into()
    }
}

fn place(loc: &Value) -> String {
    let parts = loc.as_array().expect("loc is a list").iter();
    let parts = parts.map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned));
    parts.collect::<Vec<_>>().join(".")
}

fn said(error: &Value) -> String {
    assert!(error["type"].is_string(), "no type in {error}");
    error["msg"].as_str().unwrap_or_else(|| panic!("no msg in {error}")).into()
}
