//! Who speaks: the member that has the floor is written live, the others are kept until it is free.

use crate::show::wrap::Wrap;
use crate::show::{Ink, Paint, clean, short};
use std::collections::BTreeMap;

/// Something a member adds.
#[derive(Debug)]
pub enum Piece {
    /// Words of an answer.
    Words(String),
    /// A line about the member.
    Line(Ink, String),
}

#[derive(Debug, Default)]
struct Turn {
    name: String,
    /// Words of this attempt so far.
    text: String,
    attempt: u64,
    /// Not written yet.
    kept: Vec<Piece>,
    done: bool,
}

/// The floor and all who want it.
pub struct Floor {
    paint: Paint,
    width: Option<usize>,
    wrap: Wrap,
    out: String,
    /// Names in order of appearance: a member's place is its colour.
    members: Vec<String>,
    turns: BTreeMap<String, Turn>,
    /// Keys of turns in order of appearance.
    order: Vec<String>,
    holder: Option<String>,
    /// Whose names stand on the open line of those who begin.
    starting: Vec<String>,
    said: Vec<String>,
}

const INDENT: &str = "  ";

impl Floor {
    /// Nobody speaks yet.
    pub fn new(paint: Paint, width: Option<usize>) -> Self {
        Self {
            paint,
            width,
            wrap: Wrap::new(INDENT, width),
            out: String::new(),
            members: Vec::new(),
            turns: BTreeMap::new(),
            order: Vec::new(),
            holder: None,
            starting: Vec::new(),
            said: Vec::new(),
        }
    }

