//! The commands: one file each, one line each here and in `main`.

pub mod agents;
pub mod approvals;
pub mod catalog;
pub mod completions;
pub mod config;
pub mod data_sources;
pub mod db;
pub mod demo;
pub mod documents;
pub mod export;
pub mod graphs;
pub mod health;
pub mod import;
pub mod key;
pub mod man;
pub mod memory;
pub mod models;
pub mod page;
pub mod read_pdf;
pub mod run;
pub mod runs;
pub mod search;
pub mod serve;
pub mod sessions;
pub mod simulate;
pub mod tasks;
pub mod tickets;
pub mod tools;

use crate::client::Client;
use crate::config::log::Log;
use crate::config::sources::Flag;
use crate::config::{Loaded, Problems};
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Runs teams of AI agents so that an operator can trust them.
#[derive(Debug, Parser)]
#[command(name = "tutti", version, arg_required_else_help = true, after_help = AFTER)]
pub struct Cli {
    /// Configuration file [default: tutti.toml here, where there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER: &str = "Start with `tutti demo`: five teams at work, no key and no service needed.\n\
                     Settings come from flags, the environment, .env and tutti.toml; `tutti config` shows them.\n\
                     Exit status: 0 done, 1 failed, 2 wrong usage.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(serve::Args),
    /// Watch five teams work on real questions, then keep the server up
    Demo(demo::Args),
    /// Run a workflow, or a team from a file, and print its answer
    Run(run::Args),
    /// Look at runs and act on them
    #[command(subcommand)]
    Runs(runs::Runs),
    /// Look at what waits for a person
    #[command(subcommand)]
    Approvals(approvals::Approvals),
    /// Look at conversations
    #[command(subcommand)]
    Sessions(sessions::Sessions),
    /// Look at tickets, send them, resolve them
    #[command(subcommand)]
    Tickets(tickets::Tickets),
    /// Look at paid research, start it, settle payments
    #[command(subcommand)]
    Tasks(tasks::Tasks),
    /// List the patterns, or show one with its options and an example
    Patterns(catalog::Patterns),
    /// Look at agents, register, start and stop them, give them tasks
    #[command(subcommand)]
    Agents(agents::Agents),
    /// Check, show, keep and run graphs
    #[command(subcommand)]
    Graphs(graphs::Graphs),
    /// Keep documents that answers are grounded in, look at them
    #[command(subcommand)]
    Documents(documents::Documents),
    /// Keep data sources that answers are grounded in, try them
    #[command(subcommand)]
    DataSources(data_sources::DataSources),
    /// Ask what the documents say about a question
    Search(search::Args),
    /// List the models that providers offer, try one
    #[command(subcommand)]
    Models(models::Models),
    /// Look at what is remembered of users and conversations, forget it
    #[command(subcommand)]
    Memory(memory::Memory),
    /// Look at tools, register them, call one
    #[command(subcommand)]
    Tools(tools::Tools),
    /// Show what your accounts may spend, and what is left
    Budgets(page::Page),
    /// List the workflows
    Workflows(page::Page),
    /// Write what you have configured to files that can live in git
    Export(export::Args),
    /// Make and change what such files say
    Import(import::Args),
    /// Serve a scripted model, ticket agents, a marketplace and its payments over HTTP, with faults on demand
    Simulate(simulate::Args),
    /// Show the admin key, which other machines need
    #[command(subcommand)]
    Key(key::Key),
    /// Show the effective configuration and where each value comes from
    Config(config::Args),
    /// Show which store a server has, its size, and its oldest run
    Db(db::Status),
    /// Remove ended runs that retention no longer keeps
    Prune(db::Prune),
    /// Ask a server how it is
    Health(health::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print a manual page
    Man(man::Args),
}

/// Which server to talk to.
#[derive(Debug, Clone, clap::Args)]
pub struct Server {
    /// Server to talk to [env: TUTTI_URL] [default: http://127.0.0.1:8000]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

impl Server {
    /// A client of that server.
    pub fn client(&self, loaded: &Loaded) -> anyhow::Result<Client> {
        Ok(Client::new(loaded.access(self.url.as_deref())?)?)
    }
}

/// The caller's mistake: exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

impl Cli {
    /// Settings that stand on the command line.
    #[must_use]
    pub fn flags(&self) -> Vec<Flag> {
        match &self.command {
            Command::Serve(args) => args.place.flags(),
            Command::Demo(args) => args.place.flags(),
            Command::Key(key::Key::Show(args)) => args.flags(),
            _ => Vec::new(),
        }
    }
}

/// Where a server of our own listens and keeps its data.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    /// Address to listen on [env: AGENT_ORCHESTRATOR_HOST] [default: 127.0.0.1]
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Port to listen on; 0 takes any free one [env: AGENT_ORCHESTRATOR_PORT] [default: 8000]
    #[arg(long, value_name = "PORT")]
    pub port: Option<String>,
    /// Directory of the store [env: TUTTI_DATA] [default: .tutti]
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
}

impl Place {
    fn flags(&self) -> Vec<Flag> {
        let flag = |name, flag, text: &Option<String>| text.clone().map(|text| Flag { name, flag, text });
        [
            flag("AGENT_ORCHESTRATOR_HOST", "--host", &self.host),
            flag("AGENT_ORCHESTRATOR_PORT", "--port", &self.port),
            flag("TUTTI_DATA", "--data", &self.data),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// The command line, or how to exit at once: help and version are answers, the rest is one line on stderr.
pub fn parse() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|e| {
        let help = e.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        if !e.use_stderr() || help {
            let _ = e.print();
            return ExitCode::from(if help { 2 } else { 0 });
        }
        let text = e.render().to_string();
        let text =
            text.split("\n\nUsage:").next().unwrap_or_default().replace("For more information, try '--help'.", "");
        let parts: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        let line = parts.join("; ").replace(":; ", ": ");
        let line = line.strip_prefix("error: ").unwrap_or(&line);
        crate::show::err(&format!("tutti: {line} (see tutti --help)\n"));
        ExitCode::from(2)
    })
}

/// Log lines go to stderr; other crates' only from `warn` up. What the broker's client says at each lost connection is said once,
/// in words, by who uses it.
pub fn log_to_stderr(log: &Log) {
    let others = if log.level == "error" { "error" } else { "warn" };
    let filter = EnvFilter::new(format!("{others},lapin=off,tutti={0}", log.level));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call finds the first one's subscriber in place.
    let _ = match log.format {
        "json" => lines.json().flatten_event(true).try_init(),
        _ => lines.with_ansi(crate::show::Paint::for_terminal(is_terminal()).is_on()).compact().try_init(),
    };
}

fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}

/// Stops with all problems of the configuration, after the notes.
pub fn settings(loaded: &Loaded) -> Result<crate::config::Settings, Problems> {
    let settings = loaded.server()?;
    for note in &loaded.notes {
        tracing::warn!("{note}");
    }
    Ok(settings)
}
