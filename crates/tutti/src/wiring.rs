//! All construction: settings become ports, an engine, the application and a router.

use crate::backends::Backends;
use crate::commands::read_pdf::READ_PDF;
use crate::config::Settings;
use crate::config::agents::CARD;
use crate::config::calls::Calls;
use crate::config::data::Data;
use crate::config::model::Model;
use crate::config::orchestrator::Orchestrator;
use crate::discovery::{self, Discovery};
use crate::key;
use crate::role::Role;
use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use tutti_agents::agent::AgentBook;
use tutti_agents::discovery::Books;
use tutti_agents::egress::{Egress, EgressPolicy};
use tutti_agents::grounding::{self, Library, pdf};
use tutti_agents::model::{self, Provider, ProviderRef, Providers, RateLimits};
use tutti_agents::payment::{self, TestSigner, Wallet};
use tutti_agents::team::Asking;
use tutti_agents::ticket_agents::Stage;
use tutti_agents::tool::shelf::{self, Shelf};
use tutti_agents::tool::{self, Definition, ToolBook, code};
use tutti_agents::{cache, external, knowledge, memory, registry, sources, srv, vault};
use tutti_app::tasks::Research;
use tutti_app::tools::file_tool;
use tutti_app::{App, Parts, Render, metrics};
use tutti_engine::Registry;
use tutti_engine::activity::Retry;
use tutti_engine::driver::{Engine, Observer, Options, Ports, Recall, Retention, SystemClock};
use tutti_engine::ports::jobs::JobBroker;
use tutti_engine::ports::knowledge::KnowledgeBase;
use tutti_engine::ports::outbound::Outbound;
use tutti_engine::ports::records::Records;
use tutti_engine::run::{RunNo, Time};
use tutti_engine::session::Window;
use tutti_engine::shard::wire::End;
use tutti_server::ServerOptions;
use tutti_stores::knowledge::SqliteKnowledge;
use tutti_stores::queries::Queries;
use tutti_workflows::{
    agents as agent_workflows, graph, memory as memory_workflows, noop, patterns, recall, research, task, tickets,
    tool_call,
};

/// How long live runs may go on once the server is asked to stop; after it they are given back to the store.
const DRAIN: Duration = Duration::from_secs(10);
/// How long the start waits for the tools of servers in the operator's file.
const TOOLS_WAIT: Duration = Duration::from_secs(3);
/// The longest wait between two attempts.
const RETRY_CAP_MS: u64 = 30_000;

/// Ends a server in good order; resolves when it has ended.
pub type Stop = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// A server that runs in this process.
pub struct Running {
    /// Where it listens, e.g. `http://127.0.0.1:8000`, without a slash at its end.
    pub url: String,
    /// What other machines must show, and proxies of this one; `None` where everybody is served who gets through.
    pub key: Option<SecretString>,
    /// Ends it.
    pub stop: Stop,
}

