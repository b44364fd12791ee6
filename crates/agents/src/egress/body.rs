//! A response body under its bounds: so many bytes, and so long between two pieces.

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::BoxStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;
use tutti_engine::ports::outbound::OutError;

/// The guarded stream. After its first error it ends, and the inner stream, and with it the socket, is gone.
pub(super) struct Body {
    pub inner: Option<BoxStream<'static, Result<Bytes, OutError>>>,
    pub host: String,
    pub idle: Duration,
    pub bytes_max: usize,
    pub bytes_read: usize,
    /// Made only when a piece has to be waited for, so a body that is already there costs no timer.
    pub waiting: Option<Pin<Box<Sleep>>>,
}

impl Body {
    fn fail(&mut self, error: OutError) -> Poll<Option<Result<Bytes, OutError>>> {
        self.inner = None;
        Poll::Ready(Some(Err(error)))
    }
}

impl Stream for Body {
    type Item = Result<Bytes, OutError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        match inner.as_mut().poll_next(cx) {
            Poll::Ready(Some(Ok(piece))) => {
                this.waiting = None;
                this.bytes_read = this.bytes_read.saturating_add(piece.len());
                if this.bytes_read > this.bytes_max {
                    let error = OutError::TooLarge { host: this.host.clone(), bytes_max: this.bytes_max };
                    return this.fail(error);
                }
                Poll::Ready(Some(Ok(piece)))
            }
            Poll::Ready(Some(Err(error))) => this.fail(error),
            Poll::Ready(None) => {
                this.inner = None;
                Poll::Ready(None)
            }
            Poll::Pending => {
                let idle = this.idle;
                let waiting = this.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
                if waiting.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                let error = OutError::Timeout { host: this.host.clone(), ms: super::millis(idle) };
                this.fail(error)
            }
        }
    }
}
