//! A child process whose output is read line by line, and which never outlives its owner.

use crate::in_time;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// A running child process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<Line>>>,
    /// How many lines there are; closed when the process has closed its outputs.
    count: watch::Receiver<usize>,
}

/// A line that a process wrote.
#[derive(Debug, Clone)]
struct Line {
    is_error: bool,
    text: String,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Process {
    /// Starts it with its outputs read and no input.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|e| panic!("{:?} cannot be started: {e}", command.get_program()));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (counter, count) = watch::channel(0);
        let counter = Arc::new(counter);
        let (stdout, stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        read(stdout, false, lines.clone(), counter.clone());
        read(stderr, true, lines.clone(), counter);
        Self { child, lines, count }
    }

    /// Its process id.
    ///
    /// # Panics
    /// Never: a child has an id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The first line for which `find` finds something.
    ///
    /// # Errors
    /// How the process ended, when it ended without such a line.
    pub async fn line<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> Result<T, Ended> {
        let mut seen = 0;
        let found = in_time(what, async {
            loop {
                // Marked before reading, so that a line that comes meanwhile is not missed.
                self.count.borrow_and_update();
                {
                    let lines = self.lines.lock().unwrap();
                    if let Some(found) = lines[seen..].iter().find_map(|line| find(&line.text)) {
                        return Some(found);
                    }
                    seen = lines.len();
                }
                if self.count.changed().await.is_err() {
                    let lines = self.lines.lock().unwrap();
                    return lines[seen..].iter().find_map(|line| find(&line.text));
                }
            }
        });
        match found.await {
            Some(found) => Ok(found),
            None => Err(self.end().await),
        }
    }

    /// Waits for its end.
    pub async fn end(&mut self) -> Ended {
        in_time("a process to end", async { while self.count.changed().await.is_ok() {} }).await;
        let status: ExitStatus = self.child.wait().expect("a child can be waited for");
        let stdout = self.output(false);
        Ended { code: status.code(), stdout, stderr: self.output(true) }
    }

    fn output(&self, is_error: bool) -> String {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|l| l.is_error == is_error).map(|l| format!("{}\n", l.text)).collect()
    }

    /// What it wrote to stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.output(true)
    }

    /// Ends it at once, as a power cut would, and waits until it is gone.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub fn kill9(&mut self) {
        if self.child.try_wait().expect("a child can be waited for").is_none() {
            kill_process(self.pid(), Signal::KILL).expect("a child of ours can be killed");
            self.child.wait().expect("a child can be waited for");
        }
    }

    /// Asks it to end (SIGTERM).
    ///
    /// # Panics
    /// When it has ended already.
    pub fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).expect("a running child of ours can be told to end");
    }

    /// Runs a command to its end, which must come in time.
    pub async fn run(command: &mut Command) -> Ended {
        Self::start(command).end().await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(from: impl Read + Send + 'static, is_error: bool, to: Arc<Mutex<Vec<Line>>>, count: Arc<watch::Sender<usize>>) {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            to.lock().unwrap().push(Line { is_error, text });
            count.send_modify(|n| *n += 1);
            line.clear();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn lines_and_ends_are_seen() {
        let mut process = Process::start(&mut shell("echo one; echo two >&2; read forever; exit 3"));
        let two = process.line("two", |line| (line == "two").then_some(2)).await;
        assert_eq!(two.unwrap(), 2);
        let ended = process.end().await;
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (Some(3), "one\n", "two\n"));
    }

    #[tokio::test]
    async fn a_process_that_ends_without_the_line_says_how() {
        let mut process = Process::start(&mut shell("echo no >&2; exit 1"));
        let ended = process.line("yes", |line| (line == "yes").then_some(())).await.unwrap_err();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), "no\n"));
    }

    #[tokio::test]
    async fn signals_reach_it() {
        let mut process = Process::start(&mut shell("trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done"));
        process.line("up", |line| (line == "up").then_some(())).await.unwrap();
        process.terminate();
        assert_eq!(process.end().await.code, Some(7));
        let mut process = Process::start(&mut shell("echo up; exec sleep 1000"));
        process.line("up", |line| (line == "up").then_some(())).await.unwrap();
        process.kill9();
        assert_eq!(process.end().await.code, None);
    }
}
