//! A scripted response on its way over the wire, faults included.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::io;
use tutti_agents::model::scripted::{End, Response as Scripted};

/// Stands in a response that must not be given: the connection is closed instead.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the connection is closed because a fault says so")]
pub(crate) struct Cut;

pub(crate) async fn send(scripted: Scripted) -> Response {
    let Scripted { delay, status, headers, mut pieces, end } = scripted;
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let body = match end {
        End::Broken if pieces.is_empty() => {
            return cut();
        }
        // Until the client gives up.
        End::Silent if pieces.is_empty() => std::future::pending().await,
        End::Whole if pieces.len() == 1 => Body::from(pieces.remove(0)),
        End::Whole => Body::from_stream(sent(pieces)),
        End::Broken => Body::from_stream(sent(pieces).chain(stream::once(cut_body()))),
        End::Silent => Body::from_stream(sent(pieces).chain(stream::pending())),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = headers;
    response
}

/// A response that closes the connection instead.
pub(crate) fn cut() -> Response {
    let mut response = Response::default();
    response.extensions_mut().insert(Cut);
    response
}

fn sent(pieces: Vec<Bytes>) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send {
    stream::iter(pieces.into_iter().map(Ok))
}

/// A broken body is dropped with all that was not sent yet; the pause lets the pieces before leave first.
async fn cut_body() -> io::Result<Bytes> {
    tokio::task::yield_now().await;
    Err(io::Error::other(Cut))
}
