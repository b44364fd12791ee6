//! Cutting a text into passages: at headings, else between paragraphs, else between sentences, else wherever there is room.
//!
//! A passage is a piece of the text as it stands, so its place says where it is from. Within a section the end of one passage is
//! said again at the beginning of the next, so that what stands across a cut is found whole.

use std::ops::Range;

/// Most characters of a passage.
pub const CHARS_MAX: usize = 1_200;
/// A section of fewer characters shares its passage with what follows.
const CHARS_MIN: usize = 200;
/// Most characters that two passages share.
const OVERLAP_CHARS_MAX: usize = 200;

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Where it begins, in characters.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
    /// Its text.
    pub text: String,
}

/// A sentence, or as much of one as fits a passage.
#[derive(Debug)]
struct Unit {
    /// Bytes, without white space around them.
    bytes: Range<usize>,
    chars: usize,
    /// It is a heading: what came before is another section.
    is_heading: bool,
}

/// The passages of a text, in order.
#[must_use]
pub fn cut(text: &str) -> Vec<Chunk> {
    let units = units(text);
    let (mut chunks, mut places) = (Vec::new(), Places { text, bytes: 0, chars: 0 });
    let mut from = 0;
    while from < units.len() {
        let to = end(text, &units, from);
        let bytes = units[from].bytes.start..units[to - 1].bytes.end;
        let start = places.chars_before(bytes.start);
        let piece = &text[bytes];
        let end = start + piece.chars().count();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        chunks.push(Chunk { start: count(start), end: count(end), text: piece.to_owned() });
        from = if to < units.len() && !units[to].is_heading { back(&units, from, to) } else { to };
    }
    chunks
}

/// Counts characters up to a byte, going forward only as far as it has to.
struct Places<'t> {
    text: &'t str,
    bytes: usize,
    chars: usize,
}

impl Places<'_> {
    fn chars_before(&mut self, byte: usize) -> usize {
        if byte >= self.bytes {
            self.chars += self.text[self.bytes..byte].chars().count();
        } else {
            self.chars -= self.text[byte..self.bytes].chars().count();
        }
        self.bytes = byte;
        self.chars
    }
}

/// After which unit a passage ends that begins with unit `from`.
fn end(text: &str, units: &[Unit], from: usize) -> usize {
    let (mut to, mut chars) = (from + 1, units[from].chars);
    while to < units.len() {
        let gap = text[units[to - 1].bytes.end..units[to].bytes.start].chars().count();
        let is_new_section = units[to].is_heading && chars >= CHARS_MIN;
        if is_new_section || chars + gap + units[to].chars > CHARS_MAX {
            break;
        }
        chars += gap + units[to].chars;
        to += 1;
    }
    // A heading belongs to what it stands above.
    let last_text = (from + 1..to).rev().find(|n| !units[*n].is_heading).map_or(from + 1, |n| n + 1);
    if to < units.len() { last_text } else { to }
}

/// With which unit the passage after `from..to` begins.
fn back(units: &[Unit], from: usize, to: usize) -> usize {
    let (mut begin, mut chars) = (to, 0);
    while begin > from + 1 && !units[begin - 1].is_heading {
        chars += units[begin - 1].chars + 1;
        // What comes next has to fit as well.
        if chars > OVERLAP_CHARS_MAX || chars + units[to].chars + 16 > CHARS_MAX {
            break;
        }
        begin -= 1;
    }
    begin
}

fn units(text: &str) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut paragraph = 0..0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let bytes = at..at + line.len();
        at = bytes.end;
        let is_heading = is_heading(line);
        if line.trim().is_empty() || is_heading {
            sentences(text, paragraph.clone(), &mut units);
            paragraph = bytes.end..bytes.end;
        }
        if is_heading {
            push(text, bytes, true, &mut units);
        } else {
            paragraph.end = bytes.end;
        }
    }
    sentences(text, paragraph, &mut units);
    units
}

/// `# …` to `###### …`
fn is_heading(line: &str) -> bool {
    let rest = line.trim_start_matches('#');
    (1..=6).contains(&(line.len() - rest.len())) && rest.starts_with(' ')
}

/// The sentences of a paragraph.
fn sentences(text: &str, paragraph: Range<usize>, units: &mut Vec<Unit>) {
    let mut from = paragraph.start;
    let mut chars = text[paragraph.clone()].char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let after = paragraph.start + at + c.len_utf8();
        let ends = match c {
            '.' | '!' | '?' | '…' => chars.peek().is_none_or(|(_, next)| next.is_whitespace()),
            '。' | '！' | '？' => true,
            _ => false,
        };
        if ends {
            push(text, from..after, false, units);
            from = after;
        }
    }
    push(text, from..paragraph.end, false, units);
}

