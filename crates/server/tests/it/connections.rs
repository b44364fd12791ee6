//! Real sockets: slow heads, stopping, keep-alive.

use crate::client::Client;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tutti_server::{ServerOptions, serve};

/// A served client: where it listens, and its end.
async fn served(
    client: &Client,
    read_timeout: Duration,
) -> (std::net::SocketAddr, tokio::task::JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = ServerOptions { read_timeout, ..client.options.clone() };
    let router = client.router.clone();
    (address, tokio::spawn(async move { serve(listener, router, &options).await }))
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let (mut text, mut piece) = (String::new(), [0; 4096]);
    while !text.contains(end) {
        let n = stream.read(&mut piece).await.unwrap();
        assert!(n > 0, "the connection ended after {text:?}");
        text.push_str(std::str::from_utf8(&piece[..n]).unwrap());
    }
    text
}

#[tokio::test]
async fn a_head_that_does_not_arrive_ends_the_connection() {
    let client = Client::new().await;
    let (address, _) = served(&client, Duration::from_millis(50)).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ").await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
}

#[tokio::test]
async fn a_stopping_server_ends_streams_and_returns() {
    let client = Client::new().await;
    let (address, ended) = served(&client, Duration::from_secs(30)).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    read_until(&mut stream, "alive").await;
    let run = client.start(&serde_json::json!({"workflow": "hang"})).await;
    let follow = format!("GET /v1/runs/{run}/events HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(follow.as_bytes()).await.unwrap();
    read_until(&mut stream, "run.queued").await;
    client.options.stop.cancel();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "the stream ends whole: {rest:?}");
    ended.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}
