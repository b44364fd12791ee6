//! A way out that leads nowhere: for tests and for programs that call nothing.

use crate::ports::outbound::{OutError, OutRequest, OutResponse, Outbound};
use futures_util::future::BoxFuture;

/// Refuses every request.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoOutbound;

impl Outbound for NoOutbound {
    fn send(&self, request: OutRequest) -> BoxFuture<'static, Result<OutResponse, OutError>> {
        let url = request.url.split(['?', '#']).next().unwrap_or_default().to_owned();
        Box::pin(std::future::ready(Err(OutError::Refused { url, reason: "this process has no way out".into() })))
    }
}
