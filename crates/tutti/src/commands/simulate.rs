//! `tutti simulate`: a scripted model over HTTP, with faults on demand.

use super::Usage;
use crate::show;
use crate::watch::interrupted;
use anyhow::Context as _;
use serde_json::{Value, json};
use tutti_agents::yaml::yaml_to_json;
use tutti_simulate::{Fault, Options, read_rules, router, serve};

/// Where, and what goes wrong.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address to listen on
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    host: String,
    /// Port to listen on; 0 takes any free one
    #[arg(long, value_name = "PORT", default_value_t = 9100)]
    port: u16,
    /// Rules for single requests (YAML or JSON); what fits none gets the offline model's answer
    #[arg(long, value_name = "FILE")]
    script: Option<String>,
    /// Fault: wait so many milliseconds before each answer
    #[arg(long, value_name = "MS", conflicts_with_all = ["status", "hang", "drop", "garbage"])]
    delay_ms: Option<u64>,
    /// Fault: answer with this status
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(400..600), conflicts_with_all = ["hang", "drop", "garbage"])]
    status: Option<u16>,
    /// Fault: never answer
    #[arg(long, conflicts_with_all = ["drop", "garbage"])]
    hang: bool,
    /// Fault: cut the connection in the middle of the answer
    #[arg(long, conflicts_with = "garbage")]
    drop: bool,
    /// Fault: answer with a web page
    #[arg(long)]
    garbage: bool,
    /// The fault comes with every Nth request
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
}

/// Serves until Ctrl-C.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    let options = Options { rules: args.script.as_deref().map_or(Ok(Vec::new()), rules)?, fault: args.fault()? };
    let (host, port) = (args.host.as_str(), args.port);
    let listener = tokio::net::TcpListener::bind((host, port)).await.with_context(|| {
        format!("cannot listen on {host}:{port}; choose another port with --port, or 0 for any free one")
    })?;
    let url = format!("http://{}", listener.local_addr()?);
    show::out(&format!(
        "tutti simulate listens on {url}\nexport LLM_BASE_URL={url}/v1 LLM_DEFAULT_MODEL=simulated\n\
         faults: curl -X PUT {url}/faults -d '{{\"then\": {{\"error\": {{\"status\": 503}}}}, \"every\": 20}}' · counts: curl {url}/stats\n"
    ))?;
    serve(listener, router(options), interrupted()).await?;
    Ok(())
}

impl Args {
    fn fault(&self) -> anyhow::Result<Option<Fault>> {
        let then = match self {
            Self { delay_ms: Some(ms), .. } => json!({"delay": [ms, "answer"]}),
            Self { status: Some(status), .. } => json!({"error": {"status": status}}),
            Self { hang: true, .. } => json!("hang"),
            Self { drop: true, .. } => json!({"drop": "an answer that is cut off in its middle"}),
            Self { garbage: true, .. } => json!("garbage"),
            _ => return Ok(None),
        };
        Ok(Some(serde_json::from_value(json!({"then": then, "every": self.every}))?))
    }
}

fn rules(file: &str) -> anyhow::Result<Vec<tutti_agents::model::scripted::Rule>> {
    let wrong = |why: String| Usage(format!("{file}: {why}"));
    let text = std::fs::read_to_string(file).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    // JSON is YAML.
    let script: Value = yaml_to_json(&text).map_err(wrong)?;
    Ok(read_rules(script).map_err(wrong)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_script_is_read() {
        let doc = include_str!("../../../../docs/simulate.md");
        let script = doc.split("```yaml").nth(1).unwrap().split("```").next().unwrap();
        assert_eq!(read_rules(yaml_to_json(script).unwrap()).unwrap().len(), 4);
    }
}
