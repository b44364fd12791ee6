//! A scripted response on its way over the wire, faults included.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tutti_agents::model::scripted::{End, Response as Scripted};

pub(crate) async fn send(scripted: Scripted) -> Response {
    let Scripted { delay, status, headers, mut pieces, end } = scripted;
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if end == End::Silent && pieces.is_empty() {
        // Until the client gives up.
        std::future::pending::<()>().await;
    }
    let body = match (end, pieces.len()) {
        (End::Whole, 1) => Body::from(pieces.remove(0)),
        (End::Whole, _) => Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<Bytes, std::io::Error>))),
        (End::Broken, _) => {
            let cut = Err(std::io::Error::other("the script says so"));
            Body::from_stream(stream::iter(pieces.into_iter().map(Ok).chain([cut])))
        }
        (End::Silent, _) => {
            let first = stream::iter(pieces.into_iter().map(Ok::<Bytes, std::io::Error>));
            Body::from_stream(first.chain(stream::pending()))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = headers;
    response
}
