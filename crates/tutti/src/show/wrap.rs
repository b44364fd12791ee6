//! Word wrap for text that arrives in pieces.

/// Wraps and indents a text piece by piece. A word is written once its end is known.
#[derive(Debug)]
pub struct Wrap {
    indent: &'static str,
    width: usize,
    column: usize,
    spaces: usize,
    word: String,
}

impl Wrap {
    /// Lines begin with `indent` and are at most `width` characters, where that is bounded.
    #[must_use]
    pub fn new(indent: &'static str, width: Option<usize>) -> Self {
        Self { indent, width: width.unwrap_or(usize::MAX), column: 0, spaces: 0, word: String::new() }
    }

    /// Takes the next piece and writes what is settled.
    pub fn push(&mut self, piece: &str, out: &mut String) {
        for c in piece.chars() {
            match c {
                '\n' => {
                    self.settle(out);
                    out.push('\n');
                    (self.column, self.spaces) = (0, 0);
                }
                ' ' | '\t' => {
                    self.settle(out);
                    self.spaces += 1;
                }
                c => self.word.push(c),
            }
        }
    }

    /// Writes what is left and ends the line.
    pub fn finish(&mut self, out: &mut String) {
        self.settle(out);
        if self.column > 0 {
            out.push('\n');
        }
        (self.column, self.spaces) = (0, 0);
    }

    fn settle(&mut self, out: &mut String) {
        if self.word.is_empty() {
            return;
        }
        let length = self.word.chars().count();
        let fits = self.column + self.spaces + length <= self.width;
        if self.column > 0 && !fits {
            out.push('\n');
            (self.column, self.spaces) = (0, 0);
        }
        if self.column == 0 {
            out.push_str(self.indent);
            self.column = self.indent.len();
        }
        out.extend(std::iter::repeat_n(' ', self.spaces));
        out.push_str(&self.word);
        self.column += self.spaces + length;
        self.spaces = 0;
        self.word.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(width: Option<usize>, pieces: &[&str]) -> String {
        let (mut wrap, mut out) = (Wrap::new("  ", width), String::new());
        for piece in pieces {
            wrap.push(piece, &mut out);
        }
        wrap.finish(&mut out);
        out
    }

    #[test]
    fn pieces_do_not_show() {
        let whole = "one two three four\n\n  - five six";
        let expected = "  one two\n  three\n  four\n\n    - five\n  six\n";
        assert_eq!(wrapped(Some(10), &[whole]), expected);
        let pieces: Vec<String> = whole.chars().map(String::from).collect();
        assert_eq!(wrapped(Some(10), &pieces.iter().map(String::as_str).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn without_a_width_only_the_indent_is_added() {
        assert_eq!(wrapped(None, &["a b", "c\nd"]), "  a bc\n  d\n");
        assert_eq!(wrapped(None, &[""]), "");
    }

    #[test]
    fn a_word_longer_than_the_line_stands_alone() {
        assert_eq!(wrapped(Some(6), &["a abcdefgh b"]), "  a\n  abcdefgh\n  b\n");
    }
}
