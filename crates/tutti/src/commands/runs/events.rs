//! `tutti runs events`.

use crate::commands::Server;
use crate::config::Loaded;
use crate::show::{self, Story, short};
use crate::watch::{Over, View, watch};

/// Which run, and from where.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run's id
    run_id: String,
    /// Begin behind this event
    #[arg(long, value_name = "N")]
    after: Option<u64>,
    #[command(flatten)]
    server: Server,
    /// Each event as a line of JSON
    #[arg(long)]
    json: bool,
}

/// Tells a run's story until it ends, a person is needed, or Ctrl-C. Fails only when the story cannot be had.
pub async fn run(args: &Args, loaded: &Loaded) -> anyhow::Result<()> {
    let client = args.server.client(loaded)?;
    let story = || Story::new(show::paint(), show::width()).of(&args.run_id);
    let view = if args.json { View::Lines } else { View::Story(Box::new(story())) };
    let follow = client.follow(&args.run_id, args.after);
    let watched = watch(&client, follow, Some(args.run_id.clone()), view).await?;
    match watched.over {
        Over::Detached => show::err("tutti: detached; the run goes on\n"),
        Over::Blocked => show::err(&format!("tutti: run {} needs a person\n", short(&args.run_id, 100))),
        Over::Ended(_) | Over::Closed => {}
    }
    Ok(())
}
