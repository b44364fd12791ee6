//! `tutti data-sources …`: places outside that answers may be grounded in.

use super::page::Page;
use super::{Server, Usage};
use crate::client::segment;
use crate::config::Loaded;
use crate::show::{self, line, table::table};
use clap::Subcommand;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What to do with data sources.
#[derive(Debug, Subcommand)]
pub enum DataSources {
    /// List data sources
    List(Page),
    /// Show a data source, without its secrets
    Get(One),
    /// Keep a data source that a JSON file describes, in the place of the one of its name
    Add(Add),
    /// Take a data source out
    Delete(One),
    /// Ask a data source
    Query(Query),
}

/// Which data source.
#[derive(Debug, clap::Args)]
pub struct One {
    /// Its name
    name: String,
    #[command(flatten)]
    server: Server,
}

/// A description.
#[derive(Debug, clap::Args)]
pub struct Add {
    /// JSON: {"name", "kind": "http" or "sql", "description", "config"}; `-` is standard input
    #[arg(value_name = "FILE.json")]
    file: String,
    #[command(flatten)]
    server: Server,
}

/// A question.
#[derive(Debug, clap::Args)]
pub struct Query {
    #[command(flatten)]
    one: One,
    /// What stands for {{query}}, or for $1
    #[arg(value_name = "QUERY")]
    query: Option<String>,
    /// Another argument; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    argument: Vec<String>,
    /// JSON for programs
    #[arg(long)]
    json: bool,
}

/// Does it.
pub async fn run(what: &DataSources, loaded: &Loaded) -> anyhow::Result<()> {
    match what {
        DataSources::List(page) => {
            let columns = [
                ("SOURCE", "/name"),
                ("KIND", "/kind"),
                ("WHERE", "/config/url|/config/file|/config/dsn"),
                ("ABOUT", "/description"),
            ];
            page.show(loaded, "/v1/data-sources", "data sources", &columns).await
        }
        DataSources::Get(one) => Ok(show::json(&one.server.client(loaded)?.get(&one.path("")).await?)?),
        DataSources::Add(args) => {
            let source = read(&args.file)?;
            let kept = args.server.client(loaded)?.post("/v1/data-sources", &source).await?;
            show::err(&format!("data source {} is kept\n", line(kept["name"].as_str().unwrap_or_default())));
            Ok(())
        }
        DataSources::Delete(one) => {
            one.server.client(loaded)?.delete(&one.path("")).await?;
            show::err(&format!("data source {} is taken out\n", line(&one.name)));
            Ok(())
        }
        DataSources::Query(args) => query(args, loaded).await,
    }
}

impl One {
    fn path(&self, rest: &str) -> String {
        format!("/v1/data-sources/{}{rest}", segment(&self.name))
    }
}

fn read(file: &str) -> anyhow::Result<Value> {
    let wrong = |e: &dyn std::fmt::Display| Usage(format!("{file}: {e}"));
    let text = if file == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(file) };
    Ok(serde_json::from_str(&text.map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?)
}

async fn query(args: &Query, loaded: &Loaded) -> anyhow::Result<()> {
    let mut arguments = Map::new();
    arguments.extend(args.query.iter().map(|query| ("query".to_owned(), json!(query))));
    for pair in &args.argument {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(Usage(format!("--argument {pair}: it should be NAME=VALUE")).into());
        };
        arguments.insert(name.to_owned(), json!(value));
    }
    let client = args.one.server.client(loaded)?;
    let answer = client.post(&args.one.path("/query"), &Value::Object(arguments)).await?;
    if args.json {
        return Ok(show::json(&answer)?);
    }
    if let Some(error) = answer.pointer("/error/message").and_then(Value::as_str) {
        anyhow::bail!("{}", line(error));
    }
    let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() {
        show::err("it answered nothing\n");
        return Ok(());
    }
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut seen = BTreeSet::new();
    let names =
        items.iter().filter_map(Value::as_object).flat_map(Map::keys).filter(|name| seen.insert((*name).clone()));
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() {
        let lines: String = items.iter().map(|item| format!("{}\n", line(&word(item)))).collect();
        return Ok(show::out(&lines)?);
    }
    let row = |item: &Value| names.iter().map(|name| item.get(*name).map_or_else(|| "-".into(), word)).collect();
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    show::out(&table(show::paint(), &names, &rows))?;
    if answer["is_cut"] == true {
        show::err("there is more than may be read\n");
    }
    Ok(())
}
