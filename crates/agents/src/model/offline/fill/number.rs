//! Numbers within their bounds, from the text where one fits.

use super::{Place, Source, sentences, stems};
use serde_json::{Map, Value, json};

/// Names of figures that a text never states about itself.
const JUDGED: &[&str] = &["confidence", "score", "probability", "certainty", "rating", "weight"];

struct Bounds {
    least: f64,
    most: f64,
    step: Option<f64>,
    integer: bool,
}

/// A number for the schema.
pub(super) fn fill(keys: &Map<String, Value>, source: &Source, place: &Place, integer: bool) -> Value {
    let bounds = Bounds::of(keys, integer);
    let judged = JUDGED.iter().any(|name| place.hint.to_lowercase().contains(name));
    let stated = if judged { None } else { stated(source, &place.hint).into_iter().find(|n| bounds.holds(*n)) };
    let first = stated.unwrap_or_else(|| bounds.usual());
    let value = bounds.nearest(bounds.shifted(first, place.variant));
    // Whole numbers are written without a point; beyond 2^53 a float would not be exact.
    if value.fract() == 0.0 && value.abs() < 9.0e15 { json!(value as i64) } else { json!(value) }
}

impl Bounds {
    fn of(keys: &Map<String, Value>, integer: bool) -> Self {
        let bound = |name: &str| keys.get(name).and_then(Value::as_f64);
        let mut least = bound("minimum").unwrap_or(f64::NEG_INFINITY);
        let mut most = bound("maximum").unwrap_or(f64::INFINITY);
        let step = bound("multipleOf").filter(|step| *step > 0.0);
        if integer {
            (least, most) = (least.ceil(), most.floor());
        }
        let just_off =
            |bound: f64, by: f64| if integer { (bound + by * 0.5).round_toward(by) } else { bound + by * grain(bound) };
        if let Some(bound) = bound("exclusiveMinimum") {
            least = least.max(just_off(bound, 1.0));
        }
        if let Some(bound) = bound("exclusiveMaximum") {
            most = most.min(just_off(bound, -1.0));
        }
        Self { least, most, step, integer }
    }

    fn holds(&self, n: f64) -> bool {
        n >= self.least
            && n <= self.most
            && (!self.integer || n.fract() == 0.0)
            && self.step.is_none_or(|s| n % s == 0.0)
    }

    /// The number for when the text has none: the middle, or the end that exists.
    fn usual(&self) -> f64 {
        match (self.least.is_finite(), self.most.is_finite()) {
            (true, true) => self.least / 2.0 + self.most / 2.0,
            (true, false) => self.least,
            (false, true) => self.most.min(0.0),
            (false, false) => 0.0,
        }
    }

    /// Another number for each variant, going up, and round from the lower end.
    fn shifted(&self, first: f64, variant: usize) -> f64 {
        if variant == 0 {
            return first;
        }
        let room = self.most - self.least;
        let step = self.step.unwrap_or(1.0);
        let step = if !self.integer && room.is_finite() && room < step * 300.0 && self.step.is_none() {
            room / 300.0
        } else {
            step
        };
        let up = first + step * variant as f64;
        if up <= self.most {
            return up;
        }
        if self.least.is_finite() { self.least + (up - self.most) - step } else { first - step * variant as f64 }
    }

    /// `n` moved to where it is allowed.
    fn nearest(&self, n: f64) -> f64 {
        let n = n.clamp(self.least.min(self.most), self.most);
        let step = match (self.step, self.integer) {
            (Some(step), _) => step,
            (None, true) => 1.0,
            (None, false) => return n,
        };
        let at = (n / step).round() * step;
        if at < self.least {
            (self.least / step).ceil() * step
        } else if at > self.most {
            (self.most / step).floor() * step
        } else {
            at
        }
    }
}

/// Rounding up or down by sign, away from the bound itself.
trait Toward {
    fn round_toward(self, by: f64) -> f64;
}

impl Toward for f64 {
    fn round_toward(self, by: f64) -> f64 {
        if by > 0.0 { self.ceil() } else { self.floor() }
    }
}

/// A step that is surely more than the gap between neighbouring floats at `bound`.
fn grain(bound: f64) -> f64 {
    (bound.abs() * 1e-9).max(1e-6)
}

/// The numbers in the text, those first whose sentence speaks of `hint`.
fn stated(source: &Source, hint: &str) -> Vec<f64> {
    let about = stems(hint);
    let mut found: Vec<(usize, f64)> = Vec::new();
    for sentence in sentences(&source.whole) {
        let score = stems(&sentence).intersection(&about).count();
        found.extend(numbers(&sentence).into_iter().map(|n| (score, n)));
    }
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    found.into_iter().map(|(_, n)| n).collect()
}

/// `1,250.50` is one number, `2026-01-02` three.
fn numbers(text: &str) -> Vec<f64> {
    let mut out = Vec::new();
    for run in text.split(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ',' | '-'))) {
        let run = run.trim_matches(['.', ',']);
        let signed = run.len() > 1 && run.starts_with('-') && !run[1..].contains('-');
        let parts: Vec<&str> = if signed { vec![run] } else { run.split('-').collect() };
        out.extend(parts.iter().filter_map(|part| part.replace(',', "").parse::<f64>().ok()).filter(|n| n.is_finite()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        assert_eq!(numbers("paid 1,250.50 on 2026-01-02, minus -3, item5."), [1250.5, 2026.0, 1.0, 2.0, -3.0, 5.0]);
        assert!(numbers("no. -- , .").is_empty());
    }

    #[test]
    fn the_number_beside_its_name_wins() {
        let text = "I waited 2 weeks. The amount was 340.";
        let source = Source::new(&[text.to_owned()], text);
        let place = Place { hint: "amount".into(), depth: 0, variant: 0 };
        assert_eq!(fill(&Map::new(), &source, &place, true), json!(340));
        let bounds = json!({"minimum": 0, "maximum": 1});
        let place = Place { hint: "confidence".into(), ..place };
        assert_eq!(fill(bounds.as_object().unwrap(), &source, &place, false), json!(0.5));
    }
}
