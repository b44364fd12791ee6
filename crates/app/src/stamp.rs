//! Points in time as people and programs read them.

use serde::{Serialize, Serializer};
use std::fmt;
use tutti_engine::run::Time;

/// An instant, written as RFC 3339 in UTC with milliseconds and `Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(pub(crate) Time);

impl Stamp {
    /// The system's present time.
    #[must_use]
    pub fn now() -> Self {
        Self(Time(jiff::Timestamp::now().as_millisecond()))
    }

    /// Reads RFC 3339 with any offset; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Self(Time(t.as_millisecond())))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timestamp = jiff::Timestamp::from_millisecond(self.0.0).unwrap_or_default();
        write!(f, "{timestamp:.3}")
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_utc_with_milliseconds() {
        let stamp = Stamp::parse("2026-11-20T12:00:00.5+02:00").unwrap();
        assert_eq!(stamp.to_string(), "2026-11-20T10:00:00.500Z");
        assert_eq!(Stamp::parse("yesterday"), None);
    }
}
