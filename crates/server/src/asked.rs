//! A request as handlers read it: who asks, its query and headers, its body. What is wrong with any of them is gathered and
//! told together with what is wrong in the body.

use crate::body;
use crate::failure::Failed;
use crate::query::{self, Query};
use crate::{ServerOptions, Shared};
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Request};
use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use serde_json::Value;
use std::time::Duration;
use tutti_app::{Caller, Class, Failure, FieldError, json};

const ONCE_KEY_BYTES_MAX: usize = 255;

/// A request being read.
pub struct Asked {
    /// Who asks.
    pub caller: Caller,
    parts: Parts,
    body: Option<Body>,
    wrong: Vec<FieldError>,
}

impl Asked {
    /// Begins to read a request that has passed the guard.
    pub fn new(request: Request) -> Self {
        let (mut parts, body) = request.into_parts();
        // Without the guard nobody is known, and nobody may do anything.
        let nobody = || Caller { roles: tutti_app::Roles::NONE, ..Caller::local() };
        let caller = parts.extensions.remove::<Caller>().unwrap_or_else(nobody);
        let mut asked = Self { caller, parts, body: Some(body), wrong: Vec::new() };
        asked.read_once_key();
        asked
    }

    fn read_once_key(&mut self) {
        let Some(key) = self.parts.headers.get("idempotency-key") else { return };
        let text = key.to_str().unwrap_or_default();
        if (1..=ONCE_KEY_BYTES_MAX).contains(&text.len()) {
            self.caller.once_key = Some(text.into());
        } else {
            let msg = format!("Idempotency-Key must have 1 to {ONCE_KEY_BYTES_MAX} visible ASCII characters");
            self.wrong.push(FieldError::value(vec!["header".into(), "idempotency-key".into()], msg));
        }
    }

    /// The query, for reading one of its values.
    pub fn query(&mut self) -> Query<'_> {
        Query::new(&self.parts.uri, &mut self.wrong)
    }

    /// Whether the client wants to wait for the end, and for how long: `?wait=`, else `Prefer: wait=`.
    pub fn wait(&mut self) -> Option<Duration> {
        let preferred = query::preferred_wait(&self.parts.headers);
        self.query().wait().or(preferred)
    }

    /// The request's headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// Where something wrong outside the body goes.
    pub fn wrong(&mut self, error: FieldError) {
        self.wrong.push(error);
    }

    /// The body as JSON; `null` when there is none. Its own faults join the others in [`settle`](Self::settle).
    pub async fn body(&mut self, shared: &Shared) -> Result<Value, Failure> {
        self.read_body(&shared.options).await
    }

    async fn read_body(&mut self, options: &ServerOptions) -> Result<Value, Failure> {
        let Some(body) = self.body.take() else { return Ok(Value::Null) };
        let bytes = body::read(&self.parts.headers, body, options).await?;
        match json::read(&bytes) {
            Ok((value, wrong)) => {
                self.wrong.extend(wrong);
                Ok(value)
            }
            Err(failure) => self.settle(Err(failure)),
        }
    }

    /// The body as it came, of at most so many bytes.
    pub async fn bytes(&mut self, shared: &Shared, bytes_max: usize) -> Result<Bytes, Failure> {
        let Some(body) = self.body.take() else { return Ok(Bytes::new()) };
        body::read_any(&self.parts.headers, body, &shared.options, bytes_max).await
    }

    /// The body of a request that needs one.
    pub async fn required_body(&mut self, shared: &Shared) -> Result<Value, Failure> {
        let value = self.body(shared).await?;
        self.must_be_there(value)
    }

    /// The same, where it may be larger than usual.
    pub async fn large_body(&mut self, shared: &Shared, bytes_max: usize) -> Result<Value, Failure> {
        let options = ServerOptions { body_bytes_max: bytes_max, ..shared.options.clone() };
        let value = self.read_body(&options).await?;
        self.must_be_there(value)
    }

    fn must_be_there(&mut self, value: Value) -> Result<Value, Failure> {
        if !value.is_null() {
            return Ok(value);
        }
        let missing =
            FieldError { loc: vec!["body".into()], msg: "field required".into(), kind: "value_error.missing" };
        self.settle(Err(Failure::invalid(vec![missing])))
    }

    /// What was read, unless something was wrong in query, headers or body: then all of it at once.
    pub fn settle<T>(&mut self, read: Result<T, Failure>) -> Result<T, Failure> {
        if self.wrong.is_empty() {
            return read;
        }
        let mut wrong = std::mem::take(&mut self.wrong);
        if let Err(failure) = read {
            if failure.class != Class::Validation {
                return Err(failure);
            }
            // One word for a field is enough: what stands first is the cause.
            let more: Vec<_> = failure.fields.into_iter().filter(|f| wrong.iter().all(|w| w.loc != f.loc)).collect();
            wrong.extend(more);
        }
        Err(Failure::invalid(wrong))
    }
}

/// The id in a path. One that cannot even be decoded names nothing.
pub struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(_) => Err(Failure::not_found("there is nothing under this address").into()),
        }
    }
}