    /// What was written since the last time.
    pub fn take_output(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    /// The member behind a step's key.
    pub fn introduce(&mut self, key: &str, name: &str) {
        self.turn(key).name = short(name, 60);
    }

    /// As [`introduce`](Self::introduce), for a key that nobody named better.
    pub fn introduce_if_new(&mut self, key: &str, name: &str) {
        if !self.turns.contains_key(key) {
            self.introduce(key, name);
        }
    }

    /// A member begins: its name goes on the line of those who do.
    pub fn start(&mut self, key: &str) {
        if self.holder.is_some() || self.starting.iter().any(|k| k == key) {
            return;
        }
        let name = self.name(key);
        let sign = if self.starting.is_empty() { "▸ " } else { " · " };
        self.out.push_str(&format!("{sign}{name}"));
        self.starting.push(key.to_owned());
    }

    /// Words as they arrive; those that came before are left out.
    pub fn delta(&mut self, key: &str, attempt: u64, offset: Option<u64>, piece: &str) {
        let turn = self.turn(key);
        if attempt != turn.attempt {
            turn.attempt = attempt;
            turn.text.clear();
        }
        let known = offset.map_or(0, |o| turn.text.len().saturating_sub(usize::try_from(o).unwrap_or(usize::MAX)));
        let Some(new) = piece.get(known..).filter(|p| !p.is_empty()).map(str::to_owned) else { return };
        turn.text.push_str(&new);
        self.put(key, Piece::Words(new));
    }

    /// A member's whole answer; written unless its words were streamed.
    pub fn message(&mut self, key: &str, answer: &str) {
        if self.turn(key).text.is_empty() {
            self.turn(key).text.push_str(answer);
            self.put(key, Piece::Words(answer.to_owned()));
        }
        let text = self.turn(key).text.clone();
        self.said.push(text);
        self.done(key);
    }

    /// A broken-off attempt's words are void.
    pub fn retract(&mut self, key: &str) {
        let turn = self.turn(key);
        let kept = turn.kept.len();
        turn.kept.retain(|piece| matches!(piece, Piece::Line(..)));
        let was_seen = !turn.text.is_empty() && turn.kept.len() == kept;
        turn.text.clear();
        if was_seen {
            self.put(key, Piece::Line(Ink::Dim, "✗ broken off; the words of this attempt are void".into()));
        }
    }

    /// Adds a member's piece, now or when the floor is free.
    pub fn put(&mut self, key: &str, piece: Piece) {
        if self.holder.is_none() {
            self.take(key);
        }
        if self.holder.as_deref() == Some(key) {
            self.write(piece);
        } else {
            self.turn(key).kept.push(piece);
        }
    }

    /// A member has said all.
    pub fn done(&mut self, key: &str) {
        self.turn(key).done = true;
        self.pause(key);
    }

    /// A member leaves the floor for a while.
    pub fn pause(&mut self, key: &str) {
        if self.holder.as_deref() == Some(key) {
            self.leave();
            self.next();
        }
    }

    /// The floor is free, and nobody is called up.
    pub fn pause_all(&mut self) {
        self.leave();
        self.close_starting();
    }

    /// Everybody kept waiting is heard, then the floor is empty.
    pub fn empty(&mut self) {
        self.leave();
        for key in self.order.clone() {
            if !self.turn(&key).kept.is_empty() {
                self.take(&key);
                self.leave();
            }
        }
        self.close_starting();
    }

    /// A line of nobody's.
    pub fn line(&mut self, ink: Ink, line: &str) {
        self.pause_all();
        let line = self.paint.ink(ink, &clean(line));
        self.out.push_str(&line);
        self.out.push('\n');
    }

    /// Words of nobody's.
    pub fn words(&mut self, text: &str) {
        let mut wrap = Wrap::new(INDENT, self.width);
        wrap.push(&clean(text), &mut self.out);
        wrap.finish(&mut self.out);
    }

    /// Whether the member behind a key, or a failure of it, was told of.
    pub fn has_heard(&self, key: &str) -> bool {
        self.turns.get(key).is_some_and(|turn| turn.done)
    }

    /// Whether a member's answer was just this, or a member is called this.
    pub fn was_said(&self, text: &str) -> bool {
        let text = text.trim();
        self.said.iter().any(|said| said.trim() == text) || self.members.iter().any(|name| name == text)
    }

    fn turn(&mut self, key: &str) -> &mut Turn {
        if !self.turns.contains_key(key) {
            self.order.push(key.to_owned());
        }
        self.turns.entry(key.to_owned()).or_default()
    }

    fn name(&mut self, key: &str) -> String {
        let name = self.turn(key).name.clone();
        let place = self.members.iter().position(|n| *n == name).unwrap_or_else(|| {
            self.members.push(name.clone());
            self.members.len() - 1
        });
        self.paint.ink(Ink::Member(place), &name)
    }

    fn take(&mut self, key: &str) {
        // A name that stands alone on the line of those who begin is heading enough.
        let alone = self.starting.len() == 1 && self.starting[0] == key;
        self.close_starting();
        if !alone {
            let name = self.name(key);
            self.out.push_str(&format!("▸ {name}\n"));
        }
        self.holder = Some(key.to_owned());
        for piece in std::mem::take(&mut self.turn(key).kept) {
            self.write(piece);
        }
    }

    fn leave(&mut self) {
        self.wrap.finish(&mut self.out);
        self.holder = None;
    }

    /// The first of those kept waiting; those who are done already leave it again.
    fn next(&mut self) {
        let waiting: Vec<String> = self.order.iter().filter(|k| !self.turns[*k].kept.is_empty()).cloned().collect();
        for key in waiting {
            self.take(&key);
            if !self.turn(&key).done {
                return;
            }
            self.leave();
        }
    }

    fn write(&mut self, piece: Piece) {
        match piece {
            Piece::Words(words) => self.wrap.push(&clean(&words), &mut self.out),
            Piece::Line(ink, line) => {
                self.wrap.finish(&mut self.out);
                let line = self.paint.ink(ink, &short(&line, 600));
                self.out.push_str(&format!("{INDENT}{line}\n"));
            }
        }
    }

    fn close_starting(&mut self) {
        if !self.starting.is_empty() {
            self.out.push('\n');
            self.starting.clear();
        }
    }
}
