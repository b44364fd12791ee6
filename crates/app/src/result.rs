//! What a run amounts to, read from its journal: input, output, steps, usage, times. One fold, for every surface.

use crate::runs::{ErrorView, Run};
use crate::{App, Failure, Stamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tutti_agents::team::Source;
use tutti_engine::driver::Entry;
use tutti_engine::event::Kind;
use tutti_engine::journal::body::{
    ApprovalRequested, Blocked, ChildCompleted, ChildStarted, Completed, Decision, Ended, Failed, Queued, RunError,
    Started, Waiting,
};
use tutti_engine::run::{RunNo, Status, Time};
use tutti_workflows::outcome::Outcome;
use tutti_workflows::recall::answer;

/// Rows read at once.
const ROWS: u32 = 256;

/// What a run, or one of its steps, used.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Usage {
    /// All tokens.
    pub tokens: u64,
    /// Tokens read by models.
    pub input_tokens: u64,
    /// Tokens written by models.
    pub output_tokens: u64,
    /// Money in millionths of a US dollar, where every call's price is known.
    pub cost: Option<u64>,
    /// An earlier answer to the same question was given again; for a run, all of its answers were.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
}

/// One agent's turn.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// The agent's name.
    pub agent: String,
    /// What it was given.
    pub input: Value,
    /// Its answer; `null` when it failed or is still at work.
    pub output: Value,
    /// From being asked to having answered, repeats included, in milliseconds.
    pub took_ms: Option<i64>,
    /// What it used.
    pub usage: Usage,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorView>,
}

/// An orchestration's result.
#[derive(Debug, Serialize)]
pub struct Orchestration {
    /// The run.
    pub run_id: String,
    /// The conversation it belongs to.
    pub session_id: Option<String>,
    /// The pattern.
    pub pattern: String,
    /// How it ended.
    pub status: &'static str,
    /// The team's answer.
    pub output: Value,
    /// Each agent's turn, in the order they were asked.
    pub steps: Vec<Step>,
    /// The sum.
    pub usage: Usage,
    /// Rounds.
    pub iterations: u32,
    /// What ended it.
    pub stopped_by: Value,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorView>,
}

impl Orchestration {
    pub(crate) fn of(run: &Run, digest: Digest) -> Self {
        let Told { output, stopped_by, iterations, .. } = digest.told();
        let Digest { ended, blocked, steps, usage, status, .. } = digest;
        let ended = ended.unwrap_or_default();
        let stopped_by = stopped_by.unwrap_or_else(|| {
            let word = match status {
                Some(Status::Failed) => "error",
                Some(Status::TimedOut) => "timeout",
                Some(other) => other.as_str(),
                None => run.status,
            };
            json!(word)
        });
        Self {
            run_id: run.run_id.clone(),
            session_id: run.session_id.clone(),
            pattern: run.workflow.clone(),
            status: status.map_or(run.status, Status::as_str),
            output,
            iterations,
            stopped_by,
            error: ended.error.or(blocked).map(ErrorView::from),
            steps: steps.into_iter().map(|open| open.step).collect(),
            usage,
        }
    }
}

/// What a run's end tells, with answers in the place of references to them.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Told {
    pub output: Value,
    /// Only patterns say.
    pub stopped_by: Option<Value>,
    pub iterations: u32,
    /// The nodes that a graph's run entered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
}

/// What a model's answer looks like in the journal.
#[derive(Debug, Default, Deserialize)]
struct Reply {
    #[serde(default)]
    usage: ReplyUsage,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReplyUsage {
    input_tokens: u64,
    output_tokens: u64,
    cost: Option<u64>,
    cached: bool,
}

/// What stands about a question in its intent.
#[derive(Debug, Default, Deserialize)]
struct Given {
    #[serde(default)]
    input_from: Vec<Source>,
}

/// A turn while the journal is being read.
#[derive(Debug)]
pub(crate) struct Open {
    step: Step,
    began: Time,
}

/// The fold over a run's journal.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    pub queued: Option<Queued>,
    pub created_at: Option<Stamp>,
    pub started_at: Option<Stamp>,
    pub ended_at: Option<Stamp>,
    pub waiting_for: Option<Vec<String>>,
    pub ended: Option<Ended>,
    pub blocked: Option<RunError>,
    /// Where the journal leaves the run, once it says.
    pub status: Option<Status>,
    pub steps: Vec<Open>,
    pub usage: Usage,
    /// Whether every answer so far was given again.
    is_cached: Option<bool>,
    by_key: BTreeMap<String, usize>,
    /// What was answered, by step.
    answers: BTreeMap<String, Value>,
    /// What the team was asked.
    question: Value,
    unpriced: bool,
}

