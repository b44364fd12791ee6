//! Configuration: one list of settings, five layers, every value with its origin.
//!
//! Raw texts come in by [`sources`], become checked texts in [`values`], and typed decisions here, once.

pub mod agents;
pub mod backends;
pub mod budgets;
pub mod calls;
pub mod code;
pub mod data;
pub mod discovery;
pub mod example;
pub mod external;
pub mod form;
pub mod grounding;
pub mod guard;
pub mod later;
pub mod limits;
pub mod listen;
pub mod log;
pub mod model;
pub mod orchestrator;
pub mod patterns;
pub mod payments;
pub mod providers;
pub mod remote;
pub mod research;
pub mod sessions;
pub mod setting;
pub mod sources;
pub mod tickets;
pub mod tools;
pub mod values;

use self::setting::{Concern, Setting, Use};
use self::sources::{Flag, Origin, Sources};
use self::values::{Problem, Values};
use std::path::Path;

/// Every setting there is, by concern: the one list.
#[must_use]
pub fn concerns() -> Vec<Concern> {
    vec![
        listen::Listen::CONCERN,
        guard::Guard::CONCERN,
        data::Data::CONCERN,
        backends::Backends::CONCERN,
        model::Model::CONCERN,
        grounding::Grounding::CONCERN,
        calls::Calls::CONCERN,
        code::Code::CONCERN,
        patterns::Patterns::CONCERN,
        sessions::Sessions::CONCERN,
        tickets::Tickets::CONCERN,
        research::Research::CONCERN,
        external::External::CONCERN,
        orchestrator::Orchestrator::CONCERN,
        tools::Tools::CONCERN,
        discovery::Discovery::CONCERN,
        limits::Limits::CONCERN,
        log::Log::CONCERN,
        remote::Remote::CONCERN,
        later::CONCERN,
    ]
}

/// What a server is built from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens.
    pub listen: listen::Listen,
    /// Who may call it from elsewhere.
    pub guard: guard::Guard,
    /// Whether everybody may, without a key: a flag of `serve`, never a setting, so that nobody inherits it.
    pub is_unprotected: bool,
    /// Where data is kept, and for how long.
    pub data: data::Data,
    /// What several processes share.
    pub backends: backends::Backends,
    /// Which part of the work this process does.
    pub role: crate::role::Role,
    /// The language model.
    pub model: model::Model,
    /// What answers are grounded in.
    pub grounding: grounding::Grounding,
    /// Outgoing calls.
    pub calls: calls::Calls,
    /// Code that tools run.
    pub code: code::Code,
    /// Defaults of the patterns.
    pub patterns: patterns::Patterns,
    /// Defaults of sessions.
    pub sessions: sessions::Sessions,
    /// The agents of tickets.
    pub tickets: tickets::Tickets,
    /// Paid research.
    pub research: research::Research,
    /// The external agent.
    pub external: external::External,
    /// Registered agents.
    pub orchestrator: orchestrator::Orchestrator,
    /// Tools.
    pub tools: tools::Tools,
    /// The operator's own tools, as they were at the start, and the secrets that tools may use.
    pub declared: tools::Declared,
    /// Where agents are looked for.
    pub discovery: discovery::Discovery,
    /// Agents from `[discovery]` of `tutti.toml`, as they were at the start.
    pub listed: agents::Agents,
    /// The path of `tutti.toml`.
    pub file: std::path::PathBuf,
    /// What runs, sessions, users and tenants may spend, from `tutti.toml`.
    pub budgets: tutti_app::budgets::Budgets,
    /// What payments may be made with, from `tutti.toml`.
    pub assets: payments::Assets,
    /// Names that nobody set.
    pub defaults: std::collections::BTreeSet<&'static str>,
    /// Bounds of the process.
    pub limits: limits::Limits,
    /// Logs.
    pub log: log::Log,
    /// Agents from `tutti.toml`.
    pub agents: agents::Agents,
    /// Providers, routes and prices from `tutti.toml`.
    pub providers: providers::Tables,
    /// The offline model's pause after each word, so that a person can read along; zero save in the demo.
    pub offline_pace: std::time::Duration,
}

/// What a command that talks to a server needs.
#[derive(Debug, Clone)]
pub struct Access {
    /// The server's address, without a slash at its end.
    pub url: String,
    /// Whether somebody named that address, rather than the default.
    pub named: bool,
    /// The key to show.
    pub key: Option<secrecy::SecretString>,
}

/// All that is wrong, one line each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub Vec<Problem>);

/// The layers, read and checked.
pub struct Loaded {
    values: Values,
    agents: agents::Agents,
    listed: agents::Agents,
    declared: tools::Declared,
    providers: providers::Tables,
    assets: payments::Assets,
    budgets: tutti_app::budgets::Budgets,
    file_name: String,
    problems: Vec<Problem>,
    /// Remarks for people: set names that this version does not use, likely slips.
    pub notes: Vec<String>,
}

