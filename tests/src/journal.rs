//! A run as the API shows it, and what its journal must be like whatever happened.

use serde_json::Value;
use std::collections::BTreeMap;

/// A run with its journal.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// How it stands.
    pub status: String,
    /// Its entries.
    pub journal: Vec<Entry>,
    /// All of it, as answered.
    pub whole: Value,
}

/// A journal entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its number.
    pub seq: u64,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Its step; empty for the run itself.
    pub key: String,
    /// Its type.
    pub kind: String,
    /// What it holds.
    pub body: Value,
}

/// Entry types that are a step's outcome.
const OUTCOMES: [&str; 6] =
    ["step.completed", "step.failed", "agent.message", "agent.failed", "tool.returned", "child.completed"];
/// Entry types that are a step's intent.
const INTENTS: [&str; 3] = ["step.started", "agent.started", "tool.called"];
/// Entry types that end a run.
const ENDS: [&str; 4] = ["run.completed", "run.failed", "run.cancelled", "run.timed_out"];

impl Run {
    /// Reads an answer of `GET /v1/runs/{id}`.
    ///
    /// # Panics
    /// When it is not in the contract's shape.
    #[must_use]
    pub fn of(answer: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text in {answer}")).to_owned();
        let entries = answer["journal"].as_array().unwrap_or_else(|| panic!("no journal in {answer}"));
        let entry = |entry: &Value| Entry {
            seq: entry["seq"].as_u64().unwrap_or_else(|| panic!("no seq in {entry}")),
            at_ms: time_ms(&entry["at"]),
            key: text(&entry["key"]),
            kind: text(&entry["kind"]),
            body: entry["body"].clone(),
        };
        Self {
            id: text(&answer["run_id"]),
            status: text(&answer["status"]),
            journal: entries.iter().map(entry).collect(),
            whole: answer.clone(),
        }
    }

    /// Entries of a type.
    pub fn of_kind<'r>(&'r self, kind: &'r str) -> impl Iterator<Item = &'r Entry> {
        self.journal.iter().filter(move |e| e.kind == kind)
    }

    /// The outcome of a step, which has at most one.
    #[must_use]
    pub fn outcome(&self, key: &str) -> Option<&Entry> {
        self.journal.iter().find(|e| e.key == key && OUTCOMES.contains(&e.kind.as_str()))
    }

    /// What an agent said in a step, streamed or not.
    #[must_use]
    pub fn said(&self, key: &str) -> Option<&str> {
        let body = &self.journal.iter().find(|e| e.key == key && e.kind == "agent.message")?.body;
        body["text"].as_str().or(body["output"]["text"].as_str())
    }

    /// What holds for every journal of an ended run: numbered from 1 without a gap, it begins with being queued and ends with the
    /// run's end, which is its only end; each step has at most one intent and at most one outcome, in this order.
    ///
    /// # Panics
    /// When it does not hold.
    pub fn assert_whole(&self) {
        let kinds = || self.journal.iter().map(|e| format!("{} {} {}", e.seq, e.kind, e.key)).collect::<Vec<_>>();
        for (n, entry) in self.journal.iter().enumerate() {
            assert_eq!(entry.seq, n as u64 + 1, "run {}: a gap in {:?}", self.id, kinds());
        }
        assert_eq!(self.journal[0].kind, "run.queued", "run {}", self.id);
        let ends: Vec<_> = self.journal.iter().filter(|e| ENDS.contains(&e.kind.as_str())).collect();
        assert_eq!(ends.len(), 1, "run {} ({}): {:?}", self.id, self.status, kinds());
        assert_eq!(ends[0].kind, format!("run.{}", self.status), "run {}", self.id);
        assert_eq!(ends[0].seq, self.journal.len() as u64, "run {}: entries after the end: {:?}", self.id, kinds());
        let mut seen: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
        for entry in self.journal.iter().filter(|e| !e.key.is_empty()) {
            let (intents, outcomes) = seen.entry(entry.key.as_str()).or_default();
            if INTENTS.contains(&entry.kind.as_str()) {
                *intents += 1;
                assert_eq!((*intents, *outcomes), (1, 0), "run {}: step {}: {:?}", self.id, entry.key, kinds());
            }
            if OUTCOMES.contains(&entry.kind.as_str()) {
                *outcomes += 1;
                assert_eq!(*outcomes, 1, "run {}: two outcomes of {}: {:?}", self.id, entry.key, kinds());
            }
        }
    }
}

/// An RFC 3339 time in UTC, in milliseconds since the Unix epoch.
///
/// # Panics
/// When it is no such time.
#[must_use]
pub fn time_ms(value: &Value) -> i64 {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no time"));
    assert!(text.ends_with('Z'), "{text} is not UTC with Z");
    let time: jiff::Timestamp = text.parse().unwrap_or_else(|e| panic!("{text} is no RFC 3339 time: {e}"));
    time.as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(kinds: &[(u64, &str, &str)]) -> Run {
        let entry = |&(seq, kind, key): &(u64, &str, &str)| json!({"seq": seq, "at": "2026-01-01T00:00:00.5Z", "key": key, "kind": kind, "body": null});
        let journal: Vec<_> = kinds.iter().map(entry).collect();
        Run::of(&json!({"run_id": "r", "status": "completed", "journal": journal}))
    }

    #[test]
    fn a_whole_journal_passes() {
        let run = run(&[
            (1, "run.queued", ""),
            (2, "agent.started", "a"),
            (3, "agent.message", "a"),
            (4, "run.completed", ""),
        ]);
        run.assert_whole();
        assert_eq!(run.outcome("a").unwrap().seq, 3);
        assert_eq!(run.journal[0].at_ms % 1_000, 500);
    }

    #[test]
    #[should_panic(expected = "a gap")]
    fn a_gap_is_noticed() {
        run(&[(1, "run.queued", ""), (3, "run.completed", "")]).assert_whole();
    }

    #[test]
    #[should_panic(expected = "two outcomes")]
    fn a_second_outcome_is_noticed() {
        let twice =
            [(1, "run.queued", ""), (2, "step.completed", "a"), (3, "step.completed", "a"), (4, "run.completed", "")];
        run(&twice).assert_whole();
    }

    #[test]
    #[should_panic(expected = "after the end")]
    fn an_entry_after_the_end_is_noticed() {
        run(&[(1, "run.queued", ""), (2, "run.completed", ""), (3, "log", "")]).assert_whole();
    }
}
