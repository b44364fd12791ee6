//! Code that tools run.

use super::form::{Boolean, Integer, Seconds};
use super::setting::concern;
use std::time::Duration;
use tutti_agents::tool::code::{OUTPUT_BYTES_MAX, Runner};
use tutti_sandbox::{Limits, Sandbox};

concern! {
    /// Code that tools run.
    Code, "Code of tools" {
        CODE_ENABLED: is_enabled: bool = Boolean, Some("false"),
            "Whether tools of kind code may run Python, each call in a confined process of its own (Linux only).";
        CODE_TIMEOUT: timeout: Duration = Seconds { min_ms: 10, max_s: 300 }, Some("5"),
            "How long one call may run.";
        CODE_MEMORY_MIB: memory_mib: usize = Integer { min: 8_usize, max: 4_096 }, Some("64"),
            "How much memory one call may take.";
        CODE_WORKERS: workers: usize = Integer { min: 1_usize, max: 64 }, Some("4"),
            "How many calls run at once; the others wait.";
    }
}

impl Code {
    /// Who runs it, where it may be run.
    pub fn runner(&self) -> Result<Option<Runner>, String> {
        if !self.is_enabled {
            return Ok(None);
        }
        let most = Limits { time: self.timeout, memory_bytes: self.memory_mib << 20, output_bytes: OUTPUT_BYTES_MAX };
        Ok(Some(Runner { sandbox: Sandbox::of_this_program(self.workers)?, most }))
    }
}
