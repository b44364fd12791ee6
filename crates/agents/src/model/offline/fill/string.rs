//! Strings: the sentence that speaks most of what the place is called, within its length, pattern and format.

use super::{Place, Source, count, stems};
use serde_json::{Map, Value};

/// Names of places that want the whole text when a tool is asked.
const WHOLE: &[&str] =
    &["query", "question", "text", "input", "message", "prompt", "content", "q", "request", "reason", "task"];
/// Longest text that padding makes.
const PADDED_MAX: usize = 100_000;
/// Tried against a pattern when nothing in the text fits it.
const SAMPLES: &[&str] = &[
    "a",
    "A",
    "0",
    "1",
    "aa",
    "AA",
    "00",
    "abc",
    "ABC",
    "123",
    "1234",
    "12345",
    "en",
    "EUR",
    "en-GB",
    "item",
    "item-1",
    "item_1",
    "Item",
    "A1",
    "a1",
    "1.0",
    "1.0.0",
    "12:00",
    "2026-01-01",
    "2026-01-01T00:00:00Z",
    "+441234567890",
    "someone@example.com",
    "https://example.com/",
    "00000000-0000-4000-8000-000000000000",
    "aaaaaaaa",
    "00000000",
    "#000000",
    "",
];

/// A string for the schema.
pub(super) fn fill(keys: &Map<String, Value>, source: &Source, place: &Place) -> Value {
    let (least, most) = (count(keys, "minLength", 0), count(keys, "maxLength", usize::MAX));
    if let Some(pattern) = keys.get("pattern") {
        let schema = serde_json::json!({"pattern": pattern, "minLength": least, "maxLength": most as u64});
        if let Some(text) = matching(&schema, source, place.variant) {
            return text.into();
        }
    }
    let text = keys.get("format").and_then(Value::as_str).and_then(|format| formatted(format, source));
    let text = text.unwrap_or_else(|| sentence(source, place));
    sized(text, least, most, place.variant).into()
}

/// The nth best sentence; numbers when there are no more.
fn sentence(source: &Source, place: &Place) -> String {
    let asked = |name: &str| WHOLE.contains(&name);
    if source.asking && place.variant == 0 && place.hint.to_lowercase().split(|c: char| !c.is_alphanumeric()).any(asked)
    {
        return source.whole.clone();
    }
    let about = stems(&place.hint);
    let mut ranked: Vec<&String> = source.sentences.iter().collect();
    ranked.sort_by_key(|s| std::cmp::Reverse(stems(s).intersection(&about).count()));
    match ranked.get(place.variant) {
        Some(sentence) => (*sentence).clone(),
        None if ranked.is_empty() && place.variant == 0 => "nothing was said".into(),
        None => format!("{}", place.variant + 1),
    }
}

/// A word, a sentence or a sample that the pattern lets through.
fn matching(schema: &Value, source: &Source, variant: usize) -> Option<String> {
    let form = jsonschema::validator_for(schema).ok()?;
    let words = source.whole.split_whitespace().take(64).map(|w| w.trim_matches(|c: char| !c.is_alphanumeric()));
    let sentences = source.sentences.iter().take(32).map(String::as_str);
    let all = words.chain(sentences).chain(SAMPLES.iter().copied());
    let mut seen = Vec::new();
    for candidate in all.filter(|c| form.is_valid(&Value::from(*c))) {
        if !seen.contains(&candidate) {
            seen.push(candidate);
        }
        if seen.len() > variant {
            break;
        }
    }
    seen.last().map(|s| (*s).to_owned())
}

/// A word of the text in that format, else a value that is plainly made up.
fn formatted(format: &str, source: &Source) -> Option<String> {
    let words = || source.whole.split_whitespace().map(|w| w.trim_matches(|c: char| !c.is_alphanumeric() && c != '/'));
    let (like, made_up): (fn(&str) -> bool, &str) = match format {
        "date-time" => (|w| w.len() >= 20 && w.as_bytes().get(10) == Some(&b'T'), "1970-01-01T00:00:00Z"),
        "date" => (|w| w.len() == 10 && w.parse::<jiff::civil::Date>().is_ok(), "1970-01-01"),
        "time" => (|_| false, "00:00:00Z"),
        "duration" => (|_| false, "PT0S"),
        "email" => (
            |w| w.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.')),
            "nobody@example.invalid",
        ),
        "uri" | "url" => (|w| w.starts_with("http://") || w.starts_with("https://"), "https://example.invalid/"),
        "uuid" => (|w| w.len() == 36 && w.matches('-').count() == 4, "00000000-0000-4000-8000-000000000000"),
        "hostname" => (|_| false, "example.invalid"),
        "ipv4" => (|w| w.parse::<std::net::Ipv4Addr>().is_ok(), "192.0.2.1"),
        "ipv6" => (|w| w.parse::<std::net::Ipv6Addr>().is_ok(), "2001:db8::1"),
        _ => return None,
    };
    Some(words().find(|w| like(w)).unwrap_or(made_up).to_owned())
}

/// The text cut or padded to its bounds, counted in characters. Another variant stays another text where there is room.
fn sized(text: String, least: usize, most: usize, variant: usize) -> String {
    let length = text.chars().count();
    if length > most {
        let text: String = text.chars().take(most).collect();
        let number = variant.to_string();
        if variant == 0 || number.len() > most {
            return text;
        }
        return text.chars().take(most - number.len()).collect::<String>() + &number;
    }
    let least = least.min(PADDED_MAX);
    let padding = least.saturating_sub(length);
    text + &".".repeat(padding)
}
