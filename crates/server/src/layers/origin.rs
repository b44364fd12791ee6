//! Where a request comes from. A web page must not reach this server through its reader's browser: not under a name that
//! was made to point here (DNS rebinding: `Host`), not from another site (`Origin`, `Sec-Fetch-Site`).

use super::auth::Entry;
use crate::ServerOptions;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use std::net::{Ipv4Addr, Ipv6Addr};
use tutti_app::{Class, Failure};

/// Lets a request pass, or says why not. Answers its `Origin` when that is another site's that may call. Who shows the key may
/// call the server as they like: no page that was led here by its name has it.
pub fn check(request: &Request, options: &ServerOptions, entry: Entry) -> Result<Option<HeaderValue>, Failure> {
    let headers = request.headers();
    let host = host(request)?;
    let name = name_of(host).filter(|name| entry == Entry::Key || is_ours(name, options));
    if name.is_none() {
        let shown = host.get(..100).unwrap_or(host);
        let message =
            format!("this server is not to be called as {shown:?}; name that host in TUTTI_HOSTS to allow it");
        return Err(Failure::denied(message));
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    let origin = origins.next();
    if origins.next().is_some() {
        return Err(Failure::new(Class::BadRequest, "more than one Origin header"));
    }
    if let Some(origin) = origin {
        let text = origin.to_str().unwrap_or_default();
        if options.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(text)) {
            return Ok(Some(origin.clone()));
        }
        if !is_same(text, host) {
            let text = text.get(..100).unwrap_or(text);
            let message = format!("pages of {text:?} may not call this server; name it in CORS_ORIGINS to allow it");
            return Err(Failure::denied(message));
        }
    }
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if changes && matches!(site, Some(b"cross-site" | b"same-site")) {
        return Err(Failure::denied("a page of another site may not change anything here (Sec-Fetch-Site)"));
    }
    Ok(None)
}

/// The name under which the server was called: exactly one.
fn host(request: &Request) -> Result<&str, Failure> {
    let wrong = |message| Failure::new(Class::BadRequest, message);
    let mut sent = request.headers().get_all(HOST).iter();
    let header = sent.next().map(|v| v.to_str().unwrap_or_default());
    if sent.next().is_some() {
        return Err(wrong("more than one Host header"));
    }
    let target = request.uri().authority().map(http::uri::Authority::as_str);
    match (header, target) {
        (Some(header), Some(target)) if !header.eq_ignore_ascii_case(target) => {
            Err(wrong("the request's address and its Host header name different servers"))
        }
        (Some(host), _) | (None, Some(host)) => Ok(host),
        (None, None) => Err(wrong("the request has no Host header")),
    }
}

/// The host without its port; `None` when it is no host at all.
fn name_of(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')? + 2;
            (&host[..end], &host[end..])
        }
        None => host.find(':').map_or((host, ""), |at| host.split_at(at)),
    };
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.parse::<u16>().is_ok());
    (is_port && !name.is_empty()).then_some(name)
}

fn is_ours(name: &str, options: &ServerOptions) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    // A name can be made to point anywhere, an address cannot: where all may call, all addresses are ours.
    let is_address = match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().is_ok_and(|ip| options.is_open || ip.is_loopback()),
        None => name.parse::<Ipv4Addr>().is_ok_and(|ip| options.is_open || ip.is_loopback()),
    };
    let listed = bare.unwrap_or(name);
    is_address
        || name.eq_ignore_ascii_case("localhost")
        || options.hosts.iter().any(|host| host.eq_ignore_ascii_case(listed))
}

fn is_same(origin: &str, host: &str) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

