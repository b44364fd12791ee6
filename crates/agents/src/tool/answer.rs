//! What a service answered a tool with, as data: bounded in size and depth, unpacked within bounds, and no web page for JSON.

use super::{CLASS, RESULT_BYTES_MAX};
use crate::upstream::{BODY_BYTES_MAX, Reply, excerpt};
use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header};
use serde_json::Value;
use std::io::Read;
use tutti_engine::activity::ActivityError;

/// How deep JSON may nest; what stands around it in a journal comes on top, and readers stop at 128.
const DEPTH_MAX: usize = 64;

/// What kind of text a service said that it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Html,
    Text,
    Other,
}

/// The answer of a 2xx. JSON becomes data, a text stays one; a page is an error unless `takes_html`.
///
/// # Errors
/// In words, without the service's name: too deep, a web page, something binary.
pub(super) fn parse(reply: &Reply, takes_html: bool) -> Result<Value, ActivityError> {
    let bad = |why: String| ActivityError::fatal(CLASS, why).sent();
    let body = unpack(&reply.headers, &reply.body).map_err(bad)?;
    if body.is_empty() {
        return Ok(Value::Null);
    }
    match kind(&reply.headers, &body) {
        Kind::Json => json(&body).map_err(bad),
        Kind::Html if !takes_html => Err(bad(format!(
            "it answered with a web page instead of JSON; is the address right, does it want a login? It begins: {:?}",
            excerpt(&body)
        ))),
        Kind::Html | Kind::Text => Ok(Value::String(String::from_utf8_lossy(&body).into_owned())),
        Kind::Other => Err(bad(format!("it answered with {}, which is neither JSON nor text", said(&reply.headers)))),
    }
}

/// JSON that is no deeper than a result may be.
fn json(body: &[u8]) -> Result<Value, String> {
    let value: Value = serde_json::from_slice(body).map_err(|e| {
        if e.to_string().contains("recursion limit") {
            return format!("its JSON nests deeper than {DEPTH_MAX} levels");
        }
        format!("its answer is not JSON ({e}); it begins: {:?}", excerpt(body))
    })?;
    shallow(value)
}

fn shallow(value: Value) -> Result<Value, String> {
    if is_deeper(&value, DEPTH_MAX) {
        return Err(format!("its JSON nests deeper than {DEPTH_MAX} levels"));
    }
    Ok(value)
}

/// The value, where it is no larger and no deeper than a result may be.
pub(super) fn within(value: Value) -> Result<Value, String> {
    let value = shallow(value)?;
    if let Value::String(text) = &value {
        return Ok(Value::String(cut(text)));
    }
    let bytes = value.to_string().len();
    if bytes > RESULT_BYTES_MAX {
        return Err(format!(
            "its answer has {bytes} bytes of JSON, at most {RESULT_BYTES_MAX} are taken; ask for less"
        ));
    }
    Ok(value)
}

/// Whether a value nests deeper than so many levels.
fn is_deeper(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(|item| is_deeper(item, levels - 1)),
        Value::Object(fields) => levels == 0 || fields.values().any(|field| is_deeper(field, levels - 1)),
        _ => false,
    }
}

/// A text's beginning, with a word about the rest.
fn cut(text: &str) -> String {
    if text.len() <= RESULT_BYTES_MAX {
        return text.to_owned();
    }
    let end = (0..=RESULT_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}\n[cut: {end} of {} bytes]", &text[..end], text.len())
}

/// The body without its compression. A few bytes may unpack to gigabytes, so no more is unpacked than is taken.
pub(super) fn unpack(headers: &HeaderMap, body: &Bytes) -> Result<Bytes, String> {
    let packed = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let most = BODY_BYTES_MAX as u64 + 1;
    let mut out = Vec::new();
    let read = match packed.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => return Ok(body.clone()),
        "gzip" | "x-gzip" => MultiGzDecoder::new(body.as_ref()).take(most).read_to_end(&mut out),
        "deflate" => ZlibDecoder::new(body.as_ref()).take(most).read_to_end(&mut out),
        other => return Err(format!("its answer is packed with {other:?}, which nobody asked for")),
    };
    read.map_err(|e| format!("its {packed} answer cannot be unpacked: {e}"))?;
    if out.len() > BODY_BYTES_MAX {
        return Err(format!("its answer unpacks to more than {BODY_BYTES_MAX} bytes"));
    }
    Ok(out.into())
}

