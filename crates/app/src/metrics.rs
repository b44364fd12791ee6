//! What is counted: runs that ended, how long they took, why they failed, which stages fell back, how many rounds teams took.
//! The names are part of the outside contract. Counters are the process's, and begin at zero with it.

use metrics::{counter, describe_counter, describe_histogram, histogram};
use serde_json::Value;
use tutti_engine::run::Status;
use tutti_engine::shard::wire::End;
use tutti_workflows::{patterns, tickets};

/// Says what each series is.
pub fn describe() {
    describe_counter!("tutti_research_tasks_created_total", "Research tasks that were accepted.");
    describe_counter!("tutti_runs_ended_total", "Runs that ended or were blocked, by workflow and status.");
    describe_histogram!("tutti_run_duration_seconds", "From a run's creation to its end, by workflow.");
    describe_counter!("tutti_payments_total", "Payments that were sent, by outcome: paid, refused, unknown.");
    describe_counter!("tutti_errors_total", "Runs that failed, by the error's class.");
    describe_counter!("tutti_stage_fallbacks_total", "Stages of tickets whose agent failed, by stage.");
    describe_histogram!("tutti_pattern_iterations", "Rounds of a pattern's runs, by pattern.");
}

/// A run has ended: counts it.
pub fn ended(end: &End) {
    let workflow = end.workflow.clone();
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
