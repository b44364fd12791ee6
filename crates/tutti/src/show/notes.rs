//! What is told of a run between its members' words: what happens among them, and how it ended.

use super::facts::{Used, agent, at_ms, field, name_of_key, number, reason, text, words};
use super::{Ink, quoted, short};
use crate::client::Event;
use serde_json::Value;

/// What is counted while a run is told.
#[derive(Debug, Default)]
pub struct Tally {
    run_id: Option<String>,
    /// When the run began and when the last event happened, in milliseconds since the epoch.
    span_ms: Option<(i64, i64)>,
    /// What the members' answers used.
    used: Used,
}

impl Tally {
    /// That of this run, where the telling may begin in the midst of it.
    #[must_use]
    pub fn of(run_id: &str) -> Self {
        Self { run_id: Some(run_id.to_owned()), ..Self::default() }
    }

    /// The run, once it is known.
    #[must_use]
    pub fn run_id(&self) -> Option<&str> {
        self.run_id.as_deref()
    }

    /// When the last event happened, in milliseconds since the epoch.
    #[must_use]
    pub fn last_ms(&self) -> Option<i64> {
        self.span_ms.map(|(_, last)| last)
    }

    /// Takes an event into account.
    pub fn hear(&mut self, event: &Event) {
        if let Some(at) = at_ms(event) {
            self.span_ms = Some((self.span_ms.map_or(at, |(first, _)| first), at));
        }
        if self.run_id.is_none() {
            self.run_id = event.text("run_id").map(str::to_owned);
        }
        if event.kind == "agent.message" {
            self.used.add(&event.data);
        }
    }

    /// The last line: how the run ended, in what time, what it used, what stopped it.
    #[must_use]
    pub fn verdict(&self, event: &Event) -> (Ink, String) {
        let data = &event.data;
        let (ink, sign) = if event.kind == "run.completed" { (Ink::Good, "✔") } else { (Ink::Bad, "✗") };
        let status = event.kind.trim_start_matches("run.").replace('_', " ");
        let mut line = format!("{sign} {status}");
        if let Some((first, last)) = self.span_ms {
            line.push_str(&format!(" in {}", took(last - first)));
        }
        if let Some(used) = Used::of(data).or(self.used.any()) {
            line.push_str(&format!(" · {}", used.in_words()));
        }
        let stopped_by = field(data, "output").and_then(|o| text(o, "stopped_by"));
        if let Some(why) = stopped_by.filter(|why| *why != status) {
            line.push_str(&format!(" · stopped by {}", short(why, 60)));
        }
        if let Some(error) = field(data, "error") {
            let at = |name: &str| text(error, name).map_or_else(String::new, |v| format!(" · {name} {}", short(v, 80)));
            line.push_str(&format!("{}{}: {}", at("agent"), at("step"), short(&reason(data), 500)));
        }
        (ink, line)
    }
}

