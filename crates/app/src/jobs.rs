//! `jobs`: work that comes to whoever fetches it. A worker claims a job, and sends what came of it; both are signals to the job's
//! run, of which the store takes each once, so it does not matter which process is asked.

mod broker;

use crate::caller::Caller;
use crate::failure::Failure;
use crate::registry::{read_name, unknown};
use crate::{App, Class, Stamp};
use serde::Serialize;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use std::time::Duration;
use tutti_agents::form::{Errors, Form};
use tutti_agents::http_agent::{HandTo, Line};
use tutti_agents::job::{self, CLAIM, Claim, Job, JobError, JobResult, LABEL, OPEN, RESULT};
use tutti_agents::model::Usage;
use tutti_agents::registry::Protocol;
use tutti_engine::driver::{Entry, Message, Sent};
use tutti_engine::event::Kind;
use tutti_engine::journal::body::{Inbox, Queued, Signal};
use tutti_engine::ports::store::{Label, ListRuns, RunRow};
use tutti_engine::run::{RunId, Time};

/// Jobs that are opened by another process are found after so long.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const TEXT_CHARS_MAX: usize = 10_000;
const PRIORITY_MS: i64 = 10_000;
const ROWS: u32 = 500;

/// Who asks for work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    agent_id: String,
    instance_id: String,
}

/// A job, given to a worker.
#[derive(Debug, Serialize)]
pub struct JobView {
    /// Its id, which is its run's.
    pub job_id: String,
    /// Which time it was open: the result has to name it.
    pub claim: u32,
    /// The agent.
    pub agent_id: String,
    /// The worker, where it is given to one and not offered to all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// The run that asks; for a task, the task.
    pub run_id: String,
    /// The conversation.
    pub session_id: Option<String>,
    /// What is asked.
    pub input: Value,
    /// What was said before, oldest first; the last is the question as text.
    pub messages: Vec<Line>,
    /// What else the asker gives.
    pub context: Value,
    /// 9 first.
    pub priority: u8,
    /// When nobody will want the result any more.
    pub deadline: Option<Stamp>,
    /// After so many seconds without a heartbeat or the result, another worker gets the job.
    pub lease_seconds: f64,
}

/// What a job's journal says.
#[derive(Default)]
struct State {
    job: Option<Job>,
    deadline: Option<Time>,
    opened: u32,
    claim: Option<Claim>,
    result: Option<u32>,
}

impl State {
    fn take(&mut self, entry: &Entry) {
        match entry.kind {
            Kind::RunQueued => {
                let Ok(queued) = serde_json::from_slice::<Queued>(&entry.body) else { return };
                self.deadline = queued.deadline;
                self.job = serde_json::from_str(queued.input.get()).ok();
            }
            Kind::StepStarted if entry.key.split('#').next() == Some(OPEN) => self.opened += 1,
            Kind::SignalReceived => {
                if let Ok(signal) = serde_json::from_slice::<Signal>(&entry.body) {
                    self.hear(&signal);
                }
            }
            _ => {}
        }
    }

    fn hear(&mut self, signal: &Signal) {
        let payload = signal.payload.get();
        match signal.name.as_str() {
            CLAIM => self.claim = serde_json::from_str(payload).ok().or(self.claim.take()),
            RESULT => {
                let result: Option<JobResult> = serde_json::from_str(payload).ok();
                self.result = result.map(|result| result.claim).or(self.result);
            }
            _ => {}
        }
    }

    /// The claim that would be taken now.
    fn next(&self) -> Option<u32> {
        let claimed = self.claim.as_ref().map_or(0, |claim| claim.claim);
        (self.opened > claimed).then_some(self.opened)
    }

    /// The job's document, and the claim that would be taken now; nothing where it is not open.
    fn view(self, row: &RunRow, instance_id: Option<&str>, lease: Duration) -> Option<JobView> {
        let (claim, job) = (self.next()?, self.job?);
        Some(JobView {
            job_id: row.id.to_string(),
            claim,
            agent_id: job.agent_id,
            instance_id: instance_id.map(Into::into),
            run_id: job.run_id,
            session_id: row.session.clone(),
            input: job.input,
            messages: job.messages,
            context: job.context.unwrap_or_else(|| json!({})),
            priority: row.priority,
            deadline: self.deadline.map(Stamp),
            lease_seconds: lease.as_secs_f64(),
        })
    }
}

