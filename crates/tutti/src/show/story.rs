//! A run's events as a story: the team at work, words as they come.
//!
//! The output is only ever added to, so it reads the same on a terminal, in a file and in a pipe. One member at a time
//! has the floor and is shown live; what others say meanwhile is kept and shown when the floor is free, so that
//! members who work at once do not talk into each other.

mod floor;

use self::floor::{Floor, Piece};
use super::facts::{Used, agent, at_ms, field, name_of_key, number, reason, text, texts, words};
use super::{Ink, Paint, short};
use crate::client::Event;
use serde_json::Value;

/// Tells a run's events, one after the other.
pub struct Story {
    floor: Floor,
    run_id: Option<String>,
    /// When the run began and when the last event happened, in milliseconds since the epoch.
    span_ms: Option<(i64, i64)>,
    /// What the members' answers used.
    used: Used,
}

impl Story {
    /// A story in these colours, in lines of at most `width` characters.
    #[must_use]
    pub fn new(paint: Paint, width: Option<usize>) -> Self {
        Self { floor: Floor::new(paint, width), run_id: None, span_ms: None, used: Used::default() }
    }

    /// A story of this run, where it may begin in the midst of it.
    #[must_use]
    pub fn of(mut self, run_id: &str) -> Self {
        self.run_id = Some(run_id.to_owned());
        self
    }

    /// What the next event adds to the story.
    pub fn tell(&mut self, event: &Event) -> String {
        if let Some(at) = at_ms(event) {
            self.span_ms = Some((self.span_ms.map_or(at, |(first, _)| first), at));
        }
        if self.run_id.is_none() {
            self.run_id = event.text("run_id").map(str::to_owned);
        }
        let kind = event.kind.as_str();
        if event.is_end() {
            self.end(event);
        } else if kind.starts_with("agent.") || matches!(kind, "step.retrying" | "step.failed") {
            self.member(event);
        } else if let Some((ink, line)) = self.note(event) {
            self.floor.line(ink, &line);
        }
        self.floor.take_output()
    }

    /// Ends the line, so that something else may be written; whoever spoke is named again when the story goes on.
    pub fn pause(&mut self) -> String {
        self.floor.pause_all();
        self.floor.take_output()
    }

    /// What members do.
    fn member(&mut self, event: &Event) {
        let (data, key) = (&event.data, event.text("key").unwrap_or_default());
        match agent(data) {
            Some(name) => self.floor.introduce(key, name),
            None => self.floor.introduce_if_new(key, &name_of_key(key)),
        }
        match event.kind.as_str() {
            "agent.started" => self.floor.start(key),
            "agent.delta" => {
                let piece = text(data, "text").unwrap_or_default();
                self.floor.delta(key, number(data, "attempt").unwrap_or(1), number(data, "offset"), piece);
            }
            "agent.message" => {
                // A streamed answer's text stands beside its output.
                let answer = data.get("text").or_else(|| data.get("output")).and_then(words).unwrap_or_default();
                // Data is for machines: a glimpse of it will do.
                let is_data =
                    data.pointer("/output/output").is_some_and(|output| output.is_object() || output.is_array());
                if is_data {
                    self.floor.message(key, &short(answer, 160))
                } else {
                    self.floor.message(key, answer)
                }
                self.used.add(data);
            }
            "agent.retracted" => self.floor.retract(key),
            "agent.failed" | "step.failed" => {
                let times = match number(data, "attempts") {
                    Some(n) if n > 1 => format!(" after {n} attempts"),
                    _ => String::new(),
                };
                self.floor.put(key, Piece::Line(Ink::Bad, format!("✗ failed{times}: {}", reason(data))));
                self.floor.done(key);
            }
            "step.retrying" => {
                let attempt = number(data, "attempt").unwrap_or(2);
                self.floor.put(key, Piece::Line(Ink::Care, format!("↻ attempt {attempt} follows: {}", reason(data))));
                self.floor.pause(key);
            }
            _ => {}
        }
    }

    /// Events between members, one line each; `None` for those that only machines care about.
    fn note(&self, event: &Event) -> Option<(Ink, String)> {
        let data = &event.data;
        let word = |name: &str| short(text(data, name).unwrap_or("?"), 200);
        let because = || text(data, "reason").map_or_else(String::new, |r| format!(": {}", short(r, 300)));
        Some(match event.kind.as_str() {
            "run.queued" => (Ink::Dim, format!("run {} · {}", self.run_id.as_deref().unwrap_or("?"), word("workflow"))),
            "run.waiting" => (Ink::Care, format!("… waits for {}", list(field(data, "waiting_for")))),
            "run.blocked" => {
                (Ink::Bad, format!("✗ blocked, needs a person{}: {}", paren(data, "reason"), word("message")))
            }
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
                let (run, id) = (self.run_id.as_deref().unwrap_or("RUN"), word("approval_id"));
                let answer = format!("tutti runs approve {run} '{id}'");
                (Ink::Care, format!("? a person is asked: {}\n  {answer}   (or --reject)", summary(data, "request")))
            }
            "approval.decided" => {
                let by = text(data, "by").map_or_else(String::new, |by| format!(" by {}", short(by, 80)));
                (Ink::Care, format!("? decided: {}{by}{}", word("decision"), paren(data, "note")))
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

    fn end(&mut self, event: &Event) {
        self.floor.empty();
        let data = &event.data;
        if let Some(output) = field(data, "output") {
            self.answer(output);
        }
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
        self.floor.line(ink, &line);
    }

    /// The final answer, unless all its words were said already. An answer may be a pointer to where it was said.
    fn answer(&mut self, output: &Value) {
        let answer = output.get("output").unwrap_or(output);
        let parts = match answer.get("each").or_else(|| answer.get("joined")) {
            Some(Value::Array(parts)) => parts.as_slice(),
            _ => std::slice::from_ref(answer),
        };
        let answers = parts.iter().filter(|part| part.get("error").is_none());
        let pointers: Option<Vec<&str>> = answers.map(|part| text(part, "from")).collect();
        if let Some(keys) = pointers.filter(|keys| !keys.is_empty()) {
            if let Some(key) = keys.iter().find(|key| !self.floor.has_heard(key)) {
                self.floor.line(Ink::Dim, &format!("the answer is that of step {}", short(key, 200)));
            }
            return;
        }
        let answer = answer.get("value").unwrap_or(answer);
        let mut found = Vec::new();
        texts(answer, &mut found);
        if found.iter().all(|t| self.floor.was_said(t)) {
            return;
        }
        let answer = words(answer).map_or_else(|| format!("{answer:#}"), str::to_owned);
        self.floor.line(Ink::Bold, "Answer");
        self.floor.words(&answer);
    }
}

fn tool(data: &Value) -> String {
    let name = text(data, "tool").or_else(|| text(data, "name")).or_else(|| text(data, "activity"));
    short(name.map_or_else(|| name_of_key(text(data, "key").unwrap_or_default()), str::to_owned).as_str(), 80)
}

fn summary(data: &Value, name: &str) -> String {
    let value = field(data, name).or_else(|| data.get("about"));
    value.map_or_else(String::new, |v| short(&words(v).map_or_else(|| v.to_string(), str::to_owned), 200))
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
fn took(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{} ms", ms.max(0)),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

#[cfg(test)]
mod tests;
