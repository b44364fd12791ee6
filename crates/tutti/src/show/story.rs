//! A run's events as a story: the team at work, words as they come.
//!
//! The output is only ever added to, so it reads the same on a terminal, in a file and in a pipe. One member at a time
//! has the floor and is shown live; what others say meanwhile is kept and shown when the floor is free, so that
//! members who work at once do not talk into each other.

mod floor;

use self::floor::{Floor, Piece};
use super::facts::{agent, field, name_of_key, number, reason, text, texts, words};
use super::notes::{Tally, note};
use super::{Ink, Paint, short};
use crate::client::Event;
use serde_json::Value;

/// Tells a run's events, one after the other.
pub struct Story {
    floor: Floor,
    tally: Tally,
}

impl Story {
    /// A story in these colours, in lines of at most `width` characters.
    #[must_use]
    pub fn new(paint: Paint, width: Option<usize>) -> Self {
        Self { floor: Floor::new(paint, width), tally: Tally::default() }
    }

    /// A story of this run, where it may begin in the midst of it.
    #[must_use]
    pub fn of(mut self, run_id: &str) -> Self {
        self.tally = Tally::of(run_id);
        self
    }

    /// What the next event adds to the story.
    pub fn tell(&mut self, event: &Event) -> String {
        self.tally.hear(event);
        let kind = event.kind.as_str();
        if event.is_end() {
            self.end(event);
        } else if kind.starts_with("agent.") || matches!(kind, "step.retrying" | "step.failed") {
            self.member(event);
        } else if let Some((ink, line)) = note(event, self.tally.run_id()) {
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
                if is_data { self.floor.message(key, &short(answer, 160)) } else { self.floor.message(key, answer) }
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

    fn end(&mut self, event: &Event) {
        self.floor.empty();
        if let Some(output) = field(&event.data, "output") {
            self.answer(output);
        }
        let (ink, line) = self.tally.verdict(event);
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

#[cfg(test)]
mod tests;
