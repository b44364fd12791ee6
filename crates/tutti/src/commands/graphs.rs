//! `tutti graphs …`: check, show, keep and run graphs from the terminal.

use super::page::Page;
use super::run::request::{read_object, read_text};
use super::{Server, run, serve};
use crate::client::{Client, Failure, query, segment};
use crate::config::Loaded;
use crate::show;
use anyhow::bail;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::path::Path;
use tutti_agents::form::Loc;
use tutti_agents::yaml::Places;

/// What to do with graphs.
#[derive(Debug, Subcommand)]
pub enum Graphs {
    /// List the graphs
    List(Page),
    /// Check a graph in a file: everything that is wrong with it, each with line and column
    Validate(File),
    /// Show a graph of the server, or one in a file
    Show(Show),
    /// Keep the graph of a file on the server, in the place of the one of its name
    Put(Put),
    /// Remove a graph; a shipped one that it stood in the place of is there again
    Delete(One),
    /// Run a graph of the server, or one in a file, and print its answer
    Run(Run),
}

/// A file with a graph.
#[derive(Debug, clap::Args)]
pub struct File {
    /// YAML or JSON
    file: String,
    #[command(flatten)]
    server: Server,
}

/// Which graph, and how.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// Its name, or a file (YAML or JSON)
    graph: String,
    /// As what
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
    /// An earlier version
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    #[command(flatten)]
    server: Server,
}

/// How a graph is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Mermaid,
    Svg,
}

/// What to keep.
#[derive(Debug, clap::Args)]
pub struct Put {
    #[command(flatten)]
    file: File,
    /// Only if the graph that is there has this version
    #[arg(long, value_name = "VERSION")]
    if_match: Option<String>,
}

/// Which graph.
#[derive(Debug, clap::Args)]
pub struct One {
    /// Its name
    name: String,
    #[command(flatten)]
    server: Server,
}

/// What to run.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// Its name, or a file (YAML or JSON)
    graph: String,
    #[command(flatten)]
    how: run::How,
}

/// Does it.
pub async fn run(what: &Graphs, loaded: &Loaded) -> anyhow::Result<()> {
    match what {
        Graphs::List(page) => {
            let columns = [
                ("GRAPH", "/name"),
                ("VERSION", "/version"),
                ("SOURCE", "/source"),
                ("UPDATED", "/updated_at"),
                ("WHAT IT DOES", "/description"),
            ];
            page.show(loaded, "/v1/graphs", "graphs", &columns).await
        }
        Graphs::Validate(file) => validate(file, loaded).await,
        Graphs::Show(args) => shown(args, loaded).await,
        Graphs::Put(args) => put(args, loaded).await,
        Graphs::Delete(one) => {
            one.server.client(loaded)?.delete(&format!("/v1/graphs/{}", segment(&one.name))).await?;
            show::err(&format!("graph {} removed\n", show::line(&one.name)));
            Ok(())
        }
        Graphs::Run(args) => run_graph(args, loaded).await,
    }
}

fn is_file(text: &str) -> bool {
    let extension = Path::new(text).extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    matches!(extension.as_deref(), Some("json" | "yaml" | "yml")) || text.contains('/')
}

/// A graph from a file, and where things stand in it.
struct Written {
    file: String,
    graph: Value,
    places: Option<Places>,
}

impl Written {
    fn read(file: &str) -> anyhow::Result<Self> {
        let (text, graph) = read_object(file)?;
        Ok(Self { file: file.into(), graph: Value::Object(graph), places: Places::read(&text).ok() })
    }

    fn name(&self) -> &str {
        self.graph["name"].as_str().unwrap_or("graph")
    }

    /// Puts the graph, or only has it checked.
    async fn put(&self, client: &Client, dry_run: bool, if_match: Option<&str>) -> anyhow::Result<Value> {
        let query = query(&[("dry_run", dry_run.then(|| "true".to_owned()))]);
        let path = format!("/v1/graphs/{}{query}", segment(self.name()));
        let tag = if_match.map(|version| format!("\"{version}\""));
        client.put_if(&path, &self.graph, tag.as_deref()).await.map_err(|failure| self.placed(failure))
    }

