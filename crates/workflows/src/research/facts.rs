//! What a task knows of its sources: told by the workflow as it goes, or read back from its journal.

use super::{Input, Settlement};
use serde::Serialize;
use serde_json::Value;
use tutti_agents::market::{Answer, Paid, Source};
use tutti_agents::payment::{Dialect, Offer};
use tutti_engine::driver::Entry;
use tutti_engine::event::Kind;
use tutti_engine::journal::body::{Completed, Failed};
use tutti_engine::run::Time;
use tutti_engine::{Error, Result};

/// What came of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Payment {
    /// It was made.
    Paid,
    /// It was not made.
    Refused {
        /// Why.
        reason: String,
    },
    /// It may have been made.
    Unknown {
        /// What happened.
        reason: String,
    },
}

/// One source.
#[derive(Debug, Clone)]
pub struct SourceFacts {
    /// Which.
    pub source: Source,
    /// What it asked.
    pub offer: Option<Offer>,
    /// What it gave.
    pub data: Option<Value>,
    /// Why it gave nothing.
    pub why_not: Option<String>,
    /// What was paid, and whether it was.
    pub payment: Option<Payment>,
    /// When the payment's outcome was known, or when it was sent.
    pub at: Option<Time>,
    /// Who said so, where a person settled it.
    pub settled_by: Option<String>,
}

impl SourceFacts {
    /// What it asked, in units of the budget.
    #[must_use]
    pub fn price(&self) -> Option<u64> {
        self.offer.as_ref().map(|offer| offer.price)
    }
}

/// All of a task.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// What was asked.
    pub theme: String,
    /// The most that may be paid.
    pub budget: u64,
    /// Its unit.
    pub unit: String,
    /// The sources, in the marketplace's order.
    pub sources: Vec<SourceFacts>,
    /// The summary, once it is written.
    pub summary: Option<String>,
}

impl Facts {
    /// Before anything was asked.
    #[must_use]
    pub fn new(input: &Input, found: Vec<Source>) -> Self {
        let source = |source| SourceFacts {
            source,
            offer: None,
            data: None,
            why_not: None,
            payment: None,
            at: None,
            settled_by: None,
        };
        Self {
            theme: input.theme.clone(),
            budget: input.budget,
            unit: input.unit.clone(),
            sources: found.into_iter().map(source).collect(),
            summary: None,
        }
    }

    /// A source was asked without a token.
    pub fn asked(&mut self, at: usize, answer: Result<Answer>) {
        let Some(source) = self.sources.get_mut(at) else { return };
        match answer {
            Ok(Answer::Data(data)) => source.data = Some(data),
            Ok(Answer::Asks(offer)) => source.offer = Some(offer),
            Ok(Answer::Odd(why)) => source.why_not = Some(why),
            Err(error) => source.why_not = Some(error.to_string()),
        }
    }

    /// Its payment has come to something.
    pub fn paid(&mut self, at: usize, payment: Payment) {
        let Some(source) = self.sources.get_mut(at) else { return };
        if let Payment::Refused { reason } | Payment::Unknown { reason } = &payment {
            source.why_not = Some(reason.clone());
        }
        source.payment = Some(payment);
    }

    /// It was asked again with what it was, or may have been, paid with: data is proof of the payment.
    pub fn asked_again(&mut self, at: usize, answer: Result<Answer>) {
        let is_ambiguous = self.has_credit_before(at);
        let Some(source) = self.sources.get_mut(at) else { return };
        match answer {
            // It may have come for what was paid before, and brought nothing.
            Ok(Answer::Data(data)) if is_ambiguous && source.payment != Some(Payment::Paid) => source.data = Some(data),
            Ok(Answer::Data(data)) => {
                (source.data, source.why_not, source.payment) = (Some(data), None, Some(Payment::Paid));
            }
            Ok(Answer::Asks(offer)) if source.payment == Some(Payment::Paid) => {
                let again = offer.price;
                source.why_not = Some(format!("it was paid and asks {again} again; it is not paid twice"));
            }
            Ok(Answer::Odd(why)) if source.payment == Some(Payment::Paid) => {
                source.why_not = Some(format!("it was paid and gives nothing: {why}"));
            }
            Err(error) if source.payment == Some(Payment::Paid) => {
                source.why_not = Some(format!("it was paid and gives nothing: {error}"));
            }
            // Still not known.
            _ => {}
        }
    }

