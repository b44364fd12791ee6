//! A ticket as it stands, read from the journals of its runs, oldest first.

use crate::Stamp;
use crate::runs::ErrorView;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tutti_agents::team::value_of;
use tutti_agents::ticket_agents::Stage;
use tutti_engine::driver::Entry;
use tutti_engine::event::Kind;
use tutti_engine::journal::body::{Blocked, Completed, Ended, Failed, Queued, Retrying};
use tutti_engine::run::{RunId, RunNo, Status, Time};
use tutti_workflows::tickets::{ESCALATED, Input, Output, RESOLVED, fallback};

/// A ticket.
#[derive(Debug, Serialize)]
pub struct TicketView {
    /// Its id.
    pub ticket_id: String,
    /// Its latest run.
    pub run_id: String,
    /// All its runs, oldest first.
    pub runs: Vec<String>,
    /// Whose it is, what it is about, and what else its customer sent.
    #[serde(flatten)]
    pub sent: Map<String, Value>,
    /// Where it stands.
    pub status: &'static str,
    /// Which desk.
    pub category: Option<String>,
    /// How urgent: the caller's word, else the router's.
    pub priority: String,
    /// The router's answer.
    pub routing: Option<Value>,
    /// The sentiment agent's answer.
    pub sentiment: Option<Value>,
    /// The knowledge agent's answer.
    pub articles: Option<Value>,
    /// The decision agent's answer, or the person's.
    pub decision: Option<Value>,
    /// Each status it had.
    pub history: Vec<Moment>,
    /// What went wrong on the way.
    pub errors: Vec<ErrorView>,
    /// When it came.
    pub created_at: Stamp,
    /// When it last changed.
    pub updated_at: Stamp,
}

/// A status that a ticket had.
#[derive(Debug, Clone, Serialize)]
pub struct Moment {
    /// Which.
    pub status: &'static str,
    /// Since when.
    pub at: Stamp,
    /// Who was at work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<&'static str>,
    /// For how long, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<i64>,
    /// How often the agent was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Whether the contract's fallback stands in the place of its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<bool>,
}

impl Moment {
    fn new(status: &'static str, at: Time) -> Self {
        Self { status, at: Stamp(at), agent: None, took_ms: None, attempts: None, fallback: None }
    }
}

/// What stands in a run's first entry.
pub(super) fn input_of(entry: &Entry) -> Option<Input> {
    let queued: Queued = serde_json::from_slice(&entry.body).ok()?;
    serde_json::from_str(queued.input.get()).ok()
}

/// One of a ticket's runs.
pub(super) struct Life {
    pub no: RunNo,
    pub id: RunId,
    pub status: Status,
}

/// The fold over a ticket's journals.
#[derive(Debug, Default)]
pub(super) struct Tale {
    pub ticket: Option<Box<RawValue>>,
    ticket_id: String,
    runs: Vec<String>,
    created_at: Option<Time>,
    updated_at: Option<Time>,
    answers: BTreeMap<Stage, Value>,
    history: Vec<Moment>,
    errors: Vec<ErrorView>,
    input: Option<Input>,
    ended: Option<Ended>,
    blocked: Option<Blocked>,
    status: Option<&'static str>,
}

impl Tale {
    /// The next run begins. What agents said before counts no more once they are asked again.
    pub fn begin(&mut self, row: &Life) {
        self.runs.push(row.id.to_string());
        self.created_at.get_or_insert(row.id.born());
        (self.ended, self.blocked) = (None, None);
    }

    pub fn take(&mut self, entry: &Entry) {
        self.updated_at = Some(entry.at);
        match entry.kind {
            Kind::RunQueued => self.asked(entry),
            Kind::AgentStarted | Kind::AgentMessage | Kind::AgentFailed | Kind::StepRetrying => {
                if let Some(stage) = stage_of(&entry.key) {
                    self.stage(stage, entry);
                }
            }
            Kind::RunCompleted | Kind::RunFailed | Kind::RunCancelled | Kind::RunTimedOut => {
                self.ended = Some(serde_json::from_slice(&entry.body).unwrap_or_default());
            }
            Kind::RunBlocked => self.blocked = serde_json::from_slice(&entry.body).ok(),
            _ => {}
        }
    }

    fn asked(&mut self, entry: &Entry) {
        self.input = input_of(entry);
        let Some(input) = &self.input else { return };
        self.ticket_id.clone_from(&input.ticket_id);
        if self.ticket.is_none() {
            self.ticket = Some(input.ticket.clone());
            self.history.push(Moment::new("NEW", entry.at));
        }
        if input.resolution.is_none() {
            self.answers.clear();
            self.status = Some("NEW");
        }
    }

    fn stage(&mut self, stage: Stage, entry: &Entry) {
        match entry.kind {
            Kind::AgentStarted if self.status == Some(stage.status()) => {}
            Kind::AgentStarted => {
                self.status = Some(stage.status());
                let agent = Some(stage.as_str());
                self.history.push(Moment { agent, attempts: Some(1), ..Moment::new(stage.status(), entry.at) });
            }
            Kind::AgentMessage => {
                let done: Option<Completed> = serde_json::from_slice(&entry.body).ok();
                let Some(done) = done else { return };
                self.settle(stage, entry.at, done.attempt);
                let answer: Value = serde_json::from_str(done.output.get()).unwrap_or_default();
                self.answers.insert(stage, answer_of(stage, answer));
            }
            Kind::AgentFailed => {
                let failed: Option<Failed> = serde_json::from_slice(&entry.body).ok();
                let Some(failed) = failed else { return };
                self.settle(stage, entry.at, failed.attempts);
                self.fall_back(stage, failed.error.class, failed.error.message);
            }
            _ => {
                let retrying: Option<Retrying> = serde_json::from_slice(&entry.body).ok();
                let last = self.history.last_mut();
                if let (Some(retrying), Some(moment)) = (retrying, last) {
                    moment.attempts = Some(retrying.attempt);
                }
            }
        }
    }

