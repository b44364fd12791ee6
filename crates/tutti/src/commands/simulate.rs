//! `tutti simulate`: a scripted model over HTTP, with faults on demand.

use super::Usage;
use crate::show;
use crate::watch::interrupted;
use anyhow::Context as _;
use serde_json::Value;
use tutti_agents::yaml::yaml_to_json;
use tutti_simulate::{Asks, Fault, Options, Role, companies, read_rules, router, serve};

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
    /// Companies that the marketplace sells data of (CSV: Symbol, Security, GICS Sector, GICS Sub-Industry, Headquarters
    /// Location, Founded); invented ones if absent
    #[arg(long, value_name = "FILE")]
    companies: Option<String>,
    /// In whose words the marketplace asks to be paid: seed, x402, x402-v1 or mpp
    #[arg(long, value_name = "DIALECT", default_value = "seed", value_parser = dialect)]
    dialect: Asks,
    #[command(flatten)]
    wrong: Wrong,
}

/// What goes wrong from the start; `POST /faults` changes it meanwhile.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Faults")]
struct Wrong {
    /// Wait so many milliseconds before each answer
    #[arg(long, value_name = "MS")]
    delay_ms: Option<u64>,
    /// Answer with this status, 400 to 599
    #[arg(long, value_name = "N")]
    status: Option<u16>,
    /// Seconds to name in Retry-After, beside --status
    #[arg(long, value_name = "S")]
    retry_after: Option<u64>,
    /// Never answer
    #[arg(long)]
    hang: bool,
    /// Close the connection without an answer
    #[arg(long)]
    drop: bool,
    /// Close the connection behind so many events of a streamed answer
    #[arg(long, value_name = "N")]
    cut_stream_after: Option<usize>,
    /// Answer with a web page
    #[arg(long)]
    garbage: bool,
    /// Answer with JSON that stops half way
    #[arg(long)]
    broken_json: bool,
    /// In this share of the requests, above 0 and up to 1 [default: 1]
    #[arg(long, value_name = "SHARE")]
    rate: Option<f64>,
    /// In every Nth request
    #[arg(long, value_name = "N")]
    every: Option<u64>,
    /// Do the work, payments included, and close the connection without an answer
    #[arg(long)]
    lose_answer: bool,
    /// Answer with JSON of another shape
    #[arg(long)]
    wrong_contract: bool,
    /// The marketplace asks this (JSON) instead of its price
    #[arg(long, value_name = "PRICE", allow_hyphen_values = true)]
    price: Option<Value>,
    /// The marketplace asks this after it was paid
    #[arg(long, value_name = "PRICE")]
    price_after: Option<i64>,
    /// The marketplace asks for a payment, whatever was paid
    #[arg(long)]
    always_402: bool,
    /// Send the caller elsewhere
    #[arg(long, value_name = "URL")]
    redirect: Option<String>,
    /// Only for this model
    #[arg(long, value_name = "MODEL")]
    for_model: Option<String>,
    /// Only for this part: model, router, knowledge, sentiment, decision, market, pay, payments or voice
    #[arg(long, value_name = "ROLE", value_parser = role)]
    for_role: Option<Role>,
}

/// Serves until Ctrl-C.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    let rules = args.script.as_deref().map_or(Ok(Vec::new()), rules)?;
    let companies = args.companies.as_deref().map_or(Ok(Vec::new()), sold)?;
    let options = Options { rules, faults: args.wrong.faults()?, companies, dialect: args.dialect };
    let (host, port) = (args.host.as_str(), args.port);
    let listener = tokio::net::TcpListener::bind((host, port)).await.with_context(|| {
        format!("cannot listen on {host}:{port}; choose another port with --port, or 0 for any free one")
    })?;
    let url = format!("http://{}", listener.local_addr()?);
    show::out(&format!(
        "tutti simulate listens on {url}\n\
         OpenAI     export LLM_BASE_URL={url}/v1 LLM_DEFAULT_MODEL=simulated\n\
         Anthropic  export ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=any\n\
         tickets    export ROUTER_AGENT_URL={url}/router KNOWLEDGE_AGENT_URL={url}/knowledge \
         SENTIMENT_AGENT_URL={url}/sentiment DECISION_AGENT_URL={url}/decision\n\
         research   export MARKETPLACE_URL={url}/market PAYMENT_MANAGER_URL={url}/payments VOICE_VERIFY_URL={url}/voice/verify\n\
         faults     curl {url}/faults -d '{{\"status\": 503, \"rate\": 0.05}}'   (DELETE ends them)\n\
         counts     curl {url}/stats\n"
    ))?;
    serve(listener, router(options), interrupted()).await?;
    Ok(())
}

impl Wrong {
    fn faults(&self) -> anyhow::Result<Vec<Fault>> {
        let fault = Fault {
            delay_ms: self.delay_ms,
            status: self.status,
            retry_after: self.retry_after,
            hang: self.hang,
            drop: self.drop,
            cut_stream_after: self.cut_stream_after,
            garbage: self.garbage,
            broken_json: self.broken_json,
            rate: self.rate,
            every: self.every,
            for_model: self.for_model.clone(),
            for_role: self.for_role,
            lose_answer: self.lose_answer,
            wrong_contract: self.wrong_contract,
            price: self.price.clone(),
            price_after: self.price_after,
            always_402: self.always_402,
            redirect: self.redirect.clone(),
        };
        if fault == Fault::default() {
            return Ok(Vec::new());
        }
        fault.check().map_err(Usage)?;
        Ok(vec![fault])
    }
}

fn dialect(word: &str) -> Result<Asks, String> {
    let known = || Asks::ALL.map(|(word, _)| word).join(", ");
    Asks::ALL
        .into_iter()
        .find(|(known, _)| *known == word)
        .map(|(_, asks)| asks)
        .ok_or_else(|| format!("not one of: {}", known()))
}

fn role(word: &str) -> Result<Role, String> {
    let known = || Role::ALL.map(Role::as_str).join(", ");
    Role::ALL.into_iter().find(|role| role.as_str() == word).ok_or_else(|| format!("not one of: {}", known()))
}

fn sold(file: &str) -> anyhow::Result<Vec<tutti_simulate::Company>> {
    let wrong = |why: String| Usage(format!("{file}: {why}"));
    let text = std::fs::read_to_string(file).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    Ok(companies::read(&text).map_err(wrong)?)
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
    fn what_the_document_shows_is_read() {
        let doc = include_str!("../../../../docs/simulate.md");
        let script = doc.split("```yaml").nth(1).unwrap().split("```").next().unwrap();
        assert_eq!(read_rules(yaml_to_json(script).unwrap()).unwrap().len(), 4);
        let bodies: Vec<&str> = doc.lines().filter_map(|l| l.split_once("-d '")?.1.split('\'').next()).collect();
        assert_eq!(bodies.len(), 2);
        for body in bodies {
            let faults: Value = serde_json::from_str(body).unwrap();
            let faults = faults.as_array().cloned().unwrap_or_else(|| vec![faults]);
            assert!(faults.into_iter().all(|f| serde_json::from_value::<Fault>(f).unwrap().check().is_ok()), "{body}");
        }
    }
}
