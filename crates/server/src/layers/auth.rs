//! Who asks. There is no login yet: everybody who is let in is `default/local` with every role. In protected mode those are the
//! peers at this machine and those who show the key; everybody else is a stranger without a role.

use crate::ServerOptions;
use axum::extract::{ConnectInfo, Request};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::ExposeSecret;
use std::net::SocketAddr;
use subtle::ConstantTimeEq;
use tutti_app::{Caller, Class, Failure, Roles};

/// By which right a request comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// It comes from this machine, or nobody has to show a key.
    Local,
    /// It shows the key.
    Key,
    /// By none.
    Stranger,
}

/// Finds out by which right a request comes in.
pub fn entry(request: &Request, options: &ServerOptions) -> Entry {
    let Some(key) = &options.key else { return Entry::Local };
    let key = key.expose_secret().as_bytes();
    // Every key that is shown is compared, and whole: time must not tell how much of one is right.
    if shown(request.headers()).fold(false, |found, shown| found | bool::from(shown.ct_eq(key))) {
        Entry::Key
    } else if is_at_this_machine(request) {
        Entry::Local
    } else {
        Entry::Stranger
    }
}

/// The caller behind a request's headers, with the trace context it brought.
pub fn caller(headers: &HeaderMap, entry: Entry) -> Caller {
    let traceparent = headers.get("traceparent").and_then(|v| v.to_str().ok()).filter(|t| is_traceparent(t));
    let roles = if entry == Entry::Stranger { Roles::NONE } else { Roles::ADMIN };
    Caller { roles, traceparent: traceparent.map(String::from), ..Caller::local() }
}

/// What a stranger is told: the ways in.
pub fn refusal(headers: &HeaderMap) -> Failure {
    let why = if shown(headers).next().is_some() {
        "the key that was sent is not this server's"
    } else {
        "this server wants a key from other machines and from behind proxies"
    };
    let ways = "send the admin key as `Authorization: Bearer tt_admin_…` or `X-API-Key: tt_admin_…`; \
                `tutti key show` prints it where the server runs";
    Failure::new(Class::AuthenticationError, format!("{why}; {ways}"))
}

/// Whatever may be meant as a key.
fn shown(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let bearers = headers.get_all(AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, key) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(key.trim_ascii())
    });
    bearers.chain(headers.get_all("x-api-key").iter().map(|value| value.as_bytes().trim_ascii()))
}

/// Whether the peer is a program of this machine that speaks for itself. A proxy that says for whom it speaks does not; one that
/// keeps silent about it cannot be told apart. A peer that nobody knows is not here.
fn is_at_this_machine(request: &Request) -> bool {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    // A socket for both families shows an IPv4 peer as ::ffff:127.0.0.1.
    peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback()) && !is_forwarded(request.headers())
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    let tells = |name: &str| name.starts_with("x-forwarded") || matches!(name, "forwarded" | "x-real-ip" | "via");
    headers.keys().any(|name| tells(name.as_str()))
}

/// W3C Trace Context, version 00: `00-<32 hex>-<16 hex>-<2 hex>`, neither id all zero.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |s: &str, len: usize| s.len() == len && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let zero = |s: &str| s.bytes().all(|b| b == b'0');
    matches!(parts.as_slice(), ["00", trace, span, flags]
        if hex(trace, 32) && hex(span, 16) && hex(flags, 2) && !zero(trace) && !zero(span))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    const KEY: &str = "tt_admin_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn by(peer: Option<&str>, headers: &[(&str, &str)]) -> Entry {
        let mut request = http::Request::get("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        }
        entry(&request, &ServerOptions { key: Some(KEY.into()), ..ServerOptions::default() })
    }

    #[test]
    fn this_machine_speaks_for_itself_without_a_key() {
        for peer in ["127.0.0.1:4000", "127.9.9.9:1", "[::1]:4000", "[::ffff:127.0.0.1]:4000"] {
            assert_eq!(by(Some(peer), &[]), Entry::Local, "{peer}");
            assert_eq!(by(Some(peer), &[("authorization", "Bearer some-other")]), Entry::Local, "{peer}");
            for name in ["Forwarded", "X-Forwarded-For", "x-forwarded-host", "X-Forwarded", "X-Real-IP", "Via"] {
                assert_eq!(by(Some(peer), &[(name, "for=127.0.0.1")]), Entry::Stranger, "{peer} {name}");
                assert_eq!(by(Some(peer), &[(name, ""), ("x-api-key", KEY)]), Entry::Key, "{peer} {name}");
            }
        }
        for peer in ["10.0.0.1:80", "[2001:db8::1]:80", "[::ffff:10.0.0.1]:80", "0.0.0.0:80", "192.0.2.7:80"] {
            assert_eq!(by(Some(peer), &[]), Entry::Stranger, "{peer}");
        }
        assert_eq!(by(None, &[]), Entry::Stranger, "a peer that nobody knows");
    }

    #[test]
    fn the_key_opens_and_nothing_like_it_does() {
        let peer = Some("192.0.2.9:4000");
        let bearer = format!("Bearer {KEY}");
        for good in [
            &[("authorization", bearer.as_str())][..],
            &[("authorization", &format!("bEARER  {KEY} "))],
            &[("x-api-key", KEY)],
            &[("authorization", "Basic dTpw"), ("x-api-key", KEY)],
            &[("authorization", "Bearer other"), ("authorization", &bearer)],
        ] {
            assert_eq!(by(peer, good), Entry::Key, "{good:?}");
        }
        let (short, long, upper) = (&KEY[..KEY.len() - 1], format!("{KEY}0"), KEY.to_uppercase());
        for wrong in ["", " ", "tt_admin_", short, &long, &upper, &format!("{short}e")] {
            assert_eq!(by(peer, &[("x-api-key", wrong)]), Entry::Stranger, "{wrong:?}");
            assert_eq!(by(peer, &[("authorization", &format!("Bearer {wrong}"))]), Entry::Stranger, "{wrong:?}");
        }
        for wrong in [("authorization", KEY), ("authorization", &format!("Basic {KEY}")), ("cookie", KEY)] {
            assert_eq!(by(peer, &[wrong]), Entry::Stranger, "{wrong:?}");
        }
    }

    #[test]
    fn without_a_key_everybody_is_served() {
        let request = http::Request::get("/").header("via", "1.1 x").body(Body::empty()).unwrap();
        assert_eq!(entry(&request, &ServerOptions::default()), Entry::Local);
    }

    #[test]
    fn only_well_formed_trace_contexts_pass() {
        assert!(is_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        for wrong in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(!is_traceparent(wrong), "{wrong}");
        }
    }
}
