//! Jobs for workers that speak to a broker: each job is offered as it opens, what they send back is heard, and what the broker
//! lost is offered again. The store is asked about everything, so an offer or a reply may come twice, late, or to any process.

use super::{JobView, State, read_result};
use crate::caller::Caller;
use crate::failure::Failure;
use crate::registry::read_name;
use crate::{App, Class};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, broadcast};
use tokio::time::Instant;
use tutti_agents::form::{Errors, Form};
use tutti_agents::job::{self, CLAIM, Claim, JobResult, RESULT};
use tutti_agents::registry::{self, AGENT, Agent};
use tutti_engine::ports::jobs::{Fate, JobBroker, OpenJob, Reply};
use tutti_engine::ports::queue::Condition;
use tutti_engine::ports::records::{Expect, Put};
use tutti_engine::ports::store::{ListRuns, RunRow};
use tutti_engine::run::{RunId, RunNo, Status, Time};
use uuid::Uuid;

/// How often open jobs are looked at, at most.
const SWEEP: Duration = Duration::from_secs(5);
/// A process that keeps the jobs and says so no more is followed by another one after so many sweeps.
const SWEEPS_SILENT: u32 = 3;
/// Jobs that are offered again in one sweep; the others' turn is the next.
const AGAIN_MAX: usize = 200;
/// Replies that are worked on at the same time.
const REPLIES_MAX: usize = 16;
const ROWS: u32 = 500;
/// The record of the process that keeps the jobs.
const KEEPER: (&str, &str, &str) = ("agent.jobs", "", "keeper");

/// A job as it is offered.
#[derive(Serialize)]
struct Offer<'a> {
    #[serde(flatten)]
    job: JobView,
    reply_to: &'a str,
}

/// What a worker sent.
struct Heard {
    job_id: RunId,
    claim: u32,
    instance_id: String,
    /// Nothing where it only says that it works on it.
    result: Option<JobResult>,
}

/// Which process keeps the jobs, and until when if it says nothing more.
#[derive(Serialize, Deserialize)]
struct Keeper {
    by: Uuid,
    until: Time,
}

impl App {
    /// Brings jobs to workers over the broker for as long as it is polled; at once over where there is none.
    pub async fn keep_jobs(self) {
        let Some(broker) = self.orchestrator().jobs.clone() else { return };
        let opened = job::opened_ids();
        let sweep = Sweep { me: Uuid::now_v7(), keeps: false, due: BTreeMap::new() };
        tokio::join!(
            self.offer_opened(broker.as_ref(), opened),
            self.read_replies(&broker),
            sweep.run(&self, broker.as_ref())
        );
    }

    /// Offers what opens in this process.
    async fn offer_opened(&self, broker: &dyn JobBroker, mut opened: broadcast::Receiver<RunId>) {
        loop {
            let id = match opened.recv().await {
                Ok(id) => id,
                // What was missed is found by looking.
                Err(broadcast::error::RecvError::Lagged(_)) => continue,
                Err(broadcast::error::RecvError::Closed) => return,
            };
            let offered = async {
                match self.engine().store().run_by_id(id).await? {
                    Some(row) => self.offer_job(broker, &row).await,
                    None => Ok(()),
                }
            };
            if let Err(failure) = offered.await {
                tracing::warn!("job {} cannot be offered now, it is later: {failure}", id.0);
            }
        }
    }

    /// Offers a job, if it is open.
    async fn offer_job(&self, broker: &dyn JobBroker, row: &RunRow) -> Result<(), Failure> {
        let keep = self.orchestrator().silence;
        let Some(job) = self.job_state(row).await?.view(row, None, keep) else { return Ok(()) };
        let agent_id = queue_name(&row.owner.tenant, &job.agent_id);
        let offer = Offer { job, reply_to: broker.reply_to() };
        let body = serde_json::to_vec(&offer).map_err(|e| Failure::internal(e.to_string()))?;
        broker.open(OpenJob { agent_id, priority: row.priority, job_id: row.id, body: body.into(), keep });
        Ok(())
    }

    async fn read_replies(&self, broker: &Arc<dyn JobBroker>) {
        let places = Arc::new(Semaphore::new(REPLIES_MAX));
        while let Some(reply) = broker.next_reply().await {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let app = self.clone();
            tokio::spawn(async move {
                app.take_reply(reply).await;
                drop(place);
            });
        }
    }

