//! A run's events, each once and in order, through cuts: after one, the stream is resumed behind the last event that arrived.

use super::{Client, Failure};
use eventsource_stream::{EventStreamError, Eventsource};
use futures_util::{Stream, StreamExt};
use reqwest::Response;
use reqwest::header::ACCEPT;
use serde_json::Value;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc;

/// A stream that is silent for longer is dead: the server sends a comment every 15 s.
const SILENCE_S_MAX: u64 = 45;
/// Waits between attempts to resume; after the last one the stream is given up.
const RESUME_WAITS_MS: &[u64] = &[100, 200, 400, 800, 1_500, 3_000, 5_000, 5_000, 5_000, 5_000, 5_000];

/// One event of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number in the run.
    pub seq: Option<u64>,
    /// Its type, e.g. `agent.delta`.
    pub kind: String,
    /// What it says.
    pub data: Value,
}

impl Event {
    /// Whether a run ends with it.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(self.kind.as_str(), "run.completed" | "run.failed" | "run.cancelled" | "run.timed_out")
    }

    /// A text field.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.data.get(name).and_then(Value::as_str)
    }
}

type Raw = Pin<Box<dyn Stream<Item = Result<eventsource_stream::Event, EventStreamError<std::io::Error>>> + Send>>;

/// What a stream tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// An event.
    Event(Event),
    /// The connection broke behind this event; it is being resumed.
    Cut {
        /// The last event that arrived.
        after: u64,
    },
}

/// A cursor over a run's events.
pub struct Follow {
    client: Client,
    /// Where to resume; absent when the server did not say.
    resume: Option<String>,
    after: Option<u64>,
    raw: Option<Raw>,
    attempts: usize,
    ended: bool,
}

impl Follow {
    pub(super) fn new(client: Client, path: String, after: Option<u64>) -> Self {
        Self { client, resume: Some(path), after, raw: None, attempts: 0, ended: false }
    }

    pub(super) fn opened(client: Client, resume: Option<String>, response: Response) -> Self {
        Self { client, resume, after: None, raw: Some(raw(response)), attempts: 0, ended: false }
    }

    /// Reads on in a task of its own, so that whoever waits for the next event may wait for other things too.
    /// The channel closes after the run's last event, or after an error.
    #[must_use]
    pub fn listen(mut self) -> mpsc::Receiver<Result<Heard, Failure>> {
        let (tx, rx) = mpsc::channel(64);
        tokio::spawn(async move {
            while let Some(heard) = self.next().await.transpose() {
                let last = heard.is_err();
                if tx.send(heard).await.is_err() || last {
                    return;
                }
            }
        });
        rx
    }

    async fn next(&mut self) -> Result<Option<Heard>, Failure> {
        while !self.ended {
            let Some(raw) = &mut self.raw else {
                self.open().await?;
                continue;
            };
            if let Some(Ok(raw)) = raw.next().await {
                if let Some(event) = self.take(&raw) {
                    return Ok(Some(Heard::Event(event)));
                }
                continue;
            }
            self.raw = None;
            if let (Some(after), 0) = (self.after, self.attempts) {
                return Ok(Some(Heard::Cut { after }));
            }
        }
        Ok(None)
    }

    fn take(&mut self, raw: &eventsource_stream::Event) -> Option<Event> {
        // The field "id" outlives its event in the SSE rules, so an event without a number of its own repeats one.
        let seq = raw.id.parse::<u64>().ok();
        if raw.event != "reset" && seq.is_some() && seq <= self.after {
            return None;
        }
        let data = serde_json::from_str(&raw.data).unwrap_or_else(|_| Value::String(raw.data.clone()));
        let event = Event { seq, kind: raw.event.clone(), data };
        self.after = seq.or(self.after);
        self.attempts = 0;
        self.ended = event.is_end();
        self.learn_place(&event);
        Some(event)
    }

    /// Without a `Location` the first event's `run_id` tells where to resume.
    fn learn_place(&mut self, event: &Event) {
        if self.resume.is_none() {
            self.resume = event.text("run_id").map(|id| format!("/v1/runs/{}/events", super::segment(id)));
        }
    }

    async fn open(&mut self) -> Result<(), Failure> {
        let url = self.client.url().to_owned();
        let cut = || Failure::Cut { url: url.clone(), after: self.after };
        let path = self.resume.clone().ok_or_else(cut)?;
        if self.attempts > 0 || self.after.is_some() {
            let wait_ms = RESUME_WAITS_MS.get(self.attempts).ok_or_else(cut)?;
            tokio::time::sleep(Duration::from_millis(*wait_ms)).await;
        }
        self.attempts += 1;
        let mut request = self.client.request(reqwest::Method::GET, &path).header(ACCEPT, "text/event-stream");
        if let Some(after) = self.after {
            request = request.header("last-event-id", after);
        }
        let response = match request.send().await {
            Ok(response) => response,
            // Before the first event this is a plain failure to connect, not a cut.
            Err(e) if self.after.is_none() => return Err(Failure::unreachable(&url, &e)),
            Err(_) => return Ok(()),
        };
        if response.status().as_u16() == 204 {
            self.ended = true;
            return Ok(());
        }
        match self.client.accepted(response).await {
            Ok(response) => self.raw = Some(raw(response)),
            // A server that is just starting or is full will answer later.
            Err(e) if self.after.is_some() && matches!(e.status(), Some(429 | 502 | 503 | 504)) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }
}

fn raw(response: Response) -> Raw {
    let bytes = futures_util::stream::unfold(response, |mut response| async move {
        let silent = || std::io::Error::from(std::io::ErrorKind::TimedOut);
        let chunk = tokio::time::timeout(Duration::from_secs(SILENCE_S_MAX), response.chunk()).await;
        let item = match chunk {
            Ok(Ok(None)) => return None,
            Ok(Ok(Some(bytes))) => Ok(bytes),
            Ok(Err(e)) => Err(std::io::Error::other(e)),
            Err(_) => Err(silent()),
        };
        Some((item, response))
    });
    Box::pin(bytes.eventsource())
}
