//! The suite of the [`Cache`] port. Two handles on one backend stand for two processes; a cache within one process is its own other.

use super::{Case, promises, turn};
use crate::ports::cache::Cache;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// What two processes have of one empty cache.
pub type Pair = [Arc<dyn Cache>; 2];

/// Every case.
#[must_use]
pub fn cases() -> &'static [Case<Pair>] {
    CASES
}

promises! { Pair, "cache":
    nothing_is_got_where_nothing_was_put,
    what_was_put_is_got_here_and_there,
    any_bytes_are_kept,
    any_key_is_a_key,
    a_later_put_replaces,
    what_is_removed_is_gone,
    it_is_forgotten_after_its_time,
    a_later_put_has_a_time_of_its_own,
    what_may_be_kept_for_no_time_is_not_kept,
    a_counter_counts_for_all,
    counters_are_apart,
    a_counter_ends_after_its_first_counts_window,
    what_begins_so_is_cleared,
    a_prefix_is_no_pattern,
    counters_are_cleared_too,
    much_is_cleared,
}

const LONG: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(40);

async fn put(cache: &Arc<dyn Cache>, key: &str, value: &'static str) {
    cache.put(key, Bytes::from_static(value.as_bytes()), LONG).await;
}

async fn get(cache: &Arc<dyn Cache>, key: &str) -> Option<String> {
    cache.get(key).await.map(|value| String::from_utf8_lossy(&value).into_owned())
}

async fn nothing_is_got_where_nothing_was_put([a, b]: Pair) {
    assert_eq!((get(&a, "k").await, get(&b, "k").await), (None, None));
    put(&a, "k", "v").await;
    assert_eq!((get(&a, "K").await, get(&a, "k2").await, get(&a, "").await), (None, None, None));
}

async fn what_was_put_is_got_here_and_there([a, b]: Pair) {
    put(&a, "k", "v").await;
    assert_eq!((get(&a, "k").await, get(&b, "k").await), (Some("v".into()), Some("v".into())));
}

async fn any_bytes_are_kept([a, b]: Pair) {
    let big = Bytes::from(vec![7; 200_000]);
    for value in [Bytes::new(), Bytes::from_static(b"\0\xff\r\n$-1\r\n"), big] {
        a.put("k", value.clone(), LONG).await;
        assert_eq!(b.get("k").await, Some(value));
    }
}

async fn any_key_is_a_key([a, b]: Pair) {
    let keys = ["", " ", "a b", "*", "[ab]", "a?", "\\", "é\u{1F980}", "\r\n", "a:b:c", "{x}"];
    for key in keys {
        a.put(key, Bytes::copy_from_slice(key.as_bytes()), LONG).await;
    }
    for key in keys {
        assert_eq!(get(&b, key).await.as_deref(), Some(key));
    }
}

async fn a_later_put_replaces([a, b]: Pair) {
    put(&a, "k", "1").await;
    put(&b, "k", "2").await;
    assert_eq!(get(&a, "k").await, Some("2".into()));
}

async fn what_is_removed_is_gone([a, b]: Pair) {
    put(&a, "k", "v").await;
    put(&a, "k2", "v").await;
    b.remove("k").await;
    b.remove("never put").await;
    assert_eq!((get(&a, "k").await, get(&a, "k2").await), (None, Some("v".into())));
}

async fn it_is_forgotten_after_its_time([a, b]: Pair) {
    a.put("short", Bytes::from_static(b"v"), SHORT).await;
    put(&a, "long", "v").await;
    while b.get("short").await.is_some() {
        turn().await;
    }
    assert_eq!(get(&b, "long").await, Some("v".into()));
}

async fn a_later_put_has_a_time_of_its_own([a, _]: Pair) {
    a.put("longer", Bytes::from_static(b"1"), SHORT).await;
    put(&a, "longer", "2").await;
    put(&a, "shorter", "1").await;
    a.put("shorter", Bytes::from_static(b"2"), SHORT * 2).await;
    while a.get("shorter").await.is_some() {
        turn().await;
    }
    assert_eq!(get(&a, "longer").await, Some("2".into()));
}

async fn what_may_be_kept_for_no_time_is_not_kept([a, _]: Pair) {
    put(&a, "k", "1").await;
    a.put("k", Bytes::from_static(b"2"), Duration::ZERO).await;
    assert_eq!(get(&a, "k").await, None);
}

async fn a_counter_counts_for_all([a, b]: Pair) {
    assert_eq!(a.add("n", 1, LONG).await, Some(1));
    assert_eq!(b.add("n", 2, LONG).await, Some(3));
    assert_eq!(a.add("n", 0, LONG).await, Some(3));
    assert_eq!(a.add("n", 1_000_000_000_000, LONG).await, Some(1_000_000_000_003));
}

async fn counters_are_apart([a, _]: Pair) {
    assert_eq!(a.add("n", 5, LONG).await, Some(5));
    assert_eq!(a.add("m", 1, LONG).await, Some(1));
}

async fn a_counter_ends_after_its_first_counts_window([a, b]: Pair) {
    assert_eq!(a.add("n", 10, SHORT).await, Some(10));
    // Each of these would make it last longer, if later counts could.
    while b.add("n", 1, SHORT).await != Some(1) {
        turn().await;
    }
}

async fn what_begins_so_is_cleared([a, b]: Pair) {
    for key in ["a:1", "a:2", "ab", "b:1", "xa:1"] {
        put(&a, key, "v").await;
    }
    let count = b.clear("a:").await;
    assert!(count.is_none_or(|count| count == 2), "{count:?}");
    assert_eq!((get(&a, "a:1").await, get(&a, "a:2").await), (None, None));
    for key in ["ab", "b:1", "xa:1"] {
        assert_eq!(get(&a, key).await, Some("v".into()), "{key}");
    }
    a.clear("").await;
    assert_eq!((get(&b, "ab").await, get(&b, "xa:1").await), (None, None));
}

async fn a_prefix_is_no_pattern([a, _]: Pair) {
    for key in ["a*1", "ab1", "a?1", "[a]1", "\\a1"] {
        put(&a, key, "v").await;
    }
    for prefix in ["a*", "a?", "[a]", "\\a"] {
        a.clear(prefix).await;
        assert_eq!(get(&a, &format!("{prefix}1")).await, None, "{prefix}");
        assert_eq!(get(&a, "ab1").await, Some("v".into()), "{prefix}");
    }
}

async fn counters_are_cleared_too([a, b]: Pair) {
    a.add("n:1", 5, LONG).await;
    a.add("m:1", 5, LONG).await;
    b.clear("n:").await;
    assert_eq!((a.add("n:1", 1, LONG).await, a.add("m:1", 1, LONG).await), (Some(1), Some(6)));
}

async fn much_is_cleared([a, b]: Pair) {
    for key in 0..3_000 {
        put(&a, &format!("k:{key}"), "v").await;
    }
    put(&a, "other", "v").await;
    b.clear("k:").await;
    for key in 0..3_000 {
        assert_eq!(get(&a, &format!("k:{key}")).await, None);
    }
    assert_eq!(get(&a, "other").await, Some("v".into()));
}
