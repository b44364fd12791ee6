//! `tutti runs …`: looks at runs and acts on them.

pub mod approve;
pub mod cancel;
pub mod events;
pub mod get;
pub mod list;
pub mod signal;

use crate::client::segment;
use crate::show::facts::{Used, reason};
use crate::show::{Ink, Paint, clean, line};
use clap::Subcommand;
use serde_json::Value;

/// What to do with runs.
#[derive(Debug, Subcommand)]
pub enum Runs {
    /// List runs, newest first
    List(list::Args),
    /// Show a run, with --journal all that happened in it
    Get(get::Args),
    /// Tell a run's story, and follow it until it ends
    Events(events::Args),
    /// Stop a run
    Cancel(cancel::Args),
    /// Send a run a signal
    Signal(signal::Args),
    /// Say yes to a run that asks a person, or give it the answer it asks for
    Approve(approve::Args),
    /// Say no to a run that asks a person
    Reject(approve::Args),
}

/// A run's path in the API.
fn path(run_id: &str) -> String {
    format!("/v1/runs/{}", segment(run_id))
}

/// A text field of a run.
pub fn text<'a>(run: &'a Value, name: &str) -> &'a str {
    run.get(name).and_then(Value::as_str).unwrap_or("-")
}

/// An output for people: its words, else JSON.
#[must_use]
pub fn output(output: &Value) -> String {
    let inner = output.get("output").filter(|o| !o.is_null()).unwrap_or(output);
    match inner {
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_object) => {
            items.iter().map(answer_of_one).collect::<Vec<_>>().join("\n\n")
        }
        _ => crate::show::facts::words(inner).map_or_else(|| format!("{inner:#}"), clean),
    }
}

/// One member's answer among several.
fn answer_of_one(item: &Value) -> String {
    let words = item.get("output").and_then(crate::show::facts::words);
    match (item.get("agent").and_then(Value::as_str), words) {
        (Some(agent), Some(words)) => format!("{}:\n{}", line(agent), clean(words)),
        _ => format!("{item:#}"),
    }
}

/// A run's status in its colour.
fn status(paint: Paint, status: &str) -> String {
    let ink = match status {
        "completed" => Ink::Good,
        "failed" | "timed_out" | "blocked" => Ink::Bad,
        "cancelled" | "waiting" => Ink::Care,
        _ => Ink::Dim,
    };
    paint.ink(ink, &line(status))
}

/// A run for people: what it is, how it stands, what came of it.
fn describe(paint: Paint, run: &Value) -> String {
    let mut text = format!(
        "{} · {} · {}\n",
        paint.ink(Ink::Bold, &line(self::text(run, "run_id"))),
        line(self::text(run, "workflow")),
        status(paint, self::text(run, "status"))
    );
    for (name, label) in [
        ("created_at", "created"),
        ("started_at", "started"),
        ("ended_at", "ended"),
        ("session_id", "session"),
        ("parent_run_id", "parent"),
    ] {
        if let Some(value) = run.get(name).and_then(Value::as_str) {
            text.push_str(&format!("{label:<8} {}\n", line(value)));
        }
    }
    if let Some(waiting) = run.get("waiting_for").filter(|w| !w.is_null()) {
        text.push_str(&format!("waits    for {}\n", line(&waiting.to_string())));
    }
    if let Some(used) = Used::of(run).and_then(Used::any) {
        text.push_str(&format!("used     {}\n", used.in_words()));
    }
    if run.get("error").is_some_and(|e| !e.is_null()) {
        text.push_str(&format!("error    {}\n", paint.ink(Ink::Bad, &line(&reason(run)))));
    }
    if let Some(value) = run.get("output").filter(|o| !o.is_null()) {
        text.push_str(&format!("\n{}\n", output(value).trim_end()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn outputs_for_people() {
        assert_eq!(output(&json!("a")), "a");
        assert_eq!(output(&json!({"output": "a", "stopped_by": "answer"})), "a");
        let both = json!({"output": [{"agent": "x", "output": "1"}, {"agent": "y", "output": "2"}]});
        assert_eq!(output(&both), "x:\n1\n\ny:\n2");
        assert_eq!(output(&json!({"n": 1})), "{\n  \"n\": 1\n}");
    }

    #[test]
    fn a_run_for_people() {
        let run = json!({"run_id": "r", "workflow": "sequential", "status": "failed", "ended_at": null,
            "created_at": "2026-01-01T00:00:00Z", "usage": {"tokens": 5, "cost": null},
            "error": {"class": "LlmError", "message": "no\nanswer", "agent": "a"}});
        let expected =
            "r · sequential · failed\ncreated  2026-01-01T00:00:00Z\nused     5 tokens\nerror    LlmError: no answer\n";
        assert_eq!(describe(Paint::PLAIN, &run), expected);
    }
}
