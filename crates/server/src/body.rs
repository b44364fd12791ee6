//! A request's body: JSON by its type, bounded in size and in time.

use crate::ServerOptions;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use tutti_app::{Class, Failure};

/// Reads it. An absent body is empty, whatever its type.
pub async fn read(headers: &HeaderMap, body: Body, options: &ServerOptions) -> Result<Bytes, Failure> {
    let is_json = check_type(headers)?;
    let bytes = read_any(headers, body, options, options.body_bytes_max).await?;
    if !is_json && !bytes.is_empty() {
        return Err(not_json("the request has no Content-Type"));
    }
    Ok(bytes)
}

/// Reads it, whatever it is.
pub async fn read_any(headers: &HeaderMap, body: Body, options: &ServerOptions, max: usize) -> Result<Bytes, Failure> {
    let length = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<usize>().ok());
    if length.is_some_and(|length| length > max) {
        return Err(too_large(max));
    }
    let slow = |_| {
        let seconds = options.read_timeout.as_secs();
        Failure::new(Class::BadRequest, format!("the body did not arrive within {seconds} s"))
    };
    tokio::time::timeout(options.read_timeout, gather(body, max)).await.map_err(slow)?
}

/// Whether the body is said to be JSON; without a word it may be absent.
fn check_type(headers: &HeaderMap) -> Result<bool, Failure> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(false) };
    let text = value.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(true);
    }
    Err(not_json(&format!("the request's Content-Type is {:?}", essence.get(..100).unwrap_or(essence))))
}

fn not_json(what: &str) -> Failure {
    Failure::new(Class::UnsupportedMediaType, format!("{what}; send application/json"))
}

fn too_large(max: usize) -> Failure {
    Failure::new(Class::PayloadTooLarge, format!("the body is larger than {max} bytes"))
}

async fn gather(body: Body, max: usize) -> Result<Bytes, Failure> {
    let mut pieces = body.into_data_stream();
    let mut first = Bytes::new();
    let mut all: Option<BytesMut> = None;
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Failure::new(Class::BadRequest, "the body broke off"))?;
        let so_far = all.as_ref().map_or(first.len(), BytesMut::len);
        if so_far + piece.len() > max {
            return Err(too_large(max));
        }
        // Most bodies come in one piece, which is not copied.
        match &mut all {
            Some(all) => all.extend_from_slice(&piece),
            None if first.is_empty() => first = piece,
            None => {
                let mut joined = BytesMut::with_capacity(first.len() + piece.len());
                joined.extend_from_slice(&first);
                joined.extend_from_slice(&piece);
                all = Some(joined);
            }
        }
    }
    Ok(all.map_or(first, BytesMut::freeze))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use std::convert::Infallible;

    async fn sent(content_type: Option<&str>, pieces: Vec<&'static str>) -> Result<Bytes, Class> {
        let mut headers = HeaderMap::new();
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        }
        let body = Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, Infallible>)));
        let options = ServerOptions { body_bytes_max: 10, ..ServerOptions::default() };
        read(&headers, body, &options).await.map_err(|f| f.class)
    }

    #[tokio::test]
    async fn bodies_are_joined_and_bounded() {
        let json = Some("application/json; charset=utf-8");
        assert_eq!(sent(json, vec!["[1,", "2,", "3]"]).await, Ok(Bytes::from("[1,2,3]")));
        assert_eq!(sent(json, vec!["0123456789"]).await.map(|b| b.len()), Ok(10));
        assert_eq!(sent(json, vec!["01234567890"]).await, Err(Class::PayloadTooLarge));
        assert_eq!(sent(json, vec!["012345", "67890"]).await, Err(Class::PayloadTooLarge));
    }

    #[tokio::test]
    async fn only_json_is_read() {
        assert_eq!(sent(None, vec![]).await, Ok(Bytes::new()));
        assert_eq!(sent(None, vec!["{}"]).await, Err(Class::UnsupportedMediaType));
        for other in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
            assert_eq!(sent(Some(other), vec![]).await, Err(Class::UnsupportedMediaType), "{other}");
        }
    }
}
