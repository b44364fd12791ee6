//! The way out: every request that leaves the process. `agents::egress` implements it; the wiring injects it.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use http::{HeaderMap, Method};
use std::time::Duration;

/// One HTTP request.
#[derive(Debug, Clone)]
pub struct OutRequest {
    /// The method.
    pub method: Method,
    /// An absolute `http` or `https` address.
    pub url: String,
    /// Headers; secrets marked sensitive.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Until the response head must be there, and between two pieces of the body.
    pub idle: Duration,
    /// Most bytes of (decoded) body that are read.
    pub body_bytes_max: usize,
}

/// The answer's head and its body as it arrives. Dropping it closes the socket.
pub struct OutResponse {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body in pieces; ends with an error when it is cut, too long or too slow.
    pub body: BoxStream<'static, Result<Bytes, OutError>>,
}

/// Why nothing, or not all, came back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutError {
    /// The address may not be called.
    #[error("calling {url} is not allowed: {reason}")]
    Refused {
        /// The address, without user information or query.
        url: String,
        /// Which rule forbids it, and what to set to allow it.
        reason: String,
    },
    /// The other side could not be reached; nothing was sent.
    #[error("{host} cannot be reached: {reason}")]
    Connect {
        /// Host and port.
        host: String,
        /// What the network said.
        reason: String,
    },
    /// No answer, or no further piece of it, in time.
    #[error("{host} did not answer within {ms} ms")]
    Timeout {
        /// Host and port.
        host: String,
        /// The bound.
        ms: u64,
    },
    /// The connection broke after the request was sent.
    #[error("{host} broke off: {reason}")]
    Broken {
        /// Host and port.
        host: String,
        /// What the network said.
        reason: String,
    },
    /// More body than was allowed.
    #[error("{host} sent more than {bytes_max} bytes")]
    TooLarge {
        /// Host and port.
        host: String,
        /// The bound.
        bytes_max: usize,
    },
}

impl OutError {
    /// Whether another attempt may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Timeout { .. } | Self::Broken { .. })
    }
}

/// The one client.
pub trait Outbound: Send + Sync {
    /// Send and await the response's head.
    fn send(&self, request: OutRequest) -> BoxFuture<'static, Result<OutResponse, OutError>>;
}
