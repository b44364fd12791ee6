//! Tutti runs teams of AI agents so that an operator can trust them.

mod backends;
mod client;
mod commands;
mod config;
mod discovery;
mod key;
mod role;
mod show;
mod watch;
mod wiring;

use commands::{Cli, Command, Usage, approvals::Approvals, key::Key, read_pdf::READ_PDF, runs::Runs};
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == READ_PDF) {
        return commands::read_pdf::run();
    }
    // Before anything is read or begun: a worker of the sandbox has nothing of ours.
    if std::env::args_os().nth(1).is_some_and(|command| command == tutti_sandbox::worker::COMMAND) {
        return tutti_sandbox::worker::main();
    }
    let cli = match commands::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let loaded = config::load(cli.flags(), cli.config.as_deref());
    commands::log_to_stderr(&loaded.log());
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => Box::pin(commands::serve::run(&args, &loaded)).await,
            Command::Demo(args) => Box::pin(commands::demo::run(&args, &loaded)).await,
            Command::Run(args) => Box::pin(commands::run::run(&args, &loaded)).await,
            Command::Runs(Runs::List(args)) => commands::runs::list::run(&args, &loaded).await,
            Command::Runs(Runs::Get(args)) => commands::runs::get::run(&args, &loaded).await,
            Command::Runs(Runs::Events(args)) => commands::runs::events::run(&args, &loaded).await,
            Command::Runs(Runs::Cancel(args)) => commands::runs::cancel::run(&args, &loaded).await,
            Command::Runs(Runs::Signal(args)) => commands::runs::signal::run(&args, &loaded).await,
            Command::Runs(Runs::Approve(args)) => commands::runs::approve::run(&args, "approve", &loaded).await,
            Command::Runs(Runs::Reject(args)) => commands::runs::approve::run(&args, "reject", &loaded).await,
            Command::Approvals(Approvals::List(page)) => commands::approvals::run(&page, &loaded).await,
            Command::Sessions(what) => commands::sessions::run(&what, &loaded).await,
            Command::Tickets(what) => commands::tickets::run(&what, &loaded).await,
            Command::Tasks(what) => commands::tasks::run(&what, &loaded).await,
            Command::Patterns(args) => commands::catalog::patterns(&args, &loaded).await,
            Command::Agents(what) => commands::agents::run(&what, &loaded).await,
            Command::Graphs(what) => Box::pin(commands::graphs::run(&what, &loaded)).await,
            Command::Documents(what) => commands::documents::run(&what, &loaded).await,
            Command::DataSources(what) => commands::data_sources::run(&what, &loaded).await,
            Command::Search(args) => commands::search::run(&args, &loaded).await,
            Command::Models(what) => commands::models::run(&what, &loaded).await,
            Command::Memory(what) => commands::memory::run(&what, &loaded).await,
            Command::Tools(what) => commands::tools::run(&what, &loaded).await,
            Command::Budgets(page) => commands::catalog::budgets(&page, &loaded).await,
            Command::Workflows(page) => commands::catalog::workflows(&page, &loaded).await,
            Command::Export(args) => commands::export::run(&args, &loaded).await,
            Command::Import(args) => commands::import::run(&args, &loaded).await,
            Command::Simulate(args) => commands::simulate::run(&args).await,
            Command::Key(Key::Show(args)) => commands::key::run(&args, &loaded),
            Command::Config(args) => commands::config::run(&args, &loaded),
            Command::Db(args) => commands::db::status(&args, &loaded).await,
            Command::Prune(args) => commands::db::prune(&args, &loaded).await,
            Command::Health(args) => commands::health::run(&args, &loaded).await,
            Command::Completions(args) => commands::completions::run(&args),
            Command::Man(args) => commands::man::run(&args),
        }
    });
    // What still reads or writes in the background is of no use any more.
    runtime.shutdown_background();
    result
}

/// One line per fault on stderr; 0 when only the reader went away, 2 for wrong usage, 1 for the rest.
fn fail(error: &anyhow::Error) -> ExitCode {
    if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    for line in format!("{error:#}").lines().filter(|line| !line.trim().is_empty()) {
        show::err(&format!("tutti: {line}\n"));
    }
    let usage =
        error.is::<Usage>() || error.downcast_ref().is_some_and(|p: &config::Problems| p.0.iter().any(|p| p.usage));
    ExitCode::from(if usage { 2 } else { 1 })
}
