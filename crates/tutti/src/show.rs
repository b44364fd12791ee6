//! What people see: colours where there is a terminal, tables, a team at work.

pub mod board;
pub mod facts;
pub mod notes;
pub mod progress;
pub mod story;
pub mod table;
pub mod wrap;

pub use self::story::Story;

use std::io::{IsTerminal, Write};
use unicode_width::UnicodeWidthStr;

/// Colours, or their absence.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    on: bool,
}

/// A way to set text off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// As it is.
    Plain,
    /// What matters less.
    Dim,
    /// What matters more.
    Bold,
    /// What went well.
    Good,
    /// What went wrong.
    Bad,
    /// What deserves a look.
    Care,
    /// A member of a team, by order of appearance.
    Member(usize),
}

/// Colours that can be told apart on dark and on light ground.
const MEMBERS: [&str; 6] = ["36", "35", "33", "34", "32", "31"];

impl Paint {
    /// Plain text.
    #[cfg(test)]
    pub const PLAIN: Self = Self { on: false };

    /// Colours where a terminal shows them and nobody asked for none (`NO_COLOR`, `TERM=dumb`).
    #[must_use]
    pub fn for_terminal(terminal: bool) -> Self {
        let asked_for_none = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        Self { on: terminal && !asked_for_none && !dumb }
    }

    /// Whether there are colours.
    #[must_use]
    pub fn is_on(self) -> bool {
        self.on
    }

    /// Text in an ink.
    #[must_use]
    pub fn ink(self, ink: Ink, text: &str) -> String {
        if !self.on || text.is_empty() || ink == Ink::Plain {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Plain => "0",
            Ink::Dim => "2",
            Ink::Bold => "1",
            Ink::Good => "32",
            Ink::Bad => "31",
            Ink::Care => "33",
            Ink::Member(n) => MEMBERS[n % MEMBERS.len()],
        };
        let bold = if matches!(ink, Ink::Member(_)) { "1;" } else { "" };
        format!("\x1b[{bold}{code}m{text}\x1b[0m")
    }
}

/// Colours for stdout.
#[must_use]
pub fn paint() -> Paint {
    Paint::for_terminal(std::io::stdout().is_terminal())
}

/// How wide text may be: the terminal's width up to a readable measure; no bound elsewhere.
#[must_use]
pub fn width() -> Option<usize> {
    let width = || terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
    std::io::stdout().is_terminal().then(|| width().clamp(40, 100))
}

/// Columns and rows of the terminal.
#[must_use]
pub fn size() -> (usize, usize) {
    terminal_size::terminal_size().map_or((80, 24), |(width, height)| (usize::from(width.0), usize::from(height.0)))
}

/// Writes to stdout at once. Fails when nobody reads any more, which is not an error of ours.
pub fn out(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes to stderr. There is nobody to tell when that fails.
pub fn err(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// JSON for programs.
pub fn json(value: &serde_json::Value) -> std::io::Result<()> {
    out(&format!("{value:#}\n"))
}

/// Text of others without what could drive a terminal: control characters and overrides of the writing direction.
#[must_use]
pub fn clean(text: &str) -> String {
    let hostile = |c: char| {
        (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.replace("\r\n", "\n").chars().map(|c| if hostile(c) { '\u{fffd}' } else { c }).collect()
}

/// As [`clean`], on one line.
#[must_use]
pub fn line(text: &str) -> String {
    clean(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One line, cut to so many characters.
#[must_use]
pub fn short(text: &str, chars_max: usize) -> String {
    let text = line(text);
    match text.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}…", text[..at].trim_end()),
        None => text,
    }
}

/// How many columns a terminal gives a text: wide letters take two, marks on others none.
#[must_use]
pub fn columns(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// One line, cut to so many columns.
#[must_use]
pub fn fit(text: &str, columns_max: usize) -> String {
    let text = line(text);
    if columns(&text) <= columns_max {
        return text;
    }
    cut(&text, columns_max)
}

/// The beginning of a line, and a mark that it goes on, in so many columns.
fn cut(line: &str, columns_max: usize) -> String {
    let mut kept = String::new();
    for c in line.chars() {
        kept.push(c);
        if columns(&kept) >= columns_max {
            kept.pop();
            break;
        }
    }
    if columns_max > 0 {
        kept.push('…');
    }
    kept
}

/// Text as one word of a shell.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_cannot_drive_the_terminal() {
        assert_eq!(clean("a\x1b[31mb\u{9b}c\u{202e}d\r\ne\tf"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}d\ne\tf");
        assert_eq!(line(" a\n\n b\tc "), "a b c");
        assert_eq!(short("one two three", 7), "one two…");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn text_fits_its_columns() {
        assert_eq!(
            (fit("one two", 7), fit("one two", 6), fit("a", 0)),
            ("one two".into(), "one t…".into(), String::new())
        );
        // Wide letters take two columns each.
        assert_eq!((columns("会議"), fit("会議室", 5), fit("会議室", 4)), (4, "会議…".into(), "会…".into()));
    }

    #[test]
    fn paint_is_plain_without_a_terminal() {
        assert_eq!(Paint::PLAIN.ink(Ink::Bad, "x"), "x");
        assert_eq!(Paint { on: true }.ink(Ink::Member(6), "x"), "\x1b[1;36mx\x1b[0m");
    }
}