/// Starts a server. Fails with one line for people: a port that is taken, a data directory that is locked, read-only,
/// full, or from a newer version.
pub async fn start(settings: &Settings) -> anyhow::Result<Running> {
    if let Some(server) = settings.calls.dns_server {
        srv::use_server(server).map_err(anyhow::Error::msg)?;
    }
    let research = research(settings);
    let policy = egress(settings, &research)?;
    let outbound = Arc::new(Egress::new(policy.clone()));
    let book = agents(settings, outbound.as_ref()).await?;
    let tools = tools(settings, &book)?;
    let listener = listen(settings).await?;
    let backends = Backends::open(settings).await?;
    let is_open = !listener.local_addr()?.ip().to_canonical().is_loopback();
    let key = admin_key(settings, is_open)?;
    let ports = Ports {
        store: Arc::clone(&backends.store),
        bus: Arc::clone(&backends.bus),
        clock: Arc::new(SystemClock::default()),
        outbound: outbound.clone(),
        queue: backends.queue.clone(),
        cache: Some(Arc::clone(&backends.cache)),
    };
    install(settings, &backends, &outbound)?;
    let books = Books::from(book.clone().with_policy(policy.clone()));
    let looks = Discovery::new(settings, book.with_policy(policy), books.clone(), outbound.clone())?;
    let records = Arc::clone(&backends.records);
    let shelf = shelf(settings, tools, Arc::clone(&records), outbound);
    let silence = settings.orchestrator.silence;
    registry::install(registry::Installed { records: Arc::clone(&records), books: books.clone(), silence });
    let (ended, over) = tokio::sync::mpsc::unbounded_channel();
    let bounds = Options { observer: observer(ended), ..bounds(settings) };
    let engine = Engine::start(ports, workflows(settings), bounds).await?;

    let url = url(settings, &listener)?;
    let options = ServerOptions {
        hosts: settings.guard.hosts.clone(),
        is_open,
        is_worker: settings.role == Role::Worker,
        key: key.clone(),
        origins: settings.listen.cors_origins.clone(),
        ..ServerOptions::default()
    };
    let jobs = backends.jobs.clone();
    let app = App::new(engine.clone(), application(settings, books, research, records, jobs, backends.parts()));
    tokio::spawn(forget_voices(app.clone(), over));
    let desk = tokio::spawn(app.clone().keep_desk());
    let job_desk = tokio::spawn(app.clone().keep_jobs());
    let looking = looks.start().await;
    let at_tools = look_at_tools(shelf, engine.now()).await;
    let router = tutti_server::router(app, options.clone());
    let stop_serving = options.stop.clone();
    let serving = tokio::spawn(async move { tutti_server::serve(listener, router, &options).await });
    let stop: Stop = Box::new(move || {
        Box::pin(async move {
            stop_serving.cancel();
            desk.abort();
            job_desk.abort();
            looking.abort();
            at_tools.abort();
            let ((), served) = tokio::join!(engine.shutdown(DRAIN), serving);
            if let Ok(Err(error)) = served {
                tracing::error!("the server ended badly: {error}");
            }
            tool::close();
            backends.close().await;
        })
    });
    Ok(Running { url, key, stop })
}

/// What activities find in this process.
fn install(settings: &Settings, backends: &Backends, outbound: &Arc<Egress>) -> anyhow::Result<()> {
    memory::install(Arc::clone(&backends.records));
    cache::install(Arc::clone(&backends.cache));
    model::install(providers(settings)).map_err(anyhow::Error::msg)?;
    let signer = settings.research.signer.clone().map(TestSigner::new);
    payment::install(Wallet { assets: settings.assets.clone(), signer });
    vault::install(Arc::clone(&backends.vault));
    knowledge::install(articles(settings, backends)?);
    code::install(settings.code.runner().map_err(anyhow::Error::msg)?);
    ground(settings, backends, outbound);
    Ok(())
}

async fn listen(settings: &Settings) -> anyhow::Result<TcpListener> {
    let (host, port) = (settings.listen.host.as_str(), settings.listen.port);
    TcpListener::bind((host, port)).await.with_context(|| {
        format!("cannot listen on {host}:{port}; choose another port with --port, or 0 for any free one")
    })
}

/// Protected mode: a key where other machines can call, and where one is set: then a proxy of this machine needs it, too.
fn admin_key(settings: &Settings, is_open: bool) -> anyhow::Result<Option<SecretString>> {
    match &settings.guard.admin_key {
        _ if settings.is_unprotected => Ok(None),
        Some(key) => Ok(Some(key.clone())),
        None if is_open => key::keep(&settings.data.dir).map(Some),
        None => Ok(None),
    }
}

/// The address as configured, with the port that was really taken.
fn url(settings: &Settings, listener: &TcpListener) -> anyhow::Result<String> {
    let port = listener.local_addr()?.port();
    let url = settings.listen.url();
    Ok(match url.rsplit_once(':') {
        Some((front, _)) => format!("{front}:{port}"),
        None => url,
    })
}

