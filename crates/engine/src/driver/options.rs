//! Bounds and habits of an engine.

use crate::driver::observe::Observer;
use crate::driver::recall::Recall;
use crate::shard::core::CoreOptions;
use std::time::Duration;

/// Bounds of one engine.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether this process works runs. One that does not accepts them, and leaves them to others.
    pub works: bool,
    /// Shard threads.
    pub shards: usize,
    /// Runs held in memory at once; the rest are rows.
    pub live_runs_max: usize,
    /// Runs waiting for a worker beyond which new ones are refused.
    pub backlog_runs_max: usize,
    /// Submissions being written at once.
    pub submits_max: usize,
    /// Calls in flight at once.
    pub calls_max: usize,
    /// The cores' habits.
    pub core: CoreOptions,
    /// What ended runs are kept.
    pub retention: Retention,
    /// How a run's journal reads as a part of its session.
    pub recall: Recall,
    /// Who hears of runs that have ended.
    pub observer: Observer,
}

/// How long ended runs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// An ended run is kept this long.
    pub age: Duration,
    /// And beyond this many, the oldest go.
    pub runs_max: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Duration::from_secs(30 * 24 * 3600), runs_max: 1_000_000 }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            works: true,
            shards: 1,
            live_runs_max: 2_000,
            backlog_runs_max: 1_000_000,
            submits_max: 4_096,
            calls_max: 4_096,
            core: CoreOptions::default(),
            retention: Retention::default(),
            recall: Recall::default(),
            observer: Observer::default(),
        }
    }
}
