//! The one way out of the process: every request goes through [`Egress`].
//!
//! It calls the public internet, the addresses that the operator's configuration names, and what `EGRESS_ALLOW` opens;
//! nothing else. A name is resolved once per connection and the checked address is the one connected to, so a name that
//! changes its mind between check and call (DNS rebinding) gains nothing. Redirects are not followed, proxies of the
//! environment are not used, time and size are bounded.

mod address;
mod body;
mod policy;
mod resolve;

pub(crate) use policy::shown;
pub use policy::{AllowRule, EgressPolicy, Origin, PolicyError};

use body::Body;
use futures_util::future::{BoxFuture, ready};
use futures_util::{StreamExt, TryStreamExt};
use policy::Route;
use reqwest::{Client, Request, Url, redirect};
use resolve::{Forbidden, Lookup, Resolver};
use std::error::Error;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tutti_engine::ports::outbound::{OutError, OutRequest, OutResponse, Outbound};

/// Longest wait for a connection, TLS included.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long an unused connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Most bytes of response headers.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Most response headers.
const HEADERS_MAX: usize = 128;

/// The guarded HTTP client. Cheap to share behind an `Arc`; keeps one connection pool per trust and scheme.
pub struct Egress {
    policy: Arc<EgressPolicy>,
    lookup: Lookup,
    /// By [`Egress::slot`]. Made at first use: reading the system's certificates takes longer than a start should.
    clients: [OnceLock<Result<Client, String>>; 4],
}

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Egress").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Egress {
    /// A client under this policy. Opens nothing yet.
    #[must_use]
    pub fn new(policy: EgressPolicy) -> Self {
        Self::with_lookup(policy, resolve::system())
    }

    fn with_lookup(policy: EgressPolicy, lookup: Lookup) -> Self {
        Self { policy: Arc::new(policy), lookup, clients: [const { OnceLock::new() }; 4] }
    }

    /// Whether an address may be called, without calling it; a name's addresses are only known at the call.
    ///
    /// # Errors
    /// [`OutError::Refused`] with the reason.
    pub fn check(&self, url: &str) -> Result<(), OutError> {
        self.admit(url).map(|_| ())
    }

    /// An address of a host that may be spoken to in another language than HTTP, by the same rules.
    ///
    /// # Errors
    /// In words; for a private or loopback address they name `EGRESS_ALLOW`.
    pub async fn address(&self, host: &str) -> Result<IpAddr, String> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let found = match bare.parse::<IpAddr>() {
            Ok(ip) => vec![ip],
            Err(_) => {
                let found = (self.lookup)(bare.to_owned()).await.map_err(|e| format!("{bare} cannot be found: {e}"))?;
                found.into_iter().map(|address| address.ip()).collect()
            }
        };
        let mut refusal = format!("{bare} stands for no address");
        for ip in found {
            match self.policy.check_host(bare, ip) {
                Ok(()) => return Ok(ip),
                Err(why) => refusal = why,
            }
        }
        Err(refusal)
    }

    fn admit(&self, url: &str) -> Result<(Url, Route), OutError> {
        let refused = |reason: String| OutError::Refused { url: shown(url), reason };
        // The parser would drop these silently, and two readers of one address might then disagree.
        if url.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'\\') {
            return Err(refused("it holds white space, control characters or a backslash".into()));
        }
        let parsed = Url::parse(url).map_err(|e| refused(e.to_string()))?;
        let route = self.policy.route(&parsed).map_err(refused)?;
        Ok((parsed, route))
    }

    fn client(&self, https: bool, route: Route) -> Result<&Client, OutError> {
        let slot = usize::from(https) * 2 + usize::from(route == Route::Trusted);
        let made = self.clients[slot].get_or_init(|| {
            let policy = (route == Route::Guarded).then(|| self.policy.clone());
            build(https, Resolver { lookup: self.lookup.clone(), policy })
        });
        made.as_ref().map_err(|reason| OutError::Connect {
            host: if https { "https" } else { "http" }.into(),
            reason: format!("the client cannot be set up: {reason}; are the system's CA certificates installed?"),
        })
    }

    fn prepare(&self, out: OutRequest) -> Result<(Client, Request, Bounds), OutError> {
        let (url, route) = self.admit(&out.url)?;
        let client = self.client(url.scheme() == "https", route)?.clone();
        let bounds = Bounds { host: host_and_port(&url), idle: out.idle, bytes_max: out.body_bytes_max };
        let mut request = Request::new(out.method, url);
        *request.headers_mut() = out.headers;
        if !out.body.is_empty() {
            *request.body_mut() = Some(out.body.into());
        }
        Ok((client, request, bounds))
    }
}

impl Outbound for Egress {
    fn send(&self, request: OutRequest) -> BoxFuture<'static, Result<OutResponse, OutError>> {
        match self.prepare(request) {
            Ok((client, request, bounds)) => Box::pin(exchange(client, request, bounds)),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }
}

fn build(https: bool, resolver: Resolver) -> Result<Client, String> {
    let builder = Client::builder()
        .user_agent(concat!("tutti/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_MAX)
        .pool_idle_timeout(KEEP_ALIVE)
        .http1_max_headers(HEADERS_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX as u32)
        .dns_resolver(resolver);
    // A client that only speaks plain http needs no certificates, and must work where there are none.
    let builder = if https { builder.https_only(true) } else { builder.tls_certs_only([]) };
    builder.build().map_err(|e| deepest(&e))
}

/// What one exchange may take, and how to name the other side.
struct Bounds {
    host: String,
    idle: Duration,
    bytes_max: usize,
}

async fn exchange(client: Client, request: Request, bounds: Bounds) -> Result<OutResponse, OutError> {
    let Bounds { host, idle, bytes_max } = bounds;
    let url = shown(request.url().as_str());
    let answered = tokio::time::timeout(idle, client.execute(request)).await;
    let mut response = match answered {
        Err(_) => return Err(OutError::Timeout { host, ms: millis(idle) }),
        Ok(Err(error)) => return Err(failure(&error, host, url)),
        Ok(Ok(response)) => response,
    };
    let headers = std::mem::take(response.headers_mut());
    if headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() > HEADER_BYTES_MAX {
        return Err(OutError::Broken { host, reason: format!("its headers are over {HEADER_BYTES_MAX} bytes") });
    }
    let status = response.status().as_u16();
    let broken = host.clone();
    let inner = response.bytes_stream().map_err(move |error| failure(&error, broken.clone(), url.clone())).boxed();
    let body = Body { inner: Some(inner), host, idle, bytes_max, bytes_read: 0, waiting: None };
    Ok(OutResponse { status, headers, body: body.boxed() })
}

fn failure(error: &reqwest::Error, host: String, url: String) -> OutError {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = cause {
        if let Some(Forbidden(reason)) = inner.downcast_ref() {
            return OutError::Refused { url, reason: reason.clone() };
        }
        cause = inner.source();
    }
    let reason = deepest(error);
    if error.is_builder() {
        OutError::Refused { url, reason }
    } else if error.is_connect() {
        OutError::Connect { host, reason }
    } else {
        OutError::Broken { host, reason }
    }
}

/// The innermost message: the outer ones repeat the address, query included.
fn deepest(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if std::ptr::addr_eq(cause, error) { "the request could not be sent".into() } else { cause.to_string() }
}

fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
