//! `calendar`: dates, so that models need not count days.

use super::Tool;
use jiff::civil::Date;
use jiff::{Span, Unit};
use serde_json::{Value, json};
use tutti_engine::activity::Effect;

pub(super) const TOOL: Tool = Tool {
    name: "calendar",
    description: "Computes with dates: the weekday of a date, the days between two dates, a date some days later or earlier.",
    parameters: || {
        json!({"type": "object", "required": ["operation", "date"], "additionalProperties": false, "properties": {
            "operation": {"type": "string", "enum": ["weekday", "days_between", "add_days"]},
            "date": {"type": "string", "description": "YYYY-MM-DD"},
            "other_date": {"type": "string", "description": "YYYY-MM-DD, for days_between."},
            "days": {"type": "integer", "minimum": -1_000_000, "maximum": 1_000_000, "description": "For add_days."}}})
    },
    effect: Effect::Pure,
    run,
};

fn run(arguments: &Value) -> Result<Value, String> {
    let date = read(arguments, "date")?;
    match arguments["operation"].as_str() {
        Some("weekday") => Ok(json!({ "weekday": format!("{:?}", date.weekday()) })),
        Some("days_between") => {
            let span = read(arguments, "other_date")?.since((Unit::Day, date)).map_err(|e| e.to_string())?;
            Ok(json!({ "days": span.get_days() }))
        }
        _ => {
            let days = arguments["days"].as_i64().ok_or("add_days needs days")?;
            let moved = Span::new().try_days(days).and_then(|span| date.checked_add(span));
            Ok(json!({ "date": moved.map_err(|_| "that date is out of range")?.to_string() }))
        }
    }
}

fn read(arguments: &Value, field: &str) -> Result<Date, String> {
    let text = arguments[field].as_str().ok_or_else(|| format!("{field} is missing"))?;
    text.parse().map_err(|_| {
        format!("{field} {:?} is no date of the form YYYY-MM-DD", text.chars().take(20).collect::<String>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_counted() {
        let ask = |value: Value| run(&value);
        assert_eq!(ask(json!({"operation": "weekday", "date": "2026-11-21"})), Ok(json!({"weekday": "Saturday"})));
        let between = json!({"operation": "days_between", "date": "2026-02-20", "other_date": "2026-03-01"});
        assert_eq!(ask(between), Ok(json!({"days": 9})));
        assert_eq!(
            ask(json!({"operation": "add_days", "date": "2024-02-28", "days": 2})),
            Ok(json!({"date": "2024-03-01"}))
        );
        assert!(ask(json!({"operation": "weekday", "date": "21.11.2026"})).unwrap_err().contains("YYYY-MM-DD"));
        assert!(ask(json!({"operation": "add_days", "date": "9999-12-31", "days": 1})).unwrap_err().contains("range"));
    }
}
