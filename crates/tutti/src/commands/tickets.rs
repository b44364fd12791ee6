//! `tutti tickets …`: a support desk from the terminal.

mod import;

use super::page::Page;
use super::{Server, Usage};
use crate::client::segment;
use crate::config::Loaded;
use crate::show::{self, Ink, clean, line};
use clap::Subcommand;
use serde_json::{Map, Value, json};

/// What to do with tickets.
#[derive(Debug, Subcommand)]
pub enum Tickets {
    /// List tickets, those worked on last first
    List(List),
    /// Show a ticket and its way
    Get(One),
    /// Send a ticket; waits until it is resolved or escalated
    Create(Create),
    /// Close an escalated ticket
    Resolve(Resolve),
    /// Have an escalated ticket worked on again
    Retry(One),
    /// Send every row of a CSV file as a ticket; a file that is sent again sends no ticket twice
    Import(import::Tickets),
    /// Fill the knowledge base from a folder of Markdown, or from one file
    ImportKb(import::Articles),
    /// Ask the knowledge base
    Search(Search),
}

/// Which tickets.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only with this status, e.g. ESCALATED
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// Only this customer's
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    #[command(flatten)]
    page: Page,
}

/// Which ticket.
#[derive(Debug, clap::Args)]
pub struct One {
    /// The ticket's id
    ticket_id: String,
    #[command(flatten)]
    server: Server,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// A new ticket.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// Whose it is
    #[arg(long, value_name = "ID")]
    customer: String,
    /// What it is about
    #[arg(long, value_name = "TEXT")]
    subject: String,
    /// What happened
    #[arg(long, value_name = "TEXT")]
    body: String,
    /// low, normal, high or urgent; the router decides if absent
    #[arg(long, value_name = "WORD")]
    priority: Option<String>,
    #[command(flatten)]
    server: Server,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// A person's answer.
#[derive(Debug, clap::Args)]
pub struct Resolve {
    #[command(flatten)]
    one: One,
    /// What the customer is told
    #[arg(long, value_name = "TEXT")]
    response: String,
    /// For colleagues
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// A question to the knowledge base.
#[derive(Debug, clap::Args)]
pub struct Search {
    /// In any words; everything is listed without
    question: Option<String>,
    #[command(flatten)]
    page: Page,
}

/// Does it.
pub async fn run(what: &Tickets, loaded: &Loaded) -> anyhow::Result<()> {
    match what {
        Tickets::List(list) => {
            let columns = [
                ("TICKET", "/ticket_id"),
                ("STATUS", "/status"),
                ("PRIORITY", "/priority"),
                ("CATEGORY", "/category"),
                ("CUSTOMER", "/customer_id"),
                ("SUBJECT", "/subject"),
                ("UPDATED", "/updated_at"),
            ];
            let only = [("status", list.status.clone()), ("customer_id", list.customer.clone())];
            list.page.show_only(loaded, "/api/tickets", &only, "tickets", &columns).await
        }
        Tickets::Get(one) => tell(one.json, &one.server.client(loaded)?.get(&one.path("")).await?),
        Tickets::Create(create) => {
            let mut ticket = Map::new();
            let given = [("customer_id", &create.customer), ("subject", &create.subject), ("body", &create.body)];
            ticket.extend(given.map(|(name, text)| (name.to_owned(), json!(text))));
            ticket.extend(create.priority.iter().map(|word| ("priority".to_owned(), json!(word))));
            let client = create.server.client(loaded)?;
            tell(create.json, &client.post("/api/tickets?wait=300", &Value::Object(ticket)).await?)
        }
        Tickets::Resolve(Resolve { one, response, note }) => {
            let mut body = json!({ "response": response });
            if let Some(note) = note {
                body["note"] = json!(note);
            }
            tell(one.json, &one.server.client(loaded)?.post(&one.path("/resolve"), &body).await?)
        }
        Tickets::Retry(one) => {
            tell(one.json, &one.server.client(loaded)?.post(&one.path("/retry?wait=300"), &json!({})).await?)
        }
        Tickets::Import(import) => import.run(loaded).await,
        Tickets::ImportKb(import) => import.run(loaded).await,
        Tickets::Search(Search { question, page }) => {
            let columns = [("ARTICLE", "/id"), ("SCORE", "/score"), ("TITLE", "/title"), ("TEXT", "/content")];
            page.show_only(loaded, "/api/articles", &[("query", question.clone())], "articles", &columns).await
        }
    }
}

impl One {
    fn path(&self, rest: &str) -> String {
        format!("/api/tickets/{}{rest}", segment(&self.ticket_id))
    }
}

/// A ticket for people: where it stands, what was decided, its way, what went wrong.
fn tell(is_json: bool, ticket: &Value) -> anyhow::Result<()> {
    if is_json {
        return Ok(show::json(ticket)?);
    }
    let paint = show::paint();
    let text = |pointer: &str| line(ticket.pointer(pointer).and_then(Value::as_str).unwrap_or("-"));
    let mut out = format!(
        "{} {}  {}  {}\n{}\n",
        paint.ink(Ink::Bold, &text("/status")),
        text("/ticket_id"),
        text("/category"),
        text("/priority"),
        text("/subject")
    );
    for moment in ticket["history"].as_array().into_iter().flatten() {
        let took = moment["took_ms"].as_i64().map_or_else(String::new, |ms| format!("  {ms} ms"));
        let word = if moment["fallback"] == true { "  fallback" } else { "" };
        let status = line(moment["status"].as_str().unwrap_or_default());
        out.push_str(&format!("  {} {status:<19}{took}{word}\n", line(moment["at"].as_str().unwrap_or_default())));
    }
    for error in ticket["errors"].as_array().into_iter().flatten() {
        out.push_str(&format!("  ! {}\n", line(error["message"].as_str().unwrap_or_default())));
    }
    let response = ticket.pointer("/decision/response").and_then(Value::as_str).unwrap_or_default();
    if !response.trim().is_empty() {
        out.push_str(&format!("\n{}\n", clean(response).trim_end()));
    }
    Ok(show::out(&out)?)
}

/// The caller's mistake in a file.
fn wrong(file: &str, why: impl std::fmt::Display) -> Usage {
    Usage(format!("{file}: {why}"))
}