/// An event between members, in a line or more; `None` for those that only machines care about.
#[must_use]
pub fn note(event: &Event, run_id: Option<&str>) -> Option<(Ink, String)> {
    let data = &event.data;
    let word = |name: &str| short(text(data, name).unwrap_or("?"), 200);
    let because = || text(data, "reason").map_or_else(String::new, |r| format!(": {}", short(r, 300)));
    Some(match event.kind.as_str() {
        "run.queued" => (Ink::Dim, format!("run {} · {}", run_id.unwrap_or("?"), word("workflow"))),
        "run.waiting" => (Ink::Care, format!("… waits for {}", list(field(data, "waiting_for")))),
        "run.blocked" => (Ink::Bad, format!("✗ blocked, needs a person{}: {}", paren(data, "reason"), word("message"))),
        "engine.claimed" if number(data, "abnormal") > Some(0) => {
            (Ink::Care, "↺ its worker had died; taken up again where it was".to_owned())
        }
        "handoff" => (Ink::Bold, format!("→ {} hands over to {}{}", word("from"), word("to"), because())),
        "speaker.selected" => {
            let speaker = agent(data).or_else(|| text(data, "speaker")).unwrap_or("?");
            (Ink::Dim, format!("→ next speaks {}{}", short(speaker, 80), because()))
        }
        "plan.created" => (Ink::Dim, format!("≡ plan by {}{}", word("by"), steps(data))),
        "plan.revised" => (Ink::Dim, format!("≡ plan changed{}{}{}", because(), changes(data), steps(data))),
        "tool.called" => (Ink::Dim, format!("⚙ {} {}", tool(data), summary(data, "arguments"))),
        "tool.returned" => (Ink::Dim, format!("⚙ {} answered {}", tool(data), summary(data, "output"))),
        "child.started" => (Ink::Dim, format!("↳ starts {} (run {})", word("workflow"), word("run_id"))),
        "child.completed" => (Ink::Dim, format!("↲ run {} {}", word("run_id"), word("status"))),
        "approval.requested" => {
            let (run, id) = (run_id.unwrap_or("RUN"), quoted(&word("approval_id")));
            let is_answer = field(data, "request").and_then(|r| text(r, "wants")) == Some("answer");
            let input = if is_answer { " --input TEXT" } else { "" };
            let answer = format!("tutti runs approve {run} {id}{input}   (or: tutti runs reject)");
            (Ink::Care, format!("? a person is asked: {}\n  {answer}", wish(data)))
        }
        "approval.decided" => {
            let by = text(data, "by").map_or_else(String::new, |by| format!(" by {}", short(by, 80)));
            let input = field(data, "input").map_or_else(String::new, |_| format!(": {}", summary(data, "input")));
            (Ink::Care, format!("? decided: {}{by}{}{input}", word("decision"), paren(data, "note")))
        }
        "cancel.requested" => (Ink::Care, format!("■ cancel was asked for{}{}", paren(data, "by"), because())),
        "signal.received" => (Ink::Dim, format!("⚑ signal {} {}", word("name"), summary(data, "payload"))),
        "payment.required" | "payment.paid" | "payment.refused" | "payment.unknown" => {
            let what = event.kind.trim_start_matches("payment.");
            (Ink::Care, format!("¤ payment {what}: {}", short(&data.to_string(), 200)))
        }
        "reset" => (Ink::Care, "older events are no longer kept; what follows is what is left".to_owned()),
        "log" => (
            Ink::Dim,
            format!(
                "· {}",
                text(data, "message").or_else(|| text(data, "text")).map_or_else(|| "…".into(), |t| short(t, 500))
            ),
        ),
        _ => return None,
    })
}

fn tool(data: &Value) -> String {
    let name = text(data, "tool").or_else(|| text(data, "name")).or_else(|| text(data, "activity"));
    short(name.map_or_else(|| name_of_key(text(data, "key").unwrap_or_default()), str::to_owned).as_str(), 80)
}

fn summary(data: &Value, name: &str) -> String {
    let value = field(data, name).or_else(|| data.get("about"));
    value.map_or_else(String::new, |v| short(&words(v).map_or_else(|| v.to_string(), str::to_owned), 200))
}

/// What a person is asked for.
fn wish(data: &Value) -> String {
    let request = field(data, "request");
    let word = |name: &str| request.and_then(|r| text(r, name));
    let more = word("instructions").map_or_else(String::new, |more| format!(" ({})", short(more, 120)));
    word("act").map_or_else(|| summary(data, "request"), |act| format!("{}{more}", short(act, 200)))
}

/// A plan's steps, a line each.
fn steps(data: &Value) -> String {
    let steps = data.pointer("/plan/steps").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let line = |step: &Value| {
        let word = |name: &str| short(text(step, name).unwrap_or("?"), 120);
        format!("\n  {} {} {}: {}", word("id"), word("how"), list(field(step, "agents")), word("task"))
    };
    steps.iter().map(line).collect()
}

/// What a changed plan adds, drops and alters.
fn changes(data: &Value) -> String {
    let part = |(name, sign): (&str, &str)| {
        let ids = data.get("diff")?.get(name)?.as_array().filter(|ids| !ids.is_empty())?;
        Some(format!(" {sign}{}", list(Some(&Value::Array(ids.clone())))))
    };
    [("added", "+"), ("changed", "~"), ("removed", "-")].into_iter().filter_map(part).collect()
}

fn paren(data: &Value, name: &str) -> String {
    text(data, name).map_or_else(String::new, |v| format!(" ({})", short(v, 80)))
}

fn list(value: Option<&Value>) -> String {
    let items = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let items: Vec<String> = items.iter().map(|v| short(v.as_str().unwrap_or("?"), 80)).collect();
    if items.is_empty() { "something to happen".into() } else { items.join(", ") }
}

/// Milliseconds in words.
#[must_use]
pub fn took(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{} ms", ms.max(0)),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}
