//! A team at work on a terminal: what happened scrolls by, below it each member has a line that is drawn anew.
//!
//! [`Board`] is pure: events in, lines out. [`Live`] draws it over what it drew before.

use super::facts::{Used, agent, field, name_of_key, number, reason, text, texts, words};
use super::notes::{Tally, note, took};
use super::wrap::Wrap;
use super::{Ink, Paint, clean, columns, fit, short};
use crate::client::Event;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Instant;

/// Names are cut to so many columns.
const NAME_COLUMNS_MAX: usize = 24;
/// As much of an answer's end is kept for its line.
const TAIL_BYTES_MAX: usize = 600;

/// A team and what each of it does.
pub struct Board {
    paint: Paint,
    /// Where text for people is wrapped.
    width: Option<usize>,
    tally: Tally,
    members: Vec<Member>,
    /// Which member works at a step.
    turns: BTreeMap<String, usize>,
    /// Approvals without an answer: their id, and the member that is asked.
    asked: Vec<(String, Option<usize>)>,
    ended: bool,
}

struct Member {
    name: String,
    state: State,
    /// Answers so far, and what they took and used.
    answers: u32,
    worked_ms: i64,
    tokens: u64,
    /// The end of what it writes.
    tail: String,
}

enum State {
    Waiting,
    Thinking { since_ms: i64 },
    Writing { since_ms: i64 },
    Calling(String),
    Asked,
    Retrying { since_ms: i64, why: String },
    Done,
    Failed(String),
    GivenUp,
}

impl Board {
    /// A board in these colours; answers are wrapped at `width` characters.
    #[must_use]
    pub fn new(paint: Paint, width: Option<usize>) -> Self {
        let tally = Tally::default();
        Self { paint, width, tally, members: Vec::new(), turns: BTreeMap::new(), asked: Vec::new(), ended: false }
    }

    /// Takes an event, and says what it adds for good to what stands above the members.
    pub fn tell(&mut self, event: &Event) -> String {
        self.tally.hear(event);
        let kind = event.kind.as_str();
        match kind {
            "run.queued" => self.seat(&event.data),
            "approval.requested" => self.ask(&event.data),
            "approval.decided" => self.decide(&event.data),
            // Who waits, and for what, stands on the member's line and below.
            "run.waiting" if !self.asked.is_empty() => return String::new(),
            _ if kind.starts_with("agent.") || kind.starts_with("step.") || kind.starts_with("tool.") => {
                self.work(event);
                return String::new();
            }
            _ => {}
        }
        if event.is_end() {
            return self.end(event);
        }
        note(event, self.tally.run_id())
            .map_or_else(String::new, |(ink, line)| format!("{}\n", self.paint.ink(ink, &clean(&line))))
    }

    /// The members' lines, in no more than these columns, as they stand so long after the last event.
    #[must_use]
    pub fn lines(&self, since_ms: i64, columns_max: usize) -> Vec<String> {
        let now_ms = self.tally.last_ms().unwrap_or(0) + since_ms;
        let names = self.members.iter().map(|m| columns(&m.name)).max().unwrap_or(0).min(NAME_COLUMNS_MAX);
        let mut lines: Vec<String> = self
            .members
            .iter()
            .enumerate()
            .map(|(place, member)| {
                let name = fit(&member.name, names);
                let pad = " ".repeat(names - columns(&name));
                let (sign, ink, doing) = member.doing(now_ms, self.ended);
                let doing = doing_within(&doing, columns_max.saturating_sub(names + 4));
                let name = self.paint.ink(Ink::Member(place), &name);
                format!("{} {name}{pad}  {}", self.paint.ink(ink, sign), self.paint.ink(ink, &doing))
            })
            .collect();
        for (id, _) in self.asked.iter().filter(|(_, place)| place.is_none()) {
            let line = fit(&format!("? a person is asked; waits for a decision on {id}"), columns_max);
            lines.push(self.paint.ink(Ink::Care, &line));
        }
        lines
    }

    /// The team that the request names; others are seated when they first do something.
    fn seat(&mut self, data: &Value) {
        let agents = data.pointer("/input/agents").and_then(Value::as_array).into_iter().flatten();
        let names: Vec<&str> = agents.filter_map(|a| a.as_str().or_else(|| text(a, "name"))).collect();
        for name in names {
            self.member(name);
        }
    }

    fn member(&mut self, name: &str) -> usize {
        let name = short(name, 60);
        self.members.iter().position(|m| m.name == name).unwrap_or_else(|| {
            let state = State::Waiting;
            self.members.push(Member { name, state, answers: 0, worked_ms: 0, tokens: 0, tail: String::new() });
            self.members.len() - 1
        })
    }

    /// Whose step it is; a tool's is that of the member whose step stands beside it.
    fn whose(&mut self, event: &Event) -> Option<usize> {
        let key = event.text("key").unwrap_or_default();
        if let Some(name) = agent(&event.data) {
            let place = self.member(name);
            self.turns.insert(key.to_owned(), place);
            return Some(place);
        }
        if let Some(place) = self.turns.get(key) {
            return Some(*place);
        }
        if event.kind.starts_with("agent.") {
            let place = self.member(&name_of_key(key));
            self.turns.insert(key.to_owned(), place);
            return Some(place);
        }
        let room = |key: &str| key.rsplit_once('/').map_or(String::new(), |(room, _)| room.to_owned());
        self.turns.iter().rev().find(|(known, _)| room(known) == room(key)).map(|(_, place)| *place)
    }