/// Reads all layers of this process; `config` names another file than `./tutti.toml`.
#[must_use]
pub fn load(flags: Vec<Flag>, config: Option<&Path>) -> Loaded {
    let (sources, problems) = Sources::here(flags, config);
    let mut loaded = read(&sources);
    loaded.problems.splice(0..0, problems);
    loaded
}

/// Gives the layers their meaning.
#[must_use]
pub fn read(sources: &Sources) -> Loaded {
    let (values, mut problems) = Values::take(sources, settings());
    let (agents, mut found) =
        sources.file.get("agents").map(|t| agents::read(t, "agents", &sources.file_name)).unwrap_or_default();
    problems.append(&mut found);
    let (listed, mut found) = discovery::read(&sources.file, &sources.file_name);
    problems.append(&mut found);
    let mut agents = agents;
    if let Ok(patterns) = patterns::Patterns::read(&values)
        && let Some(folder) = &patterns.agents_dir
    {
        problems.append(&mut agents::read_folder(folder, &mut agents));
    }
    let (declared, mut found) =
        tools::Tools::read(&values).map(|tools| tools::read(&tools, |name| sources.variable(name))).unwrap_or_default();
    problems.append(&mut found);
    let (providers, mut found) = providers::read(&sources.file, &sources.file_name, |name| sources.variable(name));
    problems.append(&mut found);
    let (assets, mut found) =
        sources.file.get("payments").map(|t| payments::read(t, &sources.file_name)).unwrap_or_default();
    problems.append(&mut found);
    let (budgets, mut found) =
        sources.file.get("budgets").map(|t| budgets::read(t, &sources.file_name)).unwrap_or_default();
    problems.append(&mut found);
    problems.extend(unknown_keys(sources));
    let file_name = sources.file_name.clone();
    let mut loaded = Loaded {
        notes: notes(sources, &values),
        values,
        agents,
        listed,
        declared,
        providers,
        assets,
        budgets,
        file_name,
        problems,
    };
    loaded.check_together();
    loaded
}

impl Loaded {
    /// What a server is built from, or all that stops the start.
    pub fn server(&self) -> Result<Settings, Problems> {
        if !self.problems.is_empty() {
            return Err(Problems(self.problems.clone()));
        }
        let build = || {
            let v = &self.values;
            Ok(Settings {
                listen: listen::Listen::read(v)?,
                guard: guard::Guard::read(v)?,
                is_unprotected: false,
                data: data::Data::read(v)?,
                backends: backends::Backends::read(v)?,
                role: crate::role::Role::All,
                model: model::Model::read(v)?,
                grounding: grounding::Grounding::read(v)?,
                calls: calls::Calls::read(v)?,
                code: code::Code::read(v)?,
                patterns: patterns::Patterns::read(v)?,
                sessions: sessions::Sessions::read(v)?,
                tickets: tickets::Tickets::read(v)?,
                research: research::Research::read(v)?,
                external: external::External::read(v)?,
                orchestrator: orchestrator::Orchestrator::read(v)?,
                tools: tools::Tools::read(v)?,
                declared: self.declared.clone(),
                discovery: discovery::Discovery::read(v)?,
                listed: self.listed.clone(),
                file: self.file_name.clone().into(),
                defaults: settings().map(|s| s.name).filter(|name| self.is_default(name)).collect(),
                limits: limits::Limits::read(v)?,
                log: log::Log::read(v)?,
                budgets: self.budgets,
                assets: self.assets.clone(),
                agents: self.agents.clone(),
                providers: self.providers.clone(),
                offline_pace: std::time::Duration::ZERO,
            })
        };
        build().map_err(|problem| Problems(vec![problem]))
    }

    /// What a command that talks to a server needs; a fault elsewhere in the configuration does not stop it.
    pub fn access(&self, url: Option<&str>) -> Result<Access, Problems> {
        let build = || {
            let remote = remote::Remote::read(&self.values)?;
            let named = url.map(str::to_owned).or(remote.url.map(String::from));
            let listen = || listen::Listen::read(&self.values).map(|l| l.url());
            let (named, url) = (named.is_some(), named.map_or_else(listen, Ok)?);
            Ok(Access { url: url.trim_end_matches('/').into(), named, key: remote.key })
        };
        self.free_of_faults(&["TUTTI_URL", "TUTTI_KEY"])?;
        build().map_err(|problem| Problems(vec![problem]))
    }

    /// The admin key that is set, and the directory that holds the one that is not.
    pub fn admin(&self) -> Result<(Option<secrecy::SecretString>, std::path::PathBuf), Problems> {
        self.free_of_faults(&["TUTTI_ADMIN_KEY", "TUTTI_DATA"])?;
        let build = || Ok((guard::Guard::read(&self.values)?.admin_key, data::Data::read(&self.values)?.dir));
        build().map_err(|problem| Problems(vec![problem]))
    }

