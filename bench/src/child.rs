//! A child process that never outlives its owner.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest wait for anything a child does.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A running child.
pub struct Running(Child);

impl Running {
    /// Starts it; what it says goes to a file.
    pub fn quietly(command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("{} cannot be written", log.display()))?;
        let errors = file.try_clone()?;
        let child = command.stdin(Stdio::null()).stdout(file).stderr(errors).spawn();
        Ok(Self(child.with_context(|| format!("{:?} cannot be started", command.get_program()))?))
    }

    /// Starts it and waits for the line of its stderr in which `find` finds something.
    pub fn until<T>(command: &mut Command, find: impl Fn(&str) -> Option<T>) -> Result<(Self, T)> {
        let program = format!("{:?}", command.get_program());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut running = Self(child.with_context(|| format!("{program} cannot be started"))?);
        let Some(stderr) = running.0.stderr.take() else { bail!("{program} has no stderr") };
        let mut lines = BufReader::new(stderr);
        let mut said = String::new();
        let found = loop {
            let start = said.len();
            if lines.read_line(&mut said)? == 0 {
                bail!("{program} ended: {}", said.trim());
            }
            if let Some(found) = find(&said[start..]) {
                break found;
            }
        };
        // Whatever it says later must not stop it.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Ok((running, found))
    }

    /// Memory that it holds now, in MB (VmRSS / 1024²).
    pub fn rss_mb(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kb: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kb / 1024.0)
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.0), Signal::TERM)?;
        let until = Instant::now() + WAIT_MAX;
        while self.0.try_wait()?.is_none() {
            if Instant::now() > until {
                bail!("a child did not end within {} s", WAIT_MAX.as_secs());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Tries until it works or the time is up; the last failure is told.
pub fn until_works<T>(what: &str, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let until = Instant::now() + WAIT_MAX;
    loop {
        match attempt() {
            Err(error) if Instant::now() > until => return Err(error.context(format!("waited in vain for {what}"))),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
            Ok(value) => return Ok(value),
        }
    }
}
