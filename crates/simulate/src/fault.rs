//! Faults: what goes wrong, and how often.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tutti_agents::model::scripted::Then;

/// How a fault is written.
pub(crate) const EXAMPLE: &str = r#"{"then": {"error": {"status": 503}}, "every": 20}"#;

/// What goes wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What happens instead of an answer.
    pub then: Then,
    /// In every so-manieth request; 1 is each.
    #[serde(default = "each")]
    pub every: u64,
}

fn each() -> u64 {
    1
}

impl Fault {
    /// What happens to the nth request, from 1.
    #[must_use]
    pub fn at(&self, n: u64) -> Option<Then> {
        n.is_multiple_of(self.every.max(1)).then(|| self.then.clone())
    }
}

/// Reads the words of the request header: `status=503`, `delay=200`, `hang`, `drop`, `garbage`, `broken_json`.
pub(crate) fn read_words(text: &str) -> Result<Then, String> {
    let (word, value) = text.split_once('=').unwrap_or((text, ""));
    let number = || value.trim().parse::<u64>().map_err(|_| format!("{word} needs a number, such as {word}=500\n"));
    match word.trim() {
        "status" => serde_json::from_value(json!({"error": {"status": number()?}})).map_err(|e| format!("{e}\n")),
        "delay" => Ok(Then::Delay(number()?, Box::new(Then::Answer))),
        "hang" => Ok(Then::Hang),
        "drop" => Ok(Then::Drop("an answer that is cut off in its middle".into())),
        "garbage" => Ok(Then::Garbage),
        "broken_json" => Ok(Then::BrokenJson),
        _ => Err("known are status=N, delay=MS, hang, drop, garbage, broken_json\n".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_come_every_so_often() {
        let fault: Fault = serde_json::from_str(EXAMPLE).unwrap();
        assert_eq!((1..=40).filter(|n| fault.at(*n).is_some()).collect::<Vec<_>>(), [20, 40]);
        assert!(serde_json::from_str::<Fault>(r#"{"then": "hang"}"#).unwrap().at(7).is_some());
        assert!(serde_json::from_str::<Fault>(r#"{"then": "hang", "evry": 2}"#).is_err());
        assert!(matches!(read_words("status=503"), Ok(Then::Error { status: 503, .. })));
        assert!(matches!(read_words("delay=5"), Ok(Then::Delay(5, _))));
        assert!(read_words("delay=soon").unwrap_err().contains("number"));
        assert!(read_words("explode").unwrap_err().contains("known are"));
    }
}
