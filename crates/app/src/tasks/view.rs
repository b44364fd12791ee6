//! A task as it stands.

use crate::Stamp;
use crate::result::{Digest, Usage};
use crate::runs::ErrorView;
use serde::Serialize;
use serde_json::{Value, json};
use tutti_engine::driver::Entry;
use tutti_engine::event::Kind;
use tutti_engine::journal::body::Queued;
use tutti_engine::ports::store::RunRow;
use tutti_engine::run::Status;
use tutti_workflows::research::facts::{Facts, Payment, SourceFacts};
use tutti_workflows::research::{Input, Settlement, report};

/// A research task.
#[derive(Debug, Serialize)]
pub struct TaskView {
    /// Its id, which is its run's.
    pub task_id: String,
    /// Where it stands.
    pub status: &'static str,
    /// What was asked.
    pub theme: String,
    /// The most that may be paid.
    pub budget: u64,
    /// The unit of budget, prices and payments.
    pub unit: String,
    /// What was paid.
    pub spent: u64,
    /// What may have been paid.
    pub held: u64,
    /// Every payment that was sent.
    pub receipts: Vec<Value>,
    /// Sources that gave their data, and those that did not.
    pub sources: Value,
    /// What language models used; not part of `spent`.
    pub usage: Usage,
    /// Why it failed.
    pub error: Option<ErrorView>,
    /// The report in Markdown, once it is written.
    pub report: Option<String>,
    /// Who asked, as a keyed hash.
    pub voice_hmac: Option<String>,
    /// When it came.
    pub created_at: Option<Stamp>,
    /// When it ended.
    pub ended_at: Option<Stamp>,
}

impl TaskView {
    pub(super) fn of(row: &RunRow, facts: Facts, digest: Digest) -> Self {
        // The row may have been read a moment before the journal's last entry was written.
        let status = digest.status.unwrap_or(row.status);
        let input = digest.queued.as_ref().and_then(|q| serde_json::from_str::<Input>(q.input.get()).ok());
        let has_report = matches!(status, Status::Completed | Status::TimedOut);
        let (used, refused): (Vec<_>, Vec<_>) = facts.sources.iter().partition(|s| s.data.is_some());
        let ended = digest.ended.and_then(|ended| ended.error).or(digest.blocked);
        Self {
            task_id: row.id.to_string(),
            status: status.as_str(),
            spent: facts.spent(),
            held: facts.held(),
            receipts: facts.sources.iter().filter_map(receipt).collect(),
            sources: json!({"used": used.iter().map(|s| used_source(s)).collect::<Vec<_>>(),
                "refused": refused.iter().map(|s| refused_source(s)).collect::<Vec<_>>()}),
            usage: digest.usage,
            error: ended.map(ErrorView::from),
            report: has_report.then(|| report::markdown(&facts)),
            voice_hmac: input.map(|input| input.voice.hmac),
            created_at: digest.created_at,
            ended_at: digest.ended_at,
            theme: facts.theme,
            budget: facts.budget,
            unit: facts.unit,
        }
    }
}

fn used_source(source: &SourceFacts) -> Value {
    let price = source.price().filter(|_| source.payment.is_some()).unwrap_or(0);
    json!({"id": source.source.id, "name": source.source.name, "price": price, "data": source.data})
}

fn refused_source(source: &SourceFacts) -> Value {
    let reason = source.why_not.as_deref().unwrap_or("it was not asked any more");
    json!({"id": source.source.id, "name": source.source.name, "price": source.price(), "reason": reason})
}

/// A payment that was sent; what the budget refused was not.
fn receipt(source: &SourceFacts) -> Option<Value> {
    let (outcome, reason) = match source.payment.as_ref()? {
        Payment::Paid => ("paid", None),
        Payment::Unknown { reason } => ("unknown", Some(reason)),
        Payment::Refused { reason } if source.at.is_some() => ("refused", Some(reason)),
        Payment::Refused { .. } => return None,
    };
    Some(json!({"source": source.source.id, "name": source.source.name, "amount": source.price(), "outcome": outcome,
        "at": source.at.map(Stamp), "reason": reason, "settled_by": source.settled_by}))
}

/// What stands in a task's first entry.
pub(super) fn input_of(entry: &Entry) -> Option<Input> {
    first(entry)
}

/// What stands in a settlement's first entry.
pub(super) fn settlement_of(entry: &Entry) -> Option<Settlement> {
    first(entry)
}

fn first<T: serde::de::DeserializeOwned>(entry: &Entry) -> Option<T> {
    if entry.kind != Kind::RunQueued {
        return None;
    }
    let queued: Queued = serde_json::from_slice(&entry.body).ok()?;
    serde_json::from_str(queued.input.get()).ok()
}