/// What operators name in their own configuration may be called as configured; everything else is checked.
fn egress(settings: &Settings, research: &Research) -> anyhow::Result<EgressPolicy> {
    let mut configured: Vec<&str> = settings.model.base_url.iter().map(|url| url.as_str()).collect();
    let addresses = |agent: &'_ serde_json::Map<String, serde_json::Value>| {
        ["endpoint", CARD]
            .into_iter()
            .filter_map(|key| agent.get(key)?.as_str().map(ToOwned::to_owned))
            .collect::<Vec<_>>()
    };
    let agents: Vec<String> = settings.agents.values().chain(settings.listed.values()).flat_map(addresses).collect();
    configured.extend(settings.external.base_url.iter().map(|url| url.as_str()));
    configured.extend(settings.discovery.cards.iter().map(|url| url.as_str()));
    // What an SRV name stands for shows only when it is looked up: private targets need EGRESS_ALLOW.
    configured.extend(agents.iter().map(String::as_str).filter(|url| srv::plain(url) == *url));
    configured.extend(settings.providers.providers.values().map(|p| p.base_url.as_str()).filter(|url| !url.is_empty()));
    configured.extend(settings.grounding.addresses());
    let services: Vec<String> = settings.tickets.services().into_values().collect();
    configured.extend(services.iter().map(String::as_str));
    configured.extend(settings.declared.tools.iter().flat_map(tool::addresses));
    let hooks = settings.orchestrator.hooks();
    configured.extend([&hooks.brain_factory, &hooks.pipeline].into_iter().filter_map(|url| url.as_deref()));
    let Research { marketplace, payments, verify, .. } = research;
    configured.extend([marketplace, payments, verify].into_iter().filter_map(Option::as_deref));
    Ok(EgressPolicy::parse(&settings.calls.egress_allow.join(","), &configured)?)
}

fn providers(settings: &Settings) -> Providers {
    let model = &settings.model;
    let mut providers = match &model.base_url {
        Some(url) => {
            let provider = Provider::openai(url.as_str(), model.api_key.clone(), model.default_model.clone());
            let limits = RateLimits { requests: model.requests, tokens: model.tokens };
            Providers::only("llm", Provider { timeout: model.timeout, limits, ..provider })
        }
        None => {
            let provider = Provider { pace: settings.offline_pace, ..Provider::offline() };
            Providers::only(ProviderRef::OFFLINE, provider)
        }
    };
    // Where nobody says otherwise, LLM_TIMEOUT and LLM_CACHE_SECONDS hold for all.
    let usual = Provider::offline().timeout;
    let patient = |mut provider: Provider| {
        if provider.timeout == usual {
            provider.timeout = model.timeout;
        }
        provider
    };
    providers.map.extend(settings.providers.providers.clone().into_iter().map(|(name, p)| (name, patient(p))));
    for provider in providers.map.values_mut() {
        provider.cached_for.get_or_insert(model.cached_for);
    }
    providers.prices = settings.providers.prices.clone();
    if let Some(name) = &model.provider {
        providers.default.clone_from(name);
    }
    providers
}

fn workflows(settings: &Settings) -> Registry {
    let (calls, model): (&Calls, &Model) = (&settings.calls, &settings.model);
    let first_ms = u64::try_from(calls.retry_delay.as_millis()).unwrap_or(u64::MAX);
    let asking = Asking {
        provider: ProviderRef::default(),
        retry: Retry { tries_max: calls.retries_max + 1, first_ms, cap_ms: RETRY_CAP_MS },
        // LLM_TIMEOUT bounds silence; one whole answer may take several of them.
        timeout: model.timeout * 8,
        http_timeout: calls.http_timeout,
    };
    let registry = noop::register(patterns::register(Registry::new(), &asking));
    let registry = graph::register(registry, &asking);
    let registry = memory_workflows::register(registry, &asking);
    let registry = research::register(tickets::register(registry, &asking), &asking);
    let registry = tool_call::register(registry, &asking);
    agent_workflows::register(task::register(registry, &asking), &asking, settings.orchestrator.silence)
}