/// Whether a browser asks what a page of another origin may do.
pub fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// What a page of an allowed origin may do.
pub fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, DELETE"));
    let allowed = "authorization, content-type, idempotency-key, if-match, last-event-id, prefer, traceparent, x-api-key, x-request-id";
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// Lets a page of an allowed origin read the answer.
pub fn set(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    let exposed = "idempotency-replayed, location, retry-after, x-request-id";
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed));
    headers.append(VARY, HeaderValue::from_static("origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(method: &str, headers: &[(&str, &str)]) -> Result<Option<HeaderValue>, u16> {
        checked_by(Entry::Local, false, method, headers)
    }

    fn checked_by(
        entry: Entry,
        is_open: bool,
        method: &str,
        headers: &[(&str, &str)],
    ) -> Result<Option<HeaderValue>, u16> {
        let mut request = http::Request::builder().method(method).uri("/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let hosts = vec!["tutti.example".to_owned(), "fd00::7".to_owned()];
        let origins = vec!["https://studio.example".to_owned()];
        let options = ServerOptions { hosts, origins, is_open, ..ServerOptions::default() };
        check(&request.body(Body::empty()).unwrap(), &options, entry)
            .map_err(|f| crate::failure::status(f.class).as_u16())
    }

    #[test]
    fn only_our_names_are_answered() {
        for host in [
            "localhost",
            "LOCALHOST:8000",
            "localhost.:1",
            "127.0.0.1:80",
            "127.0.0.9",
            "[::1]",
            "[::1]:8000",
            "Tutti.example",
            "[fd00::7]:80",
        ] {
            assert_eq!(checked("GET", &[("host", host)]), Ok(None), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "10.0.0.1",
            "",
            ":80",
            "localhost:99999",
            "[::2]",
            "[::1",
        ] {
            assert_eq!(checked("GET", &[("host", host)]), Err(403), "{host}");
        }
        assert_eq!(checked("GET", &[]), Err(400));
        assert_eq!(checked("GET", &[("host", "localhost"), ("host", "localhost")]), Err(400));
    }

    #[test]
    fn an_open_server_is_called_by_its_addresses_and_by_any_name_with_the_key() {
        for host in ["10.0.0.1", "192.0.2.7:8000", "[2001:db8::1]:8000", "[::ffff:10.0.0.1]"] {
            assert_eq!(checked_by(Entry::Stranger, true, "GET", &[("host", host)]), Ok(None), "{host}");
            assert_eq!(checked_by(Entry::Local, false, "GET", &[("host", host)]), Err(403), "{host}");
        }
        for host in ["evil.example", "10.0.0.1.nip.io", "[evil]", "[10.0.0.1]", "1"] {
            assert_eq!(checked_by(Entry::Local, true, "GET", &[("host", host)]), Err(403), "{host}");
            assert_eq!(checked_by(Entry::Key, true, "GET", &[("host", host)]), Ok(None), "{host}");
        }
        assert_eq!(checked_by(Entry::Key, true, "GET", &[("host", "a:x")]), Err(403), "no host at all");
        let page = [("host", "a.example"), ("origin", "https://b.example")];
        assert_eq!(checked_by(Entry::Key, true, "GET", &page), Err(403), "pages are refused as ever");
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let host = ("host", "localhost:8000");
        assert_eq!(checked("POST", &[host, ("origin", "http://localhost:8000")]), Ok(None));
        for origin in ["http://evil.example", "http://localhost:3000", "null", "", "file://localhost:8000"] {
            for method in ["POST", "GET"] {
                assert_eq!(checked(method, &[host, ("origin", origin)]), Err(403), "{method} {origin}");
            }
        }
        let studio = HeaderValue::from_static("https://studio.example");
        let allowed = [host, ("origin", "https://studio.example"), ("sec-fetch-site", "cross-site")];
        assert_eq!(checked("POST", &allowed), Ok(Some(studio)));
        assert_eq!(checked("POST", &[host, ("sec-fetch-site", "cross-site")]), Err(403));
        assert_eq!(checked("GET", &[host, ("sec-fetch-site", "cross-site")]), Ok(None), "following a link");
        assert_eq!(checked("POST", &[host, ("sec-fetch-site", "same-origin")]), Ok(None));
    }
}