    /// Whether a source before this one was, or may have been, paid with the same token and gave nothing.
    fn has_credit_before(&self, at: usize) -> bool {
        let with_token = |s: &&SourceFacts| s.offer.as_ref().is_some_and(|offer| offer.dialect == Dialect::Seed);
        let mut before = self.sources.iter().take(at).filter(with_token);
        let may_be_paid = |s: &SourceFacts| matches!(s.payment, Some(Payment::Paid | Payment::Unknown { .. }));
        before.any(|s| may_be_paid(s) && s.data.is_none()) && self.sources.get(at).is_some_and(|s| with_token(&s))
    }

    /// Nobody could pay with a token.
    pub fn without_token(&mut self, why: &str) {
        let wants =
            |s: &&mut SourceFacts| s.data.is_none() && s.offer.as_ref().is_some_and(|o| o.dialect == Dialect::Seed);
        for source in self.sources.iter_mut().filter(wants) {
            source.why_not = Some(format!("no payment token could be had: {why}"));
        }
    }

    /// Whether somebody wants to be paid with a token.
    #[must_use]
    pub fn wants_token(&self) -> bool {
        self.sources.iter().any(|s| s.offer.as_ref().is_some_and(|offer| offer.dialect == Dialect::Seed))
    }

    /// Every source, with what it asks where it asks something.
    #[must_use]
    pub fn asks(&self) -> Vec<(Source, Option<Offer>)> {
        self.sources.iter().map(|s| (s.source.clone(), s.offer.clone())).collect()
    }

    /// Sources that gave their data.
    #[must_use]
    pub fn obtained(&self) -> usize {
        self.sources.iter().filter(|source| source.data.is_some()).count()
    }

    /// Names and data.
    pub fn data(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.sources.iter().filter_map(|s| Some((s.source.name.as_str(), s.data.as_ref()?)))
    }

