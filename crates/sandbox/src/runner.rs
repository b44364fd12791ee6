//! The parent's half: starts a process for a job, gives it the job, reads a bounded answer, and ends it at its deadline.

use crate::frame::{self, Answer, HEAD, JOB_BYTES_MAX, Request};
use crate::job::{Done, Job, Limits, Stopped};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

/// What starting a process and reading its answer may take beyond the job's own time.
const GRACE: Duration = Duration::from_secs(1);
/// Room in an answer for what surrounds the output: names, tracebacks.
const ANSWER_EXTRA_BYTES: usize = 64 * 1024;
/// A byte of text has at most six in JSON (`\u0000`).
const ESCAPED: usize = 6;
/// What is read of what a worker says of its own end.
const LAST_WORDS_BYTES: u64 = 4 * 1024;

/// Starts workers: at most so many at once, the others wait. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sandbox {
    program: PathBuf,
    args: Vec<String>,
    seats: Arc<Semaphore>,
}

impl Sandbox {
    /// Workers that are `program` with `args`: a program that calls [`worker::main`](crate::worker::main) and nothing else.
    #[must_use]
    pub fn new(program: PathBuf, args: &[&str], at_once: usize) -> Self {
        let args = args.iter().map(ToString::to_string).collect();
        Self { program, args, seats: Arc::new(Semaphore::new(at_once.max(1))) }
    }

    /// Workers that are this very program, called with [`worker::COMMAND`](crate::worker::COMMAND).
    ///
    /// # Errors
    /// In words: where this program lies is not known.
    pub fn of_this_program(at_once: usize) -> Result<Self, String> {
        // Leads to what runs now, even if its file has been replaced since.
        let link = PathBuf::from("/proc/self/exe");
        let program = if link.exists() { link } else { std::env::current_exe().map_err(|e| e.to_string())? };
        Ok(Self::new(program, &[crate::worker::COMMAND], at_once))
    }

    /// Runs a job. Dropped before its end, it ends the process, too.
    ///
    /// # Errors
    /// Why it did not reach its end.
    pub async fn run(&self, job: Job) -> Result<Done, Stopped> {
        let limits = job.limits;
        let Ok(_seat) = self.seats.acquire().await else { return Err(unavailable("the server is stopping")) };
        let request = frame::write(&Request { job }).filter(|bytes| bytes.len() <= JOB_BYTES_MAX);
        let Some(request) = request else {
            return Err(unavailable(format!("code and inputs have more than {JOB_BYTES_MAX} bytes")));
        };
        let began = Instant::now();
        let mut child = self.start().map_err(|e| unavailable(format!("its process cannot be started: {e}")))?;
        let said = match tokio::time::timeout(limits.time + GRACE, talk(&mut child, &request, &limits)).await {
            Ok(Ok(said)) => said,
            Ok(Err(why)) => return end(child, Err(why)).await,
            Err(_) => return end(child, Err(late(&limits))).await,
        };
        let took = began.elapsed();
        match frame::read(&said.answer) {
            Some(Answer::Done { output, printed }) => end(child, Ok(Done { output, printed, took })).await,
            Some(Answer::Stopped(why)) => end(child, Err(why)).await,
            None => Err(ended(child, &said.last_words, took, &limits).await),
        }
    }

    fn start(&self) -> std::io::Result<Child> {
        Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }
}

/// What a worker said, on either output.
struct Said {
    answer: Vec<u8>,
    last_words: String,
}

/// Gives it the job and hears it out; what says too much is not heard out.
async fn talk(child: &mut Child, request: &[u8], limits: &Limits) -> Result<Said, Stopped> {
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(unavailable("its process has no pipes"));
    };
    let broken = |e: std::io::Error| unavailable(format!("its process cannot be spoken with: {e}"));
    let ask = async move {
        // One that ends before it has read everything says why in its answer, or by its end.
        let _ = stdin.write_all(request).await;
        Ok(())
    };
    let hear = async move {
        let bytes_max = HEAD + ESCAPED * limits.output_bytes + ANSWER_EXTRA_BYTES;
        let mut answer = Vec::new();
        stdout.take(bytes_max as u64 + 1).read_to_end(&mut answer).await.map_err(broken)?;
        if answer.len() > bytes_max { Err(Stopped::Output { limit_bytes: limits.output_bytes }) } else { Ok(answer) }
    };
    let hear_last = async move {
        let mut words = Vec::new();
        stderr.take(LAST_WORDS_BYTES).read_to_end(&mut words).await.map_err(broken)?;
        Ok(String::from_utf8_lossy(&words).into_owned())
    };
    let ((), answer, last_words) = tokio::try_join!(ask, hear, hear_last)?;
    Ok(Said { answer, last_words })
}

/// Sees the process off, however far it is.
async fn end(mut child: Child, outcome: Result<Done, Stopped>) -> Result<Done, Stopped> {
    // It may have ended by itself.
    let _ = child.kill().await;
    outcome
}

/// Why a worker ended without an answer.
async fn ended(mut child: Child, last_words: &str, took: Duration, limits: &Limits) -> Stopped {
    let status = tokio::time::timeout(GRACE, child.wait()).await;
    let _ = child.kill().await;
    let how = match status {
        Ok(Ok(status)) => status,
        _ => return late(limits),
    };
    // What the standard library says when the machine refuses memory.
    if last_words.contains("memory allocation of") {
        return Stopped::Memory { limit_bytes: limits.memory_bytes };
    }
    if took >= limits.time {
        return late(limits);
    }
    let how = last_words.lines().next().map_or_else(|| how.to_string(), |line| format!("{how}: {line}"));
    Stopped::Crashed { how }
}

fn late(limits: &Limits) -> Stopped {
    Stopped::Time { limit_ms: u64::try_from(limits.time.as_millis()).unwrap_or(u64::MAX) }
}

fn unavailable(why: impl Into<String>) -> Stopped {
    Stopped::NotAvailable { why: why.into() }
}