    fn work(&mut self, event: &Event) {
        let Some(place) = self.whose(event) else { return };
        let (now_ms, data) = (self.tally.last_ms().unwrap_or(0), &event.data);
        let member = &mut self.members[place];
        match event.kind.as_str() {
            "agent.started" => member.begin(now_ms),
            "agent.delta" => member.write(text(data, "text").unwrap_or_default(), now_ms),
            "agent.retracted" => member.tail.clear(),
            "agent.message" => {
                member.settle(now_ms);
                member.answers += 1;
                member.tokens += Used::of(data).map_or(0, |used| used.tokens);
                member.state = State::Done;
            }
            "step.retrying" => {
                let attempt = number(data, "attempt").unwrap_or(2);
                let why = short(&format!("attempt {attempt} follows: {}", reason(data)), 300);
                member.state = State::Retrying { since_ms: member.since_ms().unwrap_or(now_ms), why };
            }
            "tool.called" => {
                let tool = text(data, "tool").or_else(|| text(data, "name")).or_else(|| text(data, "activity"));
                member.settle(now_ms);
                member.state = State::Calling(short(tool.unwrap_or("a tool"), 80));
            }
            "agent.failed" | "step.failed" => {
                member.settle(now_ms);
                member.state = State::Failed(short(&reason(data), 300));
            }
            "step.cancelled" => {
                member.settle(now_ms);
                member.state = State::GivenUp;
            }
            _ => {}
        }
    }

    fn ask(&mut self, data: &Value) {
        let id = text(data, "approval_id").unwrap_or_default().to_owned();
        let who = field(data, "request").and_then(|r| text(r, "agent")).map(str::to_owned);
        let place = who.map(|name| self.member(&name));
        if let Some(place) = place {
            self.members[place].state = State::Asked;
        }
        self.asked.push((short(&id, 200), place));
    }

    fn decide(&mut self, data: &Value) {
        let id = short(text(data, "approval_id").unwrap_or_default(), 200);
        let (decided, open) = std::mem::take(&mut self.asked).into_iter().partition(|(asked, _)| *asked == id);
        self.asked = open;
        let decided: Vec<(String, Option<usize>)> = decided;
        for place in decided.into_iter().filter_map(|(_, place)| place) {
            self.members[place].answers += 1;
            self.members[place].state = State::Done;
        }
    }

    /// The answer, whole, and the last line.
    fn end(&mut self, event: &Event) -> String {
        self.ended = true;
        self.asked.clear();
        let mut out = String::new();
        if let Some(output) = field(&event.data, "output") {
            let answer = output.get("output").unwrap_or(output);
            out.push_str(&self.paint.ink(Ink::Bold, "Answer"));
            out.push('\n');
            for answer in answers(answer) {
                let mut wrap = Wrap::new("  ", self.width);
                wrap.push(&clean(answer.trim_end()), &mut out);
                wrap.finish(&mut out);
            }
        }
        let (ink, line) = self.tally.verdict(event);
        out.push_str(&self.paint.ink(ink, &clean(&line)));
        out.push('\n');
        out
    }
}

/// An answer's words; those of several members under their names.
fn answers(answer: &Value) -> Vec<String> {
    let of_one = |item: &Value| {
        let said = item.get("output").and_then(words).or_else(|| item.get("error").map(|_| "failed"))?;
        Some(format!("{}: {said}", text(item, "agent")?))
    };
    if let Some(all) = answer.as_array().and_then(|items| items.iter().map(of_one).collect::<Option<Vec<_>>>()) {
        return all;
    }
    let mut found = Vec::new();
    texts(answer, &mut found);
    match words(answer) {
        Some(said) => vec![said.to_owned()],
        None if found.is_empty() && answer.is_null() => Vec::new(),
        None => vec![format!("{answer:#}")],
    }
}

impl Member {
    fn since_ms(&self) -> Option<i64> {
        match &self.state {
            State::Thinking { since_ms } | State::Writing { since_ms } | State::Retrying { since_ms, .. } => {
                Some(*since_ms)
            }
            _ => None,
        }
    }

    fn begin(&mut self, now_ms: i64) {
        self.tail.clear();
        self.state = State::Thinking { since_ms: now_ms };
    }

    fn write(&mut self, piece: &str, now_ms: i64) {
        self.tail.push_str(&clean(piece));
        if self.tail.len() > 2 * TAIL_BYTES_MAX {
            let from = self.tail.len() - TAIL_BYTES_MAX;
            let from = (from..self.tail.len()).find(|at| self.tail.is_char_boundary(*at)).unwrap_or(0);
            self.tail.drain(..from);
        }
        self.state = State::Writing { since_ms: self.since_ms().unwrap_or(now_ms) };
    }

