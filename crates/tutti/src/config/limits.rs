//! Bounds of one process.

use super::form::Integer;
use super::setting::concern;

concern! {
    /// Bounds of one process.
    Limits, "Bounds" {
        LIVE_RUNS_MAX: live_runs_max: usize = Integer { min: 1_usize, max: 100_000 }, Some("2000"),
            "Runs held in memory at once; the rest wait as rows.";
        BACKLOG_RUNS_MAX: backlog_runs_max: u64 = Integer { min: 1_u64, max: 100_000_000 }, Some("1000000"),
            "Open runs beyond which new ones are refused with 503.";
        SUBMITS_MAX: submits_max: usize = Integer { min: 1_usize, max: 1_000_000 }, Some("4096"),
            "Submissions being written at once; more are refused with 503.";
        CALLS_MAX: calls_max: usize = Integer { min: 1_usize, max: 1_000_000 }, Some("4096"),
            "Outgoing calls in flight at once; the rest wait.";
        ENGINE_SHARDS: shards: usize = Integer { min: 1_usize, max: 64 }, Some("1"),
            "Threads that run workflows.";
    }
}
