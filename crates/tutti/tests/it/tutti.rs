//! Runs the binary in an empty directory with an empty environment.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A place to run the binary in.
pub struct Tutti {
    dir: TempDir,
    env: Vec<(String, String)>,
}

/// What came of it.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Tutti {
    pub fn new() -> Self {
        Self { dir: TempDir::new().unwrap(), env: Vec::new() }
    }

    pub fn env(mut self, name: &str, text: &str) -> Self {
        self.env.push((name.into(), text.into()));
        self
    }

    pub fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.path(name), text).unwrap();
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn run(&self, args: &[&str]) -> Done {
        self.run_with(args, "")
    }

    pub fn run_with(&self, args: &[&str], stdin: &str) -> Done {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tutti"));
        command.args(args).env_clear().envs(self.env.iter().cloned()).current_dir(self.dir.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that does not read its input may have ended already.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        Done {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Compares with a file of this crate; `UPDATE=1` writes it anew.
pub fn same_as_file(path: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "{} is stale; UPDATE=1 cargo test -p tutti writes it anew. Now:\n{text}", path.display());
}
