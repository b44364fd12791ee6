//! A server that is a program of this machine: started without a shell, with nothing in its environment but what its definition
//! says, ended with its session.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// Most characters of what it last complained about.
const COMPLAINT_CHARS_MAX: usize = 300;

/// A running program.
pub(super) struct Program {
    /// Ended when this is dropped.
    _child: Child,
    /// The last line that it wrote to its standard error.
    pub complaint: Arc<Mutex<String>>,
}

impl Program {
    /// Its last complaint, where it had one.
    pub fn complaint(&self) -> Option<String> {
        let said = self.complaint.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(said).filter(|said| !said.is_empty())
    }
}

/// Starts it.
///
/// # Errors
/// In words.
pub(super) fn start(
    command: &[String],
    env: &[(String, String)],
    dir: Option<&Path>,
) -> Result<(Program, ChildStdout, ChildStdin), String> {
    let (name, arguments) = command.split_first().ok_or("its command is empty")?;
    let mut start = Command::new(name);
    start.args(arguments).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(path) = std::env::var_os("PATH") {
        start.env("PATH", path);
    }
    start.envs(env.iter().map(|(name, value)| (name, value))).kill_on_drop(true);
    // A Ctrl-C in our terminal is not for it.
    #[cfg(unix)]
    start.process_group(0);
    if let Some(dir) = dir {
        start.current_dir(dir);
    }
    let mut child = start.spawn().map_err(|e| format!("{name:?} cannot be started: {e}"))?;
    let taken = (child.stdout.take(), child.stdin.take(), child.stderr.take());
    let (Some(out), Some(into), Some(complaints)) = taken else {
        return Err(format!("{name:?} has no standard streams"));
    };
    let complaint = Arc::new(Mutex::new(String::new()));
    tokio::spawn(listen(complaints, Arc::clone(&complaint)));
    Ok((Program { _child: child, complaint }, out, into))
}

/// Keeps the last line; the rest is of no use, and must not fill the pipe.
async fn listen(complaints: ChildStderr, last: Arc<Mutex<String>>) {
    let mut lines = BufReader::new(complaints);
    let mut line = Vec::new();
    loop {
        line.clear();
        // A line without an end is read in pieces.
        let mut piece = tokio::io::AsyncReadExt::take(&mut lines, 64 * 1024);
        match piece.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text: String = text.trim().chars().filter(|c| !c.is_control()).take(COMPLAINT_CHARS_MAX).collect();
        if !text.is_empty() {
            tracing::debug!("an MCP server says: {text}");
            *last.lock().unwrap_or_else(PoisonError::into_inner) = text;
        }
    }
}
