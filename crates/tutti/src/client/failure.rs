//! Why a request to a server failed, in words for people: every field error has its own line.

use crate::show::clean;
use serde_json::Value;
use std::fmt::Write as _;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The address cannot be used.
    #[error("{url:?} is not an address of a server; it should look like http://127.0.0.1:8000")]
    Address {
        /// What was given.
        url: String,
    },
    /// Nothing answers.
    #[error(
        "no server answers at {url} ({why}); start one with `tutti serve`, or name another with --url or TUTTI_URL"
    )]
    Unreachable {
        /// Where.
        url: String,
        /// The innermost reason.
        why: String,
    },
    /// The server refused.
    #[error("{text}")]
    Answered {
        /// The HTTP status.
        status: u16,
        /// Lines for people.
        text: String,
        /// What is wrong with the fields of the request, as answered.
        detail: Vec<Value>,
    },
    /// The answer is not one of ours.
    #[error("{url} answered {status} with something that is not Tutti's; is it the right address?")]
    Strange {
        /// Where.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// A stream was cut and could not be resumed.
    #[error("the stream was cut {} and {url} does not answer any more; the run itself is not lost", place(*.after))]
    Cut {
        /// Where.
        url: String,
        /// The last event that arrived.
        after: Option<u64>,
    },
}

fn place(after: Option<u64>) -> String {
    after.map_or_else(|| "before its first event".into(), |n| format!("after event {n}"))
}

impl Failure {
    /// No answer came.
    #[must_use]
    pub fn unreachable(url: &str, error: &reqwest::Error) -> Self {
        let mut why: &dyn std::error::Error = error;
        while let Some(inner) = why.source() {
            why = inner;
        }
        let why = if error.is_timeout() { "it took too long".into() } else { clean(&why.to_string()) };
        Self::Unreachable { url: url.into(), why }
    }

    /// An answer that cannot be read.
    #[must_use]
    pub fn strange(url: &str, status: u16) -> Self {
        Self::Strange { url: url.into(), status }
    }

    /// The server's error body as lines.
    #[must_use]
    pub fn answered(url: &str, status: u16, retry_after_s: Option<u64>, body: &[u8]) -> Self {
        let Ok(body) = serde_json::from_slice::<Value>(body) else { return Self::strange(url, status) };
        let detail = body.get("detail").and_then(Value::as_array).cloned().unwrap_or_default();
        let text = match detail.as_slice() {
            [] => match refusal(&body, status, retry_after_s) {
                Some(text) => text,
                None => return Self::strange(url, status),
            },
            faults => faults.iter().map(fault).collect::<Vec<_>>().join("\n"),
        };
        Self::Answered { status, text, detail }
    }

    /// The status of the answer, where there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answered { status, .. } | Self::Strange { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// `{"loc":["body","agents",0,"name"],"msg":…}` as `agents[0].name: …`.
fn fault(fault: &Value) -> String {
    let loc = fault.get("loc").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let (place, path) = match loc {
        [Value::String(first), rest @ ..] if matches!(first.as_str(), "query" | "path" | "header") => {
            (Some(first), rest)
        }
        [Value::String(first), rest @ ..] if first == "body" => (None, rest),
        all => (None, all),
    };
    let mut at = String::new();
    for part in path {
        // Writing to a String cannot fail.
        let _ = match part {
            Value::String(name) if at.is_empty() => write!(at, "{name}"),
            Value::String(name) => write!(at, ".{name}"),
            offset if at.is_empty() => write!(at, "at byte {offset}"),
            index => write!(at, "[{index}]"),
        };
    }
    if let Some(place) = place {
        at = format!("{at} ({place})");
    }
    if at.is_empty() {
        at.push_str("the request");
    }
    let msg = fault.get("msg").and_then(Value::as_str).unwrap_or("is not valid");
    clean(&format!("{at}: {msg}"))
}

/// `{"error","message","request_id",…}`, and the shapes of neighbours: OpenAI's, RFC 9457's.
fn refusal(body: &Value, status: u16, retry_after_s: Option<u64>) -> Option<String> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let nested = body.get("error").filter(|e| e.is_object());
    let message =
        text(nested.unwrap_or(body), "message").or_else(|| text(body, "detail")).or_else(|| text(body, "title"))?;
    let class =
        text(body, "error").or_else(|| nested.and_then(|e| text(e, "type"))).unwrap_or_else(|| status.to_string());
    let mut line = format!("{class}: {message}");
    if let Some(seconds) = retry_after_s {
        let _ = write!(line, "; try again in {seconds} s");
    }
    if status == 401 {
        line.push_str("; put a key into TUTTI_KEY");
    }
    if let Some(id) = text(body, "request_id") {
        let _ = write!(line, " (request {id})");
    }
    Some(clean(&line).replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(status: u16, retry_after_s: Option<u64>, body: &str) -> String {
        Failure::answered("http://h", status, retry_after_s, body.as_bytes()).to_string()
    }

    #[test]
    fn every_field_has_its_line() {
        let body = r#"{"detail":[
            {"loc":["body","agents",1,"name"],"msg":"field required","type":"value_error.missing"},
            {"loc":["body","options","max_iterations"],"msg":"value is not a valid integer","type":"type_error.integer"},
            {"loc":["query","limit"],"msg":"ensure this value is at most 200","type":"value_error"},
            {"loc":["body",17],"msg":"Expecting ',' delimiter","type":"value_error.jsondecode"},
            {"loc":["body"],"msg":"field required","type":"value_error.missing"}]}"#;
        let expected = "agents[1].name: field required\n\
             options.max_iterations: value is not a valid integer\n\
             limit (query): ensure this value is at most 200\n\
             at byte 17: Expecting ',' delimiter\n\
             the request: field required";
        assert_eq!(lines(422, None, body), expected);
    }

    #[test]
    fn a_refusal_is_one_line_with_what_helps() {
        let body = r#"{"error":"Unavailable","message":"too many open runs","timestamp":"…","request_id":"r-1"}"#;
        assert_eq!(lines(503, Some(3), body), "Unavailable: too many open runs; try again in 3 s (request r-1)");
        let body = r#"{"error":"AuthenticationError","message":"no key"}"#;
        assert_eq!(lines(401, None, body), "AuthenticationError: no key; put a key into TUTTI_KEY");
    }

    #[test]
    fn neighbours_shapes_and_strangers() {
        let openai = r#"{"error":{"message":"no such model","type":"invalid_request_error"}}"#;
        assert_eq!(lines(404, None, openai), "invalid_request_error: no such model");
        assert_eq!(lines(404, None, r#"{"title":"Not Found","status":404}"#), "404: Not Found");
        assert!(lines(502, None, "<html>").contains("is it the right address"));
        assert!(lines(404, None, "{}").contains("is it the right address"));
    }

    #[test]
    fn a_hostile_message_cannot_drive_the_terminal() {
        let body = "{\"error\":\"X\",\"message\":\"a\\u001b[2Jb\\nc\"}";
        assert_eq!(lines(500, None, body), "X: a\u{fffd}[2Jb c");
    }
}
