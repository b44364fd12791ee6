//! Agent cards: where an agent says for itself what it is (A2A's `/.well-known/agent-card.json`).
//! Source: <https://a2a-protocol.org/latest/specification/>, the fields `name`, `description`, `url`, `protocolVersion`,
//! `preferredTransport` and, of version 1, `supportedInterfaces`.

use crate::agent::Kind;
use futures_util::StreamExt;
use http::{HeaderMap, Method};
use serde::Deserialize;
use std::time::Duration;
use tutti_engine::ports::outbound::{OutRequest, Outbound};

/// Where services put their card.
pub const WELL_KNOWN: &str = "/.well-known/agent-card.json";
/// Most bytes of a card.
const BYTES_MAX: usize = 256 * 1024;

/// What a card says, as far as it is used here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Its name for people.
    pub name: String,
    /// What it is good for.
    pub description: String,
    /// Where it is asked.
    pub url: String,
    /// How: over A2A, or with a plain HTTP request.
    pub kind: Kind,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    url: Option<String>,
    protocol_version: Option<String>,
    preferred_transport: Option<String>,
    #[serde(default)]
    supported_interfaces: Vec<Interface>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Interface {
    url: String,
    protocol_binding: String,
}

impl Card {
    /// Reads a card.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let card: Written = serde_json::from_slice(text).map_err(|e| format!("this is no agent card: {e}"))?;
        let Written { name, description, url, protocol_version, preferred_transport, supported_interfaces } = card;
        let spoken = supported_interfaces.iter().find(|interface| interface.protocol_binding == "JSONRPC");
        let (url, kind) = match (spoken, url) {
            (Some(interface), _) => (interface.url.clone(), Kind::A2a),
            (None, None) => return Err("this is no agent card: it has no url of a transport spoken here".into()),
            (None, Some(url)) => match preferred_transport.as_deref() {
                Some("JSONRPC") => (url, Kind::A2a),
                Some("HTTP" | "http") => (url, Kind::Http),
                Some(other) => {
                    return Err(format!("the agent wants to be asked by {other}, which this version does not speak"));
                }
                // A card of A2A states its version, and JSON-RPC is its default.
                None => (url, if protocol_version.is_some() { Kind::A2a } else { Kind::Http }),
            },
        };
        Ok(Self { name, description, url, kind })
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
        let read = |text: &str| Card::read(text.as_bytes());
        let card =
            read(r#"{"name": "x", "description": "Finds.", "url": "https://a.example/ask", "skills": []}"#).unwrap();
        let Card { name, description, url, kind } = card;
        assert_eq!(
            (name.as_str(), description.as_str(), url.as_str(), kind),
            ("x", "Finds.", "https://a.example/ask", Kind::Http)
        );
        let kind = |text: &str| read(text).map(|card| (card.url, card.kind));
        let a2a = Ok(("https://a".to_owned(), Kind::A2a));
        assert_eq!(kind(r#"{"url": "https://a", "protocolVersion": "0.3.0"}"#), a2a);
        assert_eq!(kind(r#"{"url": "https://a", "preferredTransport": "JSONRPC"}"#), a2a);
        let one = r#"{"supportedInterfaces": [{"url": "https://g", "protocolBinding": "GRPC", "protocolVersion": "1.0"},
            {"url": "https://a", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]}"#;
        assert_eq!(kind(one), a2a);
        assert!(kind(r#"{"url": "https://a", "preferredTransport": "GRPC"}"#).unwrap_err().contains("GRPC"));
        assert!(kind("{}").unwrap_err().contains("url"));
    }
}