    async fn take_reply(&self, reply: Reply) {
        let fate = match self.hear_reply(&reply.body).await {
            Ok(fate) => fate,
            Err(failure) if failure.class == Class::Unavailable => {
                tracing::debug!("a worker's reply waits for the store: {failure}");
                Fate::Back
            }
            Err(failure) => {
                let why = failure.cause.as_deref().unwrap_or(&failure.message);
                tracing::warn!("a worker's reply cannot be used and is put aside: {why}");
                Fate::Dead
            }
        };
        reply.settle(fate);
    }

    /// Takes what a worker sent, as over HTTP. A worker that was offered the job claims it by its first word: of several that
    /// were offered the same, and those that ask over HTTP, the store lets one be first.
    async fn hear_reply(&self, body: &[u8]) -> Result<Fate, Failure> {
        let Heard { job_id, claim, instance_id, result } = read_reply(body)?;
        let row = self.engine().store().run_by_id(job_id).await?.filter(|row| row.workflow == job::WORKFLOW);
        let Some(row) = row else { return Err(Failure::new(Class::NotFound, format!("there is no job {}", job_id.0))) };
        if !row.status.is_open() {
            return Ok(Fate::Done);
        }
        let mut state = self.job_state(&row).await?;
        self.hear_worker(&row, &state, &instance_id).await?;
        if state.next() == Some(claim) {
            self.signal_job(&row, CLAIM, claim, &Claim { claim, instance_id: instance_id.clone() }).await?;
            state = self.job_state(&row).await?;
        }
        let held = state.claim.as_ref();
        let has_job =
            state.opened <= claim && held.is_some_and(|held| held.claim == claim && held.instance_id == instance_id);
        match result {
            Some(result) if has_job => drop(self.signal_job(&row, RESULT, claim, &result).await?),
            _ if has_job => {}
            _ => tracing::debug!("worker {instance_id} has job {} no more, or never had it", job_id.0),
        }
        Ok(Fate::Done)
    }

    /// A word of a worker's is a sign of life, as long as its agent is there.
    async fn hear_worker(&self, row: &RunRow, state: &State, instance_id: &str) -> Result<(), Failure> {
        let Some(job) = &state.job else { return Ok(()) };
        let tenant = &row.owner.tenant;
        if registry::get::<Agent>(self.records(), AGENT, tenant, &job.agent_id).await?.is_some() {
            self.hear(tenant, &job.agent_id, instance_id, None).await?;
        }
        Ok(())
    }
}

/// What the queue of an agent's jobs is called. Agents of different tenants may have the same id; no id has an `@`.
fn queue_name(tenant: &str, agent_id: &str) -> String {
    if tenant == Caller::local().tenant { agent_id.into() } else { format!("{agent_id}@{tenant}") }
}

fn read_reply(body: &[u8]) -> Result<Heard, Failure> {
    let errors = Errors::default();
    let body: Value = serde_json::from_slice(body).map_err(|e| Failure::new(Class::BadRequest, e.to_string()))?;
    let heard = Form::body(&body, &errors).and_then(|form| {
        let (job_id, claim) = (form.field("job_id").required(), form.field("claim").required());
        let id = job_id.string().and_then(|text| text.parse().ok().map(RunId));
        if job_id.is_present() && id.is_none() {
            job_id.fail("no id of a job");
        }
        let claim = claim.integer(1, i64::from(u32::MAX)).and_then(|n| u32::try_from(n).ok());
        let instance_id = read_name(&form.field("instance_id").required());
        let is_begun = form.field("taken").boolean().unwrap_or_default();
        let result = if is_begun { None } else { Some(read_result(&form)?) };
        Some(Heard { job_id: id?, claim: claim?, instance_id: instance_id?, result })
    });
    errors.or(heard).map_err(|wrong| {
        let lines: Vec<_> = wrong.iter().map(|e| format!("{}: {}", e.path(), e.msg)).collect();
        Failure::new(Class::Validation, lines.join("; "))
    })
}

/// Offers again what the broker, or a process that died, has lost. One process of all does it at a time.
struct Sweep {
    me: Uuid,
    keeps: bool,
    /// When each open job is offered again.
    due: BTreeMap<RunNo, Instant>,
}