impl Digest {
    /// Takes the next entry. A body that does not fit (an erased one) leaves its part out.
    pub fn take(&mut self, entry: &Entry) {
        match entry.kind {
            Kind::RunQueued => {
                self.created_at = Some(Stamp(entry.at));
                self.queued = read(entry);
                let input = self.queued.as_ref().and_then(|q| serde_json::from_str::<Value>(q.input.get()).ok());
                self.question = input.and_then(|mut input| input.get_mut("input").map(Value::take)).unwrap_or_default();
            }
            Kind::RunStarted => {
                self.started_at.get_or_insert(Stamp(entry.at));
            }
            Kind::RunWaiting => self.waiting_for = read::<Waiting>(entry).map(|w| w.waiting_for),
            Kind::RunBlocked => {
                let blocked: Option<Blocked> = read(entry);
                let text = blocked.map_or_else(String::new, |b| format!("blocked ({}): {}", b.reason, b.message));
                self.blocked = Some(RunError::new("WorkflowError", text));
                self.status = Some(Status::Blocked);
            }
            Kind::RunCompleted => self.end(entry, Status::Completed),
            Kind::RunFailed => self.end(entry, Status::Failed),
            Kind::RunCancelled => self.end(entry, Status::Cancelled),
            Kind::RunTimedOut => self.end(entry, Status::TimedOut),
            Kind::EngineReopened => {
                (self.ended, self.ended_at, self.status, self.blocked) = (None, None, None, None);
            }
            Kind::AgentStarted => self.asked(entry),
            Kind::AgentMessage => self.answered(entry),
            Kind::AgentFailed => self.failed(entry),
            Kind::StepValue => drop(self.answers.insert(entry.key.clone(), read(entry).unwrap_or_default())),
            Kind::ChildStarted => self.child_began(entry),
            Kind::ChildCompleted => self.child_ended(entry),
            Kind::ApprovalRequested => self.person_asked(entry),
            Kind::ApprovalDecided => self.person_answered(entry),
            _ => {}
        }
    }

    /// The output, with answers in the place of references to them. Anything but a pattern's outcome is taken as it is.
    pub fn told(&self) -> Told {
        let Some(output) = self.ended.as_ref().and_then(|ended| ended.output.as_deref()) else {
            return Told::default();
        };
        match serde_json::from_str::<Outcome>(output.get()) {
            Ok(outcome) => Told {
                output: outcome.resolve(|step| self.answers.get(step).cloned()),
                stopped_by: Some(json!(outcome.stopped_by)),
                iterations: outcome.iterations,
                path: outcome.path,
            },
            Err(_) => Told { output: serde_json::from_str(output.get()).unwrap_or_default(), ..Told::default() },
        }
    }

    /// The run's output for those who ask for the run: a pattern's as an object.
    pub fn output(&self) -> Option<Value> {
        self.ended.as_ref()?.output.as_ref()?;
        let told = self.told();
        Some(if told.stopped_by.is_some() { json!(told) } else { told.output })
    }

    /// What an agent was given: the question, or what was said before.
    fn given(&self, about: Option<&RawValue>) -> Value {
        let given: Given = about.and_then(|about| serde_json::from_str(about.get()).ok()).unwrap_or_default();
        let find = |source: &Source| match source {
            Source::Input => self.question.clone(),
            Source::Step(key) => self.answers.get(key).cloned().unwrap_or_default(),
            Source::History => Value::Null,
        };
        match given.input_from.as_slice() {
            [one] => find(one),
            many => many.iter().map(find).collect(),
        }
    }

    /// Settles what only the whole journal tells.
    pub fn finish(mut self) -> Self {
        self.usage.cost = (!self.unpriced).then_some(self.usage.cost.unwrap_or(0));
        self.usage.cached = self.is_cached.unwrap_or_default();
        self
    }

    fn end(&mut self, entry: &Entry, status: Status) {
        self.ended = Some(read(entry).unwrap_or_default());
        self.ended_at = Some(Stamp(entry.at));
        self.status = Some(status);
        self.waiting_for = None;
    }

    fn asked(&mut self, entry: &Entry) {
        let Some(started) = read::<Started>(entry) else { return };
        let input = self.given(started.about.as_deref());
        self.begin(entry, started.agent.unwrap_or_default(), input);
    }

    fn answered(&mut self, entry: &Entry) {
        let Some(answer) = answer(entry) else { return };
        let reply = read::<Completed>(entry).and_then(|done| serde_json::from_str::<Reply>(done.output.get()).ok());
        let usage = reply.as_ref().map(|r| &r.usage);
        let usage = Usage {
            tokens: usage.map_or(0, |u| u.input_tokens.saturating_add(u.output_tokens)),
            input_tokens: usage.map_or(0, |u| u.input_tokens),
            output_tokens: usage.map_or(0, |u| u.output_tokens),
            cost: usage.and_then(|u| u.cost),
            cached: usage.is_some_and(|u| u.cached),
        };
        self.is_cached = Some(self.is_cached.unwrap_or(true) && usage.cached);
        self.usage.tokens = self.usage.tokens.saturating_add(usage.tokens);
        self.usage.input_tokens = self.usage.input_tokens.saturating_add(usage.input_tokens);
        self.usage.output_tokens = self.usage.output_tokens.saturating_add(usage.output_tokens);
        match usage.cost {
            Some(cost) => self.usage.cost = Some(self.usage.cost.unwrap_or(0).saturating_add(cost)),
            None => self.unpriced = true,
        }
        self.answers.insert(entry.key.clone(), answer.clone());
        let Some(open) = self.open(&entry.key) else { return };
        open.step.output = answer;
        open.step.usage = usage;
        open.step.took_ms = Some(entry.at.0 - open.began.0);
    }