    fn settle(&mut self, stage: Stage, at: Time, attempts: u32) {
        let mut moments = self.history.iter_mut().rev();
        if let Some(moment) = moments.find(|m| m.status == stage.status()) {
            moment.took_ms = Some(at.0 - moment.at.0.0);
            moment.attempts = Some(attempts);
            moment.fallback = Some(false);
        }
    }

    fn fall_back(&mut self, stage: Stage, class: String, message: String) {
        let mut moments = self.history.iter_mut().rev();
        if let Some(moment) = moments.find(|m| m.status == stage.status()).filter(|m| m.fallback != Some(true)) {
            moment.fallback = Some(true);
            let (step, agent) = (Some(stage.as_str().into()), Some(stage.as_str().into()));
            self.errors.push(ErrorView { class, message, step, agent });
        }
        self.answers.insert(stage, fallback(stage));
    }

    /// A run was read to its last entry.
    pub fn end(&mut self, row: &Life) {
        let at = self.updated_at.unwrap_or(Time(0));
        let resolution = self.input.as_ref().and_then(|input| input.resolution.clone());
        // The row may have been read a moment before the journal's last entry was written.
        let ended = self.ended.take();
        let output = ended.as_ref().and_then(|e| serde_json::from_str::<Output>(e.output.as_ref()?.get()).ok());
        if let Some(output) = output {
            for (stage, why) in output.fallbacks {
                self.fall_back(stage, "AgentError".into(), why);
            }
            let status = if output.status == RESOLVED { RESOLVED } else { ESCALATED };
            if let Some(by) = resolution {
                let decision = json!({"action": "resolve", "response": by.response, "confidence": 1,
                    "reason": by.note.unwrap_or_else(|| format!("resolved by {}", by.by)), "by": by.by});
                self.answers.insert(Stage::Decision, decision);
            }
            self.status = Some(status);
            self.history.push(Moment::new(status, at));
            return;
        }
        let blocked = self.blocked.take();
        if ended.is_none() && blocked.is_none() {
            return;
        }
        let word = if blocked.is_some() { Status::Blocked } else { row.status };
        let why = blocked.map(|b| format!("{}: {}", b.reason, b.message));
        let error = ended.and_then(|e| e.error).map(|e| e.message).or(why);
        let message = format!("run {} was {}", row.id, word.as_str().replace('_', " "))
            + &error.map_or_else(String::new, |why| format!(": {why}"));
        self.errors.push(ErrorView { class: "WorkflowError".into(), message, step: None, agent: None });
        self.status = Some(ESCALATED);
        self.history.push(Moment::new(ESCALATED, at));
    }

    pub fn status(&self) -> &'static str {
        self.status.unwrap_or("NEW")
    }

    fn sent(&self) -> Value {
        self.ticket.as_ref().and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    pub fn customer(&self) -> Option<String> {
        self.sent()["customer_id"].as_str().map(ToOwned::to_owned)
    }

    pub fn view(self) -> TicketView {
        let sent = self.sent();
        let status = self.status();
        let answer = |stage: Stage| self.answers.get(&stage).cloned();
        let routing = answer(Stage::Router);
        let routed = |name: &str| routing.as_ref().and_then(|r| r[name].as_str()).map(ToOwned::to_owned);
        let priority = sent["priority"].as_str().map(ToOwned::to_owned).or_else(|| routed("priority"));
        TicketView {
            ticket_id: self.ticket_id,
            run_id: self.runs.last().cloned().unwrap_or_default(),
            runs: self.runs,
            category: routed("category"),
            priority: priority.unwrap_or_else(|| "normal".into()),
            sentiment: answer(Stage::Sentiment),
            articles: answer(Stage::Knowledge).map(|mut found| found["articles"].take()),
            decision: answer(Stage::Decision),
            routing,
            sent: sent_map(sent),
            status,
            history: self.history,
            errors: self.errors,
            created_at: Stamp(self.created_at.unwrap_or(Time(0))),
            updated_at: Stamp(self.updated_at.unwrap_or(Time(0))),
        }
    }
}

/// What the customer sent, but for the priority, which has a field of its own.
fn sent_map(sent: Value) -> Map<String, Value> {
    let Value::Object(mut sent) = sent else { return Map::new() };
    sent.remove("priority");
    sent
}

/// `router`, `router[1]/ask`, …
fn stage_of(key: &str) -> Option<Stage> {
    let name = key.split(['[', '/', '#']).next().unwrap_or_default();
    Stage::ALL.into_iter().find(|stage| stage.as_str() == name)
}

/// What an agent answered: a service's answer as it is, a model's out of its reply, and what the knowledge base found.
fn answer_of(stage: Stage, output: Value) -> Value {
    let answer = match output {
        Value::Array(found) => json!({ "articles": found }),
        reply if reply.get("finish").is_some() => value_of(&reply, None),
        answer => answer,
    };
    stage.read(&answer).unwrap_or_else(|_| fallback(stage))
}
