//! Python, by monty: the one file that knows which interpreter it is.

use super::convert::{self, from_json};
use crate::job::{Job, Limits, Stopped};
use monty::MontyRun;
use monty_types::{
    CompileOptions, ExcType, MontyException, PrintWriter, PrintWriterCallback, ResourceLimits, ResourceTracker,
};
use serde_json::Value;
use std::borrow::Cow;
use std::time::Instant;

/// What tracebacks call the code.
const FILE: &str = "code.py";
/// The name under which the code finds its inputs.
const INPUTS: &str = "inputs";
/// How the interpreter begins to say that one request for memory is too large.
const OVER: &str = "memory limit exceeded";
/// How it says that nobody serves a call to the system, and how we do.
const NOT_SERVED: (&str, &str) =
    ("not implemented with standard execution", "is not there: this Python has no files, no environment and no clock");
/// Most bytes of a traceback, and of a message.
const WORDS_BYTES_MAX: usize = 8 * 1024;

/// Runs a job: its output, and what it printed.
pub fn run(job: &Job) -> Result<(Value, String), Stopped> {
    let Limits { time, memory_bytes, output_bytes } = job.limits;
    let compiled = MontyRun::new(job.code.clone(), FILE, vec![INPUTS.into()], CompileOptions::default());
    let compiled = compiled.map_err(|e| wrong(&e))?;
    // One large request for memory is refused in words; many small ones end at the limit that the process has.
    let limits = ResourceLimits::default().max_duration(time).max_memory(memory_bytes);
    let mut printed = Printed { text: String::new(), bytes_max: output_bytes, is_over: false };
    let began = Instant::now();
    let writer = PrintWriter::Callback(&mut printed);
    let outcome = compiled.run(vec![from_json(&job.inputs)], ResourceTracker::new(limits), writer);
    if printed.is_over {
        return Err(Stopped::Output { limit_bytes: output_bytes });
    }
    let value = outcome.map_err(|e| match e.exc_type() {
        ExcType::TimeoutError if began.elapsed() >= time => {
            Stopped::Time { limit_ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX) }
        }
        ExcType::MemoryError if e.message().is_some_and(|m| m.starts_with(OVER)) => {
            Stopped::Memory { limit_bytes: memory_bytes }
        }
        ExcType::SyntaxError => wrong(&e),
        _ => Stopped::Exception {
            message: plain(e.summary()),
            traceback: plain(e.to_string()),
            printed: short(std::mem::take(&mut printed.text)),
        },
    })?;
    let output = convert::to_json(value).map_err(|why| Stopped::Value { why })?;
    if printed.text.len() + output.to_string().len() > output_bytes {
        return Err(Stopped::Output { limit_bytes: output_bytes });
    }
    Ok((output, printed.text))
}

/// Code that cannot be compiled.
fn wrong(error: &MontyException) -> Stopped {
    let line = error.traceback().last().map_or(1, |frame| frame.start.line);
    Stopped::Syntax { line, message: short(error.summary()) }
}

/// What an exception says, in words that help.
fn plain(text: String) -> String {
    short(text.replace(NOT_SERVED.0, NOT_SERVED.1))
}

/// The end of a long text: there stands the exception.
fn short(text: String) -> String {
    if text.len() <= WORDS_BYTES_MAX {
        return text;
    }
    let mut at = text.len() - WORDS_BYTES_MAX;
    while !text.is_char_boundary(at) {
        at += 1;
    }
    format!("…{}", &text[at..])
}

/// What was printed so far.
struct Printed {
    text: String,
    bytes_max: usize,
    is_over: bool,
}

impl Printed {
    fn room(&mut self, bytes: usize) -> Result<(), MontyException> {
        self.is_over |= self.text.len() + bytes > self.bytes_max;
        if self.is_over { Err(MontyException::new(ExcType::MemoryError, None)) } else { Ok(()) }
    }
}

impl PrintWriterCallback for Printed {
    fn stdout_write(&mut self, output: Cow<'_, str>) -> Result<(), MontyException> {
        self.room(output.len())?;
        self.text.push_str(&output);
        Ok(())
    }

    fn stdout_push(&mut self, end: char) -> Result<(), MontyException> {
        self.room(end.len_utf8())?;
        self.text.push(end);
        Ok(())
    }
}
