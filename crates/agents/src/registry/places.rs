//! Where an agent's work is done: its instances, and its open sessions.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use tutti_engine::run::{RunNo, Time};

/// An instance as far as it has to be remembered: what it said of itself, what people said to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its name.
    pub instance_id: String,
    /// Where it is asked; the agent's endpoint if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// When it was heard of last; an instance that never speaks is not judged by its silence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_at: Option<Time>,
    /// Somebody stopped it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_stopped: bool,
}

impl Instance {
    /// Whether it has spoken lately.
    #[must_use]
    pub fn is_heard(&self, now: Time, silence: Duration) -> bool {
        self.heard_at.is_some_and(|at| now <= at.after(silence))
    }

    /// Whether it spoke once and does not any more.
    #[must_use]
    pub fn is_silent(&self, now: Time, silence: Duration) -> bool {
        self.heard_at.is_some() && !self.is_heard(now, silence)
    }
}

/// The name of an instance's record. Neither part holds a slash.
#[must_use]
pub fn instance_name(agent_id: &str, instance_id: &str) -> String {
    format!("{agent_id}/{instance_id}")
}

/// An agent's open sessions. What is written here is a reservation: which of them are still open, their runs say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    /// In the order in which they were opened.
    pub open: Vec<Slot>,
}

/// An open session of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The latest task in it.
    pub run: RunNo,
    /// The conversation, where the task belongs to one: then the session stays open while it is idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Whose conversation it is.
    pub user: String,
    /// Where the work is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// When it was opened.
    pub opened_at: Time,
}

impl Slot {
    /// Whether a task of this user in this conversation belongs to it.
    #[must_use]
    pub fn is_of(&self, user: &str, session: Option<&str>) -> bool {
        session.is_some() && self.session.as_deref() == session && self.user == user
    }
}
