//! A run's events as a stream: by cursor, each once, in order.

use crate::caller::Caller;
use crate::failure::Failure;
use crate::{App, Stamp, Started};
use tutti_engine::driver::{Entry, Events};
use tutti_engine::event::Kind;
use tutti_engine::run::RunNo;

/// One event, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its number: where a reader resumes.
    pub seq: u32,
    /// Its type.
    pub kind: &'static str,
    /// A JSON object on one line: `at`, `key` (when it belongs to a step), then what the type holds.
    pub data: Vec<u8>,
}

/// What following a run leads to.
pub enum Following {
    /// The reader has seen everything, and the run has ended.
    AtEnd,
    /// Events follow.
    Events(Follow),
}

/// A reader's place in a run.
pub struct Follow {
    app: App,
    run: RunNo,
    events: Option<Events>,
    next: u32,
    reset: Option<&'static str>,
    is_open: bool,
}

impl App {
    /// Follows a run from the event after `after` (0: from the first).
    ///
    /// # Errors
    /// `NotFound`; a reader who comes back to a run that is no longer there gets a `reset` event instead.
    pub async fn follow(&self, caller: &Caller, id: &str, after: u32) -> Result<Following, Failure> {
        let row = match self.row(caller, id).await {
            Ok(row) => row,
            Err(failure) if failure.class == crate::Class::NotFound && after > 0 && is_id(id) => {
                return Ok(Following::Events(self.gone(after)));
            }
            Err(failure) => return Err(failure),
        };
        if after > 0 {
            let seen = self.engine().entries(row.run, after - 1, 1).await?;
            if seen.is_empty() && row.status.is_open() {
                let reset = "the run has fewer events than were seen; it is sent again from the first";
                return Ok(Following::Events(self.followed(row.run, 0, Some(reset))));
            }
            let has_more =
                seen.iter().any(|e| e.seq > after) || !self.engine().entries(row.run, after, 1).await?.is_empty();
            if !has_more && !row.status.is_open() {
                return Ok(Following::AtEnd);
            }
        }
        Ok(Following::Events(self.followed(row.run, after, None)))
    }

    /// Follows a run that was just started, from its first event.
    #[must_use]
    pub fn follow_started(&self, started: &Started) -> Follow {
        self.followed(started.no, 0, None)
    }

    fn followed(&self, run: RunNo, after: u32, reset: Option<&'static str>) -> Follow {
        let events = Some(self.engine().follow(run, after));
        Follow { app: self.clone(), run, events, next: after + 1, reset, is_open: true }
    }

    fn gone(&self, after: u32) -> Follow {
        let reset = Some("there is no such run, or it is past the time that runs are kept");
        Follow { app: self.clone(), run: RunNo(0), events: None, next: after + 1, reset, is_open: false }
    }
}

fn is_id(id: &str) -> bool {
    id.parse::<uuid::Uuid>().is_ok()
}

impl Follow {
    /// Whether the run may still be at work as far as this reader has seen.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// The next events; `None` after the run's last.
    ///
    /// # Errors
    /// The store does not answer; the reader may come back.
    pub async fn next(&mut self) -> Result<Option<Vec<Event>>, Failure> {
        let mut out = Vec::new();
        if let Some(reason) = self.reset.take() {
            out.push(reset(self.next - 1, reason));
            return Ok(Some(out));
        }
        let Some(events) = &mut self.events else { return Ok(None) };
        let Some(mut entries) = events.next().await? else {
            self.is_open = false;
            return Ok(None);
        };
        if let Some(first) = entries.first().filter(|first| first.seq != self.next) {
            out.push(reset(first.seq - 1, "events before this one are past the time that they are kept"));
        }
        if let Some(last) = entries.last_mut().filter(|last| last.kind == Kind::RunCompleted) {
            // A pattern's outcome refers to its agents' answers; whoever reads the end wants the words.
            let output = self.app.digest(self.run).await?.output();
            last.body = serde_json::json!({ "output": output }).to_string().into();
        }
        out.extend(entries.iter().map(event));
        if let Some(last) = entries.last() {
            self.next = last.seq + 1;
            self.is_open = !matches!(
                last.kind,
                Kind::RunCompleted | Kind::RunFailed | Kind::RunCancelled | Kind::RunTimedOut | Kind::RunBlocked
            );
        }
        Ok(Some(out))
    }
}

fn reset(seq: u32, reason: &str) -> Event {
    Event { seq, kind: "reset", data: serde_json::json!({"after": seq, "reason": reason}).to_string().into_bytes() }
}

fn event(entry: &Entry) -> Event {
    let mut data = Vec::with_capacity(entry.body.len() + entry.key.len() + 64);
    data.extend_from_slice(format!("{{\"at\":\"{}\"", Stamp(entry.at)).as_bytes());
    // A child's end names its step itself.
    if !entry.key.is_empty() && entry.kind != Kind::ChildCompleted {
        data.extend_from_slice(b",\"key\":");
        data.extend_from_slice(serde_json::Value::from(entry.key.as_str()).to_string().as_bytes());
    }
    match entry.body.as_ref() {
        b"" | b"null" | b"{}" => data.push(b'}'),
        [b'{', rest @ ..] => {
            data.push(b',');
            data.extend_from_slice(rest);
        }
        other => {
            data.extend_from_slice(b",\"value\":");
            data.extend_from_slice(other);
            data.push(b'}');
        }
    }
    Event { seq: entry.seq, kind: entry.kind.as_str(), data }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tutti_engine::run::Time;

    fn data(kind: Kind, key: &str, body: &'static str) -> Value {
        let entry = Entry { seq: 3, at: Time(0), kind, key: key.into(), body: body.into() };
        serde_json::from_slice(&event(&entry).data).unwrap()
    }

    #[test]
    fn an_event_is_one_flat_object() {
        let at = "1970-01-01T00:00:00.000Z";
        assert_eq!(
            data(Kind::AgentDelta, "a\"b", r#"{"attempt":1,"text":"x"}"#),
            json!({"at": at, "key": "a\"b", "attempt": 1, "text": "x"})
        );
        assert_eq!(data(Kind::RunStarted, "", "null"), json!({"at": at}));
        assert_eq!(data(Kind::Log, "turn[1]", "[1,2]"), json!({"at": at, "key": "turn[1]", "value": [1, 2]}));
        assert_eq!(data(Kind::ChildCompleted, "c", r#"{"key":"c"}"#), json!({"at": at, "key": "c"}));
    }

    #[test]
    fn a_reset_says_why() {
        let event = reset(7, "because");
        assert_eq!((event.seq, event.kind), (7, "reset"));
        assert_eq!(event.data, br#"{"after":7,"reason":"because"}"#);
    }
}