    fn failed(&mut self, entry: &Entry) {
        let Some(failed) = read::<Failed>(entry) else { return };
        let Some(open) = self.open(&entry.key) else { return };
        open.step.error = Some(ErrorView {
            class: failed.error.class,
            message: failed.error.message,
            step: Some(entry.key.clone()),
            agent: Some(open.step.agent.clone()),
        });
        open.step.took_ms = Some(entry.at.0 - open.began.0);
    }

    /// A team as a member: its turn is a child run.
    fn child_began(&mut self, entry: &Entry) {
        let Some(ChildStarted { agent: Some(agent), .. }) = read(entry) else { return };
        self.begin(entry, agent, Value::Null);
    }

    fn child_ended(&mut self, entry: &Entry) {
        let Some(ended) = read::<ChildCompleted>(entry) else { return };
        let output = ended.output.and_then(|o| serde_json::from_str::<Value>(o.get()).ok()).unwrap_or_default();
        let answer = output.pointer("/output/value").cloned().unwrap_or(output);
        self.answers.insert(entry.key.clone(), answer.clone());
        // A child's calls stand in its own journal; a total is the sum over the tree.
        let spent = ended.spent.unwrap_or_default();
        self.usage.tokens = self.usage.tokens.saturating_add(spent.tokens);
        self.unpriced |= spent.tokens > 0 && spent.cost == 0;
        if spent.tokens > 0 {
            self.is_cached = Some(false);
        }
        self.usage.cost = Some(self.usage.cost.unwrap_or(0).saturating_add(spent.cost));
        let Some(open) = self.open(&entry.key) else { return };
        open.step.output = answer;
        open.step.usage.tokens = spent.tokens;
        open.step.usage.cost = (spent.cost > 0).then_some(spent.cost);
        open.step.error = ended.error.map(ErrorView::from);
        open.step.took_ms = Some(entry.at.0 - open.began.0);
    }

    /// A person as a member.
    fn person_asked(&mut self, entry: &Entry) {
        let Some(asked) = read::<ApprovalRequested>(entry) else { return };
        let request: Value = serde_json::from_str(asked.request.get()).unwrap_or_default();
        if request["wants"] == "answer" {
            let agent = request["agent"].as_str().unwrap_or_default().to_owned();
            self.begin(entry, agent, request["said"].clone());
        }
    }

    fn person_answered(&mut self, entry: &Entry) {
        let Some(decision) = read::<Decision>(entry) else { return };
        let Some(open) = self.open(&entry.key) else { return };
        let given = decision.input.and_then(|input| serde_json::from_str(input.get()).ok());
        open.step.output = given.or(decision.note.map(Value::String)).unwrap_or_default();
        open.step.took_ms = Some(entry.at.0 - open.began.0);
    }

    fn begin(&mut self, entry: &Entry, agent: String, input: Value) {
        let step = Step { agent, input, output: Value::Null, took_ms: None, usage: Usage::default(), error: None };
        self.by_key.insert(entry.key.clone(), self.steps.len());
        self.steps.push(Open { step, began: entry.at });
    }

    fn open(&mut self, key: &str) -> Option<&mut Open> {
        let at = *self.by_key.get(key)?;
        self.steps.get_mut(at)
    }
}

fn read<'e, T: Deserialize<'e>>(entry: &'e Entry) -> Option<T> {
    serde_json::from_slice(&entry.body).ok()
}

impl App {
    /// Reads a run's whole journal, page by page.
    pub(crate) async fn each_entry(&self, run: RunNo, mut take: impl FnMut(Entry)) -> Result<(), Failure> {
        let mut after = 0;
        loop {
            let entries = self.engine().entries(run, after, ROWS).await?;
            let Some(last) = entries.last() else { return Ok(()) };
            after = last.seq;
            // A row holds at least one entry, so fewer entries than rows were asked for are the last.
            let is_end = entries.len() < ROWS as usize;
            entries.into_iter().for_each(&mut take);
            if is_end {
                return Ok(());
            }
        }
    }

    /// The entries of a run that was just started and has ended: at hand, or read.
    pub(crate) async fn each_entry_of(&self, started: &crate::Started, take: impl FnMut(Entry)) -> Result<(), Failure> {
        if started.journal.is_empty() {
            return self.each_entry(started.no, take).await;
        }
        self.engine().read(started.no, &started.journal).await?.into_iter().for_each(take);
        Ok(())
    }

    pub(crate) async fn digest_of(&self, started: &crate::Started) -> Result<Digest, Failure> {
        let mut digest = Digest::default();
        self.each_entry_of(started, |entry| digest.take(&entry)).await?;
        Ok(digest.finish())
    }

    pub(crate) async fn digest(&self, run: RunNo) -> Result<Digest, Failure> {
        let mut digest = Digest::default();
        self.each_entry(run, |entry| digest.take(&entry)).await?;
        Ok(digest.finish())
    }
}

#[cfg(test)]
mod tests;