impl App {
    /// Reads `{agent_id, instance_id?}`; a worker without a name is given one.
    ///
    /// # Errors
    /// Every wrong field at once.
    pub fn read_worker(&self, body: &Value) -> Result<Worker, Failure> {
        let errors = Errors::default();
        let worker = Form::body(body, &errors).and_then(|form| {
            let agent_id = read_name(&form.field("agent_id").required());
            let instance = form.field("instance_id");
            let own = || Some(format!("worker-{}", uuid::Uuid::now_v7().simple()));
            let instance_id = if instance.is_present() { read_name(&instance) } else { own() };
            Some(Worker { agent_id: agent_id?, instance_id: instance_id? })
        });
        errors.or(worker).map_err(Failure::invalid)
    }

    /// Gives a worker the job that comes first, if there is one. That it asks is a sign of life.
    ///
    /// # Errors
    /// `NotFound` for an agent that is not there and has nothing left to do; `Conflict` for one that is asked otherwise.
    pub async fn claim_job(&self, caller: &Caller, worker: &Worker) -> Result<Option<JobView>, Failure> {
        let Worker { agent_id, instance_id } = worker;
        let agent = self.kept_agent(caller, agent_id).await?.map(|kept| kept.value);
        if agent.as_ref().is_some_and(|agent| agent.protocol() != Protocol::Queue) {
            return Err(Failure::conflict(format!(
                "agent {agent_id} is not of protocol \"queue\"; it has no jobs to fetch"
            )));
        }
        let rows = self.open_jobs(caller, agent_id).await?;
        let Some(agent) = agent else {
            // What was accepted before it was taken out is done.
            return if rows.is_empty() { Err(unknown(agent_id)) } else { self.take_one(rows, worker).await };
        };
        self.hear(&caller.tenant, agent_id, instance_id, None).await?;
        let places = self.instances_of(caller, &agent).await?;
        let is_stopped = places.iter().any(|place| place.instance_id == *instance_id && place.status == "stopped");
        if is_stopped { Ok(None) } else { self.take_one(rows, worker).await }
    }

    /// Resolves when there may be another job, and at the latest after `wait`.
    pub async fn jobs_opened(&self, wait: Duration, seen: &mut Seen) {
        let _ = tokio::time::timeout(wait.min(LOOK_AGAIN), seen.0.changed()).await;
        seen.0.borrow_and_update();
    }

    /// Open jobs of an agent, who comes first first.
    async fn open_jobs(&self, caller: &Caller, agent_id: &str) -> Result<Vec<RunRow>, Failure> {
        let labels = vec![Label::new(LABEL, agent_id)];
        let tenant = Some(caller.tenant.to_string());
        let mut rows = self.all_rows(ListRuns { tenant, labels, limit: ROWS, ..ListRuns::default() }).await?;
        rows.retain(|row| row.status.is_open());
        rows.sort_by_key(|row| (row.id.born().0 - i64::from(row.priority) * PRIORITY_MS, row.run));
        Ok(rows)
    }

    async fn take_one(&self, rows: Vec<RunRow>, worker: &Worker) -> Result<Option<JobView>, Failure> {
        for row in rows {
            let (state, lease) = (self.job_state(&row).await?, self.orchestrator().silence);
            let Some(job) = state.view(&row, Some(&worker.instance_id), lease) else { continue };
            let claim = Claim { claim: job.claim, instance_id: worker.instance_id.clone() };
            // The store takes a claim of this number once: whoever hears that it was taken has the job.
            if self.signal_job(&row, CLAIM, job.claim, &claim).await? == Sent::Taken {
                return Ok(Some(job));
            }
        }
        Ok(None)
    }