    /// What it worked until now counts.
    fn settle(&mut self, now_ms: i64) {
        self.worked_ms += self.since_ms().map_or(0, |since| (now_ms - since).max(0));
    }

    fn doing(&self, now_ms: i64, ended: bool) -> (&'static str, Ink, Doing<'_>) {
        let for_now = |since_ms: i64| took(self.worked_ms + (now_ms - since_ms).max(0));
        let line = |text: String| Doing { text, tail: "" };
        match &self.state {
            State::Waiting if ended => ("○", Ink::Dim, line("was not asked".into())),
            State::Thinking { .. } | State::Writing { .. } | State::Retrying { .. } | State::Asked if ended => {
                ("○", Ink::Dim, line("did not finish".into()))
            }
            State::Waiting => ("○", Ink::Dim, line("waiting".into())),
            State::Thinking { since_ms } => ("◌", Ink::Plain, line(format!("thinking · {}", for_now(*since_ms)))),
            State::Writing { since_ms } => {
                ("▸", Ink::Plain, Doing { text: format!("writing · {}", for_now(*since_ms)), tail: &self.tail })
            }
            State::Calling(tool) => ("⚙", Ink::Plain, line(format!("uses {tool}"))),
            State::Asked => ("?", Ink::Care, line("is asked; waits for an answer".into())),
            State::Retrying { why, .. } => ("↻", Ink::Care, line(why.clone())),
            State::GivenUp => ("○", Ink::Dim, line("given up: no longer needed".into())),
            State::Failed(why) => ("✗", Ink::Bad, line(format!("failed: {why}"))),
            State::Done => {
                let mut text = if self.worked_ms > 0 || self.tokens > 0 {
                    format!("done in {}", took(self.worked_ms))
                } else {
                    "done".into()
                };
                if self.tokens > 0 {
                    text.push_str(&format!(" · {} tokens", self.tokens));
                }
                if self.answers > 1 {
                    text.push_str(&format!(" · {} times", self.answers));
                }
                ("✔", Ink::Good, line(text))
            }
        }
    }
}

/// What a member does: words, and the end of a text where there is room.
struct Doing<'a> {
    text: String,
    tail: &'a str,
}

fn doing_within(doing: &Doing<'_>, columns_max: usize) -> String {
    let mut line = fit(&doing.text, columns_max);
    let tail = doing.tail.split_whitespace().collect::<Vec<_>>().join(" ");
    let between = " · ";
    let room = columns_max.saturating_sub(columns(&line) + columns(between));
    if tail.is_empty() {
        return line;
    }
    if columns(&tail) <= room {
        line.push_str(between);
        line.push_str(&tail);
    } else if room > 1 {
        // From the end backwards, as much as fits behind the mark.
        let mut from = tail.len();
        while let Some(c) = tail[..from].chars().next_back() {
            if columns(&tail[from - c.len_utf8()..]) >= room {
                break;
            }
            from -= c.len_utf8();
        }
        line.push_str(between);
        line.push('…');
        line.push_str(&tail[from..]);
    }
    line
}

/// Draws a board on a terminal, over what it drew before.
pub struct Live {
    board: Board,
    /// Lines of the last drawing that may be drawn over.
    drawn: usize,
    heard: Instant,
}

impl Live {
    /// Draws this board.
    #[must_use]
    pub fn new(board: Board) -> Self {
        Self { board, drawn: 0, heard: Instant::now() }
    }

    /// What to write for an event. Words in the making wait for the next tick, so that a fast model does not flicker.
    pub fn tell(&mut self, event: &Event, (columns, rows): (usize, usize)) -> String {
        self.heard = Instant::now();
        let told = self.board.tell(event);
        if event.kind == "agent.delta" {
            return String::new();
        }
        if event.is_end() {
            // The members as they ended stay where they are, the answer comes below.
            let members = self.draw(columns, usize::MAX, "");
            self.drawn = 0;
            return members + &told;
        }
        self.draw(columns, rows, &told)
    }

    /// What to write when some time has passed.
    pub fn tick(&mut self, (columns, rows): (usize, usize)) -> String {
        self.draw(columns, rows, "")
    }

    /// Leaves what is drawn where it is, so that something else may be written below.
    pub fn pause(&mut self) {
        self.drawn = 0;
    }

    fn draw(&mut self, columns: usize, rows: usize, above: &str) -> String {
        let since_ms = i64::try_from(self.heard.elapsed().as_millis()).unwrap_or(i64::MAX);
        let mut lines = self.board.lines(since_ms, columns.saturating_sub(1));
        // What has scrolled out of sight cannot be drawn over.
        let lines_max = rows.saturating_sub(2).max(1);
        if lines.len() > lines_max {
            let hidden = lines.len() + 1 - lines_max;
            lines.truncate(lines_max - 1);
            lines.push(format!("  and {hidden} more"));
        }
        let mut out = if self.drawn > 0 { format!("\x1b[{}A\r\x1b[J", self.drawn) } else { String::new() };
        out.push_str(above);
        for line in &lines {
            out.push_str(line);
            out.push('\n');
        }
        self.drawn = lines.len();
        out
    }
}

#[cfg(test)]
mod tests;
