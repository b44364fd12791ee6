//! Failures on the wire: one value, one encoder per dialect. The contract's own bodies are the default; a client that
//! accepts `application/problem+json` gets RFC 9457.

mod problem;
mod seed;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use tutti_app::{Class, Failure};

/// A handler's failure. It travels beside an empty response; [`encode`] writes it once the dialect is known.
#[derive(Debug, Clone)]
pub struct Failed(pub Failure);

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status(self.0.class);
        response.extensions_mut().insert(self);
        response
    }
}

/// What a handler answers.
pub type Answer = Result<Response, Failed>;

/// The shape a client wants failures in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The contract's.
    Seed,
    /// RFC 9457.
    Problem,
}

impl Dialect {
    /// What the client asks for.
    pub fn of(headers: &HeaderMap) -> Self {
        let wants =
            |v: &HeaderValue| v.to_str().is_ok_and(|v| v.to_ascii_lowercase().contains("application/problem+json"));
        if headers.get_all(ACCEPT).iter().any(wants) { Self::Problem } else { Self::Seed }
    }
}

/// The class's status.
pub fn status(class: Class) -> StatusCode {
    match class {
        Class::BadRequest => StatusCode::BAD_REQUEST,
        Class::Validation => StatusCode::UNPROCESSABLE_ENTITY,
        Class::AuthenticationError => StatusCode::UNAUTHORIZED,
        Class::PermissionDenied | Class::BudgetExceeded => StatusCode::FORBIDDEN,
        Class::NotFound => StatusCode::NOT_FOUND,
        Class::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Class::Conflict => StatusCode::CONFLICT,
        Class::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Class::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Class::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Class::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Class::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Class::LlmError | Class::AgentError | Class::DataError | Class::ToolError => StatusCode::BAD_GATEWAY,
        Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Class::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Class::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Writes the failure that travels beside `response`, if one does.
pub fn encode(mut response: Response, dialect: Dialect, request_id: &str) -> Response {
    let Some(Failed(failure)) = response.extensions_mut().remove::<Failed>() else { return response };
    log(&failure, request_id);
    let status = status(failure.class);
    let (content_type, body) = match dialect {
        Dialect::Seed => ("application/json", seed::body(&failure, request_id)),
        Dialect::Problem => ("application/problem+json", problem::body(&failure, status.as_u16(), request_id)),
    };
    let mut encoded = Response::new(Body::from(body));
    *encoded.status_mut() = status;
    let headers = encoded.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(after) = failure.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(after.as_millis().div_ceil(1_000).max(1) as u64));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tutti\""));
    }
    if let Some(allow) = response.headers_mut().remove(ALLOW) {
        headers.insert(ALLOW, allow);
    }
    encoded
}

fn log(failure: &Failure, request_id: &str) {
    let (class, message) = (failure.class.as_str(), &failure.message);
    match &failure.cause {
        // The part that is not available says so itself, once; a line for each request would bury it.
        Some(cause) if failure.class == Class::Unavailable => {
            tracing::debug!(request_id, class, "request {request_id} was put off: {cause}");
        }
        Some(cause) => tracing::error!(request_id, class, "request {request_id} failed: {cause}"),
        None => tracing::debug!(request_id, class, "request {request_id} was refused: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::time::Duration;
    use tutti_app::FieldError;

    async fn sent(failure: Failure, dialect: Dialect) -> (StatusCode, HeaderMap, Value) {
        let response = encode(Failed(failure).into_response(), dialect, "r-1");
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, parts.headers, serde_json::from_slice(&body).unwrap())
    }

    fn wrong_theme() -> Failure {
        let loc = vec!["body".into(), "theme".into()];
        Failure::invalid(vec![FieldError { loc, msg: "field required".into(), kind: "value_error.missing" }])
    }

    #[tokio::test]
    async fn the_contracts_bodies() {
        let (status, _, body) = sent(wrong_theme(), Dialect::Seed).await;
        assert_eq!(status, 422);
        let detail = json!([{"loc": ["body", "theme"], "msg": "field required", "type": "value_error.missing"}]);
        assert_eq!(body, json!({"detail": detail}));

        let busy = Failure::unavailable("too many runs", Duration::from_millis(1_200));
        let (status, headers, mut body) = sent(busy, Dialect::Seed).await;
        assert_eq!((status.as_u16(), headers["retry-after"].to_str().unwrap()), (503, "2"));
        let timestamp = body.as_object_mut().unwrap().remove("timestamp").unwrap();
        assert!(timestamp.as_str().unwrap().ends_with('Z'));
        assert_eq!(body, json!({"error": "Unavailable", "message": "too many runs", "request_id": "r-1"}));
    }

    #[tokio::test]
    async fn problem_details() {
        let (status, headers, body) = sent(wrong_theme(), Dialect::Problem).await;
        assert_eq!((status.as_u16(), headers["content-type"].to_str().unwrap()), (422, "application/problem+json"));
        assert_eq!((&body["status"], &body["title"]), (&json!(422), &json!("ValidationError")));
        assert_eq!(body["type"], "/docs/errors/ValidationError");
        assert_eq!(body["errors"][0]["type"], "value_error.missing");
    }

    #[tokio::test]
    async fn causes_are_never_sent() {
        for dialect in [Dialect::Seed, Dialect::Problem] {
            let (status, _, body) = sent(Failure::internal("disk /secret/path is gone"), dialect).await;
            assert_eq!(status, 500);
            assert!(!body.to_string().contains("secret"), "{body}");
        }
    }

    #[test]
    fn every_class_has_an_error_status() {
        for class in Class::ALL {
            assert!(status(*class).as_u16() >= 400);
        }
    }
}
