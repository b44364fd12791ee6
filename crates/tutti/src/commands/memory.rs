//! `tutti memory …`: what is remembered of users and conversations.

use super::page::Page;
use super::{Server, db};
use crate::client::segment;
use crate::config::Loaded;
use crate::show::{self, line};
use clap::Subcommand;
use serde_json::json;

/// What to do with what is remembered.
#[derive(Debug, Subcommand)]
pub enum Memory {
    /// Show how much is remembered
    Stats(db::Status),
    /// Forget a user, a conversation or everything; journals stay
    Clear(Clear),
    /// List what is known about a user
    Facts(Facts),
    /// Forget one fact
    Forget(Forget),
}

/// Whose memory, and what of it.
#[derive(Debug, clap::Args)]
#[group(id = "whose", required = true, multiple = false)]
pub struct Clear {
    /// This user's
    #[arg(long, value_name = "USER", group = "whose")]
    user: Option<String>,
    /// This conversation's
    #[arg(long, value_name = "SESSION", group = "whose")]
    session: Option<String>,
    /// Everybody's; needs the role admin
    #[arg(long, group = "whose")]
    all: bool,
    /// Only these: conversations, cache, state, facts
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    what: Vec<String>,
    #[command(flatten)]
    server: Server,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// Whose facts.
#[derive(Debug, clap::Args)]
pub struct Facts {
    /// The user, as whoever serves it calls it
    user: String,
    #[command(flatten)]
    page: Page,
}

/// Which fact.
#[derive(Debug, clap::Args)]
pub struct Forget {
    /// The fact's id
    fact_id: String,
    #[command(flatten)]
    server: Server,
}

/// Does it.
pub async fn run(what: &Memory, loaded: &Loaded) -> anyhow::Result<()> {
    match what {
        Memory::Stats(args) => args.tell(loaded, "/v1/memory/stats", "MEMORY").await,
        Memory::Clear(args) => clear(args, loaded).await,
        Memory::Facts(Facts { user, page }) => {
            let columns = [
                ("FACT", "/id"),
                ("CERTAIN", "/confidence"),
                ("TEXT", "/text"),
                ("SAID", "/updated_at"),
                ("RUN", "/sources/0/run_id"),
            ];
            let only = [("user_id", Some(user.clone()))];
            page.show_only(loaded, "/v1/memory/facts", &only, "facts", &columns).await
        }
        Memory::Forget(Forget { fact_id, server }) => {
            server.client(loaded)?.delete(&format!("/v1/memory/facts/{}", segment(fact_id))).await?;
            show::err("forgotten\n");
            Ok(())
        }
    }
}

async fn clear(args: &Clear, loaded: &Loaded) -> anyhow::Result<()> {
    let mut body = match (&args.user, &args.session) {
        (Some(user), _) => json!({ "user_id": user }),
        (_, Some(session)) => json!({ "session_id": session }),
        _ => json!({ "all": args.all }),
    };
    if !args.what.is_empty() {
        body["what"] = json!(args.what);
    }
    let answer = args.server.client(loaded)?.post("/v1/memory/clear", &body).await?;
    if args.json {
        return Ok(show::json(&answer)?);
    }
    let counts = answer["cleared"].as_object().into_iter().flatten();
    let counts: Vec<String> =
        counts.map(|(what, n)| format!("{} {}", n.as_u64().unwrap_or_default(), line(what))).collect();
    Ok(show::out(&format!("forgotten: {}\n", counts.join(", ")))?)
}
