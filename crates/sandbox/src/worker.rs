//! The child's half: gives up what it does not need, reads one job, runs it, answers and ends.

#[cfg(target_os = "linux")]
mod confine;
mod convert;
mod python;

use crate::frame::{self, Answer, HEAD, JOB_BYTES_MAX, Request};
use crate::job::Stopped;
use std::io::{Read, Write};
use std::process::ExitCode;

/// The command by which a program that starts workers of its own recognises them.
pub const COMMAND: &str = "sandbox-worker";

/// A worker's whole life. To be called at the very start of a process, before it has read a setting or begun a thread.
#[must_use]
pub fn main() -> ExitCode {
    let answer = match receive() {
        Some(request) => answer(&request),
        None => Answer::Stopped(Stopped::NotAvailable { why: "the worker was given no job".into() }),
    };
    let Some(frame) = frame::write(&answer) else { return ExitCode::FAILURE };
    let mut out = std::io::stdout().lock();
    match out.write_all(&frame).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn receive() -> Option<Request> {
    let mut stdin = std::io::stdin().lock();
    let mut bytes = vec![0; HEAD];
    stdin.read_exact(&mut bytes).ok()?;
    let length = frame::length(bytes[..].try_into().ok()?);
    if length > JOB_BYTES_MAX {
        return None;
    }
    stdin.take(length as u64).read_to_end(&mut bytes).ok()?;
    frame::read(&bytes)
}

fn answer(request: &Request) -> Answer {
    if let Err(why) = confined(request) {
        return Answer::Stopped(Stopped::NotAvailable { why });
    }
    match python::run(&request.job) {
        Ok((output, printed)) => Answer::Done { output, printed },
        Err(why) => Answer::Stopped(why),
    }
}

#[cfg(target_os = "linux")]
fn confined(request: &Request) -> Result<(), String> {
    confine::confine(&request.job.limits)
}

/// Where the process cannot be confined, nothing runs: half a sandbox is none.
#[cfg(not(target_os = "linux"))]
fn confined(_: &Request) -> Result<(), String> {
    Err("only Linux can confine it".into())
}
