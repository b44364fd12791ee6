//! `tutti models …`: what the providers of a server offer, and whether they answer.

use super::Server;
use super::page::Page;
use super::run::read_bounded;
use crate::config::Loaded;
use crate::show::{self, line};
use clap::Subcommand;
use serde_json::{Value, json};

/// What to do with models.
#[derive(Debug, Subcommand)]
pub enum Models {
    /// List providers and routes with the models that they offer
    List(Page),
    /// Ask a model one short question; exits 1 where no answer comes
    Test(Test),
    /// Say how many tokens a text has
    Count(Count),
}

/// Which model.
#[derive(Debug, clap::Args)]
pub struct Test {
    /// As agents write it: a model, or NAME:model; the default if absent
    model: Option<String>,
    #[command(flatten)]
    server: Server,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// Which text, for which model.
#[derive(Debug, clap::Args)]
pub struct Count {
    /// The text, or - for stdin
    text: String,
    /// As agents write it; the default if absent
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    #[command(flatten)]
    server: Server,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// Does it.
pub async fn run(what: &Models, loaded: &Loaded) -> anyhow::Result<()> {
    match what {
        Models::List(page) => {
            let columns = [
                ("PROVIDER", "/provider"),
                ("KIND", "/kind"),
                ("DEFAULT", "/is_default"),
                ("ITS MODEL", "/default_model"),
                ("OFFERS", "/error|/hops|/models"),
            ];
            page.show(loaded, "/v1/llm/models", "models", &columns).await
        }
        Models::Test(test) => try_out(test, loaded).await,
        Models::Count(args) => count(args, loaded).await,
    }
}

async fn count(Count { text, model, server, json: is_json }: &Count, loaded: &Loaded) -> anyhow::Result<()> {
    let text = if text == "-" { read_bounded(std::io::stdin(), "stdin")? } else { text.clone() };
    let body = json!({"text": text, "model": model});
    let counted = server.client(loaded)?.post("/v1/llm/count-tokens", &body).await?;
    if *is_json {
        return Ok(show::json(&counted)?);
    }
    let how = if counted["exact"] == true { "counted" } else { "estimated" };
    Ok(show::out(&format!("{} tokens, {how}\n", counted["tokens"].as_u64().unwrap_or_default()))?)
}

async fn try_out(Test { model, server, json: is_json }: &Test, loaded: &Loaded) -> anyhow::Result<()> {
    let body = model.as_ref().map_or_else(|| json!({}), |model| json!({ "model": model }));
    let tried = server.client(loaded)?.post("/v1/llm/test-connection", &body).await?;
    let text = |name: &str| line(tried.get(name).and_then(Value::as_str).unwrap_or("-"));
    if *is_json {
        show::json(&tried)?;
    }
    let ms = tried["latency_ms"].as_u64().unwrap_or_default();
    if tried["ok"] != true {
        anyhow::bail!("no answer after {ms} ms: {}", text("error"));
    }
    if !*is_json {
        show::out(&format!("{} answered within {ms} ms\n", text("model")))?;
    }
    Ok(())
}