impl Sweep {
    async fn run(mut self, app: &App, broker: &dyn JobBroker) {
        let silence = app.orchestrator().silence;
        let every = SWEEP.min(silence / 2).max(Duration::from_millis(100));
        loop {
            tokio::time::sleep(every).await;
            // Nothing can be offered, and what was is not lost yet.
            if broker.condition() != Condition::Up {
                continue;
            }
            if let Err(failure) = self.pass(app, broker, every).await {
                tracing::warn!("open jobs cannot be looked at, trying again in {every:?}: {failure}");
            }
        }
    }

    async fn pass(&mut self, app: &App, broker: &dyn JobBroker, every: Duration) -> Result<(), Failure> {
        let is_new = !self.keeps;
        self.keeps = self.keep(app, every).await?;
        if !self.keeps {
            self.due.clear();
            return Ok(());
        }
        let mut rows = Vec::new();
        for status in [Status::Running, Status::Waiting] {
            let (workflow, status) = (Some(job::WORKFLOW.into()), Some(status));
            rows.extend(app.all_rows(ListRuns { workflow, status, limit: ROWS, ..ListRuns::default() }).await?);
        }
        let (now, silence) = (Instant::now(), app.orchestrator().silence);
        // Who begins to keep the jobs does not know what was offered; later ones were, as they opened.
        let first = if is_new { now } else { now + silence };
        let old = std::mem::take(&mut self.due);
        self.due = rows.iter().map(|row| (row.run, old.get(&row.run).copied().unwrap_or(first))).collect();
        let due = |row: &&RunRow| self.due.get(&row.run).is_some_and(|at| *at <= now);
        let mut again: Vec<RunRow> = rows.iter().filter(due).cloned().collect();
        again.sort_by_key(|row| (self.due.get(&row.run).copied(), row.run));
        for row in again.iter().take(AGAIN_MAX) {
            app.offer_job(broker, row).await?;
            // What it says is dropped by the broker after so long, so there is never more than one of it.
            self.due.insert(row.run, now + silence);
        }
        Ok(())
    }

    /// Whether this process keeps the jobs now.
    async fn keep(&self, app: &App, every: Duration) -> Result<bool, Failure> {
        let (kind, tenant, name) = KEEPER;
        let now = app.engine().now();
        let found = registry::get::<Keeper>(app.records(), kind, tenant, name).await?;
        let expect = match &found {
            None => Expect::Absent,
            Some(kept) if kept.value.by == self.me || kept.value.until < now => Expect::Version(kept.version),
            Some(_) => return Ok(false),
        };
        let keeper = Keeper { by: self.me, until: now.after(every * SWEEPS_SILENT) };
        Ok(matches!(registry::put(app.records(), KEEPER, &keeper, now, expect).await?, Put::Written(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_reply_is_read_or_told_what_is_wrong() {
        let id = "01a1fc7f-1c35-767e-8a3f-b215c3e492f2";
        let read = |body: Value| read_reply(body.to_string().as_bytes());
        let heard = read(json!({"job_id": id, "claim": 2, "instance_id": "w", "output": null}));
        assert!(heard.is_err(), "a result has an output");
        let heard = read(json!({"job_id": id, "claim": 2, "instance_id": "w", "output": {"sum": 3}})).unwrap();
        assert_eq!((heard.job_id.0.to_string().as_str(), heard.claim, heard.instance_id.as_str()), (id, 2, "w"));
        assert_eq!(heard.result.unwrap().output, json!({"sum": 3}));
        let heard = read(json!({"job_id": id, "claim": 1, "instance_id": "w", "taken": true})).unwrap();
        assert!(heard.result.is_none());
        for wrong in [json!({"job_id": "x", "claim": 1, "instance_id": "w", "output": 1}), json!([]), json!({})] {
            assert!(read(wrong).is_err());
        }
        assert!(read_reply(b"\xff").is_err());
        let wrong = read(json!({"claim": 0, "instance_id": "a b", "output": 1})).err().unwrap();
        for place in ["job_id", "claim", "instance_id"] {
            assert!(wrong.message.contains(place), "{wrong}");
        }
    }

    #[test]
    fn agents_of_other_tenants_have_queues_of_their_own() {
        assert_eq!((queue_name("default", "a"), queue_name("acme", "a")), ("a".into(), "a@acme".into()));
    }
}
