//! The report in Markdown: the summary, each fact with its source and price, and what could not be had and why.

use super::facts::{Facts, Payment, SourceFacts};
use serde_json::Value;
use std::fmt::Write as _;

/// Most characters of one value.
const VALUE_CHARS_MAX: usize = 500;
/// Most facts of one source.
const FACTS_MAX: usize = 100;

/// The report over what is known.
#[must_use]
pub fn markdown(facts: &Facts) -> String {
    let mut out = format!("# {}\n\n", plain(&facts.theme));
    let summary = facts.summary.as_deref().map_or("No summary could be written.".into(), escaped);
    let _ = writeln!(out, "{summary}\n");
    let (unit, held) = (plain(&facts.unit), facts.held());
    let _ = write!(out, "Paid: {} of {} {unit}.", facts.spent(), facts.budget);
    if held > 0 {
        let _ = write!(out, " Held for payments whose outcome is not known: {held} {unit}.");
    }
    out.push_str("\n\n## Facts\n");
    if facts.obtained() == 0 {
        out.push_str("\nNo source gave its data.\n");
    }
    for source in facts.sources.iter().filter(|s| s.data.is_some()) {
        told(&mut out, source, &unit);
    }
    let missing: Vec<_> = facts.sources.iter().filter(|s| s.data.is_none()).collect();
    if !missing.is_empty() {
        out.push_str("\n## Not obtained\n\n| Source | Price | Why |\n| --- | --- | --- |\n");
        for source in missing {
            let price = source.price().map_or("–".into(), |price| format!("{price} {unit}"));
            let why = source.why_not.as_deref().unwrap_or("it was not asked any more");
            let _ = writeln!(out, "| {} | {price} | {} |", plain(&source.source.name), plain(why));
        }
    }
    out
}

fn told(out: &mut String, source: &SourceFacts, unit: &str) {
    let cost = match (&source.payment, source.price()) {
        (Some(Payment::Paid), Some(price)) => format!("paid {price} {unit}"),
        (Some(Payment::Unknown { .. }), Some(price)) => format!("{price} {unit} may have been paid"),
        _ => "free".into(),
    };
    let (name, id) = (plain(&source.source.name), plain(&source.source.id));
    let _ = writeln!(out, "\n### {name}\n\nSource {id}, {cost}.\n");
    match &source.data {
        Some(Value::Object(fields)) => {
            for (key, value) in fields.iter().take(FACTS_MAX) {
                let _ = writeln!(out, "- {}: {}", plain(key), plain(&text(value)));
            }
        }
        Some(other) => {
            let _ = writeln!(out, "- {}", plain(&text(other)));
        }
        None => {}
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// Foreign text on one line, without what Markdown or HTML would obey.
fn plain(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !c.is_control())
        .take(VALUE_CHARS_MAX)
        .collect();
    escaped(&line)
}

/// Foreign text with its lines, without what Markdown or HTML would obey.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !c.is_control() || *c == '\n') {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '!' | '&' | '~') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::research::{Input, Voice};
    use serde_json::json;
    use tutti_agents::market::{Answer, Source};
    use tutti_agents::payment::{Dialect, Offer};

    fn facts(names: &[&str]) -> Facts {
        let input = Input {
            theme: "Cards <script>".into(),
            budget: 50,
            unit: "USD-cent".into(),
            voice: Voice::default(),
            marketplace: None,
            payments: None,
            verify: None,
        };
        let source = |(n, name): (usize, &&str)| Source { id: n.to_string(), name: (*name).into() };
        Facts::new(&input, names.iter().enumerate().map(source).collect())
    }

    #[test]
    fn a_report_says_where_each_fact_came_from_and_what_could_not_be_had() {
        let asks = |price| Ok(Answer::Asks(Offer { dialect: Dialect::Seed, price, terms: Value::Null }));
        let mut facts = facts(&["Free Ltd", "Dear & Co", "Odd|Inc", "Lost"]);
        facts.asked(0, Ok(Answer::Data(json!({"revenue": 5, "note": "<img src=x onerror=y>"}))));
        facts.asked(1, asks(7));
        facts.paid(1, Payment::Paid);
        facts.asked_again(1, Ok(Answer::Data(json!(["a"]))));
        facts.asked(2, Ok(Answer::Odd("it asks -5".into())));
        facts.asked(3, asks(9));
        facts.paid(3, Payment::Unknown { reason: "no answer".into() });
        facts.asked_again(3, asks(9));
        assert_eq!((facts.spent(), facts.held(), facts.obtained()), (7, 9, 2));
        let report = markdown(&facts);
        for line in [
            "# Cards \\<script\\>",
            "Paid: 7 of 50 USD-cent. Held for payments whose outcome is not known: 9 USD-cent.",
            "Source 0, free.",
            "- note: \\<img src=x onerror=y\\>",
            "Source 1, paid 7 USD-cent.",
            "| Odd\\|Inc | – | it asks -5 |",
            "| Lost | 9 USD-cent | no answer |",
        ] {
            assert!(report.contains(line), "{line}\n{report}");
        }
    }
}
