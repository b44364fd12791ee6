//! The child's half: reads one job, gives up what running it does not need, runs it, answers and ends.

#[cfg(target_os = "linux")]
mod confine;
mod convert;
mod python;

use crate::frame::{self, Answer, HEAD, JOB_BYTES_MAX, Request};
use crate::job::{Limits, Stopped};
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
    if let Err(why) = confine(&request.job.limits) {
        return Answer::Stopped(Stopped::NotAvailable { why });
    }
    match python::run(&request.job) {
        Ok((output, printed)) => Answer::Done { output, printed },
        Err(why) => Answer::Stopped(why),
    }
}

/// Gives up, for the rest of this process's life, files, processes, the network, and memory and time beyond the limits: what
/// [`main`] does once it has read a job, for other work of a process of its own that meets what strangers made. The system calls are
/// given up by the calling thread and those that it begins.
///
/// # Errors
/// In words: the machine does not let it. Where it cannot be confined, nothing should run: half a sandbox is none.
pub fn confine(limits: &Limits) -> Result<(), String> {
    #[cfg(target_os = "linux")]
    return confine::confine(limits);
    #[cfg(not(target_os = "linux"))]
    return Err(format!("only Linux can confine it to {limits:?}"));
}