fn bounds(settings: &Settings) -> Options {
    Options {
        works: Backends::works(settings.role),
        shards: settings.limits.shards,
        live_runs_max: settings.limits.live_runs_max,
        backlog_runs_max: usize::try_from(settings.limits.backlog_runs_max).unwrap_or(usize::MAX),
        submits_max: settings.limits.submits_max,
        calls_max: settings.limits.calls_max,
        retention: retention(&settings.data),
        recall: Recall(Arc::new(recall::recall)),
        ..Options::default()
    }
}

fn retention(data: &Data) -> Retention {
    let days = |n: u32| Duration::from_secs(u64::from(n) * 24 * 3600);
    Retention {
        age: if data.retention_days == 0 { Duration::MAX } else { days(data.retention_days) },
        runs_max: if data.retention_runs_max == 0 { u64::MAX } else { data.retention_runs_max },
    }
}

/// The agents of the configuration; those that a card describes are looked up now.
async fn agents(settings: &Settings, outbound: &Egress) -> anyhow::Result<AgentBook> {
    let mut table = serde_json::Map::new();
    for (name, agent) in &settings.agents {
        let agent = discovery::with_card(agent, outbound, settings.calls.http_timeout).await;
        let agent = agent.map_err(|why| anyhow::anyhow!("agents.{name}: {why}"))?;
        table.insert(name.clone(), serde_json::Value::Object(agent));
    }
    let outside = settings.external.base_url.as_ref();
    let outside = outside.map(|base| external::install(base.as_str(), settings.external.token.clone()));
    let names = settings.declared.tools.iter().filter_map(|tool| Some(tool["name"].as_str()?.to_owned()));
    AgentBook::with_table(&serde_json::Value::Object(table), &ToolBook::names(names))
        .map(|book| book.with_built_in(settings.tools.agents()).with_found(outside))
        .map_err(|wrong| {
            let lines: Vec<_> = wrong.iter().map(|e| format!("{}: {}", e.path(), e.msg)).collect();
            anyhow::anyhow!(lines.join("\n"))
        })
}

/// The operator's own tools, by name.
fn tools(settings: &Settings, book: &AgentBook) -> anyhow::Result<BTreeMap<String, Definition>> {
    let setting = patterns::Setting {
        agents: book,
        iterations_max: settings.patterns.iterations_max,
        depth: 0,
        named: None,
        tools: None,
    };
    let file = settings.tools.file.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
    let (mut tools, mut wrong) = (BTreeMap::new(), Vec::new());
    for (at, value) in settings.declared.tools.iter().enumerate() {
        match file_tool(value, at, &setting, &settings.declared.file_keys) {
            Ok(tool) => {
                if let Some(other) = tools.insert(tool.name.clone(), tool) {
                    wrong.push(format!("{file}: tools[{at}].name: there is another tool named {:?}", other.name));
                }
            }
            Err(errors) => wrong.extend(errors.iter().map(|e| format!("{file}: {}: {}", e.path(), e.msg))),
        }
    }
    if wrong.is_empty() { Ok(tools) } else { Err(anyhow::anyhow!(wrong.join("\n"))) }
}

/// Where this process finds tools.
fn shelf(
    settings: &Settings,
    tools: BTreeMap<String, Definition>,
    records: Arc<dyn Records>,
    outbound: Arc<dyn Outbound>,
) -> Shelf {
    let (keys, file_keys) = (settings.declared.keys.clone(), settings.declared.file_keys.clone());
    let shelf = Shelf { records, file: Arc::new(tools), keys, file_keys, outbound };
    shelf::install(shelf.clone());
    shelf
}

