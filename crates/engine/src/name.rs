//! Step keys: `scope/name[item]#n`. Equal on every replay, and the tail of every idempotency key.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// A step's full path inside its run.
pub type Key = std::rc::Rc<str>;

const NAME_LEN_MAX: usize = 40;
const ITEM_LEN_MAX: usize = 64;
const KEY_LEN_MAX: usize = 200;

/// Whether `name` is a legal step, scope or signal name: `[a-z0-9_.-]{1,40}`.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=NAME_LEN_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-'))
}

/// An item made safe inside a key: percent-encoded, and hashed when long.
fn push_item(out: &mut String, item: &str) {
    if item.len() > ITEM_LEN_MAX {
        out.push('~');
        out.push_str(&short_hash(item.as_bytes()));
        return;
    }
    for b in item.bytes() {
        if b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-') {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
    }
}

/// Sixteen hex digits of SHA-256.
#[must_use]
pub fn short_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)[..8].iter().fold(String::with_capacity(16), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

/// `parent/name[item]`, with the prefix hashed once the whole grows over 200 bytes.
#[must_use]
pub fn join(parent: &str, name: &str, item: Option<&str>) -> String {
    let mut key = String::with_capacity(parent.len() + name.len() + 8);
    if !parent.is_empty() {
        key.push_str(parent);
        key.push('/');
    }
    key.push_str(name);
    if let Some(item) = item {
        key.push('[');
        push_item(&mut key, item);
        key.push(']');
    }
    if key.len() > KEY_LEN_MAX {
        let tail = key.split_off(parent.len());
        key = format!("~{}{tail}", short_hash(parent.as_bytes()));
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_like_paths() {
        assert_eq!(join("", "ask", None), "ask");
        assert_eq!(join("hop[3]", "ask", None), "hop[3]/ask");
        assert_eq!(join("", "hop", Some("a/b c")), "hop[a%2Fb%20c]");
    }

    #[test]
    fn long_items_and_long_paths_are_hashed_and_stay_distinct() {
        let a = join("", "x", Some(&"a".repeat(65)));
        let b = join("", "x", Some(&"b".repeat(65)));
        assert!(a.starts_with("x[~") && a.len() == 20 && a != b, "{a} {b}");
        let deep = join(&"s/".repeat(150), "leaf", Some("1"));
        assert!(deep.len() <= KEY_LEN_MAX && deep.ends_with("/leaf[1]"), "{deep}");
    }

    #[test]
    fn names_are_narrow() {
        assert!(is_name("ask") && is_name("a.b-c_9"));
        assert!(!is_name("") && !is_name("Ask") && !is_name("a b") && !is_name(&"a".repeat(41)));
    }
}
