//! What is asked, and what may come of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// One piece of Python.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The code. The value of its last expression is the job's output.
    pub code: String,
    /// What the code finds under the name `inputs`.
    pub inputs: Value,
    /// How far it may go.
    pub limits: Limits,
}

/// How far a job may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How long it may run.
    pub time: Duration,
    /// How many bytes it may take from the machine, the interpreter's own few megabytes not counted.
    pub memory_bytes: usize,
    /// How many bytes it may print, and its output may have as JSON.
    pub output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(5), memory_bytes: 64 * 1024 * 1024, output_bytes: 64 * 1024 }
    }
}

/// What came of a job that reached its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// The value of the last expression; `null` where the last statement is none.
    pub output: Value,
    /// What it printed.
    pub printed: String,
    /// From the start of its process to its answer.
    pub took: Duration,
}

/// Why a job did not reach its end. The sentences are for whoever wrote the code, which may be a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Stopped {
    /// It ran too long.
    #[error("the code was stopped: it ran longer than {limit_ms} ms")]
    Time {
        /// What was allowed.
        limit_ms: u64,
    },
    /// It took too much memory.
    #[error("the code was stopped: it needed more than {limit_bytes} bytes of memory")]
    Memory {
        /// What was allowed.
        limit_bytes: usize,
    },
    /// It printed, or gave back, too much.
    #[error("the code was stopped: what it printed or gave back is longer than {limit_bytes} bytes")]
    Output {
        /// What was allowed.
        limit_bytes: usize,
    },
    /// It is no Python, or uses what this Python does not have.
    #[error("line {line}: {message}")]
    Syntax {
        /// Where, from 1.
        line: u32,
        /// What is wrong.
        message: String,
    },
    /// It raised an exception that it did not catch.
    #[error("{traceback}{}", before(.printed))]
    Exception {
        /// The exception in a line.
        message: String,
        /// Where it was raised, as Python tells it; its last line is the exception.
        traceback: String,
        /// What was printed before.
        printed: String,
    },
    /// Its output is no JSON and cannot be made into it.
    #[error("the value of the last expression cannot be given back: {why}")]
    Value {
        /// Why not.
        why: String,
    },
    /// Its process ended by itself. A deeply nested program does that.
    #[error("the code was stopped: its process ended by itself ({how})")]
    Crashed {
        /// How it ended.
        how: String,
    },
    /// It was not run at all.
    #[error("code cannot be run here: {why}")]
    NotAvailable {
        /// Why not.
        why: String,
    },
}

fn before(printed: &str) -> String {
    if printed.is_empty() { String::new() } else { format!("\nprinted before that:\n{printed}") }
}
