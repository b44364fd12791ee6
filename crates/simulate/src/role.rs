//! Who is played: each has paths of its own, and faults can be for one of them.

use serde::{Deserialize, Serialize};

/// A part of the outside world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A language model.
    Model,
    /// The ticket agent that routes.
    Router,
    /// The ticket agent that finds articles.
    Knowledge,
    /// The ticket agent that judges the mood.
    Sentiment,
    /// The ticket agent that decides.
    Decision,
    /// The marketplace's data.
    Market,
    /// The marketplace's till.
    Pay,
    /// The payment manager.
    Payments,
    /// Who checks voices.
    Voice,
}

impl Role {
    /// All, in the order of their counters.
    pub const ALL: [Self; 9] = [
        Self::Model,
        Self::Router,
        Self::Knowledge,
        Self::Sentiment,
        Self::Decision,
        Self::Market,
        Self::Pay,
        Self::Payments,
        Self::Voice,
    ];

    /// Its name in faults and counts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Router => "router",
            Self::Knowledge => "knowledge",
            Self::Sentiment => "sentiment",
            Self::Decision => "decision",
            Self::Market => "market",
            Self::Pay => "pay",
            Self::Payments => "payments",
            Self::Voice => "voice",
        }
    }
}
