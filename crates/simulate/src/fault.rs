//! Faults: what goes wrong, how often, and for whom. Flags, `POST /faults` and the request header use the same words.

use crate::role::Role;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tutti_agents::model::scripted::{Dialect, End, Response, Then};

/// How a fault is written.
pub(crate) const EXAMPLE: &str = r#"{"status": 503, "rate": 0.05}"#;
/// The longest delay, in milliseconds.
const DELAY_MS_MAX: u64 = 3_600_000;
/// Most events of a stream before it is cut.
const CUT_AFTER_MAX: usize = 100_000;

/// What goes wrong: one thing, and a delay if wished. No `rate` and no `every` is each time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "words of a language, of which one is said")]
pub struct Fault {
    /// Wait so many milliseconds first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Answer with this status, 400 to 599.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Seconds to name in `Retry-After`, beside `status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// Never answer.
    #[serde(skip_serializing_if = "is_off")]
    pub hang: bool,
    /// Close the connection without an answer.
    #[serde(skip_serializing_if = "is_off")]
    pub drop: bool,
    /// Close the connection behind so many events of a streamed answer; other requests are spared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_stream_after: Option<usize>,
    /// Answer with a web page.
    #[serde(skip_serializing_if = "is_off")]
    pub garbage: bool,
    /// Answer with JSON that stops half way.
    #[serde(skip_serializing_if = "is_off")]
    pub broken_json: bool,
    /// Do the work, payments included, and close the connection without an answer.
    #[serde(skip_serializing_if = "is_off")]
    pub lose_answer: bool,
    /// Answer with JSON of another shape.
    #[serde(skip_serializing_if = "is_off")]
    pub wrong_contract: bool,
    /// The marketplace asks this instead of its price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Value>,
    /// The marketplace asks this after it was paid, instead of giving the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_after: Option<i64>,
    /// The marketplace asks for a payment, whatever was paid.
    #[serde(skip_serializing_if = "is_off")]
    pub always_402: bool,
    /// Send the caller elsewhere (307).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
    /// In this share of the requests, above 0 and up to 1, evenly spread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// In every so-manieth request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// Only for this model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_model: Option<String>,
    /// Only for this part of the world.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_role: Option<Role>,
}

// serde hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_off(on: &bool) -> bool {
    !on
}

/// What can go wrong, in the words of the fields.
pub(crate) const KINDS: [&str; 13] = [
    "delay_ms",
    "status",
    "hang",
    "drop",
    "cut_stream_after",
    "garbage",
    "broken_json",
    "lose_answer",
    "wrong_contract",
    "price",
    "price_after",
    "always_402",
    "redirect",
];

impl Fault {
    /// Which of the kinds it has, in their order.
    fn has(&self) -> [bool; 13] {
        [
            self.delay_ms.is_some(),
            self.status.is_some(),
            self.hang,
            self.drop,
            self.cut_stream_after.is_some(),
            self.garbage,
            self.broken_json,
            self.lose_answer,
            self.wrong_contract,
            self.price.is_some(),
            self.price_after.is_some(),
            self.always_402,
            self.redirect.is_some(),
        ]
    }

    /// The place of its kind; a delay counts as one where nothing else goes wrong.
    pub(crate) fn kind(&self) -> usize {
        self.has().iter().rposition(|has| *has).unwrap_or_default()
    }

    /// What does not fit together, in words.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), String> {
        let count = self.has().iter().skip(1).filter(|has| **has).count();
        let wrong = match self {
            _ if count == 0 && self.delay_ms.is_none() => {
                format!("nothing goes wrong; name one of {}", KINDS.join(", "))
            }
            _ if count > 1 => format!("only one of {} at a time", KINDS[1..].join(", ")),
            Self { status: Some(status), .. } if !(400..600).contains(status) => {
                "status should be from 400 to 599".into()
            }
            Self { status: None, retry_after: Some(_), .. } => "retry_after goes with status".into(),
            Self { delay_ms: Some(ms), .. } if *ms > DELAY_MS_MAX => format!("delay_ms is at most {DELAY_MS_MAX}"),
            Self { cut_stream_after: Some(n), .. } if *n > CUT_AFTER_MAX => {
                format!("cut_stream_after is at most {CUT_AFTER_MAX}")
            }
            Self { rate: Some(_), every: Some(_), .. } => "rate and every say the same; keep one".into(),
            Self { rate: Some(rate), .. } if !(*rate > 0.0 && *rate <= 1.0) => "rate is above 0 and up to 1".into(),
            Self { every: Some(0), .. } => "every is at least 1".into(),
            _ => return Ok(()),
        };
        Err(wrong)
    }

    /// Whether it is for this request.
    pub(crate) fn fits(&self, role: Role, model: &str, streamed: bool) -> bool {
        let is_for_market = self.price.is_some() || self.price_after.is_some() || self.always_402;
        let is_for_services = self.lose_answer || self.wrong_contract || self.redirect.is_some();
        self.for_role.is_none_or(|wanted| wanted == role)
            && self.for_model.as_deref().is_none_or(|wanted| role == Role::Model && wanted == model)
            && (streamed || self.cut_stream_after.is_none())
            && (!is_for_market || role == Role::Market)
            && (!is_for_services || role != Role::Model)
    }

    /// Whether the nth request that it fits, from 1, is one of those that go wrong.
    pub(crate) fn is_due(&self, n: u64) -> bool {
        match (self.every, self.rate) {
            (Some(every), _) => n.is_multiple_of(every.max(1)),
            // The share of n, rounded, grows by one at each request that goes wrong. What rounds wrong is far below the nudge.
            (None, Some(rate)) => {
                let share = |n: u64| (n as f64 * rate + 1e-9).floor();
                share(n) > share(n - 1)
            }
            (None, None) => true,
        }
    }

    /// What is sent instead of, or made of, the answer.
    pub(crate) fn spoil(&self, dialect: Dialect, answer: impl FnOnce() -> Response) -> Response {
        let instead = |then: Then| then.respond(dialect, b"");
        let mut response = match self {
            Self { status: Some(status), .. } => {
                instead(Then::Error { status: *status, retry_after: self.retry_after.map(|s| s.to_string()) })
            }
            Self { hang: true, .. } => instead(Then::Hang),
            Self { garbage: true, .. } => instead(Then::Garbage),
            Self { broken_json: true, .. } => instead(Then::BrokenJson),
            _ => answer(),
        };
        if let Some(events) = self.cut_stream_after.or(self.drop.then_some(0)) {
            response.pieces.truncate(events);
            response.end = End::Broken;
        }
        response.delay += std::time::Duration::from_millis(self.delay_ms.unwrap_or(0));
        response
    }
}

