//! `tutti completions`: a completion script.

use super::Cli;
use crate::show;
use clap::CommandFactory;
use clap_complete::Shell;

/// For which shell.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tutti", &mut script);
    Ok(show::out(&String::from_utf8_lossy(&script))?)
}