    /// Takes `{claim, output | error, usage?, handoff?}`; the same result again changes nothing (the second value says so).
    ///
    /// # Errors
    /// `NotFound`, wrong fields, or `Conflict` where another worker has the job by now, or nobody wants it any more.
    pub async fn job_result(&self, caller: &Caller, id: &str, body: &Value) -> Result<(Value, bool), Failure> {
        let errors = Errors::default();
        let read = Form::body(body, &errors).and_then(|form| read_result(&form));
        let result = errors.or(read).map_err(Failure::invalid)?;
        let row = self.job_row(caller, id).await?;
        let state = self.job_state(&row).await?;
        let conflict = |why: &str| {
            let mut failure = Failure::conflict(why);
            failure.ids.push(("job_id", row.id.to_string()));
            failure
        };
        let Some(claim) = state.claim else { return Err(conflict("nobody has claimed this job")) };
        let result = JobResult { claim: if result.claim == 0 { claim.claim } else { result.claim }, ..result };
        let done = |is_repeated| {
            Ok((json!({"job_id": row.id.to_string(), "claim": result.claim, "status": "accepted"}), is_repeated))
        };
        let is_given_away = result.claim != claim.claim || state.opened > claim.claim;
        if state.result == Some(result.claim) && result.claim == claim.claim {
            return done(true);
        }
        if is_given_away {
            return Err(conflict("this worker was silent for too long; the job was given away"));
        }
        match self.signal_job(&row, RESULT, result.claim, &result).await? {
            Sent::Taken => done(false),
            Sent::Duplicate => done(true),
            Sent::Ended => Err(conflict("the job has ended; it was cancelled, or its time was up")),
        }
    }

    async fn signal_job(
        &self,
        row: &RunRow,
        name: &str,
        number: u32,
        payload: &impl Serialize,
    ) -> Result<Sent, Failure> {
        let payload = to_raw_value(payload).map_err(|e| Failure::internal(e.to_string()))?;
        let signal = Signal { name: name.into(), payload };
        Ok(self.engine().send(row.run, Message::Signal { dedup: Some(number.to_string()), signal }).await?)
    }

    async fn job_state(&self, row: &RunRow) -> Result<State, Failure> {
        // Read before the journal: what leaves the inbox meanwhile is found there.
        let inbox = self.engine().store().inbox(row.run).await?;
        let mut state = State::default();
        self.each_entry(row.run, |entry| state.take(&entry)).await?;
        for item in inbox.iter().filter(|item| item.kind == Inbox::Signal as u8) {
            if let Ok(signal) = serde_json::from_slice::<Signal>(&item.body) {
                state.hear(&signal);
            }
        }
        Ok(state)
    }

    /// The row of a job. A worker does what its tenant's people ask for, whoever of them asks.
    async fn job_row(&self, caller: &Caller, id: &str) -> Result<RunRow, Failure> {
        let unknown = || Failure::new(Class::NotFound, "there is no such job");
        let id = RunId(id.parse().map_err(|_| unknown())?);
        let row = self.engine().store().run_by_id(id).await?;
        row.filter(|row| row.workflow == job::WORKFLOW && row.owner.tenant == caller.tenant).ok_or_else(unknown)
    }
}

/// What a worker that waits has seen.
pub struct Seen(tokio::sync::watch::Receiver<u64>);

impl Default for Seen {
    /// Everything up to now.
    fn default() -> Self {
        Self(job::opened())
    }
}

fn read_result(form: &Form<'_>) -> Option<JobResult> {
    let claim = form.field("claim").integer(1, i64::from(u32::MAX)).and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    let error = form.field("error");
    let error = match error.value() {
        Some(Value::String(_)) => {
            error.text(TEXT_CHARS_MAX).map(|message| JobError { message: message.into(), retry: false })
        }
        _ => error.form().and_then(|form| {
            let message = form.field("message").required().text(TEXT_CHARS_MAX).map(String::from);
            let retry = form.field("retry").boolean().unwrap_or_default();
            form.no_others();
            Some(JobError { message: message?, retry })
        }),
    };
    let handoff = form.field("handoff").form().and_then(|form| {
        let to = read_name(&form.field("to").required());
        let reason = form.field("reason").text(TEXT_CHARS_MAX).unwrap_or_default().to_owned();
        form.no_others();
        Some(HandTo { to: to?, reason })
    });
    let usage = form.field("usage").form().map(|form| {
        let count = |name: &'static str| form.field(name).integer(0, i64::MAX).and_then(|n| u64::try_from(n).ok());
        let (input_tokens, output_tokens) = (count("input_tokens").unwrap_or(0), count("output_tokens").unwrap_or(0));
        let usage = Usage { input_tokens, output_tokens, cost: count("cost"), ..Usage::default() };
        form.no_others();
        usage
    });
    let output = form.field("output");
    if !form.field("error").is_present() && handoff.is_none() {
        output.require();
    }
    if output.is_present() && form.field("error").is_present() {
        output.fail("a job has an output or an error, not both");
    }
    Some(JobResult { claim, output: output.value().cloned().unwrap_or_default(), error, usage, handoff })
}
