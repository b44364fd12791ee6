//! `tutti health`: asks a server how it is.

use super::Server;
use crate::config::Loaded;
use crate::show::{self, Ink, Paint, line, table::table};
use serde_json::Value;

/// Which server, and how to show it.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Server,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// Shows the server's health; fails when it is unhealthy.
pub async fn run(args: &Args, loaded: &Loaded) -> anyhow::Result<()> {
    let client = args.server.client(loaded)?;
    let (status, health) = client.look("/health").await?;
    let Some(word) = health.get("status").and_then(Value::as_str) else {
        return Err(crate::client::Failure::strange(client.url(), status).into());
    };
    if args.json {
        show::json(&health)?;
    } else {
        show::out(&as_text(show::paint(), client.url(), word, &health))?;
    }
    if word == "unhealthy" || status >= 500 {
        anyhow::bail!("the server at {} is {}", client.url(), line(word));
    }
    Ok(())
}

fn as_text(paint: Paint, url: &str, word: &str, health: &Value) -> String {
    let ink = match word {
        "healthy" => Ink::Good,
        "degraded" => Ink::Care,
        _ => Ink::Bad,
    };
    let version = health.get("version").and_then(Value::as_str).unwrap_or("?");
    let mut text = format!("{} · tutti {} at {url}\n", paint.ink(ink, &line(word)), line(version));
    for section in ["parts", "configuration"] {
        let Some(parts) = health.get(section).and_then(Value::as_object).filter(|p| !p.is_empty()) else { continue };
        let rows: Vec<Vec<String>> = parts.iter().map(|(name, part)| vec![name.clone(), state(part)]).collect();
        text.push('\n');
        text.push_str(&table(paint, &[&section.to_uppercase(), "STATE"], &rows));
    }
    text
}

/// A part is a word, or an object whose `status` is one.
fn state(part: &Value) -> String {
    match part {
        Value::String(word) => word.clone(),
        Value::Object(fields) => {
            let rest = fields.iter().filter(|(name, _)| *name != "status");
            let rest: Vec<String> =
                rest.map(|(n, v)| format!("{n}={}", v.as_str().map_or_else(|| v.to_string(), str::to_owned))).collect();
            let word = fields.get("status").and_then(Value::as_str).unwrap_or_default();
            format!("{word} {}", rest.join(" ")).trim().to_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parts_in_either_shape() {
        let health = json!({"status": "degraded", "version": "0.1.0",
            "parts": {"store": {"status": "ok", "kind": "sqlite"}, "cache": "absent"}});
        let text = as_text(Paint::PLAIN, "http://h", "degraded", &health);
        assert_eq!(text, "degraded · tutti 0.1.0 at http://h\n\nPARTS  STATE\nstore  ok kind=sqlite\ncache  absent\n");
    }
}