    /// What is wrong, with line and column.
    fn placed(&self, failure: Failure) -> anyhow::Error {
        let Failure::Answered { detail, .. } = &failure else { return failure.into() };
        let lines: Vec<String> = detail.iter().map(|fault| self.fault(fault)).collect();
        if lines.is_empty() { failure.into() } else { anyhow::anyhow!(lines.join("\n")) }
    }

    fn fault(&self, fault: &Value) -> String {
        let step = |step: &Value| match step {
            Value::String(name) => Loc::from(name.clone()),
            other => Loc::from(other.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or_default()),
        };
        let path: Vec<Loc> = fault["loc"].as_array().into_iter().flatten().skip(1).map(step).collect();
        let place = self.places.as_ref().map_or_else(String::new, |places| {
            let (line, column) = places.find(&path);
            format!(":{line}:{column}")
        });
        let at = tutti_agents::form::FieldError::value([vec![Loc::from("body")], path].concat(), "").path();
        let at = if at.is_empty() { String::new() } else { format!("{at}: ") };
        show::line(&format!("{}{place}: {at}{}", self.file, fault["msg"].as_str().unwrap_or_default()))
    }
}

async fn validate(args: &File, loaded: &Loaded) -> anyhow::Result<()> {
    let written = Written::read(&args.file)?;
    let (client, stop) = Box::pin(run::reach(&args.server, loaded)).await?;
    let put = written.put(&client, true, None).await;
    if let Some(stop) = stop {
        serve::end(stop).await;
    }
    let put = put?;
    show::err(&format!("{}: graph {} is sound\n", show::line(&args.file), show::line(written.name())));
    told(&put);
    Ok(())
}

fn told(put: &Value) {
    for note in put["notes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        show::err(&format!("note: {}\n", show::line(note)));
    }
}

async fn put(args: &Put, loaded: &Loaded) -> anyhow::Result<()> {
    let written = Written::read(&args.file.file)?;
    let client = args.file.server.client(loaded)?;
    let put = written.put(&client, false, args.if_match.as_deref()).await?;
    told(&put);
    let version = put["version"].as_str().unwrap_or_default();
    show::err(&format!("graph {} kept as version {}\n", show::line(written.name()), show::line(version)));
    Ok(())
}

async fn shown(args: &Show, loaded: &Loaded) -> anyhow::Result<()> {
    let format = match args.format {
        Format::Json => None,
        Format::Mermaid => Some("mermaid".to_owned()),
        Format::Svg => Some("svg".to_owned()),
    };
    if !is_file(&args.graph) {
        let query = query(&[("version", args.version.clone()), ("format", format.clone())]);
        let path = format!("/v1/graphs/{}{query}", segment(&args.graph));
        let client = args.server.client(loaded)?;
        match format {
            None => show::json(&client.get(&path).await?)?,
            Some(_) => show::out(&client.text(&path).await?)?,
        }
        return Ok(());
    }
    if args.version.is_some() {
        bail!("a file has no earlier versions; name the graph");
    }
    let written = Written::read(&args.graph)?;
    let Some(format) = format else { return Ok(show::json(&written.graph)?) };
    let (client, stop) = Box::pin(run::reach(&args.server, loaded)).await?;
    let drawn = client.post_text(&format!("/v1/graphs/draw?format={format}"), &written.graph).await;
    if let Some(stop) = stop {
        serve::end(stop).await;
    }
    Ok(show::out(&drawn.map_err(|failure| written.placed(failure))?)?)
}

async fn run_graph(args: &Run, loaded: &Loaded) -> anyhow::Result<()> {
    let mut body = if is_file(&args.graph) {
        json!({"workflow": "graph", "input": {"graph": Written::read(&args.graph)?.graph}})
    } else {
        json!({ "workflow": args.graph })
    };
    if let Some(input) = args.how.input.as_deref().map(read_text).transpose()? {
        if is_file(&args.graph) {
            body["input"]["input"] = input;
        } else {
            body["input"] = input;
        }
    }
    Box::pin(run::start(&run::request::Request::Workflow(body), &args.how, loaded)).await
}
