//! The sandbox with real workers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bounds;
mod escapes;
mod processes;
mod python;

use serde_json::Value;
use std::time::Duration;
use tutti_sandbox::{Done, Job, Limits, Sandbox, Stopped};

/// Two seconds, so that only a test that means it meets the limit on a busy machine.
const LIMITS: Limits = Limits { time: Duration::from_secs(2), memory_bytes: 32 << 20, output_bytes: 16 << 10 };

fn sandbox() -> Sandbox {
    Sandbox::new(env!("CARGO_BIN_EXE_tutti-sandbox-worker").into(), &[], 4)
}

fn job(code: &str) -> Job {
    Job { code: code.into(), inputs: Value::Null, limits: LIMITS }
}

async fn run(code: &str) -> Result<Done, Stopped> {
    sandbox().run(job(code)).await
}
