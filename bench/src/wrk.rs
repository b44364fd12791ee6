//! Load by `wrk`: one thread, so many connections, so many seconds.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Whether it can be used.
pub fn is_installed() -> bool {
    Command::new("wrk").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// What a load gave.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Answers a second.
    pub per_s: f64,
    /// Half of all answers came within, in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 answers came within, in milliseconds.
    pub p99_ms: f64,
}

/// Writes a script that POSTs the same body over and over.
pub fn script(dir: &Path, name: &str, body: Option<&str>) -> Result<PathBuf> {
    let path = dir.join(format!("{name}.lua"));
    let body = body.map_or_else(String::new, |body| {
        format!("wrk.body = [==[{body}]==]\nwrk.headers[\"Content-Type\"] = \"application/json\"\n")
    });
    let text = format!("wrk.method = \"POST\"\n{body}{DONE}");
    std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}

/// In numbers, not in wrk's rounded words. A status from 400 up counts as an error.
const DONE: &str = r#"done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %.1f %.1f %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.timeout + e.status))
end
"#;

/// Runs it. Fails when one request failed: a server that refuses is fast.
pub fn run(script: &Path, url: &str, clients: u32, secs: u32) -> Result<Load> {
    let (connections, duration) = (format!("-c{clients}"), format!("-d{secs}s"));
    let mut command = Command::new("wrk");
    command.args(["-t1", &connections, &duration, "--timeout", "20s", "-s"]).arg(script).arg(url);
    let output = command.output().context("wrk cannot be run")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(line) = text.lines().find_map(|line| line.strip_prefix("RESULT ")) else {
        bail!("wrk gave no result for {url}: {text}{}", String::from_utf8_lossy(&output.stderr));
    };
    let numbers: Vec<f64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [requests, micros, p50, p99, errors] = numbers[..] else { bail!("wrk's script wrote {line:?}") };
    if errors > 0.0 || requests < 1.0 {
        bail!("{errors} of {requests} requests to {url} failed at {clients} clients");
    }
    Ok(Load { per_s: requests / micros * 1e6, p50_ms: p50 / 1e3, p99_ms: p99 / 1e3 })
}