/// Reads one fault, a list of them, or `{}` and `[]` for none.
pub(crate) fn read(body: &[u8]) -> Result<Vec<Fault>, String> {
    let body: Value = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    let items = match body {
        Value::Array(items) => items,
        Value::Object(fields) if fields.is_empty() => Vec::new(),
        one => vec![one],
    };
    let fault = |item: Value| {
        let fault: Fault = serde_json::from_value(item).map_err(|e| e.to_string())?;
        fault.check().map(|()| fault)
    };
    items.into_iter().map(fault).collect()
}

/// Reads the words of the request header, such as `status=503, delay_ms=200` or `hang`.
pub(crate) fn read_words(text: &str) -> Result<Fault, String> {
    let mut fields = Map::new();
    for part in text.split(',').map(str::trim) {
        let (name, value) = part.split_once('=').unwrap_or((part, "true"));
        let value = serde_json::from_str(value.trim()).unwrap_or_else(|_| json!(value.trim()));
        fields.insert(name.trim().to_owned(), value);
    }
    let fault: Fault = serde_json::from_value(fields.into()).map_err(|e| e.to_string())?;
    fault.check().map(|()| fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(fault: &str, n: u64) -> Vec<u64> {
        let fault = &read(fault.as_bytes()).unwrap()[0];
        (1..=n).filter(|n| fault.is_due(*n)).collect()
    }

    #[test]
    fn faults_come_as_often_as_asked() {
        assert_eq!(due(EXAMPLE, 60), [20, 40, 60]);
        assert_eq!(due(r#"{"hang": true, "every": 3}"#, 7), [3, 6]);
        assert_eq!(due(r#"{"drop": true, "rate": 0.4}"#, 10), [3, 5, 8, 10]);
        assert_eq!(due(r#"{"garbage": true}"#, 2), [1, 2]);
        for percent in 1..=100_u64 {
            let rate = percent as f64 / 100.0;
            assert_eq!(due(&json!({"hang": true, "rate": rate}).to_string(), 1_000).len() as u64, percent * 10);
        }
    }

    #[test]
    fn what_does_not_fit_together_is_told() {
        for (fault, says) in [
            (r#"{"rate": 0.5}"#, "nothing goes wrong"),
            (r#"{"hang": true, "drop": true}"#, "only one of"),
            (r#"{"status": 200}"#, "400 to 599"),
            (r#"{"status": 503, "rate": 1.5}"#, "up to 1"),
            (r#"{"status": 503, "rate": 1, "every": 2}"#, "keep one"),
            (r#"{"hang": true, "every": 0}"#, "at least 1"),
            (r#"{"hang": true, "retry_after": 1}"#, "goes with status"),
            (r#"[{"statsu": 503}]"#, "unknown field `statsu`"),
            (r#"{"delay_ms": 99999999}"#, "at most"),
            ("hang", "expected"),
        ] {
            let wrong = read(fault.as_bytes()).unwrap_err();
            assert!(wrong.contains(says), "{fault}: {wrong}");
        }
        assert_eq!(read(b"{}").unwrap(), read(b"[]").unwrap());
    }

    #[test]
    fn the_header_says_it_in_the_same_words() {
        let both = Fault { status: Some(503), delay_ms: Some(5), ..Fault::default() };
        assert_eq!(read_words("status=503, delay_ms=5").unwrap(), both);
        assert_eq!(KINDS[both.kind()], "status");
        assert_eq!(read_words("hang").unwrap(), Fault { hang: true, ..Fault::default() });
        assert!(read_words("status=soon").unwrap_err().contains("invalid type"));
        assert!(read_words("explode").unwrap_err().contains("expected one of"));
    }

    #[test]
    fn some_are_for_one_model_or_for_streams() {
        let fault = Fault { cut_stream_after: Some(2), for_model: Some("a".into()), ..Fault::default() };
        let fits = |role, model, streamed| fault.fits(role, model, streamed);
        assert!(fits(Role::Model, "a", true) && !fits(Role::Model, "b", true) && !fits(Role::Model, "a", false));
        assert!(!fits(Role::Router, "a", true), "a model's fault is no agent's");
        let lie = Fault { price: Some(json!(-5)), ..Fault::default() };
        assert!(lie.fits(Role::Market, "", false) && !lie.fits(Role::Pay, "", false));
        assert_eq!(serde_json::to_value(&fault).unwrap(), json!({"cut_stream_after": 2, "for_model": "a"}));
    }
}
