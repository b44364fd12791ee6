//! `tutti key`: the admin key of the data directory, for those who may read it.

use crate::config::Loaded;
use crate::config::sources::Flag;
use crate::{key, show};
use secrecy::ExposeSecret;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Key {
    /// Print the key that other machines must show (Authorization: Bearer, X-API-Key, TUTTI_KEY)
    Show(Args),
}

/// Where the key is.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory of the store, which the server was started with [env: TUTTI_DATA] [default: .tutti]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
}

impl Args {
    /// Settings that stand on the command line.
    #[must_use]
    pub fn flags(&self) -> Vec<Flag> {
        let flag = |text: &String| Flag { name: "TUTTI_DATA", flag: "--data", text: text.clone() };
        self.data.iter().map(flag).collect()
    }
}

/// Prints the key; makes none, since one in a directory that no server uses would open nothing.
pub fn run(_: &Args, loaded: &Loaded) -> anyhow::Result<()> {
    let (set, dir) = loaded.admin()?;
    let kept = match set {
        Some(key) => Some(key),
        None => key::find(&dir)?,
    };
    let Some(key) = kept else {
        anyhow::bail!(
            "there is no key at {}: a server makes it when it first listens off loopback; --data names its directory",
            key::file(&dir).display()
        );
    };
    Ok(show::out(&format!("{}\n", key.expose_secret()))?)
}
