//! Where things are, and how long to measure.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// Where things are.
pub struct Places {
    /// Cargo's target directory.
    pub target: PathBuf,
    /// The binary that is measured.
    pub tutti: PathBuf,
    /// Where all that is written while measuring goes: one disk for everybody.
    pub scratch: PathBuf,
    /// The programs to compare with, where they are.
    pub peers: Option<PathBuf>,
    /// Seconds of each load.
    pub secs: u32,
    /// How often each load is repeated.
    pub rounds: u32,
}

impl Places {
    /// Finds everything; fails where the binary is not built.
    pub fn find() -> Result<Self> {
        let here = std::env::current_exe().context("where this program lies")?;
        let Some(release) = here.parent() else { bail!("{} lies nowhere", here.display()) };
        let target = release.parent().unwrap_or(release).to_owned();
        let tutti = std::env::var_os("TUTTI_BIN").map_or_else(|| release.join("tutti"), PathBuf::from);
        if !tutti.is_file() {
            bail!("{} is not built; run `make bench`, or `cargo build --release -p tutti` first", tutti.display());
        }
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let shared = std::env::var_os("TUTTI_SHARED").map_or_else(|| workspace.join("../shared"), PathBuf::from);
        let peers = shared.join("peers");
        let scratch = target.join("bench-scratch");
        let places = Self {
            tutti,
            peers: peers.is_dir().then_some(peers),
            scratch,
            target,
            secs: number("BENCH_SECS", 3)?,
            rounds: number("BENCH_ROUNDS", 3)?,
        };
        places.clean();
        std::fs::create_dir_all(&places.scratch).context("a scratch directory")?;
        Ok(places)
    }

    /// A directory for scratch that is empty.
    pub fn empty(&self, name: &str) -> Result<PathBuf> {
        let dir = self.scratch.join(name);
        if dir.exists() {
            std::fs::remove_dir_all(&dir).with_context(|| format!("{} cannot be emptied", dir.display()))?;
        }
        std::fs::create_dir_all(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        Ok(dir)
    }

    /// Removes what measuring wrote.
    pub fn clean(&self) {
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}

fn number(name: &str, default: u32) -> Result<u32> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is {text:?}; it should be a whole number")),
        Err(_) => Ok(default),
    }
}
