//! What is reported: a table for people, `bench.json` for programs.

use anyhow::Result;
use serde::Serialize;
use std::fmt::Write as _;

/// Repeated measurements of one thing.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// One more.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    /// The middle one: the machine is noisy.
    fn median(&self) -> Option<f64> {
        self.0.get(self.0.len().checked_sub(1)? / 2).copied()
    }

    fn range(&self) -> Option<(f64, f64)> {
        Some((*self.0.first()?, *self.0.last()?))
    }
}

/// One measured thing.
pub struct Row {
    name: String,
    value: Samples,
    unit: &'static str,
    ceiling: Samples,
    peer: Option<(&'static str, f64)>,
    goal: &'static str,
}

/// A row of `bench.json`.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    value: Option<f64>,
    unit: &'static str,
    ceiling: Option<f64>,
    ratio_ceiling: Option<f64>,
    peer: Option<&'static str>,
    peer_value: Option<f64>,
    ratio_peer: Option<f64>,
}

impl Row {
    /// What was measured of us.
    pub fn of(name: &str, value: Samples, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, ceiling: Samples::default(), peer: None, goal: "" }
    }

    /// The same of the ceiling probe; nothing where it was not there.
    pub fn ceiling(mut self, samples: Samples) -> Self {
        self.ceiling = samples;
        self
    }

    /// The same of a peer; nothing where it was not there.
    pub fn peer(mut self, name: &'static str, samples: Samples) -> Self {
        self.peer = samples.median().map(|value| (name, value));
        self
    }

    /// What was asked for, in words.
    pub fn goal(mut self, goal: &'static str) -> Self {
        self.goal = goal;
        self
    }

    fn line(&self) -> Line<'_> {
        let (value, ceiling) = (self.value.median(), self.ceiling.median());
        let ratio = |to: Option<f64>| Some(round(value? / to?));
        let peer_value = self.peer.map(|(_, value)| value);
        Line {
            name: &self.name,
            value: value.map(round),
            unit: self.unit,
            ceiling: ceiling.map(round),
            ratio_ceiling: ratio(ceiling),
            peer: self.peer.map(|(name, _)| name),
            peer_value: peer_value.map(round),
            ratio_peer: ratio(peer_value),
        }
    }
}

/// Three decimals: no noise is smaller.
fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// Everything measured, and what could not be.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Report {
    /// Adds a row.
    pub fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Says what could not be measured, at once and below the table.
    pub fn note(&mut self, what: &str) {
        eprintln!("skipped: {what}");
        self.notes.push(what.into());
    }

    /// The table: medians, with the lowest and the highest beside them.
    pub fn table(&self) -> String {
        let number = |value: f64| if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
        let cell = |value: Option<f64>| value.map_or_else(|| "-".into(), number);
        let head = ["name", "median", "(min–max)", "unit", "ceiling", "ratio", "peer", "ratio", "asked for"];
        let mut rows = vec![head.map(String::from).to_vec()];
        for row in &self.rows {
            let line = row.line();
            let range =
                row.value.range().map_or_else(String::new, |(min, max)| format!("({}–{})", number(min), number(max)));
            let peer = line.peer.map_or_else(|| "-".into(), |name| format!("{name} {}", cell(line.peer_value)));
            let (ceiling, ratio) = (cell(line.ceiling), cell(line.ratio_ceiling));
            let name = row.name.clone();
            rows.push(vec![
                name,
                cell(line.value),
                range,
                line.unit.into(),
                ceiling,
                ratio,
                peer,
                cell(line.ratio_peer),
                row.goal.into(),
            ]);
        }
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let mut out = String::from("\n");
        for row in &rows {
            let cells: Vec<_> =
                row.iter().enumerate().map(|(n, text)| format!("{text:<width$}", width = width(n))).collect();
            let _ = writeln!(out, "{}", cells.join("  ").trim_end());
        }
        for note in &self.notes {
            let _ = writeln!(out, "skipped: {note}");
        }
        out
    }

    /// `bench.json`.
    pub fn json(&self) -> Result<String> {
        let lines: Vec<_> = self.rows.iter().map(Row::line).collect();
        Ok(serde_json::to_string_pretty(&lines)? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        let mut samples = Samples::default();
        values.iter().for_each(|&value| samples.push(value));
        samples
    }

    #[test]
    fn medians_and_ratios_of_medians() {
        let mut report = Report::default();
        report.row(
            Row::of("a", samples(&[3.0, 100.0, 2.0]), "runs/s").ceiling(samples(&[6.0])).peer("restate", samples(&[])),
        );
        let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        let expected = serde_json::json!({"name": "a", "value": 3.0, "unit": "runs/s", "ceiling": 6.0, "ratio_ceiling": 0.5,
            "peer": null, "peer_value": null, "ratio_peer": null});
        assert_eq!(json[0], expected);
        assert!(report.table().contains("(2.00–100)"), "{}", report.table());
    }

    #[test]
    fn what_was_not_measured_is_null() {
        let mut report = Report::default();
        report.row(Row::of("a", samples(&[]), "ms"));
        assert!(report.json().unwrap().contains("\"value\": null"));
    }
}