/// Looks at the servers of the operator's file. Who comes at once should find their tools; a server that takes longer is no
/// reason not to start.
async fn look_at_tools(shelf: Shelf, now: Time) -> JoinHandle<()> {
    let mut looking = tokio::spawn(async move { Box::pin(shelf.look(now)).await });
    let _ = tokio::time::timeout(TOOLS_WAIT, &mut looking).await;
    looking
}

/// Where research finds, buys and pays.
fn research(settings: &Settings) -> Research {
    let named = settings.tickets.services().into_values().filter_map(|url| reqwest::Url::parse(&url).ok());
    let named: Vec<_> = named.collect();
    let (marketplace, payments, notes) = settings.research.roles(|name| settings.defaults.contains(name), &named);
    for note in notes {
        tracing::warn!("{note}");
    }
    let plain = |url: reqwest::Url| url.as_str().trim_end_matches('/').to_owned();
    Research {
        marketplace: marketplace.map(plain),
        payments: payments.map(plain),
        verify: settings.research.voice_verify.clone().map(plain),
        unit: settings.research.unit.clone(),
        timeout: settings.research.timeout,
    }
}

/// The ticket knowledge base: a folder, or the table beside the store.
fn articles(settings: &Settings, backends: &Backends) -> anyhow::Result<Arc<dyn KnowledgeBase>> {
    let Some(dir) = &settings.tickets.knowledge_dir else { return Ok(Arc::clone(&backends.articles)) };
    let articles = knowledge::read_folder(dir).map_err(|why| anyhow::anyhow!("KNOWLEDGE_DIR: {why}"))?;
    Ok(Arc::new(SqliteKnowledge::of_folder(articles).map_err(anyhow::Error::msg)?))
}

/// What answers are grounded in: documents, and places outside.
fn ground(settings: &Settings, backends: &Backends, outbound: &Arc<Egress>) {
    grounding::install(library(settings, backends, outbound.clone()));
    sources::install(sources::Installed {
        records: Arc::clone(&backends.records),
        databases: Arc::new(Queries),
        egress: Arc::clone(outbound),
        files: settings.grounding.source_files.clone(),
        default: settings.grounding.source(),
    });
}

fn library(settings: &Settings, backends: &Backends, outbound: Arc<Egress>) -> Library {
    let (embedder, qdrant) = (settings.grounding.embedder(&settings.model), settings.grounding.qdrant());
    if let (Some(_), None, Err(why)) = (&embedder, &qdrant, backends.index.knows_vectors()) {
        tracing::warn!("EMBEDDING_MODEL is set, and documents are found by their words alone: {why}");
    }
    // Where this program cannot be found again, PDFs are read in this process.
    let pdfs = std::env::current_exe().ok().map(|program| pdf::Reader { program, args: vec![READ_PDF.into()] });
    let (index, cache) = (Arc::clone(&backends.index), Some(Arc::clone(&backends.cache)));
    Library { index, outbound, cache, embedder, qdrant, pdfs }
}

/// Counts runs that have ended, and names those whose voice is to be forgotten.
fn observer(ended: UnboundedSender<RunNo>) -> Observer {
    Observer(Arc::new(move |end: &End| {
        metrics::ended(end);
        if end.workflow == research::NAME && end.status.is_terminal() {
            let _ = ended.send(end.run);
        }
    }))
}

async fn forget_voices(app: App, mut over: UnboundedReceiver<RunNo>) {
    while let Some(run) = over.recv().await {
        app.forget_voice(run).await;
    }
}

