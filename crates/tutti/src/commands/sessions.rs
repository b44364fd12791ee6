//! `tutti sessions …`: conversations.

use super::Server;
use super::page::Page;
use crate::client::segment;
use crate::config::Loaded;
use crate::show::{self, Ink, clean, line};
use clap::Subcommand;
use serde_json::Value;

/// What to do with sessions.
#[derive(Debug, Subcommand)]
pub enum Sessions {
    /// List sessions, newest first
    List(Page),
    /// Show what was said in a session
    Get(One),
    /// Show what the next run of a session would read
    Context(Context),
    /// Delete a session and cancel its runs
    Delete(One),
}

/// Which session.
#[derive(Debug, clap::Args)]
pub struct One {
    /// The session's id
    session_id: String,
    #[command(flatten)]
    server: Server,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// Which session, and in which form.
#[derive(Debug, clap::Args)]
pub struct Context {
    #[command(flatten)]
    one: One,
    /// As the server gives it: json or markdown
    #[arg(long, value_enum, conflicts_with = "json")]
    format: Option<Format>,
}

/// A form of a session's context.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    Json,
    Markdown,
}

/// Does it.
pub async fn run(what: &Sessions, loaded: &Loaded) -> anyhow::Result<()> {
    match what {
        Sessions::List(page) => {
            let columns = [
                ("SESSION", "/session_id"),
                ("STATE", "/state"),
                ("RUN", "/run_id"),
                ("CREATED", "/created_at"),
                ("UPDATED", "/updated_at"),
            ];
            page.show(loaded, "/sessions", "sessions", &columns).await
        }
        Sessions::Get(one) => tell(one, one.read(loaded, "").await?),
        Sessions::Context(Context { one, format: Some(Format::Markdown) }) => {
            let text = one.server.client(loaded)?.text(&one.path("/context?format=markdown")).await?;
            Ok(show::out(&format!("{}\n", clean(&text).trim_end()))?)
        }
        Sessions::Context(Context { one, format: Some(Format::Json) }) => {
            Ok(show::json(&one.read(loaded, "/context").await?)?)
        }
        Sessions::Context(Context { one, format: None }) => tell(one, one.read(loaded, "/context").await?),
        Sessions::Delete(one) => {
            one.server.client(loaded)?.delete(&one.path("")).await?;
            show::err(&format!("session {} is deleted\n", line(&one.session_id)));
            Ok(())
        }
    }
}

impl One {
    fn path(&self, rest: &str) -> String {
        format!("/sessions/{}{rest}", segment(&self.session_id))
    }

    async fn read(&self, loaded: &Loaded, rest: &str) -> anyhow::Result<Value> {
        Ok(self.server.client(loaded)?.get(&self.path(rest)).await?)
    }
}

fn tell(one: &One, session: Value) -> anyhow::Result<()> {
    if one.json {
        return Ok(show::json(&session)?);
    }
    let paint = show::paint();
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
    let mut out = String::new();
    for message in session.get("messages").and_then(Value::as_array).into_iter().flatten() {
        let who = text(message, "agent").or_else(|| text(message, "role")).unwrap_or_default();
        let at = text(message, "at").unwrap_or_default();
        let head = format!("{} {}", paint.ink(Ink::Bold, &line(&who)), paint.ink(Ink::Dim, &line(&at)));
        out.push_str(&format!("{head}\n{}\n\n", clean(&text(message, "content").unwrap_or_default()).trim_end()));
    }
    if out.is_empty() {
        show::err("nothing was said yet\n");
        return Ok(());
    }
    Ok(show::out(&out)?)
}
