//! Faults on demand, named by the model: `fail-429`, `fail-drop-x1`, `delay-250`, `delay-20+fail-hang`.

use std::time::Duration;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An error status; 429 says when to come back.
    Status(u16),
    /// 200 with something that is no JSON at all.
    Garbage,
    /// 200 with JSON that breaks off.
    Json,
    /// 200 with an answer that is not the JSON that was asked for.
    Content,
    /// 200 with no choice to take.
    Empty,
    /// The connection breaks in the middle of the answer.
    Drop,
    /// No answer, ever.
    Hang,
}

/// What goes wrong, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: Kind,
    /// How many attempts of one call fail; all when `None`.
    pub times: Option<u32>,
}

/// What a model's name asks for: a fault, a time to take. Any other name is a model without faults.
#[must_use]
pub fn of(model: &str) -> (Option<Fault>, Option<Duration>) {
    let (mut fault, mut delay) = (None, None);
    for part in model.split('+') {
        if let Some(rest) = part.strip_prefix("fail-") {
            let (kind, times) = rest.split_once("-x").map_or((rest, None), |(kind, n)| (kind, n.parse().ok()));
            fault = kind_of(kind).map(|kind| Fault { kind, times });
        } else if let Some(ms) = part.strip_prefix("delay-").and_then(|ms| ms.parse().ok()) {
            delay = Some(Duration::from_millis(ms));
        }
    }
    (fault, delay)
}

fn kind_of(word: &str) -> Option<Kind> {
    Some(match word {
        "garbage" => Kind::Garbage,
        "json" => Kind::Json,
        "content" => Kind::Content,
        "empty" => Kind::Empty,
        "drop" => Kind::Drop,
        "hang" => Kind::Hang,
        status => Kind::Status(status.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        assert_eq!(of("test"), (None, None));
        assert_eq!(of("fail-429").0, Some(Fault { kind: Kind::Status(429), times: None }));
        let both = of("delay-20+fail-drop-x2");
        assert_eq!(both, (Some(Fault { kind: Kind::Drop, times: Some(2) }), Some(Duration::from_millis(20))));
    }
}
