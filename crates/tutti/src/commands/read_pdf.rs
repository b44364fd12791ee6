//! What this program does when it starts itself to read a PDF: bounds itself, then reads.

use rustix::process::{Resource, Rlimit, setrlimit};
use std::process::ExitCode;
use tutti_agents::grounding::pdf;

/// The first argument of such a process. No command: nobody else is to call it.
pub const READ_PDF: &str = "--read-pdf";

/// What it may take.
const BOUNDS: [(Resource, u64); 5] = [
    // Bytes of memory, of which the stack of the reading thread is a quarter.
    (Resource::As, 1 << 30),
    // Seconds.
    (Resource::Cpu, 20),
    (Resource::Nofile, 16),
    (Resource::Fsize, 0),
    (Resource::Core, 0),
];

/// Reads a PDF from standard input.
#[must_use]
pub fn run() -> ExitCode {
    for (resource, most) in BOUNDS {
        let bound = Rlimit { current: Some(most), maximum: Some(most) };
        if setrlimit(resource, bound).is_err() {
            return ExitCode::FAILURE;
        }
    }
    pdf::extract().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}