/// A unit without the white space around it; one that is too long becomes several.
fn push(text: &str, bytes: Range<usize>, is_heading: bool, units: &mut Vec<Unit>) {
    let mut start = bytes.start;
    loop {
        let rest = &text[start..bytes.end];
        start += rest.len() - rest.trim_start().len();
        let rest = text[start..bytes.end].trim_end();
        let Some((room, _)) = rest.char_indices().nth(CHARS_MAX) else {
            let chars = rest.chars().count();
            if chars > 0 {
                units.push(Unit { bytes: start..start + rest.len(), chars, is_heading });
            }
            return;
        };
        // Between words, unless the word is as long as half a passage.
        let cut = rest[..room].rfind(char::is_whitespace).filter(|at| *at > room / 2).unwrap_or(room);
        let piece = rest[..cut].trim_end();
        units.push(Unit { bytes: start..start + piece.len(), chars: piece.chars().count(), is_heading });
        start += cut;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(text: &str) -> Vec<String> {
        cut(text).into_iter().map(|chunk| chunk.text).collect()
    }

    fn slice(text: &str, chunk: &Chunk) -> String {
        text.chars().skip(chunk.start as usize).take((chunk.end - chunk.start) as usize).collect()
    }

    #[test]
    fn short_texts_are_one_passage_and_empty_ones_none() {
        assert_eq!(texts("  One. Two.\n\nThree.\n"), ["One. Two.\n\nThree."]);
        assert!(texts(" \n\n ").is_empty());
    }

    #[test]
    fn sections_are_apart_and_a_heading_stays_with_its_text() {
        let body = |word: &str| format!("{word} sentence here. ").repeat(20);
        let text = format!("# A\n\n{}\n\n## B\n\n{}\n\n## C\n\nShort.\n\n## D\n\n{}", body("a"), body("b"), body("d"));
        let all = texts(&text);
        let heads: Vec<&str> = all.iter().map(|t| t.lines().next().unwrap()).collect();
        assert_eq!(heads, ["# A", "## B", "## C"]);
        assert!(all[2].contains("## D") && !all[1].contains("##  C"), "a short section is not alone");
    }

    #[test]
    fn long_sections_are_cut_between_sentences_and_overlap() {
        let text: String = (0..200).map(|n| format!("This is sentence number {n}. ")).collect();
        let chunks = cut(&text);
        assert!(chunks.len() > 3);
        for pair in chunks.windows(2) {
            assert!(pair[0].text.ends_with('.') && pair[1].text.starts_with("This is"));
            assert!(pair[1].start < pair[0].end && pair[1].end > pair[0].end, "{} {}", pair[0].end, pair[1].start);
        }
    }

    #[test]
    fn what_has_no_place_to_cut_is_cut_anyway() {
        let chunks = cut(&"ü".repeat(10_000));
        assert_eq!(chunks.iter().map(|c| c.text.chars().count()).max(), Some(CHARS_MAX));
        assert_eq!(chunks.last().map(|c| c.end), Some(10_000));
    }

    #[test]
    fn a_million_characters_are_cut_at_once() {
        let text = "# Heading\n\nSome words in a sentence. And more\n".repeat(22_000);
        let begin = std::time::Instant::now();
        assert!(cut(&text).len() > 500);
        assert!(begin.elapsed() < std::time::Duration::from_secs(5), "not quadratic");
    }

    proptest! {
        #[test]
        fn passages_are_pieces_of_the_text_within_bounds_and_cover_it(
            text in r"((# |## |[a-z]{1,9}|[A-ZÄ🦀]{1,3}|\. |! |\n|\n\n| |[a-z]{400}){0,200})"
        ) {
            let chunks = cut(&text);
            let mut covered = vec![false; text.chars().count()];
            for chunk in &chunks {
                prop_assert_eq!(&slice(&text, chunk), &chunk.text);
                prop_assert!(chunk.text.chars().count() <= CHARS_MAX && !chunk.text.trim().is_empty());
                covered[chunk.start as usize..chunk.end as usize].fill(true);
            }
            prop_assert!(chunks.windows(2).all(|pair| pair[0].start < pair[1].start && pair[0].end < pair[1].end));
            for (c, covered) in text.chars().zip(covered) {
                prop_assert!(covered || c.is_whitespace(), "{:?} is in no passage", c);
            }
        }
    }
}