/// The counters of this process; there is one recorder, however many servers it runs.
fn counters(with_agents: bool) -> Render {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let handle = RECORDER.get_or_init(|| {
        let seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
        let sessions = [0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0];
        let rounds = [1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 50.0, 100.0];
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full("agent_orchestrator_session_duration_seconds".into()), &sessions)
            .and_then(|b| b.set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &seconds))
            .and_then(|b| b.set_buckets_for_metric(Matcher::Suffix("_iterations".into()), &rounds));
        let recorder = builder.ok()?.build_recorder();
        let handle = recorder.handle();
        ::metrics::set_global_recorder(recorder).ok()?;
        metrics::describe();
        Some(handle)
    });
    metrics::count_agents(with_agents && handle.is_some());
    match handle.clone() {
        Some(handle) => Render(Arc::new(move || {
            handle.run_upkeep();
            handle.render()
        })),
        None => Render::default(),
    }
}

/// How each outside part is set.
fn configuration(settings: &Settings, research: &Research, llm: &str) -> BTreeMap<String, String> {
    let role = |name: &str, url: &Option<String>| match url {
        None => "absent",
        Some(_) if settings.defaults.contains(name) => "default",
        Some(_) => "configured",
    };
    let mut parts =
        BTreeMap::from([("llm".into(), llm.to_owned()), ("store".into(), set(settings.backends.postgres().is_some()))]);
    parts.insert("redis".into(), set_or_absent(settings.backends.redis().is_some()));
    parts.insert("rabbitmq".into(), set_or_absent(settings.backends.rabbitmq_host.is_some()));
    parts.insert("embeddings".into(), set_or_absent(settings.grounding.model.is_some()));
    parts.insert("vector_db".into(), set_or_absent(settings.grounding.vectors_url.is_some()));
    parts.insert("datasource".into(), set_or_absent(settings.grounding.source_url.is_some()));
    parts.insert("marketplace".into(), role("MARKETPLACE_URL", &research.marketplace).into());
    parts.insert("payment_manager".into(), role("PAYMENT_MANAGER_URL", &research.payments).into());
    parts.insert("external_agent".into(), set_or_absent(settings.external.base_url.is_some()));
    let hooks = settings.orchestrator.hooks();
    parts.insert("brain_factory".into(), role("BRAIN_FACTORY_URL", &hooks.brain_factory).into());
    parts.insert("deployment_pipeline".into(), role("DEPLOYMENT_PIPELINE_URL", &hooks.pipeline).into());
    let services = settings.tickets.services();
    for stage in Stage::ALL {
        let word = if services.contains_key(&stage) { "configured" } else { "default" };
        parts.insert(format!("{}_agent", stage.as_str()), word.into());
    }
    parts
}

/// Registered agents, as the application sees them.
fn orchestrator(
    settings: &Orchestrator,
    records: Arc<dyn Records>,
    jobs: Option<Arc<dyn JobBroker>>,
) -> tutti_app::registry::Orchestrator {
    let Orchestrator { sessions_max, idle, silence, .. } = *settings;
    tutti_app::registry::Orchestrator { records, sessions_max, idle, silence, hooks: settings.hooks(), jobs }
}

fn set(is_set: bool) -> String {
    if is_set { "configured" } else { "default" }.into()
}

fn set_or_absent(is_set: bool) -> String {
    if is_set { "configured" } else { "absent" }.into()
}

fn application(
    settings: &Settings,
    agents: Books,
    research: Research,
    records: Arc<dyn Records>,
    jobs: Option<Arc<dyn JobBroker>>,
    parts: Parts,
) -> tutti_app::Options {
    let llm =
        if settings.model.base_url.is_some() || settings.model.provider.is_some() { "configured" } else { "default" };
    tutti_app::Options {
        agents,
        iterations_max: settings.patterns.iterations_max,
        window: Window { messages: settings.sessions.window_messages, tokens: settings.sessions.window_tokens },
        orchestrate_wait: settings.patterns.request_timeout,
        ticket_services: settings.tickets.services(),
        parts,
        configuration: configuration(settings, &research, llm),
        research,
        budgets: settings.budgets,
        orchestrator: orchestrator(&settings.orchestrator, records, jobs),
        metrics: counters(settings.orchestrator.metrics),
        version: env!("CARGO_PKG_VERSION"),
    }
}
