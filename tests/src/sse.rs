//! A reader of Server-Sent Events that may be cut at any byte.

use crate::client::Lost;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `id:`
    pub id: u64,
    /// `event:`
    pub kind: String,
    /// `data:`
    pub data: Value,
}

/// Turns bytes into events, however they are cut. What follows the last blank line is not an event yet.
#[derive(Debug, Default)]
pub struct Parser {
    rest: Vec<u8>,
    fields: Fields,
}

#[derive(Debug, Default)]
struct Fields {
    id: Option<u64>,
    kind: String,
    data: String,
}

impl Parser {
    /// Takes more bytes and gives the events that they complete.
    ///
    /// # Panics
    /// On what is not a well-formed stream of ours: each event has an id, a type and JSON data.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.rest.iter().position(|&b| b == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = std::str::from_utf8(&line[..end]).expect("a stream is UTF-8");
            events.extend(self.fields.take(line));
        }
        events
    }
}

impl Fields {
    fn take(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let fields = std::mem::take(self);
            let id = fields.id?;
            let data = serde_json::from_str(&fields.data);
            let data = data.unwrap_or_else(|e| panic!("event {id} holds no JSON: {e} in {:?}", fields.data));
            return Some(Event { id, kind: fields.kind, data });
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.id = Some(value.parse().unwrap_or_else(|_| panic!("{value:?} is no event number"))),
            "event" => self.kind = value.into(),
            "data" => self.data.push_str(value),
            // A comment, such as the one that keeps the connection alive.
            "" => {}
            other => panic!("a stream of ours has no field {other:?}"),
        }
        None
    }
}

/// An open stream.
#[derive(Debug)]
pub struct Reader {
    response: reqwest::Response,
    generation: u64,
    parser: Parser,
    ready: VecDeque<Event>,
    bytes: usize,
}

impl Reader {
    pub(crate) fn new(response: reqwest::Response, generation: u64) -> Self {
        Self { response, generation, parser: Parser::default(), ready: VecDeque::new(), bytes: 0 }
    }

    /// A header of the answer; empty where it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.response.headers().get(name).map_or("", |value| value.to_str().unwrap_or("(not text)"))
    }

    /// The next event; `None` at the stream's end.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn next(&mut self) -> Result<Option<Event>, Lost> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => {
                    self.bytes += bytes.len();
                    self.ready.extend(self.parser.push(&bytes));
                }
                Ok(None) => return Ok(None),
                Err(e) => return Err(Lost { generation: self.generation, why: format!("{e:?}") }),
            }
        }
    }

    /// Everything up to the end.
    ///
    /// # Panics
    /// When the connection breaks.
    pub async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await.unwrap_or_else(|lost| panic!("a stream broke: {}", lost.why)) {
            events.push(event);
        }
        events
    }

    /// Events up to the first of that type, which is the last one given.
    ///
    /// # Panics
    /// When the stream ends before.
    pub async fn until(&mut self, kind: &str) -> Vec<Event> {
        let mut events = Vec::new();
        while events.last().is_none_or(|e: &Event| e.kind != kind) {
            let next = self.next().await.unwrap_or_else(|lost| panic!("a stream broke: {}", lost.why));
            events.push(next.unwrap_or_else(|| panic!("the stream ended without {kind}")));
        }
        events
    }

    /// The events within the first `bytes` bytes; then the connection is dropped, wherever that is.
    ///
    /// # Panics
    /// When the connection breaks before.
    pub async fn cut(mut self, bytes: usize) -> Vec<Event> {
        let mut left = bytes;
        let mut events = Vec::new();
        while left > 0 {
            let Some(piece) = self.response.chunk().await.expect("an unbroken stream") else { break };
            let taken = piece.len().min(left);
            left -= taken;
            events.extend(self.parser.push(&piece[..taken]));
        }
        events
    }
}

/// The text that a reader of the stream has of each agent's answer: what was retracted is dropped.
///
/// # Panics
/// When pieces do not follow one another.
#[must_use]
pub fn texts(events: &[Event]) -> BTreeMap<String, String> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for event in events {
        let text = texts.entry(event.data["key"].as_str().unwrap_or_default().to_owned()).or_default();
        match event.kind.as_str() {
            "agent.delta" => {
                assert_eq!(event.data["offset"].as_u64(), Some(text.len() as u64), "{event:?}");
                text.push_str(event.data["text"].as_str().unwrap());
            }
            "agent.retracted" => text.clear(),
            _ => {}
        }
    }
    texts.retain(|_, text| !text.is_empty());
    texts
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const STREAM: &[u8] =
        b": hi\n\nid: 1\nevent: run.queued\ndata: {\"a\":\"\xc3\xa9\"}\n\nid: 2\nevent: log\ndata: {}\n\n";

    #[test]
    fn a_stream_is_read_the_same_wherever_it_is_cut() {
        let whole = Parser::default().push(STREAM);
        assert_eq!(whole.len(), 2);
        assert_eq!(whole[0], Event { id: 1, kind: "run.queued".into(), data: json!({"a": "é"}) });
        for cut in 0..STREAM.len() {
            let mut parser = Parser::default();
            let mut events = parser.push(&STREAM[..cut]);
            events.extend(parser.push(&STREAM[cut..]));
            assert_eq!(events, whole, "cut at {cut}");
        }
    }

    #[test]
    fn half_an_event_is_none() {
        assert_eq!(Parser::default().push(&STREAM[..STREAM.len() - 1]).len(), 1);
    }
}
