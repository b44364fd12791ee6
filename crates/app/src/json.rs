//! JSON as it comes from outside: parsed once, bounded in depth, without U+0000; and its canonical hash.

use crate::failure::{Class, Failure};
use crate::{FieldError, Loc};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// How deep a request may nest.
pub const DEPTH_MAX: usize = 64;

/// Reads a request's body, and what must not stand in its texts. An empty body is `null`.
///
/// # Errors
/// `BadRequest` for bytes that are not UTF-8; else a validation failure that says where.
pub fn read(bytes: &[u8]) -> Result<(Value, Vec<FieldError>), Failure> {
    let text = std::str::from_utf8(bytes)
        .map_err(|e| Failure::new(Class::BadRequest, format!("the body is not UTF-8 (at byte {})", e.valid_up_to())))?;
    if text.is_empty() {
        return Ok((Value::Null, Vec::new()));
    }
    let value = serde_json::from_str(text).map_err(|e| Failure::invalid(vec![syntax(text, &e)]))?;
    let mut wrong = Vec::new();
    screen(&value, &mut vec!["body".into()], &mut wrong);
    if wrong.iter().any(|error| error.msg == too_deep()) { Err(Failure::invalid(wrong)) } else { Ok((value, wrong)) }
}

fn syntax(text: &str, error: &serde_json::Error) -> FieldError {
    if error.to_string().starts_with("recursion limit exceeded") {
        return FieldError::value(vec!["body".into()], too_deep());
    }
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
    let offset = (lines + error.column().saturating_sub(1)).min(text.len());
    let said = error.to_string();
    let msg = format!("the body is not JSON: {}", said.split(" at line ").next().unwrap_or("syntax error"));
    FieldError { loc: vec!["body".into(), Loc::Index(offset)], msg, kind: "value_error.jsondecode" }
}

fn too_deep() -> String {
    format!("the body nests deeper than {DEPTH_MAX} levels")
}

/// Looks for what must not come in: depth beyond the bound, and U+0000, which no store keeps faithfully.
fn screen(value: &Value, loc: &mut Vec<Loc>, wrong: &mut Vec<FieldError>) {
    // `loc` holds one step per level, the first being `body`.
    if loc.len() > DEPTH_MAX && matches!(value, Value::Array(_) | Value::Object(_)) {
        wrong.push(FieldError::value(vec!["body".into()], too_deep()));
        return;
    }
    match value {
        Value::String(text) if text.contains('\0') => {
            wrong.push(FieldError::value(loc.clone(), "U+0000 is not allowed in a text"));
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                if is_plain(item) {
                    continue;
                }
                loc.push(i.into());
                screen(item, loc, wrong);
                loc.pop();
            }
        }
        Value::Object(fields) => {
            for (name, item) in fields {
                if name.contains('\0') {
                    wrong.push(FieldError::value(loc.clone(), "U+0000 is not allowed in a key"));
                }
                if is_plain(item) {
                    continue;
                }
                loc.push(name.clone().into());
                screen(item, loc, wrong);
                loc.pop();
            }
        }
        _ => {}
    }
}

/// Nothing in it can be wrong: saves a path that nobody reads.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => !text.contains('\0'),
        Value::Array(_) | Value::Object(_) => false,
    }
}

/// A hash that is equal for equal JSON, whatever its white space, its order of keys and the spelling of its numbers.
#[must_use]
pub fn hash(value: &Value) -> [u8; 16] {
    let mut digest = Sha256::new();
    feed(value, &mut digest);
    short(digest)
}

/// A hash of parts that cannot be confused with other parts.
pub(crate) fn hash_parts(parts: &[&str]) -> [u8; 16] {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    short(digest)
}

fn short(digest: Sha256) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&digest.finalize()[..16]);
    out
}

fn feed(value: &Value, digest: &mut Sha256) {
    match value {
        Value::Null => digest.update(b"n"),
        Value::Bool(b) => digest.update(if *b { b"t" } else { b"f" }),
        Value::Number(n) => match n.as_f64() {
            #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
            Some(f) if n.is_f64() && f.fract() == 0.0 && f.abs() < 9e15 => digest.update(format!("#{};", f as i64)),
            _ => digest.update(format!("#{n};")),
        },
        Value::String(text) => feed_text(text, digest),
        Value::Array(items) => {
            digest.update(b"[");
            items.iter().for_each(|item| feed(item, digest));
            digest.update(b"]");
        }
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            digest.update(b"{");
            for (name, item) in sorted {
                feed_text(name, digest);
                feed(item, digest);
            }
            digest.update(b"}");
        }
    }
}

fn feed_text(text: &str, digest: &mut Sha256) {
    digest.update(b"\"");
    digest.update((text.len() as u64).to_be_bytes());
    digest.update(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wrong(bytes: &[u8]) -> Value {
        let failure = match read(bytes) {
            Ok((_, wrong)) => Failure::invalid(wrong),
            Err(failure) => failure,
        };
        json!({"class": failure.class.as_str(), "detail": failure.fields, "message": failure.message})
    }

    #[test]
    fn syntax_errors_name_the_offset() {
        let found = wrong(b"{\"a\":1,\n \"b\": nope}");
        assert_eq!(found["detail"][0]["type"], "value_error.jsondecode");
        assert_eq!(found["detail"][0]["loc"], json!(["body", 15]), "{found}");
        assert_eq!(wrong(b"\xff\xfe")["class"], "BadRequest");
        assert_eq!(read(b"").unwrap().0, Value::Null);
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        assert!(read(nested(DEPTH_MAX).as_bytes()).is_ok());
        for n in [DEPTH_MAX + 1, 127, 128, 100_000] {
            let found = wrong(nested(n).as_bytes());
            assert_eq!(found["detail"][0]["msg"], "the body nests deeper than 64 levels", "{n}");
        }
    }

    #[test]
    fn nul_is_refused_wherever_it_stands() {
        let found = wrong(br#"{"agents":[{"name":"a\u0000b"}],"x\u0000":1,"ok":"\\u0000"}"#);
        assert_eq!(found["detail"][0]["loc"], json!(["body", "agents", 0, "name"]));
        assert_eq!(found["detail"][1]["loc"], json!(["body"]));
        assert_eq!(found["detail"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn hashes_are_canonical() {
        let h = |text: &str| hash(&serde_json::from_str(text).unwrap());
        assert_eq!(h(r#"{"a": 1.0, "b": [true]}"#), h(r#"{"b":[true],"a":1}"#));
        assert_ne!(h(r#"["ab","c"]"#), h(r#"["a","bc"]"#));
        assert_ne!(h(r#"{"a":null}"#), h("{}"));
        assert_ne!(h("[[1],2]"), h("[[1,2]]"));
        assert_ne!(hash_parts(&["ab", "c"]), hash_parts(&["a", "bc"]));
    }
}
