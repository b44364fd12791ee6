//! Bulk work: a CSV file of tickets, a folder of articles.

use super::super::Server;
use super::wrong;
use crate::client::Client;
use crate::config::Loaded;
use crate::show;
use anyhow::bail;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tutti_agents::knowledge;

/// Tickets under way at once.
const AT_ONCE: usize = 32;
/// Articles in one request.
const ARTICLES: usize = 100;
/// Most characters of a subject that is made of a body.
const SUBJECT_CHARS: usize = 80;
/// How often the bar is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// Rows that failed, of which so many are told.
const TOLD_MAX: usize = 10;

/// A CSV file of tickets.
#[derive(Debug, clap::Args)]
pub struct Tickets {
    /// CSV with a heading: customer_id, subject, body (or text), priority, channel; only body is needed
    #[arg(value_name = "FILE.csv")]
    file: String,
    /// Only the first N rows
    #[arg(long, value_name = "N")]
    first: Option<usize>,
    /// Do not wait until each ticket is resolved or escalated
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    server: Server,
}

/// A folder of Markdown, or one file.
#[derive(Debug, clap::Args)]
pub struct Articles {
    /// Folder or file
    #[arg(value_name = "PATH")]
    path: String,
    #[command(flatten)]
    server: Server,
}

/// One bar on stderr, written over on a terminal; elsewhere only its end is told.
struct Bar {
    what: &'static str,
    all: usize,
    done: usize,
    drawn: Option<Instant>,
}

impl Bar {
    fn new(what: &'static str, all: usize) -> Self {
        Self { what, all, done: 0, drawn: None }
    }

    fn step(&mut self, n: usize) {
        self.done += n;
        let is_due = self.drawn.is_none_or(|at| at.elapsed() >= DRAW_EVERY) || self.done == self.all;
        if !is_due || !std::io::stderr().is_terminal() {
            return;
        }
        self.drawn = Some(Instant::now());
        let filled = 30 * self.done / self.all.max(1);
        let bar = "█".repeat(filled) + &"·".repeat(30 - filled);
        let end = if self.done == self.all { "\n" } else { "" };
        show::err(&format!("\r\x1b[K{bar} {}/{} {}{end}", self.done, self.all, self.what));
    }
}

impl Tickets {
    /// Sends them.
    pub async fn run(&self, loaded: &Loaded) -> anyhow::Result<()> {
        let text =
            std::fs::read_to_string(&self.file).map_err(|e| wrong(&self.file, format!("cannot be read: {e}")))?;
        let mut tickets = read(&text).map_err(|why| wrong(&self.file, why))?;
        tickets.truncate(self.first.unwrap_or(usize::MAX));
        let client = self.server.client(loaded)?;
        // The same file is the same import: its rows have the same keys.
        let name = format!("import-{:016x}", digest(&text));
        let path = if self.no_wait { "/api/tickets" } else { "/api/tickets?wait=300" };
        let mut bar = Bar::new("tickets", tickets.len());
        let mut rows = tickets.into_iter().enumerate();
        let mut open: JoinSet<Result<String, String>> = JoinSet::new();
        let (mut by_status, mut failed): (BTreeMap<String, usize>, Vec<String>) = (BTreeMap::new(), Vec::new());
        loop {
            while open.len() < AT_ONCE
                && let Some((n, (row, ticket))) = rows.next()
            {
                let (client, key) = (client.clone(), format!("{name}-{n}"));
                open.spawn(async move { send(&client, path, &key, row, &ticket).await });
            }
            let Some(done) = open.join_next().await else { break };
            match done? {
                Ok(status) => *by_status.entry(status).or_default() += 1,
                Err(why) => failed.push(why),
            }
            bar.step(1);
        }
        for (status, n) in &by_status {
            show::out(&format!("{n:>7} {}\n", show::line(status)))?;
        }
        for why in failed.iter().take(TOLD_MAX) {
            show::err(&format!("{}\n", show::line(why)));
        }
        match failed.len() {
            0 => Ok(()),
            n => bail!("{n} of {} tickets were not taken; mend them and import the file again", bar.all),
        }
    }
}

async fn send(client: &Client, path: &str, key: &str, row: u64, ticket: &Value) -> Result<String, String> {
    let answer = client.post_once(path, ticket, key).await.map_err(|e| format!("line {row}: {e}"))?;
    Ok(answer["status"].as_str().unwrap_or("?").to_owned())
}

/// Each row as a ticket, with its line.
fn read(text: &str) -> Result<Vec<(u64, Value)>, String> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let headings = reader.headers().map_err(|e| e.to_string())?.clone();
    let column = |name: &str| headings.iter().position(|heading| heading.trim().eq_ignore_ascii_case(name));
    let body = column("body").or_else(|| column("text"));
    let body = body.ok_or("line 1: there is no column body (or text)")?;
    let optional = ["customer_id", "subject", "priority", "channel"].map(|name| (name, column(name)));
    let mut tickets = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| e.to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        let body = record.get(body).unwrap_or_default();
        let mut ticket = Map::new();
        ticket.insert("customer_id".into(), json!("imported"));
        ticket.insert("subject".into(), json!(body.chars().take(SUBJECT_CHARS).collect::<String>()));
        ticket.insert("body".into(), json!(body));
        for (name, at) in optional {
            if let Some(value) = at.and_then(|at| record.get(at)).filter(|value| !value.trim().is_empty()) {
                ticket.insert(name.into(), json!(value));
            }
        }
        tickets.push((line, Value::Object(ticket)));
    }
    Ok(tickets)
}

/// Tells files apart; nothing is proved by it.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Articles {
    /// Sends them.
    pub async fn run(&self, loaded: &Loaded) -> anyhow::Result<()> {
        let path = Path::new(&self.path);
        let articles = if path.is_dir() {
            knowledge::read_folder(path)
        } else {
            knowledge::read_file(path.parent().unwrap_or(path), path).map(|article| vec![article])
        };
        let articles = articles.map_err(|why| wrong(&self.path, why))?;
        if articles.is_empty() {
            return Err(wrong(&self.path, "there is no Markdown file (*.md) in it").into());
        }
        let client = self.server.client(loaded)?;
        let mut bar = Bar::new("articles", articles.len());
        for chunk in articles.chunks(ARTICLES) {
            client.put("/api/articles", &json!({ "articles": chunk })).await?;
            bar.step(chunk.len());
        }
        Ok(show::out(&format!("{:>7} articles\n", articles.len()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_tickets() {
        let text = "text,category\nHow do I locate my card?,card_arrival\n\"Two\nlines\",x\n";
        let tickets = read(text).unwrap();
        assert_eq!(
            tickets[0],
            (
                2,
                json!({"customer_id": "imported", "subject": "How do I locate my card?",
            "body": "How do I locate my card?"})
            )
        );
        assert_eq!((tickets[1].0, &tickets[1].1["body"]), (3, &json!("Two\nlines")));
        let full = read("customer_id,subject,body,priority\nann,S,B,high\nbob,,B,\n").unwrap();
        assert_eq!(full[0].1, json!({"customer_id": "ann", "subject": "S", "body": "B", "priority": "high"}));
        assert_eq!(full[1].1, json!({"customer_id": "bob", "subject": "B", "body": "B"}));
        assert!(read("a,b\n1,2\n").unwrap_err().contains("no column body"));
        assert_ne!(digest("a"), digest("b"));
    }
}
