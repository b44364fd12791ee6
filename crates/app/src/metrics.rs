//! What is counted: runs that ended, how long they took, why they failed, which stages fell back, how many rounds teams took.
//! The names are part of the outside contract. Counters are the process's, and begin at zero with it.

use metrics::{Counter, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use tutti_engine::run::Status;
use tutti_engine::shard::wire::End;
use tutti_workflows::{patterns, task, tickets};

/// Methods that are counted by their names.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// How far back the success rate of tasks looks.
const MINUTES: i64 = 60;
const MINUTE_MS: i64 = 60_000;

/// Whether the series of agents are counted (`AGENT_METRICS_ENABLED`).
static AGENTS: AtomicBool = AtomicBool::new(true);
/// Tasks that ended within the last hour, by minute.
static ENDED: Mutex<VecDeque<Minute>> = Mutex::new(VecDeque::new());

/// Counters of requests by route, method and status: looking one up costs every request, making its name once is enough.
static REQUESTS: RwLock<BTreeMap<String, Methods>> = RwLock::new(BTreeMap::new());
/// A route's counters by method and status.
type Methods = BTreeMap<&'static str, BTreeMap<u16, Counter>>;

/// What ended within a minute.
struct Minute {
    at: i64,
    completed: u64,
    all: u64,
}

/// Counts the series of agents, or drops them.
pub fn count_agents(is_on: bool) {
    AGENTS.store(is_on, Ordering::Relaxed);
    if is_on {
        counter!("agent_orchestrator_total_sessions").increment(0);
        gauge!("agent_orchestrator_task_success_rate").set(1.0);
    }
}

fn counts_agents() -> bool {
    AGENTS.load(Ordering::Relaxed)
}

/// How many agents run.
pub(crate) fn agents_active(count: usize) {
    if counts_agents() {
        gauge!("agent_orchestrator_active_agents").set(count as f64);
    }
}

/// Sessions of agents were opened.
pub(crate) fn sessions_opened(count: u64) {
    if counts_agents() && count > 0 {
        counter!("agent_orchestrator_total_sessions").increment(count);
    }
}

/// A session of an agent was open for so long.
pub(crate) fn session_closed(took_ms: i64) {
    if counts_agents() {
        histogram!("agent_orchestrator_session_duration_seconds").record(took_ms.max(0) as f64 / 1_000.0);
    }
}

/// A request was answered; `error` is the class of what went wrong with it.
pub fn requested(route: &str, method: &str, status: u16, error: Option<&'static str>) {
    if !counts_agents() {
        return;
    }
    // A stranger's words would be series of their own for ever.
    let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("OTHER");
    let known = {
        let counters = REQUESTS.read().unwrap_or_else(PoisonError::into_inner);
        counters.get(route).and_then(|methods| methods.get(method)?.get(&status)).cloned()
    };
    let counter = known.unwrap_or_else(|| {
        let (name, code) = (route.to_owned(), status.to_string());
        let new = counter!("agent_orchestrator_requests_total", "route" => name, "method" => method, "status" => code);
        let mut counters = REQUESTS.write().unwrap_or_else(PoisonError::into_inner);
        let methods = counters.entry(route.to_owned()).or_default();
        methods.entry(method).or_default().insert(status, new.clone());
        new
    });
    counter.increment(1);
    if let Some(class) = error {
        counter!("agent_orchestrator_errors_total", "type" => class).increment(1);
    }
}

/// A task has ended: what share of those of the last hour completed. One that somebody cancelled says nothing.
fn task_ended(end: &End) {
    if !counts_agents() || end.status == Status::Cancelled {
        return;
    }
    let mut ended = ENDED.lock().unwrap_or_else(PoisonError::into_inner);
    let now = end.at.0 / MINUTE_MS;
    if ended.back().is_none_or(|minute| minute.at < now) {
        ended.push_back(Minute { at: now, completed: 0, all: 0 });
    }
    if let Some(minute) = ended.back_mut() {
        minute.all += 1;
        minute.completed += u64::from(end.status == Status::Completed);
    }
    ended.retain(|minute| minute.at > now - MINUTES);
    let sum = |count: fn(&Minute) -> u64| ended.iter().map(count).sum::<u64>() as f64;
    gauge!("agent_orchestrator_task_success_rate").set(sum(|minute| minute.completed) / sum(|minute| minute.all));
    if let Some(error) = &end.ended.error {
        counter!("agent_orchestrator_errors_total", "type" => error.class.clone()).increment(1);
    }
}

/// Says what each series is.
pub fn describe() {
    describe_gauge!("agent_orchestrator_active_agents", "Registered agents that run.");
    describe_counter!("agent_orchestrator_total_sessions", "Sessions of agents that were opened.");
    describe_histogram!("agent_orchestrator_session_duration_seconds", "From a session's opening to its closing.");
    describe_gauge!(
        "agent_orchestrator_task_success_rate",
        "Share of the tasks of the last hour that completed, 0 to 1."
    );
    describe_counter!("agent_orchestrator_requests_total", "Requests that were answered, by route, method and status.");
    describe_counter!("agent_orchestrator_errors_total", "Requests and tasks that failed, by class.");
    describe_counter!("tutti_research_tasks_created_total", "Research tasks that were accepted.");
    describe_counter!("tutti_runs_ended_total", "Runs that ended or were blocked, by workflow and status.");
    describe_histogram!("tutti_run_duration_seconds", "From a run's creation to its end, by workflow.");
    describe_counter!("tutti_payments_total", "Payments that were sent, by outcome: paid, refused, unknown.");
    describe_counter!("tutti_llm_cache_total", "Questions whose answer might have been kept, by outcome: hit, miss.");
    describe_counter!("tutti_llm_rate_waits_total", "Waits for a provider whose limit was used up, by provider.");
    describe_counter!("tutti_errors_total", "Runs that failed, by the error's class.");
    describe_counter!("tutti_stage_fallbacks_total", "Stages of tickets whose agent failed, by stage.");
    describe_histogram!("tutti_pattern_iterations", "Rounds of a pattern's runs, by pattern.");
}

/// A run has ended: counts it.
pub fn ended(end: &End) {
    let workflow = end.workflow.clone();
    if workflow == task::NAME {
        task_ended(end);
        // Its agent has room again.
        tutti_agents::registry::poke();
    }
    counter!("tutti_runs_ended_total", "workflow" => workflow.clone(), "status" => end.status.as_str()).increment(1);
    let ms = (end.at.0 - end.id.born().0).max(0);
    histogram!("tutti_run_duration_seconds", "workflow" => workflow.clone()).record(ms as f64 / 1_000.0);
    if let Some(error) = &end.ended.error {
        counter!("tutti_errors_total", "class" => error.class.clone()).increment(1);
    }
    let is_told = end.status == Status::Completed && (workflow == tickets::NAME || patterns::find(&workflow).is_some());
    let Some(output) = end.ended.output.as_ref().filter(|_| is_told) else { return };
    let output: Value = serde_json::from_str(output.get()).unwrap_or_default();
    for stage in output["fallbacks"].as_object().into_iter().flat_map(|stages| stages.keys()) {
        counter!("tutti_stage_fallbacks_total", "stage" => stage.clone()).increment(1);
    }
    if let Some(rounds) = output["iterations"].as_u64() {
        histogram!("tutti_pattern_iterations", "pattern" => workflow).record(rounds as f64);
    }
}
