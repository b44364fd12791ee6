//! What model calls cost. Integers only: a price is in millionths of a US dollar per million tokens, a cost in millionths
//! of a US dollar.

use super::ChatRequest;
use std::collections::BTreeMap;

/// What a model asks for a million tokens, in millionths of a US dollar: 3 dollars are 3 000 000.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Price {
    /// Tokens read.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
}

impl Price {
    /// What so many tokens cost, in millionths of a US dollar, rounded up.
    #[must_use]
    pub fn cost(self, input_tokens: u64, output_tokens: u64) -> u64 {
        let sum =
            u128::from(self.input) * u128::from(input_tokens) + u128::from(self.output) * u128::from(output_tokens);
        u64::try_from(sum.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }

    /// Reads dollars per million tokens as people write them: `3`, `0.15`. At most six decimals.
    #[must_use]
    pub fn dollars(text: &str) -> Option<u64> {
        let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
        let digits = |s: &str| s.chars().all(|c| c.is_ascii_digit());
        if whole.is_empty() || part.len() > 6 || !digits(whole) || !digits(part) {
            return None;
        }
        let part: u64 = format!("{part:0<6}").parse().ok()?;
        whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(part)
    }
}

/// Prices by the model's name, or by its beginning followed by `*`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices(pub BTreeMap<String, Price>);

impl Prices {
    /// The price of a model: its own, else that of the longest beginning.
    #[must_use]
    pub fn of(&self, model: &str) -> Option<Price> {
        let begins = |(name, price): (&String, &Price)| {
            let head = name.strip_suffix('*').filter(|head| model.starts_with(head))?;
            Some((head.len(), *price))
        };
        self.0.get(model).copied().or_else(|| Some(self.0.iter().filter_map(begins).max_by_key(|(n, _)| *n)?.1))
    }
}

/// An upper bound of a prompt's tokens. Tokenizers in use work on bytes and never make more than one token of one byte, and
/// text that people write takes three bytes a token and more; half a token a byte holds for all but text made to break it,
/// and what a provider bills above it is recorded as an overdraft that stops further calls.
#[must_use]
pub fn bound(request: &ChatRequest) -> u64 {
    let of = |text: &str| text.len().div_ceil(2);
    let calls =
        |m: &super::ChatMessage| m.tool_calls.iter().map(|c| of(&c.name) + of(&c.arguments.to_string())).sum::<usize>();
    let said: usize = request.messages.iter().map(|m| of(&m.content) + calls(m) + 16).sum();
    let offered: usize =
        request.tools.iter().map(|t| of(&t.name) + of(&t.description) + of(&t.parameters.to_string()) + 16).sum();
    let form = request.output_schema.as_ref().map_or(0, |schema| of(&schema.to_string()) + 64);
    (said + offered + form + 16) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ChatMessage, Usage};

    #[test]
    fn costs_are_exact_and_rounded_up() {
        let price = Price { input: 3_000_000, output: 15_000_000 };
        assert_eq!(price.cost(1_000_000, 0), 3_000_000);
        assert_eq!(price.cost(1, 0), 3);
        assert_eq!(Price { input: 150_000, output: 0 }.cost(1, 0), 1, "a fraction of a millionth counts as one");
        assert_eq!(price.cost(u64::MAX, u64::MAX), u64::MAX);
        assert_eq!(Price::dollars("0.15"), Some(150_000));
        assert_eq!(Price::dollars("3"), Some(3_000_000));
        for wrong in ["", ".5", "1.2345678", "-1", "1e3", "1,5"] {
            assert_eq!(Price::dollars(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_longest_beginning_wins() {
        let price = |n| Price { input: n, output: n };
        let table = [("gpt*", 1), ("gpt-5*", 2), ("gpt-5-mini", 3)].map(|(name, n)| (name.to_owned(), price(n)));
        let prices = Prices(table.into());
        assert_eq!(prices.of("gpt-4"), Some(price(1)));
        assert_eq!(prices.of("gpt-5-large"), Some(price(2)));
        assert_eq!(prices.of("gpt-5-mini"), Some(price(3)));
        assert_eq!(prices.of("claude"), None);
    }

    #[test]
    fn the_bound_is_above_the_usual_estimate() {
        let request = ChatRequest {
            messages: vec![ChatMessage::user("Why was my card charged twice? ".repeat(9))],
            ..Default::default()
        };
        assert!(bound(&request) >= Usage::estimate(&request, "", &[]).input_tokens);
    }
}