fn said(headers: &HeaderMap) -> String {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("something");
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn kind(headers: &HeaderMap, body: &[u8]) -> Kind {
    let said = said(headers);
    let start = body.iter().position(|byte| !byte.is_ascii_whitespace()).map_or(body, |at| &body[at..]);
    let begins = |word: &[u8]| start.len() >= word.len() && start[..word.len()].eq_ignore_ascii_case(word);
    let is_page = begins(b"<!doctype html") || begins(b"<html");
    match said.as_str() {
        _ if is_page => Kind::Html,
        "text/html" | "application/xhtml+xml" => Kind::Html,
        kind if kind == "application/json" || kind.ends_with("+json") => Kind::Json,
        // Many say text/plain, or nothing, and mean JSON.
        _ if matches!(start.first(), Some(b'{' | b'[')) && serde_json::from_slice::<Value>(body).is_ok() => Kind::Json,
        kind if kind.starts_with("text/") || kind.ends_with("xml") || kind == "something" => Kind::Text,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::HeaderValue;
    use serde_json::json;
    use std::io::Write;

    fn reply(kind: &'static str, body: impl Into<Bytes>) -> Reply {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
        Reply { status: 200, headers, body: body.into() }
    }

    fn read(reply: &Reply, takes_html: bool) -> Result<Value, ActivityError> {
        parse(reply, takes_html).and_then(|value| within(value).map_err(|why| ActivityError::fatal(CLASS, why)))
    }

    fn wrong(reply: &Reply) -> String {
        read(reply, false).unwrap_err().message
    }

    #[test]
    fn json_and_text_are_read_and_pages_are_not() {
        assert_eq!(read(&reply("application/geo+json; x=1", r#"{"a":1}"#), false).unwrap(), json!({"a": 1}));
        assert_eq!(read(&reply("text/plain", " [1]"), false).unwrap(), json!([1]));
        assert_eq!(read(&reply("text/plain", "hello"), false).unwrap(), json!("hello"));
        assert_eq!(read(&reply("application/json", ""), false).unwrap(), Value::Null);
        let page = reply("application/json", "\n<!DOCTYPE html><title>Sign in</title>");
        assert!(wrong(&page).contains("a web page instead of JSON"));
        assert_eq!(read(&page, true).unwrap().as_str().unwrap().len(), 38);
        assert!(wrong(&reply("image/png", "\u{1}")).contains("image/png"));
        assert!(wrong(&reply("application/json", "{")).contains("not JSON"));
    }

    #[test]
    fn what_is_deep_or_large_is_refused_and_long_texts_are_cut() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(read(&reply("application/json", deep(DEPTH_MAX)), false).is_ok());
        for levels in [DEPTH_MAX + 1, 100_000] {
            assert!(wrong(&reply("application/json", deep(levels))).contains("deeper than 64"), "{levels}");
        }
        let large = json!(vec!["x".repeat(1_000); 70]).to_string();
        assert!(wrong(&reply("application/json", large)).contains("at most 65536"));
        let text = read(&reply("text/plain", "ü".repeat(40_000)), false).unwrap();
        assert!(text.as_str().unwrap().ends_with("[cut: 65536 of 80000 bytes]"));
    }

    #[test]
    fn a_gzip_bomb_is_unpacked_no_further_than_the_bound() {
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        let zeros = vec![b' '; 1 << 20];
        (0..64).for_each(|_| packer.write_all(&zeros).unwrap());
        let bomb = packer.finish().unwrap();
        assert!(bomb.len() < 100_000);
        let mut packed = reply("application/json", bomb);
        packed.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(wrong(&packed).contains("unpacks to more than"));
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(b"{\"a\": 1}").unwrap();
        packed.body = packer.finish().unwrap().into();
        assert_eq!(read(&packed, false).unwrap(), json!({"a": 1}));
        packed.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
        assert!(wrong(&packed).contains("\"br\""));
    }
}
