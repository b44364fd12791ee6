//! Defaults of the orchestration patterns.

use super::form::{Integer, Maybe, Path, Seconds};
use super::setting::concern;
use std::path::PathBuf;
use std::time::Duration;

concern! {
    /// Defaults of the patterns.
    Patterns, "Orchestration" {
        REQUEST_TIMEOUT: request_timeout: Duration = Seconds { min_ms: 0, max_s: 300 }, Some("120"),
            "How long POST /orchestrate waits for the end before it answers 202.";
        MAX_ITERATIONS: iterations_max: u32 = Integer { min: 1_u32, max: 1_000 }, Some("10"),
            "Bound on a pattern's turns where a request names none.";
        AGENTS_DIR: agents_dir: Option<PathBuf> = Maybe(Path), None,
            "Folder of agents in files of their own: YAML or JSON.";
    }
}
