//! `tutti man`: a manual page.

use super::{Cli, Usage};
use crate::show;
use clap::CommandFactory;

/// Of which command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The command, such as `runs list`; without it that of tutti as a whole
    command: Vec<String>,
}

/// Prints the page in the form that `man -l -` reads.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut root = Cli::command();
    // Gives each command its full name and the options that are everybody's.
    root.build();
    let mut command = &root;
    for name in &args.command {
        let Some(found) = command.find_subcommand(name) else {
            let known: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
            let known = if known.is_empty() { "no commands".to_owned() } else { known.join(", ") };
            return Err(Usage(format!("{} has no command {name:?}; it has {known}", command.get_name())).into());
        };
        command = found;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    Ok(show::out(&String::from_utf8_lossy(&page))?)
}
