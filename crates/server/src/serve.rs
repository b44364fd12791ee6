//! Connections: accept, bound, and stop in good order.

use crate::ServerOptions;
use axum::Router;
use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Most headers of a request.
const HEADERS_MAX: usize = 100;
/// Most bytes of a request's head that are buffered; the guard refuses far smaller ones with a body that says so.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long answers in progress may take once the server stops.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// The pause after a failed accept, which mostly means that the process has no file left to open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` until `options.stop` is cancelled, then lets answers in progress be given, for at most 10 s.
///
/// # Errors
/// The listener is unusable.
pub async fn serve(listener: TcpListener, router: Router, options: &ServerOptions) -> io::Result<()> {
    listener.local_addr()?;
    let slots = Arc::new(Semaphore::new(options.connections_max));
    let connections = TaskTracker::new();
    loop {
        // A slot first: a connection that cannot be served waits in the listener's queue, not in memory.
        let slot = tokio::select! {
            biased;
            () = options.stop.cancelled() => break,
            Ok(slot) = Arc::clone(&slots).acquire_owned() => slot,
        };
        let accepted = tokio::select! {
            biased;
            () = options.stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = connection(stream, peer, router.clone(), options.read_timeout, options.stop.clone());
        connections.spawn(async move {
            connection.await;
            drop(slot);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(DRAIN_MAX, connections.wait()).await.is_err() {
        tracing::warn!("{} connections were still open after {DRAIN_MAX:?} and are cut", connections.len());
    }
    Ok(())
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    read_timeout: Duration,
    stop: CancellationToken,
) {
    // Answers are written whole: waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    // Who may do what depends on where a request comes from.
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(read_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Clients leave, time out and send rubbish all day: nothing for an operator to act on.
        tracing::debug!(%error, "a connection ended early: {error}");
    }
}
