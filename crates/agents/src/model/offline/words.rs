//! Sentences, words and their stems: enough English to see what a text is about.

use std::collections::BTreeSet;

/// Words that say nothing about a topic.
const STOP: &[&str] = &[
    "a", "about", "again", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by",
    "can", "could", "did", "do", "does", "for", "from", "get", "had", "has", "have", "he", "help", "her", "here",
    "him", "his", "how", "i", "if", "in", "into", "is", "it", "its", "just", "let", "may", "me", "might", "more",
    "must", "my", "need", "no", "not", "now", "of", "off", "on", "one", "only", "or", "our", "out", "over", "own",
    "please", "she", "should", "so", "some", "still", "such", "tell", "than", "that", "the", "their", "them", "then",
    "there", "these", "they", "this", "those", "to", "too", "up", "use", "used", "using", "very", "want", "was", "we",
    "were", "what", "when", "where", "which", "who", "why", "will", "with", "would", "yes", "you", "your", "s", "t",
    "re", "ve", "ll", "m", "d",
];

/// Words that instructions begin with.
const ORDERS: &[&str] = &[
    "act",
    "address",
    "assess",
    "brief",
    "calculate",
    "count",
    "detect",
    "determine",
    "escalate",
    "estimate",
    "evaluate",
    "greet",
    "handle",
    "inspect",
    "investigate",
    "mark",
    "merge",
    "prepare",
    "produce",
    "rank",
    "resolve",
    "score",
    "sort",
    "stop",
    "verify",
    "add",
    "always",
    "analyse",
    "analyze",
    "answer",
    "ask",
    "avoid",
    "be",
    "check",
    "choose",
    "cite",
    "classify",
    "combine",
    "compare",
    "consider",
    "decide",
    "describe",
    "do",
    "don't",
    "draft",
    "ensure",
    "explain",
    "extract",
    "find",
    "focus",
    "follow",
    "give",
    "hand",
    "identify",
    "improve",
    "judge",
    "keep",
    "list",
    "look",
    "make",
    "mention",
    "name",
    "never",
    "note",
    "offer",
    "output",
    "pick",
    "plan",
    "point",
    "prefer",
    "propose",
    "provide",
    "quote",
    "rate",
    "reply",
    "report",
    "respond",
    "return",
    "review",
    "rewrite",
    "route",
    "say",
    "search",
    "select",
    "speak",
    "stay",
    "suggest",
    "summarise",
    "summarize",
    "take",
    "tell",
    "then",
    "think",
    "translate",
    "try",
    "turn",
    "use",
    "weigh",
    "work",
    "write",
    "you",
    "your",
];

/// Most sentences taken from one text.
const SENTENCES_MAX: usize = 400;

/// Whether a sentence tells the model what to do, rather than something it could pass on.
pub(super) fn is_order(sentence: &str) -> bool {
    let first = sentence.split(|c: char| c.is_whitespace() || c == ',').next().unwrap_or_default();
    ORDERS.contains(&first.to_lowercase().as_str())
}

/// The sentences of a text: cut after end marks that are followed by white space, and at line ends; list marks fall away.
pub(super) fn sentences(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in text.lines() {
        let mut start = 0;
        let mut chars = line.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let last = chars.peek().is_none_or(|(_, next)| next.is_whitespace());
            if (matches!(c, '.' | '!' | '?') && last) || matches!(c, '。' | '！' | '？') {
                let end = at + c.len_utf8();
                keep(&line[start..end], &mut out);
                start = end;
            }
        }
        keep(&line[start..], &mut out);
        if out.len() >= SENTENCES_MAX {
            break;
        }
    }
    out.truncate(SENTENCES_MAX);
    out
}

fn keep(piece: &str, out: &mut Vec<String>) {
    let piece = piece.trim().trim_start_matches(['-', '*', '•', '#', '>']).trim_start();
    if piece.chars().any(char::is_alphanumeric) {
        out.push(piece.to_owned());
    }
}

/// Lower-case words; `camelCase` and `snake_case` fall apart.
fn words(text: &str) -> impl Iterator<Item = String> {
    let mut out = Vec::new();
    let mut word = String::new();
    let mut small = false;
    for c in text.chars() {
        if !c.is_alphanumeric() || (small && c.is_uppercase()) {
            out.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        small = c.is_lowercase();
    }
    out.push(word);
    out.into_iter().filter(|w| !w.is_empty())
}

/// A word without its usual endings, so that `cards` meets `card` and `arrived` meets `arrival`.
fn stem(word: &str) -> String {
    let mut stem = word;
    if word.is_ascii() && word.len() > 3 {
        for ending in [
            "ations", "ation", "ments", "ment", "ings", "ing", "ies", "ied", "als", "al", "ed", "es", "ly", "s", "e",
            "y",
        ] {
            if let Some(short) = stem.strip_suffix(ending)
                && short.len() >= 3
            {
                stem = short;
                break;
            }
        }
        let bytes = stem.as_bytes();
        if let [.., a, b] = bytes
            && a == b
            && stem.len() > 4
        {
            stem = &stem[..stem.len() - 1];
        }
    }
    stem.to_owned()
}

/// The stems of all words that say something.
pub(super) fn stems(text: &str) -> BTreeSet<String> {
    words(text).filter(|w| !STOP.contains(&w.as_str())).map(|w| stem(&w)).collect()
}

/// The first `count` different words that say something, as they stand.
pub(super) fn keywords(text: &str, count: usize) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let said = words(text).filter(|w| w.chars().count() > 2 && !STOP.contains(&w.as_str()));
    said.filter(|w| seen.insert(stem(w))).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_at_marks_and_lines() {
        let text = "I paid 3.50 at example.com. Why?\n- first point\n\n* second\n今日は。元気？";
        let expected = ["I paid 3.50 at example.com.", "Why?", "first point", "second", "今日は。", "元気？"];
        assert_eq!(sentences(text), expected);
    }

    #[test]
    fn forms_of_a_word_meet() {
        for (a, b) in [
            ("cards", "card"),
            ("arrived", "arrival"),
            ("delivery", "deliver"),
            ("payments", "pay"),
            ("cancelled", "cancel"),
        ] {
            assert_eq!(stems(a), stems(b), "{a} {b}");
        }
        assert_eq!(stems("getCard_arrival"), stems("cards arrive"));
        assert_eq!(keywords("When will my new card arrive? My card!", 3), ["new", "card", "arrive"]);
    }
}