    /// Tells of faults of these settings, of the files that name them, and of the files as such; others do not matter here.
    fn free_of_faults(&self, names: &[&str]) -> Result<(), Problems> {
        let is_one = |name: &str| names.contains(&name.strip_suffix("_FILE").unwrap_or(name));
        let concerned = |p: &&Problem| p.name.as_ref().is_none_or(|name| is_one(name));
        let problems: Vec<Problem> = self.problems.iter().filter(concerned).cloned().collect();
        if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
    }

    /// How to log; defaults where that cannot be read.
    #[must_use]
    pub fn log(&self) -> log::Log {
        log::Log::read(&self.values).unwrap_or(log::Log { format: "text", level: "warn" })
    }

    /// All that stops the start.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// A setting's effective value, absent where it is malformed.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&values::Value> {
        self.values.find(name)
    }

    /// What `tutti.toml` is called here.
    #[must_use]
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// Agents from `tutti.toml`.
    #[must_use]
    pub fn agents(&self) -> &agents::Agents {
        &self.agents
    }

    /// Whether nobody set it.
    #[must_use]
    pub fn is_default(&self, name: &str) -> bool {
        self.values.find(name).is_none_or(|value| value.origin == Origin::Default)
    }

    fn check_together(&mut self) {
        let (v, p) = (&self.values, &mut self.problems);
        if let Ok(backends) = backends::Backends::read(v) {
            p.extend(backends.problems());
        }
        if let (Ok(grounding), Ok(model)) = (grounding::Grounding::read(v), model::Model::read(v)) {
            p.extend(grounding.problems(&model));
        }
        if let Ok(model) = model::Model::read(v)
            && let Some(name) = &model.provider
            && !self.providers.providers.contains_key(name)
        {
            let known: Vec<_> = self.providers.providers.keys().map(String::as_str).collect();
            let file = &self.file_name;
            p.push(Problem::of(
                "LLM_PROVIDER",
                format!("{name:?} is no provider or route of {file}; there are: {}", known.join(", ")),
            ));
        }
        if let Ok(model) = model::Model::read(v)
            && model.base_url.is_some()
            && model.default_model.is_none()
            && !p.iter().any(|p| p.name.as_deref() == Some("LLM_DEFAULT_MODEL"))
        {
            p.push(Problem::of(
                "LLM_DEFAULT_MODEL",
                "not set, but LLM_BASE_URL is; set it to the name of a model that this API offers",
            ));
        }
    }
}

fn settings() -> impl Iterator<Item = &'static Setting> {
    concerns().into_iter().flat_map(|concern| concern.settings)
}

/// Every name that may be set, `*_FILE` of secrets included.
fn names() -> impl Iterator<Item = String> {
    settings().flat_map(|s| {
        let file = s.form.is_secret().then(|| format!("{}_FILE", s.name));
        std::iter::once(s.name.to_owned()).chain(file)
    })
}

fn unknown_keys(sources: &Sources) -> Vec<Problem> {
    let known: Vec<String> = names()
        .map(|n| n.to_ascii_lowercase())
        .chain(["agents", "discovery", "providers", "routes", "prices", "payments", "budgets"].map(Into::into))
        .collect();
    let unknown = sources.file.keys().filter(|k| !known.contains(k));
    unknown
        .map(|key| {
            let hint = nearest(&key.to_ascii_lowercase(), known.iter().map(String::as_str));
            Problem::file(format!("{}: {key} is not known; {hint}", sources.file_name))
        })
        .collect()
}

fn notes(sources: &Sources, values: &Values) -> Vec<String> {
    let mut notes = Vec::new();
    let unused: Vec<&str> = settings()
        .filter(|s| matches!(s.used, Use::Later))
        .map(|s| s.name)
        .filter(|name| values.find(name).is_some_and(|v| v.origin != Origin::Default))
        .collect();
    if !unused.is_empty() {
        notes.push(format!("set, but not used by this version: {}", unused.join(", ")));
    }
    // Other programs share .env, so only a likely slip is worth a word.
    let known: Vec<String> = names().collect();
    for name in sources.dotenv.keys().filter(|name| !known.contains(name)) {
        if let Some(near) = known.iter().find(|k| strsim::damerau_levenshtein(k, name) <= 2) {
            notes.push(format!(".env: {name} is not known; did you mean {near}?"));
        }
    }
    notes
}

/// "did you mean X?", naming the known name that is nearest.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match known.clone().min_by_key(|k| strsim::damerau_levenshtein(k, name)) {
        Some(near) => format!("did you mean {near}?"),
        None => "nothing is known here".into(),
    }
}
