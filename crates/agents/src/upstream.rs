//! Services that Tutti asks over HTTP: one way to ask them, one reading of what failed, one circuit breaker each.

use crate::breaker::BREAKERS;
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Method, header};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tutti_engine::activity::{ActivityCx, ActivityError, Next};
use tutti_engine::ports::outbound::{OutError, OutRequest};

/// The longest silence where nobody sets a bound.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// Most bytes of an answer.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;
/// The longest `Retry-After` that is believed, in seconds.
const RETRY_AFTER_MAX: u64 = 600;
/// Most characters of a service's own words in a message.
const EXCERPT_CHARS_MAX: usize = 200;

/// A request to a service.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    /// What it is to people, e.g. `the marketplace`.
    pub service: &'a str,
    /// The contract's class of its failures.
    pub class: &'static str,
    /// The method.
    pub method: Method,
    /// Where.
    pub url: String,
    /// Beside the usual ones.
    pub headers: HeaderMap,
    /// JSON; empty for none.
    pub body: Bytes,
}

/// A service's answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Ask<'_> {
    /// Sends it and reads the whole answer. A failure to get one is retryable, and says whether it may have arrived.
    pub async fn send(&self, cx: &ActivityCx) -> Result<Reply, ActivityError> {
        self.send_for(cx, BODY_BYTES_MAX).await
    }

    /// As [`send`](Self::send), for an answer of at most so many bytes.
    pub async fn send_for(&self, cx: &ActivityCx, body_bytes_max: usize) -> Result<Reply, ActivityError> {
        let service = format!("{} at {}", self.service, origin(&self.url));
        if let Err(rest) = BREAKERS.admit(&service) {
            let after_ms = u64::try_from(rest.as_millis()).ok();
            let message = format!("{} failed several times in a row and is left alone for a moment", self.service);
            return Err(ActivityError { next: Next::Retry { after_ms }, ..ActivityError::retry(self.class, message) });
        }
        let answer = self.exchange(cx, body_bytes_max).await;
        let is_well = match &answer {
            Ok(reply) => reply.status < 500,
            // Ours to mend, not a sign of its health.
            Err(OutError::Refused { .. }) => true,
            Err(_) => false,
        };
        BREAKERS.note(&service, is_well);
        answer.map_err(|error| self.failed(&error))
    }

    async fn exchange(&self, cx: &ActivityCx, body_bytes_max: usize) -> Result<Reply, OutError> {
        let mut headers = self.headers.clone();
        usual_headers(cx, &mut headers);
        let request = OutRequest {
            method: self.method.clone(),
            url: self.url.clone(),
            headers,
            body: self.body.clone(),
            idle: left(cx),
            body_bytes_max,
        };
        let mut response = cx.outbound.send(request).await?;
        let mut body = Vec::new();
        while let Some(piece) = response.body.next().await {
            body.extend_from_slice(&piece?);
        }
        Ok(Reply { status: response.status, headers: response.headers, body: body.into() })
    }

    fn failed(&self, error: &OutError) -> ActivityError {
        let message = format!("{} failed: {error}", self.service);
        match error {
            OutError::Refused { .. } => ActivityError::fatal(self.class, message),
            OutError::TooLarge { .. } => ActivityError::fatal(self.class, message).sent(),
            OutError::Connect { .. } => ActivityError::retry(self.class, message),
            OutError::Timeout { .. } | OutError::Broken { .. } => ActivityError::retry(self.class, message).sent(),
        }
    }

    /// The answer of a 2xx as data.
    pub fn read<T: DeserializeOwned>(&self, reply: &Reply) -> Result<T, ActivityError> {
        if !(200..300).contains(&reply.status) {
            return Err(self.status(reply));
        }
        serde_json::from_slice(&reply.body).map_err(|e| self.off_contract(&e.to_string(), &reply.body))
    }

    /// An answer that is none: another attempt would give the same.
    pub fn off_contract(&self, why: &str, body: &[u8]) -> ActivityError {
        let said = excerpt(body);
        let message = format!("the answer of {} does not fit its contract ({why}): {said:?}", self.service);
        ActivityError::fatal(self.class, message).sent()
    }

    /// An error status: 408, 429 and 5xx may pass by themselves.
    pub fn status(&self, reply: &Reply) -> ActivityError {
        let next = match reply.status {
            408 | 429 | 500..=599 => Next::Retry { after_ms: retry_after(&reply.headers) },
            _ => Next::Never,
        };
        let hint = if (300..400).contains(&reply.status) { " (redirects are not followed)" } else { "" };
        let said = excerpt(&reply.body);
        let message = format!("{} answered {}{hint}: {said}", self.service, reply.status);
        ActivityError { class: self.class.into(), message, next, may_have_cost: false }
    }
}

/// A secret as a header's value, behind `prefix`; nothing where no header can hold it.
pub(crate) fn secret(prefix: &str, secret: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("{prefix}{}", secret.expose_secret().trim())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Scheme, host and port.
fn origin(url: &str) -> &str {
    let rest = url.find("://").map_or(0, |at| at + 3);
    let end = url[rest..].find(['/', '?', '#']).map_or(url.len(), |at| rest + at);
    &url[..end]
}

/// Seconds of `Retry-After`, in milliseconds; a date is left to the usual wait.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<u64> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse::<u64>().ok()?;
    Some(seconds.min(RETRY_AFTER_MAX).saturating_mul(1_000))
}

/// A service's first words, safe to print.
pub(crate) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * EXCERPT_CHARS_MAX)]).into_owned();
    text.chars().filter(|c| !c.is_control()).take(EXCERPT_CHARS_MAX).collect()
}

/// What is left of the call's time: a setting of the process, which may change while a run lives, so it is no argument.
pub(crate) fn left(cx: &ActivityCx) -> Duration {
    let left = cx.deadline.map(|at| Duration::from_millis(u64::try_from(at.0 - cx.now.0).unwrap_or(0)));
    left.unwrap_or(IDLE_MAX).min(IDLE_MAX)
}

/// JSON, the step's key and the trace, where they are not set already.
pub(crate) fn usual_headers(cx: &ActivityCx, headers: &mut HeaderMap) {
    let json = HeaderValue::from_static("application/json");
    headers.entry(header::CONTENT_TYPE).or_insert(json.clone());
    headers.entry(header::ACCEPT).or_insert(json);
    let carried = [("idempotency-key", &cx.idempotency_key), ("traceparent", &cx.traceparent)];
    for (name, value) in carried {
        // Both are made by us or were read from a header, so they can be sent.
        if let Some(value) = value.as_ref().and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.entry(name).or_insert(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_its_origin() {
        for (url, is) in [
            ("http://a:1/b?c", "http://a:1"),
            ("https://a", "https://a"),
            ("http://a?x=http://b/", "http://a"),
            ("odd", "odd"),
        ] {
            assert_eq!(origin(url), is);
        }
    }
}
