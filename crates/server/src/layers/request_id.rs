//! Every answer names its request, so that a person can find it in the log.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The header.
pub const NAME: HeaderName = HeaderName::from_static("x-request-id");

/// The id the client sent, if it is one (`[A-Za-z0-9._-]{1,128}`); else a new one.
pub fn of(headers: &HeaderMap) -> HeaderValue {
    match headers.get(&NAME) {
        Some(sent) if is_id(sent.as_bytes()) => sent.clone(),
        _ => fresh(),
    }
}

fn is_id(text: &[u8]) -> bool {
    (1..=128).contains(&text.len()) && text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Random once per process, then counted: unique, and without a system call per request.
fn fresh() -> HeaderValue {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let process = PROCESS.get_or_init(|| RandomState::new().hash_one(std::process::id()));
    let id = format!("{process:016x}-{:x}", NEXT.fetch_add(1, Ordering::Relaxed));
    HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ids_are_echoed_and_others_replaced() {
        let of = |sent: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(NAME, sent.parse().unwrap());
            super::of(&headers).to_str().unwrap().to_owned()
        };
        assert_eq!(of("a.B_c-9"), "a.B_c-9");
        let long = "x".repeat(129);
        for wrong in ["", "a b", "<script>", long.as_str()] {
            assert_ne!(of(wrong), wrong);
        }
        assert_ne!(super::of(&HeaderMap::new()), super::of(&HeaderMap::new()));
    }
}
