//! One HTTP request over a connection of its own, with nothing between us and the socket that would cost time to set up.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Sends a request to `127.0.0.1:PORT` and gives back the body of a 2xx.
pub fn request(address: &str, method: &str, path: &str, body: &str) -> Result<String> {
    let mut socket = TcpStream::connect(address).with_context(|| format!("{address} does not answer"))?;
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    socket.set_nodelay(true)?;
    // A body that is absent has no type: some servers refuse one that has.
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{kind}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(format!("{head}{body}").as_bytes())?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer broke off")?;
    if !head.starts_with("HTTP/1.1 2") {
        bail!("{method} {path}: {}: {body}", head.lines().next().unwrap_or_default());
    }
    Ok(body.into())
}

/// Sends JSON and reads JSON.
pub fn post(address: &str, path: &str, body: &Value) -> Result<Value> {
    let text = request(address, "POST", path, &body.to_string())?;
    serde_json::from_str(&text).with_context(|| format!("POST {path} answered {text:?}"))
}

/// Reads JSON.
pub fn get(address: &str, path: &str) -> Result<Value> {
    let text = request(address, "GET", path, "")?;
    serde_json::from_str(&text).with_context(|| format!("GET {path} answered {text:?}"))
}
