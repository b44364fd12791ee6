//! Work for agents that come and get it: a job is a run that waits for a worker to claim it, and then for the result. Both are
//! signals, so of two workers that claim at the same time the store lets one be first, and no process has to know which jobs
//! are open: their label says so.

use crate::http_agent::{HandTo, Line};
use crate::model::Usage;
use crate::registry;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::LazyLock;
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tutti_engine::activity::{Activity, ActivityCx, ActivityError, Retry};
use tutti_engine::event::Kind;
use tutti_engine::run::RunId;
use tutti_engine::{Ctx, Error, Result};

/// The workflow's name.
pub const WORKFLOW: &str = "agent_job";
/// The label of an open job: the agent whose workers may claim it.
pub const LABEL: &str = "job";
/// The signal of a worker that takes it.
pub const CLAIM: &str = "claim";
/// The signal with what came of it.
pub const RESULT: &str = "result";
/// The step under which a job is opened, once for each attempt.
pub const OPEN: &str = "open";

/// What a worker is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Whose workers may take it.
    pub agent_id: String,
    /// The tenant that registered the agent.
    pub tenant: String,
    /// The run that asks.
    pub run_id: String,
    /// What is asked.
    pub input: Value,
    /// What was said before, oldest first; the last is the question as text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Line>,
    /// What else the asker gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Value>,
}

/// A worker takes a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Which time the job was open, from 1: what a result has to name.
    pub claim: u32,
    /// The worker.
    pub instance_id: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobResult {
    /// Whose result it is.
    pub claim: u32,
    /// The answer.
    #[serde(default)]
    pub output: Value,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<JobError>,
    /// What it used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The wish that somebody else goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff: Option<HandTo>,
}

/// Why a worker gives no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError {
    /// In words.
    pub message: String,
    /// Whether another worker, or the same one later, may do better.
    #[serde(default)]
    pub retry: bool,
}

/// A job that is done. Its answer stands where a team's does, so that whoever asked finds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The answer.
    pub output: Answer,
    /// How often the job was open.
    pub attempts: u32,
    /// Who did it.
    pub instance_id: String,
    /// What it used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The wish that somebody else goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff: Option<HandTo>,
}

/// See [`Done::output`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Any JSON.
    pub value: Value,
}

/// Told whenever a job is opened in this process; others find it when they look.
static OPENED: LazyLock<watch::Sender<u64>> = LazyLock::new(|| watch::channel(0).0);

/// Jobs that are opened in this process and not yet heard of by everybody: one who falls behind by more looks into the store.
const HEARD_MAX: usize = 4_096;

/// Which jobs are opened in this process.
static OPEN_IDS: LazyLock<broadcast::Sender<RunId>> = LazyLock::new(|| broadcast::channel(HEARD_MAX).0);

/// Hears which jobs are opened from now on.
#[must_use]
pub fn opened_ids() -> broadcast::Receiver<RunId> {
    OPEN_IDS.subscribe()
}

/// Hears of jobs that are opened from now on.
#[must_use]
pub fn opened() -> watch::Receiver<u64> {
    OPENED.subscribe()
}

/// Offers a job until a worker has done it: as often as `retry` says, each time to one worker, who keeps it as long as it gives a
/// sign of life within `silence`.
///
/// # Errors
/// The worker said that it cannot be done, or no worker did it.
pub async fn offer(ctx: &Ctx, job: &Job, retry: Retry, silence: Duration) -> Result<Done> {
    let (tries, mut last) = (retry.tries_max.max(1), None);
    for attempt in 1..=tries {
        ctx.label_while_open(LABEL, job.agent_id.clone());
        // The label is written with this step's intent, so it is found once the step has been taken.
        ctx.call(OPEN, Open { agent_id: job.agent_id.clone() }).retry(retry).await?;
        let Some(claim) = ctx.wait_for::<Claim>(CLAIM, None).await? else { continue };
        ctx.label(LABEL, "");
        let failed = |message: String| Error::workflow("AgentError", message);
        let Some(result) = result(ctx, job, &claim, retry, silence).await? else {
            let why = format!("worker {} of agent {} fell silent", claim.instance_id, job.agent_id);
            ctx.emit(Kind::Log, &json!({ "message": why }));
            last = Some(why);
            continue;
        };
        let JobResult { output, error, usage, handoff, .. } = result;
        match error {
            None => {
                let (output, instance_id) = (Answer { value: output }, claim.instance_id);
                return Ok(Done { output, attempts: attempt, instance_id, usage, handoff });
            }
            Some(JobError { message, retry: true }) => {
                ctx.emit(Kind::Log, &json!({"message": format!("worker {}: {message}", claim.instance_id)}));
                last = Some(message);
            }
            Some(JobError { message, retry: false }) => return Err(failed(message)),
        }
    }
    let last = last.map_or_else(String::new, |why| format!("; the last time {why}"));
    Err(Error::workflow("AgentError", format!("agent {} gave no result in {tries} attempts{last}", job.agent_id)))
}

/// The result of this claim; nothing where its worker fell silent. Results of earlier claims come too late.
async fn result(ctx: &Ctx, job: &Job, claim: &Claim, retry: Retry, silence: Duration) -> Result<Option<JobResult>> {
    loop {
        match ctx.wait_for::<JobResult>(RESULT, Some(silence)).await? {
            Some(result) if result.claim == claim.claim => return Ok(Some(result)),
            Some(_) => {}
            None => {
                let instance = claim.instance_id.clone();
                let seen =
                    IsAlive { tenant: job.tenant.clone(), agent_id: job.agent_id.clone(), instance_id: instance };
                if !ctx.call("alive", seen).retry(retry).await? {
                    return Ok(None);
                }
            }
        }
    }
}

/// Tells workers that wait in this process that there is work.
#[derive(Debug, Serialize, Deserialize)]
struct Open {
    agent_id: String,
}

impl Activity for Open {
    type Output = ();
    // Not pure: it must not leave before the label is durable, or nobody would find the job.
    const NAME: &'static str = "job.open";

    async fn run(self, cx: ActivityCx) -> std::result::Result<(), ActivityError> {
        OPENED.send_modify(|n| *n += 1);
        // `<run>/<step>`; where nobody listens, nobody is told.
        let run = cx.idempotency_key.as_deref().and_then(|key| key.split('/').next()?.parse().ok());
        let _ = run.map(|run| OPEN_IDS.send(RunId(run)));
        Ok(())
    }
}

/// Whether a worker has given a sign of life lately.
#[derive(Debug, Serialize, Deserialize)]
struct IsAlive {
    tenant: String,
    agent_id: String,
    instance_id: String,
}

impl Activity for IsAlive {
    type Output = bool;
    const NAME: &'static str = "job.alive";

    async fn run(self, cx: ActivityCx) -> std::result::Result<bool, ActivityError> {
        let alive = registry::is_alive(&self.tenant, &self.agent_id, &self.instance_id, cx.now).await;
        alive.map_err(|e| ActivityError::retry("AgentError", format!("the registry failed: {e}")))
    }
}
