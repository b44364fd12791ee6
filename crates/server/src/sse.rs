//! Server-Sent Events: a run's journal cursor as a stream, and the only place that reads `Last-Event-ID` and `?after=`.

use crate::Shared;
use crate::asked::Asked;
use crate::failure::Answer;
use crate::routes::{locate, mark_replayed};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tutti_app::events::{Event, Follow};
use tutti_app::{App, Caller, Failure, FieldError, Prepared};

/// How often a silent stream says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The number of the last event the client has seen: `Last-Event-ID`, which a browser sends by itself, before `?after=`.
pub fn after(asked: &mut Asked) -> u32 {
    if let Some(sent) = asked.headers().get("last-event-id") {
        let text = sent.to_str().unwrap_or_default();
        // A browser that has seen no id sends an empty one.
        if text.is_empty() {
            return 0;
        }
        return text.parse().unwrap_or_else(|_| {
            let loc = vec!["header".into(), "last-event-id".into()];
            asked.wrong(FieldError { loc, msg: "value is not a valid integer".into(), kind: "type_error.integer" });
            0
        });
    }
    asked.query().integer("after", 0, u32::MAX).unwrap_or(0)
}

/// `?on_disconnect=`: whether the run is cancelled when its reader leaves.
pub fn cancels_when_left(asked: &mut Asked) -> bool {
    let read = |word: &str| match word {
        "cancel" => Some(true),
        "continue" => Some(false),
        _ => None,
    };
    asked.query().word("on_disconnect", "continue, cancel", read).unwrap_or(false)
}

/// Starts a run and streams its events from the first one on.
pub async fn started(shared: &Shared, prepared: Prepared, caller: Caller, cancels: bool) -> Answer {
    let started = shared.app.start(prepared, None).await?;
    let run_id = started.run.run_id.clone();
    let location = format!("/v1/runs/{run_id}/events");
    let leave = if cancels { Leave::Cancel { run_id, caller } } else { Leave::Continue };
    let mut response = response(shared, shared.app.follow_started(&started), leave);
    locate(&mut response, &location);
    mark_replayed(&mut response, started.is_replayed);
    Ok(response)
}

/// What happens to the run when its reader leaves.
pub enum Leave {
    /// Nothing.
    Continue,
    /// It is cancelled.
    Cancel {
        /// The run.
        run_id: String,
        /// Whose reader left.
        caller: Caller,
    },
}

/// Cancels a run when it is dropped while the run may still be at work.
struct Leaver {
    app: App,
    leave: Leave,
    stop: CancellationToken,
    is_armed: bool,
}

impl Drop for Leaver {
    fn drop(&mut self) {
        let Leave::Cancel { run_id, caller } = std::mem::replace(&mut self.leave, Leave::Continue) else { return };
        // A server that stops is not a reader that left.
        if !self.is_armed || self.stop.is_cancelled() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let app = self.app.clone();
            runtime.spawn(async move { app.abandon(&run_id, &caller).await });
        }
    }
}

type Next = Pin<Box<dyn Future<Output = (Follow, Result<Option<Vec<Event>>, Failure>)> + Send>>;

struct Streaming {
    next: Next,
    heart: tokio::time::Interval,
    leaver: Leaver,
}

/// The stream of a run's events. It ends after the run's last event, or when the server stops.
pub fn response(shared: &Shared, follow: Follow, leave: Leave) -> Response {
    let mut heart = tokio::time::interval_at(tokio::time::Instant::now() + HEARTBEAT, HEARTBEAT);
    heart.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let stop = shared.options.stop.clone();
    let leaver = Leaver { app: shared.app.clone(), leave, stop, is_armed: true };
    let state = Streaming { next: next(follow), heart, leaver };
    let body = Body::from_stream(stream::unfold(Some(state), |state| async {
        let (piece, state) = advance(state?).await?;
        Some((Ok::<_, Infallible>(piece), state))
    }));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The read is a future of its own, so that a heartbeat never cuts one short.
fn next(mut follow: Follow) -> Next {
    Box::pin(async move {
        let events = follow.next().await;
        (follow, events)
    })
}

/// The next piece of the stream, and what follows it.
async fn advance(mut state: Streaming) -> Option<(Bytes, Option<Streaming>)> {
    let stop = state.leaver.stop.clone();
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        (follow, events) = &mut state.next => match events {
            Ok(Some(events)) => {
                state.leaver.is_armed = follow.is_open();
                state.next = next(follow);
                Some((encode(&events), Some(state)))
            }
            Ok(None) => {
                state.leaver.is_armed = false;
                None
            }
            Err(failure) => {
                // The client comes back with its Last-Event-ID; its run goes on meanwhile.
                state.leaver.is_armed = false;
                tracing::warn!(cause = failure.cause.as_deref(), "a stream was cut: {failure}");
                None
            }
        },
        _ = state.heart.tick() => Some((Bytes::from_static(b": still here\n\n"), Some(state))),
    }
}

fn encode(events: &[Event]) -> Bytes {
    let mut out = Vec::with_capacity(events.iter().map(|e| e.data.len() + 64).sum());
    for Event { seq, kind, data } in events {
        out.extend_from_slice(format!("id: {seq}\nevent: {kind}\ndata: ").as_bytes());
        // In JSON a bare line break is only ever white space; in a stream it would end the field.
        out.extend(data.iter().map(|&b| if matches!(b, b'\n' | b'\r') { b' ' } else { b }));
        out.extend_from_slice(b"\n\n");
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_framed_and_never_split_a_field() {
        let event = |seq, data: &str| Event { seq, kind: "log", data: data.into() };
        let encoded = encode(&[event(7, "{\"a\":\r\n1}"), event(8, "{}")]);
        assert_eq!(encoded, "id: 7\nevent: log\ndata: {\"a\":  1}\n\nid: 8\nevent: log\ndata: {}\n\n");
    }
}
