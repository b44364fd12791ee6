//! A response's body under bounds: whole, or event by event. And the headers that every dialect sends.

use super::Provider;
use super::chat::Call;
use super::failure::{self, CLASS};
use bytes::{Bytes, BytesMut};
use eventsource_stream::{Event, EventStream, EventStreamError};
use futures_util::stream::{BoxStream, try_unfold};
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::ExposeSecret;
use std::pin::Pin;
use tutti_engine::activity::ActivityError;
use tutti_engine::ports::outbound::{OutError, OutResponse};

/// Most bytes read of an error answer.
pub(super) const ERROR_BYTES_MAX: usize = 64 * 1024;

/// Server-sent events as they come.
pub(super) type Events<'p> = Pin<Box<dyn Stream<Item = Result<Event, ActivityError>> + Send + 'p>>;

/// The events of a streamed answer.
pub(super) fn events(provider: &Provider, response: OutResponse) -> Events<'_> {
    let events = EventStream::new(lines(response.body, provider.line_bytes_max));
    Box::pin(events.map(move |event| event.map_err(|error| cut(provider, error))))
}

/// Why the lines stopped.
enum Cut {
    Outbound(OutError),
    LineTooLong,
}

struct Lines {
    body: BoxStream<'static, Result<Bytes, OutError>>,
    /// What has arrived and was not yet handed on.
    held: BytesMut,
    /// How much of `held` is known to hold no line end.
    seen: usize,
    ended: bool,
    line_bytes_max: usize,
}

/// The body line by line. The event parser copies what it has not yet consumed at every step, so it gets no more than a
/// line at a time; and a line without an end is cut here.
fn lines(
    body: BoxStream<'static, Result<Bytes, OutError>>,
    line_bytes_max: usize,
) -> impl Stream<Item = Result<Bytes, Cut>> {
    let start = Lines { body, held: BytesMut::new(), seen: 0, ended: false, line_bytes_max };
    try_unfold(start, |mut lines| async move {
        loop {
            if let Some(at) = lines.held[lines.seen..].iter().position(|b| *b == b'\n') {
                let line = lines.held.split_to(lines.seen + at + 1).freeze();
                lines.seen = 0;
                return if line.len() > lines.line_bytes_max { Err(Cut::LineTooLong) } else { Ok(Some((line, lines))) };
            }
            lines.seen = lines.held.len();
            if lines.seen > lines.line_bytes_max {
                return Err(Cut::LineTooLong);
            }
            if lines.ended {
                let rest = lines.held.split().freeze();
                lines.seen = 0;
                return Ok((!rest.is_empty()).then_some((rest, lines)));
            }
            match lines.body.next().await {
                Some(piece) => lines.held.extend_from_slice(&piece.map_err(Cut::Outbound)?),
                None => lines.ended = true,
            }
        }
    })
}

fn cut(provider: &Provider, error: EventStreamError<Cut>) -> ActivityError {
    match error {
        EventStreamError::Transport(Cut::Outbound(error)) => failure::outbound(&error),
        EventStreamError::Transport(Cut::LineTooLong) => {
            let what = format!("a stream with a line of more than {} bytes", provider.line_bytes_max);
            failure::garbage(&what, provider, "")
        }
        EventStreamError::Utf8(_) => failure::garbage("a stream that is not UTF-8", provider, ""),
        EventStreamError::Parser(_) => failure::garbage("a stream that is not server-sent events", provider, ""),
    }
}

/// The headers of a request: what is sent, what is wanted back, what is carried along. The key goes in by `auth`.
pub(super) fn headers(call: &Call<'_>, stream: bool) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let accept = if stream { "text/event-stream" } else { "application/json" };
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    let passed = [("idempotency-key", &call.idempotency_key), ("traceparent", &call.cx.traceparent)];
    for (name, value) in passed {
        if let Some(value) = value.as_deref().and_then(|v| HeaderValue::from_str(v).ok()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}

/// The provider's key behind `prefix`, marked as secret.
pub(super) fn key(provider: &Provider, prefix: &str) -> Result<Option<HeaderValue>, ActivityError> {
    let Some(key) = provider.api_key.as_ref().map(|key| key.expose_secret().trim()).filter(|key| !key.is_empty())
    else {
        return Ok(None);
    };
    let mut value = HeaderValue::try_from(format!("{prefix}{key}")).map_err(|_| {
        ActivityError::fatal(
            CLASS,
            "the key of this provider (LLM_API_KEY or its api_key) holds characters that no HTTP header may hold",
        )
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Whether a server that was asked for a stream answered in one piece after all.
pub(super) fn is_whole(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.trim_start().to_ascii_lowercase();
    kind.starts_with("application/json") || kind.starts_with("text/html")
}

/// The body up to `bytes_max`, and what cut it short.
pub(super) async fn read(mut response: OutResponse, bytes_max: usize) -> (Bytes, Option<OutError>) {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(piece) = response.body.next().await {
        match piece {
            // Mostly there is one piece, which then is not copied.
            Ok(piece) if first.is_empty() => first = piece,
            Ok(piece) => rest.extend_from_slice(&piece),
            Err(error) => return (joined(first, rest), Some(error)),
        }
        if first.len() + rest.len() >= bytes_max {
            break;
        }
    }
    (joined(first, rest), None)
}

fn joined(first: Bytes, rest: BytesMut) -> Bytes {
    if rest.is_empty() {
        return first;
    }
    let mut all = BytesMut::with_capacity(first.len() + rest.len());
    all.extend_from_slice(&first);
    all.extend_from_slice(&rest);
    all.freeze()
}

/// For messages only: enough to quote from.
pub(super) fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(ERROR_BYTES_MAX)]).into_owned()
}