    /// What was paid.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.sum(|payment| *payment == Payment::Paid)
    }

    /// What may have been paid.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.sum(|payment| matches!(payment, Payment::Unknown { .. }))
    }

    fn sum(&self, which: impl Fn(&Payment) -> bool) -> u64 {
        let paid = self.sources.iter().filter(|s| s.payment.as_ref().is_some_and(&which));
        paid.filter_map(SourceFacts::price).fold(0, u64::saturating_add)
    }

    /// Why a task without any data failed.
    #[must_use]
    pub fn nothing_obtained(&self) -> Error {
        let reasons: Vec<String> = self
            .sources
            .iter()
            .filter_map(|s| Some(format!("{}: {}", s.source.name, s.why_not.as_ref()?)))
            .take(5)
            .collect();
        let wants_token = |s: &SourceFacts| s.why_not.as_ref().is_some_and(|why| why.starts_with("no payment token"));
        let class = if self.sources.iter().any(wants_token) { "PaymentError" } else { "DataError" };
        Error::workflow(class, format!("no source gave its data ({})", reasons.join("; ")))
    }

    /// Reads the next entry of the task's journal.
    pub fn take(&mut self, entry: &Entry) {
        let key = entry.key.as_str();
        if key == "discover" && entry.kind == Kind::StepCompleted {
            let found: Option<Vec<Source>> = output(entry);
            let input = Input {
                theme: self.theme.clone(),
                budget: self.budget,
                unit: self.unit.clone(),
                voice: super::Voice::default(),
                marketplace: None,
                payments: None,
                verify: None,
            };
            *self = Self::new(&input, found.unwrap_or_default());
        } else if let Some(at) = place(key, "source", "ask") {
            if let Some(answer) = answer(entry) {
                self.asked(at, answer);
            }
        } else if let Some(at) = place(key, "buy", "ask") {
            if let Some(answer) = answer(entry) {
                self.asked_again(at, answer);
            }
        } else if let Some(at) = place(key, "buy", "pay") {
            self.take_payment(at, entry);
        } else if let Some(at) = place(key, "buy", "") {
            // A refusal of the budget's has no step of its own.
            if entry.kind == Kind::PaymentRefused {
                let told: Value = serde_json::from_slice(&entry.body).unwrap_or_default();
                self.paid(at, Payment::Refused { reason: told["reason"].as_str().unwrap_or_default().into() });
            }
        } else if key == "token" && entry.kind == Kind::StepFailed {
            if let Ok(failed) = serde_json::from_slice::<Failed>(&entry.body) {
                self.without_token(&failed.error.to_string());
            }
        } else if key.starts_with("summary[1]/") && entry.kind == Kind::AgentMessage {
            self.summary =
                tutti_agents::team::value_of(&output(entry).unwrap_or_default(), None).as_str().map(Into::into);
        }
    }

    fn take_payment(&mut self, at: usize, entry: &Entry) {
        let payment = match entry.kind {
            // Until its outcome is there it may have been made.
            Kind::StepStarted => Payment::Unknown { reason: "its outcome is not known yet".into() },
            Kind::StepCompleted => Payment::Paid,
            Kind::StepFailed => match serde_json::from_slice::<Failed>(&entry.body) {
                Ok(failed) if !failed.error.may_have_cost => Payment::Refused { reason: failed.error.message },
                Ok(failed) => Payment::Unknown { reason: failed.error.message },
                Err(_) => return,
            },
            _ => return,
        };
        if let Some(source) = self.sources.get_mut(at) {
            source.at = Some(entry.at);
            if payment == Payment::Paid {
                source.why_not = None;
            }
        }
        self.paid(at, payment);
        let data = output::<Paid>(entry).filter(|_| entry.kind == Kind::StepCompleted).and_then(|paid| paid.data);
        if let Some(data) = data {
            self.asked_again(at, Ok(Answer::Data(data)));
        }
    }

    /// A person says what came of a payment.
    pub fn settle(&mut self, settlement: &Settlement) {
        let unknown = |s: &&mut SourceFacts| matches!(s.payment, Some(Payment::Unknown { .. }));
        let mut sources = self.sources.iter_mut().filter(|s| s.source.id == settlement.source);
        let Some(source) = sources.find(unknown) else { return };
        source.settled_by = Some(settlement.by.clone());
        let word = if settlement.is_paid { "paid, its data was not given" } else { "not paid" };
        let note = settlement.note.as_ref().map_or(String::new(), |note| format!(": {note}"));
        let reason = format!("{word}, says {}{note}", settlement.by);
        source.why_not = Some(reason.clone());
        source.payment = Some(if settlement.is_paid { Payment::Paid } else { Payment::Refused { reason } });
    }
}

/// The place of a source in `name[7]/step`.
fn place(key: &str, name: &str, step: &str) -> Option<usize> {
    let (at, rest) = key.strip_prefix(name)?.strip_prefix('[')?.split_once(']')?;
    let is_it = if step.is_empty() { rest.is_empty() } else { rest.strip_prefix('/') == Some(step) };
    at.parse().ok().filter(|_| is_it)
}

fn output<T: serde::de::DeserializeOwned>(entry: &Entry) -> Option<T> {
    let done: Completed = serde_json::from_slice(&entry.body).ok()?;
    serde_json::from_str(done.output.get()).ok()
}

fn answer(entry: &Entry) -> Option<Result<Answer>> {
    match entry.kind {
        Kind::StepCompleted => output(entry).map(Ok),
        Kind::StepFailed => {
            let failed: Failed = serde_json::from_slice(&entry.body).ok()?;
            Some(Err(Error::workflow(&failed.error.class, failed.error.message)))
        }
        _ => None,
    }
}
