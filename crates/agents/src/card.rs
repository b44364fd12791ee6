//! Agent cards: where an agent says for itself what it is (A2A's `/.well-known/agent-card.json`).
//! Source: <https://a2a-protocol.org/latest/specification/>, the fields `name`, `description`, `url`, `preferredTransport`.

use futures_util::StreamExt;
use http::{HeaderMap, Method};
use serde::Deserialize;
use std::time::Duration;
use tutti_engine::ports::outbound::{OutRequest, Outbound};

/// Most bytes of a card.
const BYTES_MAX: usize = 256 * 1024;

/// What a card says, as far as it is used here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Card {
    /// What it is good for.
    #[serde(default)]
    pub description: String,
    /// Where it is asked.
    pub url: String,
    #[serde(default, rename = "preferredTransport")]
    transport: Option<String>,
}

impl Card {
    /// Reads a card.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let card: Self = serde_json::from_slice(text).map_err(|e| format!("this is no agent card: {e}"))?;
        match card.transport.as_deref() {
            // Plain HTTP is what this version speaks; the others need their own protocol.
            None | Some("HTTP" | "http") => Ok(card),
            Some(other) => Err(format!("the agent wants to be asked by {other}, which this version does not speak")),
        }
    }
}

/// Fetches the card at `url`.
///
/// # Errors
/// Why it cannot be had, in words.
pub async fn fetch(outbound: &dyn Outbound, url: &str, idle: Duration) -> Result<Card, String> {
    let request = OutRequest {
        method: Method::GET,
        url: url.to_owned(),
        headers: HeaderMap::new(),
        body: bytes::Bytes::new(),
        idle,
        body_bytes_max: BYTES_MAX,
    };
    let mut response = outbound.send(request).await.map_err(|e| e.to_string())?;
    if response.status != 200 {
        return Err(format!("the card was answered with {}", response.status));
    }
    let mut body = Vec::new();
    while let Some(piece) = response.body.next().await {
        body.extend_from_slice(&piece.map_err(|e| e.to_string())?);
    }
    Card::read(&body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_say_where_and_how() {
        let card =
            Card::read(br#"{"name": "x", "description": "Finds.", "url": "https://a.example/ask", "skills": []}"#)
                .unwrap();
        assert_eq!((card.url.as_str(), card.description.as_str()), ("https://a.example/ask", "Finds."));
        assert!(
            Card::read(br#"{"url": "https://a", "preferredTransport": "JSONRPC"}"#).unwrap_err().contains("JSONRPC")
        );
        assert!(Card::read(b"{}").unwrap_err().contains("url"));
    }
}
