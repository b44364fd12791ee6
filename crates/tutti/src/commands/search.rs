//! `tutti search`: what the documents say about a question.

use super::Server;
use crate::config::Loaded;
use crate::show::{self, Ink, clean, line};
use serde_json::{Value, json};

/// The question.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// In any words
    #[arg(value_name = "QUERY")]
    query: String,
    /// How many passages, at most 50
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=50))]
    limit: Option<u8>,
    /// Only in this document; may be given several times
    #[arg(long, value_name = "ID")]
    document: Vec<String>,
    #[command(flatten)]
    server: Server,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// Asks.
pub async fn run(args: &Args, loaded: &Loaded) -> anyhow::Result<()> {
    let mut body = json!({"query": args.query, "documents": args.document});
    if let Some(limit) = args.limit {
        body["limit"] = limit.into();
    }
    let found = args.server.client(loaded)?.post("/v1/search", &body).await?;
    if args.json {
        return Ok(show::json(&found)?);
    }
    if let Some(note) = found["note"].as_str() {
        show::err(&format!("by words alone: {}\n", line(note)));
    }
    let items = found["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() {
        show::err("nothing was found\n");
        return Ok(());
    }
    let paint = show::paint();
    let mut out = String::new();
    for (n, item) in items.iter().enumerate() {
        let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
        let title = paint.ink(Ink::Bold, &line(text("title")));
        let place = format!(
            "{}, characters {}-{}, score {}",
            line(text("document_id")),
            item["start"],
            item["end"],
            item["score"]
        );
        out.push_str(&format!("[{}] {title}  {}\n{}\n\n", n + 1, paint.ink(Ink::Dim, &place), clean(text("passage"))));
    }
    Ok(show::out(out.trim_end_matches('\n')).and_then(|()| show::out("\n"))?)
}
