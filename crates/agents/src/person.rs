//! A person in the loop: agreeing to what an agent or a tool is about to do, or answering as a member of the team.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use tutti_engine::journal::body::{Decision, Verdict};
use tutti_engine::{Ctx, Error, Result};

/// The class of an act that a person refused.
pub const REFUSED: &str = "PermissionDenied";

/// Which acts wait for a person, and what happens when nobody answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Approve {
    /// Agents and tools by name.
    pub names: Vec<String>,
    /// How the person is asked.
    #[serde(flatten)]
    pub patience: Patience,
}

/// How long a person is waited for, and then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Patience {
    /// How long an answer is waited for, in milliseconds; for ever when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Who is asked next when nobody answered in time: a name for people to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalate_to: Option<String>,
    /// What counts when nobody answered at all.
    pub default: Silence,
}

/// What counts when nobody answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Silence {
    /// No.
    #[default]
    Reject,
    /// Yes.
    Approve,
}

impl Patience {
    /// Whether silence counts as a yes.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.default == Silence::Approve
    }
}

/// The error of an act that a person refused.
#[must_use]
pub fn refused(what: &str) -> Error {
    Error::workflow(REFUSED, format!("a person refused {what}"))
}

impl Approve {
    /// Whether this agent or tool needs a person's word.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        self.names.iter().any(|n| n == name)
    }
}

/// Asks a person about exactly `request`, and a second one when the first does not answer. `Expired` is left only to
/// those who have no default.
///
/// # Errors
/// The engine's own; a refusal is a decision.
pub async fn decide(ctx: &Ctx, name: &'static str, request: Value, patience: &Patience) -> Result<Decision> {
    let wait = patience.timeout_ms.map(Duration::from_millis);
    let mut decision = ctx.approval(name, &request, wait).await?;
    if let (Verdict::Expired, Some(next)) = (decision.decision, &patience.escalate_to) {
        let mut request = request;
        request["escalated_to"] = json!(next);
        decision = ctx.approval(name, &request, wait).await?;
    }
    Ok(decision)
}

/// As [`decide`], with the default in the place of silence, and a refusal as an error of the class [`REFUSED`].
///
/// # Errors
/// The person refused, or nobody answered and that counts as a refusal.
pub async fn agree(ctx: &Ctx, name: &'static str, request: Value, patience: &Patience) -> Result<Decision> {
    let what = request["act"].as_str().unwrap_or("this").to_owned();
    let decision = decide(ctx, name, request, patience).await?;
    let verdict = match decision.decision {
        Verdict::Expired if patience.agrees() => Verdict::Approve,
        verdict => verdict,
    };
    let note = decision.note.as_deref().map_or(String::new(), |note| format!(": {note}"));
    match verdict {
        Verdict::Approve => Ok(decision),
        Verdict::Reject => Err(refused(&format!("{what}{note}"))),
        Verdict::Expired => Err(Error::workflow(REFUSED, format!("nobody agreed to {what} in time"))),
    }
}
