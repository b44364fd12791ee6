//! `tutti tools …`: what agents may call.

use super::page::Page;
use super::{Server, Usage, agents};
use crate::client::segment;
use crate::config::Loaded;
use crate::show::{self, Ink, line};
use clap::Subcommand;
use serde_json::Value;

/// What to do with tools.
#[derive(Debug, Subcommand)]
pub enum Tools {
    /// List every tool that agents may use
    List(Page),
    /// Register a tool from a JSON or YAML file, or replace it
    Register(agents::Register),
    /// Call a tool and print what it gives back
    Call(Call),
    /// Take what a set of tools stands for now as approved
    Approve(Delete),
    /// Take a registered tool out
    Delete(Delete),
}

/// What to call, and with what.
#[derive(Debug, clap::Args)]
pub struct Call {
    /// The tool's name
    name: String,
    /// Its arguments, a JSON object
    #[arg(default_value = "{}")]
    arguments: String,
    #[command(flatten)]
    server: Server,
    /// The whole answer as JSON
    #[arg(long)]
    json: bool,
}

/// Which tool.
#[derive(Debug, clap::Args)]
pub struct Delete {
    /// The tool's name
    name: String,
    #[command(flatten)]
    server: Server,
}

/// Does it.
pub async fn run(what: &Tools, loaded: &Loaded) -> anyhow::Result<()> {
    match what {
        Tools::List(page) => {
            let columns = [
                ("TOOL", "/name"),
                ("KIND", "/kind"),
                ("SOURCE", "/source"),
                ("EFFECT", "/effect"),
                ("DESCRIPTION", "/note|/description"),
            ];
            page.show(loaded, "/v1/tools/list", "tools", &columns).await
        }
        Tools::Register(agents::Register { file, server, json }) => {
            let body = agents::read(file)?;
            let tool = server.client(loaded)?.post("/v1/tools/register", &body).await?;
            if *json {
                return Ok(show::json(&tool)?);
            }
            Ok(show::out(&told(&tool))?)
        }
        Tools::Call(call) => run_call(call, loaded).await,
        Tools::Approve(Delete { name, server }) => {
            let path = format!("/v1/tools/{}/approve", segment(name));
            Ok(show::out(&told(&server.client(loaded)?.post(&path, &serde_json::json!({})).await?))?)
        }
        Tools::Delete(Delete { name, server }) => {
            server.client(loaded)?.delete(&format!("/v1/tools/{}", segment(name))).await?;
            Ok(show::out(&format!("{} is taken out\n", line(name)))?)
        }
    }
}

async fn run_call(call: &Call, loaded: &Loaded) -> anyhow::Result<()> {
    let wrong = |e: serde_json::Error| Usage(format!("the arguments are no JSON object: {e}"));
    let arguments: Value = serde_json::from_str(&call.arguments).map_err(wrong)?;
    let path = format!("/v1/tools/{}/call", segment(&call.name));
    let answer = call.server.client(loaded)?.post(&path, &arguments).await?;
    if call.json {
        show::json(&answer)?;
    }
    match answer["status"].as_str() {
        Some("ok") if call.json => Ok(()),
        Some("ok") => match &answer["output"] {
            Value::String(text) => Ok(show::out(&format!("{text}\n"))?),
            output => Ok(show::json(output)?),
        },
        Some("error") => anyhow::bail!("{}", line(answer["error"]["message"].as_str().unwrap_or("the call failed"))),
        _ => anyhow::bail!("the call goes on as run {}", line(answer["run_id"].as_str().unwrap_or_default())),
    }
}

/// A tool for people.
fn told(tool: &Value) -> String {
    let text = |name: &str| line(tool[name].as_str().unwrap_or("-"));
    let mut out = format!("{} · {}\n", show::paint().ink(Ink::Bold, &text("name")), text("kind"));
    if let Some(note) = tool["note"].as_str() {
        out.push_str(&format!("  ! {}\n", line(note)));
    }
    for part in tool["tools"].as_array().into_iter().flatten() {
        let text = |name: &str| line(part[name].as_str().unwrap_or("-"));
        out.push_str(&format!("  {}  {}\n", text("name"), text("description")));
    }
    out
}
